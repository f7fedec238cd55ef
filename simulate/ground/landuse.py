"""What each parcel of a procedural scene is used for, and the parameters that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from trifuse.simulate.ground.country import Country, Site
from trifuse.simulate.ground.draws import Salt, choose, normal, normals, uniform
from trifuse.simulate.ground.fields import smoothstep
from trifuse.simulate.ground.parcels import Parcels
from trifuse.simulate.ground.spectra import SURFACES, Built, Soil, Vegetation
from trifuse.simulate.ground.terrain import Setting, Terrain


class Landcover(IntEnum):
    """Values of a land-cover map."""

    UNKNOWN = 0
    WATER = 1
    CROPLAND = 2
    GRASSLAND = 3
    BARE = 4
    FOREST = 5
    BUILT = 6
    SNOW = 7


LANDCOVER = tuple(code.name.lower() for code in Landcover)
"""Names of the values of a land-cover map."""


class Zone(IntEnum):
    """What rules a parcel: its low vegetation, its buildings or its trees."""

    FIELD = 0
    TOWN = 1
    WOOD = 2


class Canopy(IntEnum):
    """The low vegetation of a parcel."""

    CEREAL = 0
    RIPE = 1
    STUBBLE = 2
    BARE = 3
    MAIZE = 4
    BEET = 5
    RAPE = 6
    MEADOW = 7
    CUT = 8
    DRY_GRASS = 9
    SCRUB = 10
    LAWN = 11
    PIT = 12


_CANOPIES = {
    # in the columns of Vegetation:
    #                 chl   car  ant brown water  dry  lig  alb  area ext
    Canopy.CEREAL:    (42., 9.0, 0.3, .05, .028, 0.8, .25, .90, 3.4, .55),
    Canopy.RIPE:      (3.0, 4.0, 0.5, .70, .004, 0.9, .90, .90, 2.2, .50),
    Canopy.STUBBLE:   (1.0, 1.5, 0.3, .75, .003, 0.9, .90, .88, 0.8, .50),
    Canopy.BARE:      (25., 6.0, 0.3, .20, .020, 0.8, .30, .88, .10, .50),
    Canopy.MAIZE:     (47., 9.0, 0.2, .04, .040, 0.8, .20, .91, 2.8, .55),
    Canopy.BEET:      (44., 9.0, 0.3, .03, .048, 0.6, .10, .92, 3.2, .60),
    Canopy.RAPE:      (8.0, 15., 0.1, .08, .038, 0.7, .15, .92, 2.5, .60),
    Canopy.MEADOW:    (35., 9.0, 0.6, .15, .025, 0.8, .35, .89, 2.4, .55),
    Canopy.CUT:       (19., 8.0, 0.6, .42, .012, 0.9, .60, .88, 1.2, .50),
    Canopy.DRY_GRASS: (7.0, 5.0, 1.0, .58, .006, 1.0, .85, .88, 1.1, .50),
    Canopy.SCRUB:     (25., 8.0, 3.0, .33, .020, 1.1, .60, .84, 1.7, .50),
    Canopy.LAWN:      (30., 8.0, 0.5, .18, .022, 0.8, .30, .89, 1.8, .55),
    Canopy.PIT:       (20., 6.0, 0.5, .30, .015, 0.9, .40, .88, .04, .50),
}  # fmt: skip
CANOPIES = np.array([_CANOPIES[canopy] for canopy in Canopy], np.float32)
"""(canopy, 10) typical parameters of each :class:`Canopy`, by :class:`Vegetation`."""

_LANDCOVERS = {
    **dict.fromkeys(Canopy, Landcover.CROPLAND),
    **dict.fromkeys((Canopy.BARE, Canopy.PIT), Landcover.BARE),
    Canopy.MEADOW: Landcover.GRASSLAND,
    Canopy.CUT: Landcover.GRASSLAND,
    Canopy.DRY_GRASS: Landcover.GRASSLAND,
    Canopy.SCRUB: Landcover.GRASSLAND,
    Canopy.LAWN: Landcover.GRASSLAND,
}
_LANDCOVER = np.array([_LANDCOVERS[canopy] for canopy in Canopy])

CANOPY_SPREAD = np.array([0.20, 0.22, 0.5, 0.35, 0.25, 0.18, 0.25, 0.02, 0.28, 0.10], np.float32)
"""(10,) how much the logarithm of each parameter varies from parcel to parcel."""

# How often a canopy stands in arable land and in grassland, in spring and in late summer.
_ARABLE_SHARES = {
    Canopy.CEREAL: (0.36, 0.05),
    Canopy.RIPE: (0.0, 0.20),
    Canopy.STUBBLE: (0.03, 0.22),
    Canopy.BARE: (0.30, 0.16),
    Canopy.MAIZE: (0.02, 0.20),
    Canopy.BEET: (0.03, 0.12),
    Canopy.RAPE: (0.06, 0.0),
    Canopy.MEADOW: (0.06, 0.08),
    Canopy.CUT: (0.04, 0.07),
    Canopy.DRY_GRASS: (0.02, 0.05),
}
_GRASS_SHARES = {
    Canopy.MEADOW: (0.70, 0.42),
    Canopy.CUT: (0.14, 0.30),
    Canopy.DRY_GRASS: (0.06, 0.16),
    Canopy.SCRUB: (0.10, 0.12),
}
_DRY_SHARES = {Canopy.DRY_GRASS: 9.0, Canopy.BARE: 1.6, Canopy.STUBBLE: 1.5, Canopy.SCRUB: 2.0}
"""By how much more often, beside once, a canopy stands where it is dry."""

_CONIFER, _BROADLEAF, _OPEN_WOOD = range(3)
_TREES = np.array([
    # conifers, broad leaves, and the open woods of dry country, in the columns of Vegetation
    (50., 11., 0.5, .14, .048, 1.3, .40, .82, 4.0, .50),
    (41., 9.0, 0.5, .08, .034, 1.0, .30, .90, 4.2, .55),
    (32., 9.0, 1.5, .22, .024, 1.3, .50, .86, 2.2, .45),
], np.float32)  # fmt: skip

_TILED, _SLATE, _FLAT, _HALL, _PAINTED_HALL, _YARD = range(6)
_PLOT_SURFACES = np.array([
    # asph conc tile bitu grav metl pain slate: the surfaces of Built
    (.02, .04, .72, .06, .03, .03, .02, .08),   # tiled house
    (.02, .08, .20, .15, .05, .05, .02, .43),   # slate house
    (.05, .20, .05, .50, .10, .05, .03, .02),   # flat roof
    (.04, .24, .03, .10, .12, .35, .10, .02),   # hall
    (.04, .14, .02, .06, .10, .10, .52, .02),   # painted hall
    (.35, .30, .03, .05, .22, .02, .01, .02),   # yard
], np.float32)  # fmt: skip

# Kinds of plots with the uniform draw below which they are taken, in turn.
_HOUSES = {_TILED: 0.62, _SLATE: 0.80, _FLAT: 1.0}
_TOWN_HOUSES = {_TILED: 0.45, _SLATE: 0.62, _FLAT: 1.0}
_WORKS = {_FLAT: 0.30, _HALL: 0.68, _PAINTED_HALL: 0.82, _YARD: 1.0}

IRRIGATED = np.array([44, 9, 0.3, 0.05, 0.035, 0.8, 0.2, 0.91, 3.0, 0.55], np.float32)
"""Canopy under a pivot, by :class:`Vegetation`."""

STREET = np.array([0.62, 0.18, 0.01, 0.05, 0.13, 0.0, 0.0, 0.01, 0.25, 0.02], np.float32)
"""Surfaces of streets and yards, by :class:`Built`."""


@dataclass(frozen=True, slots=True)
class Use:
    """Use of parcels; the first axis is the parcel.

    Attributes:
        zone: codes of :class:`Zone`.
        landcover: uint8, codes of :class:`Landcover`.
        canopy: (parcel, 10) low vegetation, by :class:`Vegetation`.
        tree: (parcel, 10) trees, likewise.
        soil: (parcel, 9) by :class:`Soil`: exponents of the factors that the country's soil is
            multiplied with, but an offset of the moisture.
        built: (parcel, 10) roofs, by :class:`Built`.
        roof: share of a town's plot under roofs.
        garden: share of its open ground under trees.
        paved: share of its open ground that is paved.
        mingled: share of the other kind: open ground within woods, trees within fields.
        pivot: whether a circle of it is irrigated.
        pit: whether it is a quarry.
    """

    zone: np.ndarray
    landcover: np.ndarray
    canopy: np.ndarray
    tree: np.ndarray
    soil: np.ndarray
    built: np.ndarray
    roof: np.ndarray
    garden: np.ndarray
    paved: np.ndarray
    mingled: np.ndarray
    pivot: np.ndarray
    pit: np.ndarray


def decide(setting: Setting, terrain: Terrain, country: Country, parcels: Parcels) -> Use:
    """Give each parcel a use by where its centre lies and by chance.

    Args:
        setting: the sort of country.
        terrain: the coarse grid.
        country: from :func:`~trifuse.simulate.ground.country.build_country`.
        parcels: one entry a parcel.
    """
    ids = parcels.id
    site = country.at(terrain, *parcels.centre)
    works = site.industry > 0
    zone = _zones(site, parcels, works)
    town, wood = zone == Zone.TOWN, zone == Zone.WOOD
    pit = (uniform(ids, Salt.PIT) < 0.004) & (parcels.area > 20_000)
    clearing = uniform(ids, Salt.CLEARING)
    canopy = np.where(pit, Canopy.PIT, _open_land(setting, site, ids))
    canopy = np.where(town, Canopy.LAWN, canopy)
    canopy = np.where(wood, np.where(clearing < 0.5, Canopy.SCRUB, Canopy.DRY_GRASS), canopy)
    landcover = np.where(
        town, Landcover.BUILT, np.where(wood, Landcover.FOREST, _LANDCOVER[canopy])
    )
    roof, garden, paved = _plots(site, ids, works)
    return Use(
        zone=zone,
        landcover=landcover.astype(np.uint8),
        canopy=_canopies(setting, site, ids, canopy),
        tree=_trees(setting, site, ids, town),
        soil=_soils(ids, canopy == Canopy.BARE, pit),
        built=_buildings(site, ids, works),
        roof=roof.astype(np.float32),
        garden=garden.astype(np.float32),
        paved=paved.astype(np.float32),
        mingled=_mingled(setting, site, ids, zone, clearing).astype(np.float32),
        pivot=_pivots(setting, parcels, zone),
        pit=pit,
    )


def _zones(site: Site, parcels: Parcels, works: np.ndarray) -> np.ndarray:
    """Settlements first, then forest; the edges of both are ragged by chance."""
    ragged = 0.10 * normal(parcels.id, Salt.TOWN_EDGE) * (parcels.area > 4000)
    town = (site.urban + ragged > 0) | works
    wood = site.wood + 0.22 * normal(parcels.id, Salt.FOREST_EDGE) > 0
    return np.where(town, Zone.TOWN, np.where(wood, Zone.WOOD, Zone.FIELD))


def _open_land(setting: Setting, site: Site, ids: np.ndarray) -> np.ndarray:
    """Canopy of land without town or trees: grass where it is wet, steep or high, else crops."""
    liking = site.wet + 3.0 * site.slope + 0.5 * setting.rugged**2
    grass = smoothstep(liking + 0.12 * normal(ids, Salt.GRASS_LIKING), 0.35, 0.6)
    grass = np.maximum(grass, smoothstep(site.alpine, -2.2, -1.2)) * (1 - 0.5 * setting.dryness)
    grass = np.maximum(grass, smoothstep(site.slope, 0.12, 0.25))
    return np.where(
        uniform(ids, Salt.GRASS) < grass,
        _pick(_GRASS_SHARES, setting, uniform(ids, Salt.GRASS_KIND)),
        _pick(_ARABLE_SHARES, setting, uniform(ids, Salt.CROP_KIND)),
    )


def _pick(
    shares: dict[Canopy, tuple[float, float]], setting: Setting, drawn: np.ndarray
) -> np.ndarray:
    """Choose canopies by shares that move with the season; dry country has more dry grass.

    Args:
        shares: of each canopy in spring and in late summer.
        setting: season and dryness count.
        drawn: (parcel,) uniform in [0, 1).
    """
    share = [
        (spring + (late - spring) * setting.season)
        * (1 + _DRY_SHARES.get(canopy, 0.0) * setting.dryness)
        for canopy, (spring, late) in shares.items()
    ]
    canopies = np.array(list(shares))
    return np.asarray(canopies[choose(np.array(share), drawn)])


def _pivots(setting: Setting, parcels: Parcels, zone: np.ndarray) -> np.ndarray:
    """Whether parcels have a circle that is irrigated: large squarish fields of dry country."""
    squarish = np.abs(np.log(parcels.side[0] / parcels.side[1])) < 0.5
    chosen = uniform(parcels.id, Salt.PIVOT) < 0.5
    large = parcels.area > 150_000
    dry_field = (setting.dryness > 0.5) & (zone == Zone.FIELD)
    return np.asarray(large & chosen & dry_field & squarish)


def _canopies(setting: Setting, site: Site, ids: np.ndarray, canopy: np.ndarray) -> np.ndarray:
    """Parameters of the low vegetation, (parcel, 10) by :class:`Vegetation`."""
    # High and steep pastures are one, whoever owns them.
    wild = np.maximum(smoothstep(site.slope, 0.12, 0.25), smoothstep(site.alpine, -1.6, -1.2))
    vary = CANOPY_SPREAD * normals(ids, Salt.CANOPY) * (1 - 0.75 * wild[:, None])
    out = CANOPIES[canopy] * np.exp(vary)
    leaves = out[:, Vegetation.LEAF_AREA]
    weeds = np.exp(0.8 * normal(ids, Salt.BARE_LEAVES))
    leaves *= np.where(canopy == Canopy.BARE, weeds, 1)
    leaves *= 1 - 0.25 * setting.dryness
    leaves *= 1 - 0.75 * smoothstep(site.alpine, -0.8, -0.1)
    return np.asarray(out, np.float32)


def _trees(setting: Setting, site: Site, ids: np.ndarray, town: np.ndarray) -> np.ndarray:
    """Parameters of the trees, (parcel, 10) by :class:`Vegetation`; towns have broad leaves."""
    cold = site.conifer + 0.7 * normal(ids, Salt.CONIFER) > 0
    kind = np.where(cold, _CONIFER, _BROADLEAF)
    dry = setting.dryness > 0.5 + 0.3 * uniform(ids, Salt.OPEN_WOOD)
    kind = np.where(dry, _OPEN_WOOD, kind)
    typical = _TREES[np.where(town, _BROADLEAF, kind)]
    return np.asarray(typical * np.exp(0.55 * CANOPY_SPREAD * normals(ids, Salt.TREE)), np.float32)


def _soils(ids: np.ndarray, tilled: np.ndarray, pit: np.ndarray) -> np.ndarray:
    """How the soil differs from the country's, (parcel, 9) as in :class:`Use`."""
    out = 0.35 * normals(ids, Salt.SOIL)
    # Tilled land is moist where it was ploughed of late.
    out[:, Soil.WET] = np.where(tilled, 0.55 * uniform(ids, Salt.PLOUGHED) ** 2, 0.0)
    out[:, Soil.DARK] *= 0.3
    out[:, Soil.SLOPE] *= 0.4
    out[pit, Soil.DARK] = -0.42 + 0.15 * uniform(ids, Salt.PIT_BRIGHTNESS)[pit]
    out[pit, Soil.HUMUS] = -2.0
    return np.asarray(out, np.float32)


def _buildings(site: Site, ids: np.ndarray, works: np.ndarray) -> np.ndarray:
    """Surfaces of roofs, (parcel, 10) by :class:`Built`."""
    drawn = uniform(ids, Salt.PLOT_KIND)
    house, town_house, hall = (_by_steps(k, drawn) for k in (_HOUSES, _TOWN_HOUSES, _WORKS))
    kind = np.where(works, hall, np.where(site.urban > 0.5, town_house, house))
    out = np.zeros((len(ids), len(Built)), np.float32)
    out[:, SURFACES] = _PLOT_SURFACES[kind] * np.exp(0.5 * normals(ids, Salt.SURFACES))
    out[:, SURFACES] /= out[:, SURFACES].sum(axis=1, keepdims=True)
    out[:, Built.GRIME] = 0.75 * uniform(ids, Salt.GRIME) ** 1.5
    out[:, Built.RUST] = 0.35 * uniform(ids, Salt.RUST) ** 3
    return out


def _by_steps(steps: dict[int, float], drawn: np.ndarray) -> np.ndarray:
    """The first kind whose step lies above each uniform draw."""
    edges = np.array(list(steps.values())[:-1], drawn.dtype)
    return np.array(list(steps))[np.searchsorted(edges, drawn, side="right")]


def _plots(
    site: Site, ids: np.ndarray, works: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares of a town's plots: under roofs, and of the rest under trees and paved; (parcel,)."""
    park = (site.park + 0.5 * normal(ids, Salt.TOWN_GREEN) > 0) & ~works
    dense = smoothstep(site.urban, 0.05, 0.75)
    has_roof = uniform(ids, Salt.PLOT_HAS_ROOF) < 0.62 + 0.3 * dense
    roof = np.where(works, 0.62, 0.30 + 0.42 * dense) * has_roof
    garden = np.where(works, 0.04, 0.30 * (1 - dense)) * 1.6 * uniform(ids, Salt.GARDEN_TREES)
    paved = np.where(works, 0.75, 0.10 + 0.65 * dense)
    paved = paved * (0.4 + 0.6 * uniform(ids, Salt.PLOT_PAVED))
    return (
        np.where(park, 0.02, roof),
        np.where(park, 0.15 + 0.6 * uniform(ids, Salt.PARK_TREES), garden),
        np.where(park, 0.04, paved),
    )


def _mingled(
    setting: Setting, site: Site, ids: np.ndarray, zone: np.ndarray, clearing: np.ndarray
) -> np.ndarray:
    """Share of open ground within woods; of trees within fields: orchards and river banks."""
    wood, field = zone == Zone.WOOD, zone == Zone.FIELD
    out = np.where(wood, 0.06 + 0.25 * setting.dryness + 0.9 * (clearing < 0.05), 0.0)
    liked = uniform(ids, Salt.ORCHARD) < 0.06 + 0.10 * setting.dryness
    hilly = (setting.rugged > 0.1) & (site.slope > 0.02) & (site.alpine < -1.5)
    out = np.where(field & liked & hilly, 0.25 + 0.35 * uniform(ids, Salt.ORCHARD_TREES), out)
    return np.where(field & (site.stream_distance < 150) & (out == 0), 0.06, out)
