"""Every flow of TriFuse as commands with fixed seeds, each finding what an earlier one made.

Left out, because time decides on its result: `fuse --adapt`. Inputs that need a factory of the
project (Sentinel-3 swaths, Landsat scenes, CAVE images) are left to the tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from _made_products import write_coarse, write_safe

UNCERTAIN = ("physics", "refined")
"""Methods that tell standard deviations."""

MIXERS = ("conv", "spectral", "window", "channel", "global", "none")
"""All but the default, which the demo trains."""

BRIEF = "optim.warmup=0 run.log_every=1 run.device=cpu"
FUSFORMER = (
    f"{BRIEF} model.width=12 model.heads=3 model.encoder=1 model.decoder=1 "
    "optim.batch=2 optim.steps=3 validation.every=2 data.val_samples=2"
)
ERRORS = (
    "augment.blur=1 augment.gain=0.02 augment.noise_s2=0.003 augment.shift=0.3 "
    "augment.width=0.2 augment.clouds_s3=0.1 data.val_errors=true"
)
REFINER = (
    f"{BRIEF} model.width=8 model.blocks=1 pool.land=1 pool.recoloured=1 pool.mosaics=2 "
    "pool.real=0 pool.size=48 crop=16 val_scenes=1 optim.batch=2 optim.steps=3 validation.every=2"
)
TAMRF = (
    f"{BRIEF} model.features=8 model.growth=4 model.layers=1 model.hidden=16 model.heads=4 "
    "data.crop=10 data.dates=6 data.per_scene=2 loss.border=6 optim.steps=2 validation.every=1"
)


@dataclass(frozen=True, slots=True)
class Step:
    """A command.

    Attributes:
        name: that its output goes by; its files lie in a folder of that name, or begin with it.
        command: what follows `trifuse`; paths are relative to the folder of the run.
    """

    name: str
    command: str


def steps(work: Path, methods: Sequence[str]) -> Iterator[Step]:
    """All of them; each is to be run before the next is asked for.

    Args:
        work: folder of the run.
        methods: of fusion.
    """
    yield Step("demo", "demo -o demo --size 120 --steps 20")
    yield from scenes_and_stores(work)
    yield from trainings()
    yield from fusions(work, methods)
    yield from sharpenings(work)
    yield from maps_and_pages(work)
    yield from series()


def scenes_and_stores(work: Path) -> Iterator[Step]:
    """Deliveries, clear and cloudy, and their triplets."""
    yield Step("scene", "scene -o scene --size 240 --seed 7")
    yield Step("cloudy", "scene -o cloudy --size 120 --seed 8 --clouds")
    yield Step("other", "scene -o other --size 120 --seed 9")
    start = f"simulate {delivery(work, 'cloudy')} {delivery(work, 'other')} --patch 40"
    yield Step("store", f"{start} -o store --stride 20 --split 0.5,0.5,0 --min-valid 0.5")
    sensors = "--s2 S2B_MSI --s3 S3B_SYN --bands B2,B3,B4,B8,Oa08,Oa17"
    rest = "--ratio 5 --mtf 0.2 --overlap all --count 3 -t float32"
    yield Step("store-other", f"{start} -o store-other {sensors} {rest}")


def trainings() -> Iterator[Step]:
    """A few updates of the networks that see triplets."""
    plans = {mixer: f"model.mixer={mixer}" for mixer in MIXERS}
    for name, own in {**plans, "errors": f"model.skip=bicubic {ERRORS}"}.items():
        place = f"train/{name}"
        yield Step(place, f"train fusformer store -o {place} {sets(FUSFORMER)} {sets(own)}")
    yield Step("train/refiner", f"train refiner -o train/refiner {sets(REFINER)}")


def fusions(work: Path, methods: Sequence[str]) -> Iterator[Step]:
    """Every method on a clean pair and on one as sensors deliver it; options of the default."""
    view, truth = work / "scene/S2_HrMSI.tif", work / "scene/truth_HrHSI.tif"
    start = datetime(2021, 6, 28, 10, 20, tzinfo=UTC)
    clouds = slice(150, 180), slice(30, 70)
    write_safe(work / "made", view, start, seed=1, cloud=clouds)
    write_coarse(work / "made/coarse.tif", truth, 10, 100.0, seed=2, shift=(3.0, -2.0))
    pairs = {
        "sharp": "--s2 scene/S2_HrMSI.tif --s3 scene/S3_LrHSI.tif",
        "blurred": f"--s2 {product(work)} --s3 made/coarse.tif",
        "cloudy": "--s2 cloudy/S2_HrMSI.tif --s3 cloudy/S3_LrHSI.tif",
    }

    def fuse(pair: str, name: str, options: str) -> Step:
        place = f"fuse-{pair}/{name}"
        return Step(place, f"fuse {pairs[pair]} -o {place}.tif {options}")

    for pair in ("sharp", "blurred"):
        for method in methods:
            told = "--uncertainty" if method in UNCERTAIN else ""
            yield fuse(pair, method, f"--method {method} -t float32 {told}")
    weights = "--weights train/errors/final.safetensors"
    yield fuse("blurred", "network", f"{weights} -t float32 --tile 60")
    weights = "--weights train/refiner/final.safetensors"
    yield fuse("blurred", "own-refiner", f"--method refined {weights} -t float32")
    tiles = "--consistency exact --tile 96 --overlap 16 --bands Oa08,Oa17,S5"
    yield fuse("blurred", "exact", f"--method refined --weights none {tiles}")
    told = "--sharpness 1:2:6 --s2-noise 0.002 --s3-noise 0.001 --coregister 20,30 --mtf 0.25"
    yield fuse("blurred", "told", f"--method physics {told}")
    yield fuse("blurred", "part", "--bbox 13.0385,52.408,13.0575,52.4175 --jobs 2")
    yield fuse("cloudy", "default", "--coregister off --uncertainty")
    yield fuse("cloudy", "regression", "--method regression --preset paper")


def sharpenings(work: Path) -> Iterator[Step]:
    """Of the product in the blurred pair."""
    start = f"sharpen {product(work)}"
    for how in ("restore", "injection", "bicubic"):
        yield Step(f"sharpen/{how}", f"{start} -o sharpen/{how}.tif --method {how} -t float32")
    told = "--bands B5,B11,B2 --mtf 0.3 --noise 0.002 --denoise"
    yield Step("sharpen/told", f"{start} -o sharpen/told.tif {told}")


def maps_and_pages(work: Path) -> Iterator[Step]:
    """What is made of fused images, and what is told of inputs."""
    fused = "fuse-sharp/refined.tif"
    yield Step("ndvi/s2", f"ndvi {fused} -o ndvi/s2.tif")
    yield Step("ndvi/paper", f"ndvi {fused} -o ndvi/paper.tif --definition paper -t int16")
    yield Step("ndvi/cloudy", "ndvi fuse-cloudy/default.tif -o ndvi/cloudy.tif")
    s2 = "--s2 scene/S2_HrMSI.tif"
    images = f"--truth scene/truth_HrHSI.tif {s2} --s3 scene/S3_LrHSI.tif"
    yield Step("evaluate/fused", f"evaluate {fused} {images}")
    yield Step("report", f"report {fused} -o report/page.html {images}")
    yield Step("fidelity", f"fidelity --enmap {delivery(work, 'scene')} {s2}")
    yield Step("inspect/enmap", f"inspect {delivery(work, 'scene')}")
    yield Step("inspect/safe", f"inspect {product(work)}")
    yield Step("srf", "srf show S3A_SYN")


def series() -> Iterator[Step]:
    """A year of clouds to any date, by two sensors and by three."""
    yield Step("area", "series make -o area --size 30 --seed 7")
    sensors = "--sensors sentinel2,landsat,sentinel3"
    yield Step("three", f"series make -o three --size 30 --seed 8 {sensors}")
    inputs = "--s2 area/sentinel2 --landsat area/landsat --dates 2022-03-01:2022-09-30"
    yield Step("built", f"series build {inputs} -o built")
    dates = "--dates 2022-05-15:2022-06-15:1M"
    yield Step("dates/network", f"interpolate area {dates} -o dates/network")
    prior = "--weights prior -t float32"
    yield Step("dates/prior", f"interpolate built {dates} -o dates/prior {prior}")
    bands = "--bands NDVI,B4,B11,LST,Oa08"
    yield Step("dates/three", f"interpolate three --dates 2022-06-15 -o dates/three {bands}")
    train = f"train tamrf area --val built -o train/tamrf {sets(TAMRF)}"
    yield Step("train/tamrf", train)
    own = "--weights train/tamrf/final.safetensors"
    yield Step("dates/own", f"interpolate area --dates 2022-06-15 -o dates/own {own}")
    yield Step("dates/ndvi", "ndvi dates/network -o dates/ndvi --at 13.0315,52.4225")
    for task in ("gap-filling", "fusion"):
        yield Step(f"evaluate/{task}", f"evaluate tamrf area --task {task} --margin 60")


def sets(keys: str) -> str:
    """``--set`` before each."""
    return " ".join(f"--set {key}" for key in keys.split())


def delivery(work: Path, scene: str) -> Path:
    """The EnMAP delivery of a made scene."""
    return _only(work, f"{scene}/ENMAP01-*")


def product(work: Path) -> Path:
    """The made Sentinel-2 product."""
    return _only(work, "made/*.SAFE")


def _only(work: Path, pattern: str) -> Path:
    found = [path.relative_to(work) for path in work.glob(pattern)]
    if len(found) != 1:
        raise SystemExit(f"{pattern}: {len(found)} were made where one is needed to go on")
    return found[0]
