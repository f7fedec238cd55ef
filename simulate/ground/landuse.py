"""What each parcel of a procedural scene is used for, and the parameters that follow from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trifuse.simulate.ground.fields import fractal, normal, smoothstep, stream, uniform
from trifuse.simulate.ground.network import Network
from trifuse.simulate.ground.parcels import Parcels
from trifuse.simulate.ground.terrain import Setting, Terrain

LANDCOVER = ("unknown", "water", "cropland", "grassland", "bare", "forest", "built", "snow")
"""Names of the values of a land-cover map."""

# Canopies: the parameters of scene_spectra.VEGETATION, then the class.
_CANOPY = {
    #                cab  car  ant brown water  dry lignin albedo lai clump
    "cereal":       (42., 9.0, 0.3, .05, .028, 0.8, .25, .90, 3.4, .55, 2),
    "ripe":         (3.0, 4.0, 0.5, .70, .004, 0.9, .90, .90, 2.2, .50, 2),
    "stubble":      (1.0, 1.5, 0.3, .75, .003, 0.9, .90, .88, 0.8, .50, 2),
    "bare":         (25., 6.0, 0.3, .20, .020, 0.8, .30, .88, .10, .50, 4),
    "maize":        (47., 9.0, 0.2, .04, .040, 0.8, .20, .91, 2.8, .55, 2),
    "beet":         (44., 9.0, 0.3, .03, .048, 0.6, .10, .92, 3.2, .60, 2),
    "rape":         (8.0, 15., 0.1, .08, .038, 0.7, .15, .92, 2.5, .60, 2),
    "meadow":       (35., 9.0, 0.6, .15, .025, 0.8, .35, .89, 2.4, .55, 3),
    "cut":          (19., 8.0, 0.6, .42, .012, 0.9, .60, .88, 1.2, .50, 3),
    "dry grass":    (7.0, 5.0, 1.0, .58, .006, 1.0, .85, .88, 1.1, .50, 3),
    "scrub":        (25., 8.0, 3.0, .33, .020, 1.1, .60, .84, 1.7, .50, 3),
    "lawn":         (30., 8.0, 0.5, .18, .022, 0.8, .30, .89, 1.8, .55, 3),
    "pit":          (20., 6.0, 0.5, .30, .015, 0.9, .40, .88, .04, .50, 4),
}  # fmt: skip
USES = tuple(_CANOPY)
CANOPY = np.array(list(_CANOPY.values()), np.float32)
"""(use, 11) the same as numbers."""

CANOPY_SPREAD = np.array([0.20, 0.22, 0.5, 0.35, 0.25, 0.18, 0.25, 0.02, 0.28, 0.10], np.float32)
"""(10,) how much the logarithm of each parameter varies from parcel to parcel."""

# How often a crop stands in arable land in spring and in late summer.
_CROPS = {
    "cereal": (0.36, 0.05),
    "ripe": (0.0, 0.20),
    "stubble": (0.03, 0.22),
    "bare": (0.30, 0.16),
    "maize": (0.02, 0.20),
    "beet": (0.03, 0.12),
    "rape": (0.06, 0.0),
    "meadow": (0.06, 0.08),
    "cut": (0.04, 0.07),
    "dry grass": (0.02, 0.05),
}
_GRASSES = {
    "meadow": (0.70, 0.42),
    "cut": (0.14, 0.30),
    "dry grass": (0.06, 0.16),
    "scrub": (0.10, 0.12),
}

# Trees: conifers, broad leaves, and the open woods of dry country; shade is the dark part.
_TREES = np.array([
    (50., 11., 0.5, .14, .048, 1.3, .40, .82, 4.0, .50),
    (41., 9.0, 0.5, .08, .034, 1.0, .30, .90, 4.2, .55),
    (32., 9.0, 1.5, .22, .024, 1.3, .50, .86, 2.2, .45),
], np.float32)  # fmt: skip

# Mixtures of the surfaces of scene_spectra.BUILT by kind of plot.
_PLOTS = np.array([
    # asph conc tile bitu grav metl pain slate
    (.02, .04, .72, .06, .03, .03, .02, .08),   # tiled house
    (.02, .08, .20, .15, .05, .05, .02, .43),   # slate house
    (.05, .20, .05, .50, .10, .05, .03, .02),   # flat roof
    (.04, .24, .03, .10, .12, .35, .10, .02),   # hall
    (.04, .14, .02, .06, .10, .10, .52, .02),   # painted hall
    (.35, .30, .03, .05, .22, .02, .01, .02),   # yard
], np.float32)  # fmt: skip

IRRIGATED = np.array([44, 9, 0.3, 0.05, 0.035, 0.8, 0.2, 0.91, 3.0, 0.55], np.float32)
"""Canopy under a pivot."""

YARD = np.array([0.62, 0.18, 0.01, 0.05, 0.13, 0.0, 0.0, 0.01, 0.25, 0.02], np.float32)
"""Surfaces of streets and yards."""

FIELD, TOWN, WOOD = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Country:
    """Coarse rasters that decide land use, on the terrain's grid.

    Attributes:
        wood: > 0 where forest is likely.
        urban: > 0 in settlements.
        industry: > 0 on industrial ground.
        park: > 0 where towns have green.
        wet: 0–1, ground water near the surface.
        alpine: height against the snow line, in standard deviations of the relief; below −5
            where there is none.
        soil: (9, rows, columns) of scene_spectra.SOIL before parcels and moisture vary it.
        conifer: > 0 where conifers prevail.
        plots: area in m² below which land is split no more; 0 leaves it to the district.
    """

    wood: np.ndarray
    urban: np.ndarray
    industry: np.ndarray
    park: np.ndarray
    wet: np.ndarray
    alpine: np.ndarray
    soil: np.ndarray
    conifer: np.ndarray
    plots: np.ndarray


def build_country(seed: int, setting: Setting, terrain: Terrain, network: Network) -> Country:
    """Draw geology, moisture and vegetation zones."""
    rng = stream(seed, "country")
    shape, step = terrain.height.shape, terrain.step

    def field(beta: float, outer: float) -> np.ndarray:
        return fractal(rng, shape, step, beta=beta, outer=outer)

    z = (terrain.height - terrain.height.mean()) / terrain.height.std()
    wet = np.exp(-terrain.stream_distance / 350) * np.exp(-terrain.slope / 0.03)
    wet = np.clip(wet + 0.12 * np.maximum(-z, 0), 0, 1) * (1 - 0.6 * setting.dryness)
    alpine = z - setting.snowline if setting.snowline < 50 else np.full(shape, -9.0)
    wood = field(2.6, 3500) + 0.35 * field(1.6, 900) + 7.0 * np.minimum(terrain.slope, 0.5)
    wood += 0.5 * z * (setting.rugged < 0.5) - 1.2 * smoothstep(network.urban, -0.45, 0.0)
    wood -= 0.7 * wet
    wood -= np.quantile(wood, 1 - setting.forest)
    wood -= 6 * smoothstep(alpine, -0.85, -0.45)
    iron, humus, lime, bright = setting.hue
    dry = setting.dryness
    soil = np.stack(
        [
            np.clip(1.08 - 0.10 * bright - 0.12 * dry + 0.10 * field(2.4, 5000), 0.55, 1.5),
            np.clip(0.56 + 0.06 * field(2.2, 4000), 0.25, 1.1),
            np.clip(
                0.30 - 0.14 * dry + 0.08 * humus + 0.10 * field(2.4, 3500) + 0.5 * wet, 0.02, 1.2
            ),
            np.exp(np.log(0.34) + 0.25 * iron + 0.45 * field(2.6, 6000)),
            np.exp(np.log(0.10 + 0.22 * dry) + 0.35 * iron + 0.5 * field(2.6, 5000)),
            np.exp(np.log(0.16) + 0.40 * field(2.4, 4000)),
            np.exp(np.log(0.06) + 0.5 * lime + 0.7 * field(3.0, 7000)),
            np.exp(np.log(0.08) + 0.4 * field(2.2, 4000)),
            0.12 + 0.55 * wet,
        ]
    ).astype(np.float32)
    conifer = field(2.6, 4000) + 0.6 * setting.rugged + 0.35 * z - 0.1
    park = field(2.0, 900) - 1.15
    plots = np.where(network.urban > 0, np.where(network.urban > 0.5, 1600, 1000), 0)
    plots = np.where(network.industry > 0, 8000, plots)
    # Steep and high ground was never divided into fields.
    plots = np.where((plots == 0) & (terrain.slope > 0.22), 2e5, plots)
    plots = np.where((plots == 0) & (alpine > -1.3), 2e6, plots)
    rasters = (wood, network.urban, network.industry, park, wet, alpine, soil, conifer, plots)
    return Country(*(np.asarray(r, np.float32) for r in rasters))


@dataclass(frozen=True, slots=True)
class Use:
    """Use of parcels; the first axis is the parcel.

    Attributes:
        kind: FIELD, TOWN or WOOD.
        canopy: (parcel, 10) of scene_spectra.VEGETATION for the low vegetation.
        tree: (parcel, 10) the same for trees.
        soil: (parcel, 9) factors and offsets of the country's soil.
        built: (parcel, 10) of scene_spectra.BUILT.
        plot: (parcel, 3) share of the ground that is built, wooded and paved in a town.
        clump: (parcel,) share of open ground within woods, or of trees within fields.
        cover: (parcel,) code in LANDCOVER.
        pivot: (parcel,) whether a circle of it is irrigated.
    """

    kind: np.ndarray
    canopy: np.ndarray
    tree: np.ndarray
    soil: np.ndarray
    built: np.ndarray
    plot: np.ndarray
    clump: np.ndarray
    cover: np.ndarray
    pivot: np.ndarray


def decide(setting: Setting, terrain: Terrain, country: Country, parcels: Parcels) -> Use:
    """Give each parcel a use by where its centre lies and by chance.

    Args:
        setting: the sort of country.
        terrain: the coarse grid.
        country: from :func:`build_country`.
        parcels: one entry a parcel.
    """
    ids, n = parcels.id, len(parcels.id)
    at = [
        terrain.at(f, *parcels.centre)
        for f in (
            country.wood,
            country.urban,
            country.industry,
            country.park,
            country.wet,
            country.alpine,
            country.conifer,
            terrain.slope,
            terrain.stream_distance,
        )
    ]
    wood, urban, industry, park, wet, alpine, conifer, slope, river = at
    works = industry > 0
    town = (urban + 0.10 * normal(ids, 21) * (parcels.area > 4000) > 0) | works
    forest = (wood + 0.22 * normal(ids, 22) > 0) & ~town
    kind = np.where(town, TOWN, np.where(forest, WOOD, FIELD))

    grass = smoothstep(
        wet + 3.0 * slope + 0.5 * setting.rugged**2 + 0.12 * normal(ids, 23), 0.35, 0.6
    )
    grass = np.maximum(grass, smoothstep(alpine, -2.2, -1.2)) * (1 - 0.5 * setting.dryness)
    grass = np.maximum(grass, smoothstep(slope, 0.12, 0.25))
    use = np.where(
        uniform(ids, 24) < grass, _pick(_GRASSES, setting, ids, 25), _pick(_CROPS, setting, ids, 26)
    )
    pit = (uniform(ids, 27) < 0.004) & (parcels.area > 20_000)
    use = np.where(pit, USES.index("pit"), use)
    use = np.where(town, USES.index("lawn"), use)
    clearing = uniform(ids, 28)
    use = np.where(
        forest, np.where(clearing < 0.5, USES.index("scrub"), USES.index("dry grass")), use
    )
    pivot = (parcels.area > 150_000) & (uniform(ids, 29) < 0.5) & (setting.dryness > 0.5)
    pivot &= (kind == FIELD) & (np.abs(np.log(parcels.side[0] / parcels.side[1])) < 0.5)

    canopy = CANOPY[use, :10]
    vary = np.stack([normal(ids, 40 + k) for k in range(10)], axis=1)
    # High and steep pastures are one, whoever owns them.
    wild = np.maximum(smoothstep(slope, 0.12, 0.25), smoothstep(alpine, -1.6, -1.2))[:, None]
    canopy = canopy * np.exp(CANOPY_SPREAD * vary * (1 - 0.75 * wild))
    canopy[:, 8] *= np.where(use == USES.index("bare"), np.exp(0.8 * normal(ids, 51)), 1)
    canopy[:, 8] *= 1 - 0.25 * setting.dryness
    canopy[:, 8] *= 1 - 0.75 * smoothstep(alpine, -0.8, -0.1)

    kinds = np.where(conifer + 0.7 * normal(ids, 30) > 0, 0, 1)
    kinds = np.where(setting.dryness > 0.5 + 0.3 * uniform(ids, 31), 2, kinds)
    tree = _TREES[np.where(town, 1, kinds)]
    tree = tree * np.exp(
        0.55 * CANOPY_SPREAD * np.stack([normal(ids, 60 + k) for k in range(10)], 1)
    )

    soil = 0.35 * np.stack([normal(ids, 75 + k) for k in range(9)], axis=1)
    # Tilled land is moist where it was ploughed of late.
    soil[:, 8] = np.where(use == USES.index("bare"), 0.55 * uniform(ids, 85) ** 2, 0.0)
    soil[:, 0] *= 0.3
    soil[:, 1] *= 0.4
    soil[pit, 0] = -0.42 + 0.15 * uniform(ids, 86)[pit]
    soil[pit, 2] = -2.0

    plot_kind = _plot_kinds(ids, urban, works)
    built = np.zeros((n, 10), np.float32)
    built[:, :8] = _PLOTS[plot_kind] * np.exp(
        0.5 * np.stack([normal(ids, 90 + k) for k in range(8)], axis=1)
    )
    built[:, :8] /= built[:, :8].sum(axis=1, keepdims=True)
    built[:, 8] = 0.75 * uniform(ids, 99) ** 1.5
    built[:, 9] = 0.35 * uniform(ids, 100) ** 3

    green = (park + 0.5 * normal(ids, 101) > 0) & ~works
    dense = smoothstep(urban, 0.05, 0.75)
    roof = np.where(works, 0.62, 0.30 + 0.42 * dense) * (uniform(ids, 102) < 0.62 + 0.3 * dense)
    woods = np.where(works, 0.04, 0.30 * (1 - dense)) * 1.6 * uniform(ids, 103)
    paved = np.where(works, 0.75, 0.10 + 0.65 * dense) * (0.4 + 0.6 * uniform(ids, 104))
    roof = np.where(green, 0.02, roof)
    woods = np.where(green, 0.15 + 0.6 * uniform(ids, 105), woods)
    paved = np.where(green, 0.04, paved)
    plot = np.stack([roof, woods, paved], axis=1).astype(np.float32)

    clump = np.where(forest, 0.06 + 0.25 * setting.dryness + 0.9 * (clearing < 0.05), 0.0)
    hilly = (setting.rugged > 0.1) & (uniform(ids, 106) < 0.06 + 0.10 * setting.dryness)
    orchard = hilly & (kind == FIELD) & (slope > 0.02) & (alpine < -1.5)
    clump = np.where(orchard, 0.25 + 0.35 * uniform(ids, 107), clump)
    clump = np.where((kind == FIELD) & (river < 150) & (clump == 0), 0.06, clump)
    cover = np.where(town, 6, np.where(forest, 5, CANOPY[use, 10])).astype(np.uint8)
    return Use(
        kind,
        canopy.astype(np.float32),
        tree.astype(np.float32),
        soil.astype(np.float32),
        built,
        plot,
        clump.astype(np.float32),
        cover,
        pivot,
    )


def _pick(
    weights: dict[str, tuple[float, float]], setting: Setting, ids: np.ndarray, salt: int
) -> np.ndarray:
    """Choose uses by weights that move with the season; dry country has more dry grass."""
    late, dry = setting.season, setting.dryness
    share = np.array([a + (b - a) * late for a, b in weights.values()])
    for name, factor in (("dry grass", 9.0), ("bare", 1.6), ("stubble", 1.5), ("scrub", 2.0)):
        if name in weights:
            share[list(weights).index(name)] *= 1 + factor * dry
    steps = np.cumsum(share) / share.sum()
    codes = np.array([USES.index(name) for name in weights])
    found = np.searchsorted(steps, uniform(ids, salt), side="right").clip(0, len(codes) - 1)
    return np.asarray(codes[found])


def _plot_kinds(ids: np.ndarray, urban: np.ndarray, works: np.ndarray) -> np.ndarray:
    u = uniform(ids, 110)
    house = np.where(u < 0.62, 0, np.where(u < 0.80, 1, 2))
    core = np.where(u < 0.45, 0, np.where(u < 0.62, 1, 2))
    hall = np.where(u < 0.30, 2, np.where(u < 0.68, 3, np.where(u < 0.82, 4, 5)))
    return np.where(works, hall, np.where(urban > 0.5, core, house))
