"""Which scenes see the same ground: what may not be on two sides of training and validation.

A scene is the box of its grid. Boxes are wider than what was seen (EnMAP's images lie askew in
theirs), so scenes are rather taken together than apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trifuse.core import Grid, GridError

Box = tuple[float, float, float, float]


def ground_groups(grids: Mapping[str, Grid]) -> list[tuple[str, ...]]:
    """Scenes that share ground with each other, or through others: chains count.

    >>> a, b, c = (Grid.from_origin("EPSG:32633", x, 5e6, 30, 10, 10) for x in (0, 270, 900))
    >>> ground_groups({"a": a, "b": b, "c": c})
    [('a', 'b')]

    Args:
        grids: by scene; those without a coordinate system lie nowhere and share nothing.

    Returns:
        The groups of two scenes and more, each in order, in the order of their first scenes.
    """
    names = sorted(n for n, grid in grids.items() if grid.crs)
    root = {name: name for name in names}

    def find(name: str) -> str:
        while root[name] != name:
            root[name] = root[root[name]]
            name = root[name]
        return name

    for a, b in overlapping(grids):
        first, second = sorted((find(a), find(b)))
        root[second] = first
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(find(name), []).append(name)
    return [tuple(g) for g in groups.values() if len(g) > 1]


def overlapping(grids: Mapping[str, Grid]) -> list[tuple[str, str]]:
    """Pairs of scenes whose boxes share ground; edges that touch are none."""
    names = sorted(n for n, grid in grids.items() if grid.crs)
    degrees = {n: degree_boxes(grids[n]) for n in names}
    found = []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            near = any(_shared(p, q) for p in degrees[a] for q in degrees[b])
            if near and _share_ground(grids[a], grids[b]):
                found.append((a, b))
    return found


def degree_boxes(grid: Grid) -> Sequence[Box]:
    """The box around a grid in degrees (west, south, east, north); two at the antimeridian.

    Nothing if its coordinate system is unknown.
    """
    from trifuse.products.files.regrid import box_in

    try:
        return _unwrapped(box_in("EPSG:4326", grid.bounds, grid.crs))
    except GridError:
        return ()


def _unwrapped(box: Box) -> Sequence[Box]:
    west, south, east, north = box
    if west <= east:
        return (box,)
    return ((west, south, 180.0, north), (-180.0, south, east, north))


def _share_ground(a: Grid, b: Grid) -> bool:
    """Whether two boxes that are near each other overlap, in the coordinates of the first."""
    from trifuse.products.files.regrid import box_in

    try:
        parts = _unwrapped(box_in(a.crs, b.bounds, b.crs))
        return any(_shared(a.bounds, part) for part in parts)
    except GridError:
        return False


def _shared(a: Box, b: Box) -> bool:
    # A thousandth of the smaller side is rounding of coordinates.
    slack = 1e-3 * min(a[2] - a[0], a[3] - a[1], b[2] - b[0], b[3] - b[1])
    return min(a[2], b[2]) - max(a[0], b[0]) > slack and min(a[3], b[3]) - max(a[1], b[1]) > slack
