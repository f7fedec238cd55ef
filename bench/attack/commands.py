"""The commands that are attacked, and the inputs that they read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A command that is attacked.

    Attributes:
        name: of it.
        arguments: what follows ``trifuse``; inputs lie in ``in``, outputs go to ``out``.
        inputs: files that are mutated, as patterns below ``in``.
        jobs: whether it can be given processes.
        needs: names of the inputs that it reads, see :data:`INPUTS`.
    """

    name: str
    arguments: str
    inputs: tuple[str, ...] = ()
    jobs: bool = False
    needs: tuple[str, ...] = ("scene",)

    @property
    def words(self) -> list[str]:
        """The arguments as a list."""
        return self.arguments.split()


PRODUCT = "ENMAP01-____L2A-DT2106241020_20210624T102000Z_001_V010502_20210624T102000Z"
"""Name that the delivery of the scene of seed 3 gets."""
PAIR = "--s2 in/scene/S2_HrMSI.tif --s3 in/scene/S3_LrHSI.tif"
BOTH = "--s2 in/area/sentinel2 --landsat in/area/landsat --dates 2022-05-01:2022-06-15"
NETWORK = " ".join(
    f"--set {key}"
    for key in (
        *("optim.warmup=0", "run.log_every=1", "run.device=cpu", "model.width=12"),
        *("model.heads=3", "model.encoder=1", "model.decoder=1", "optim.batch=2"),
        *("optim.steps=3", "validation.every=2", "data.val_samples=2"),
    )
)
PLACES = (
    '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"name": "a"}, '
    '"geometry": {"type": "Point", "coordinates": [13.0315, 52.4225]}}]}'
)

INPUTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "scene": ("scene -o scene --size 120 --seed 3", ()),
    "area": ("series make -o area --size 24 --seed 7", ()),
    "store": (f"simulate scene/{PRODUCT} -o store --patch 40 --split 0.5,0.5,0", ("scene",)),
    "fused": (f"fuse {PAIR.replace('in/', '')} -o fused.tif --method regression", ("scene",)),
}
"""Name → what makes it, and what it is made of."""

LISTED = (
    Command("ndvi", "ndvi in/scene/truth_HrHSI.tif -o out/n.tif", ("scene/truth_HrHSI.tif",)),
    Command("fuse", f"fuse {PAIR} -o out/f.tif --method regression", ("scene/S*.tif",), True),
    Command("refined", f"fuse {PAIR} -o out/r.tif --uncertainty", ("scene/S*.tif",)),
    Command(
        "sharpen",
        "sharpen in/scene/S2_HrMSI.tif -o out/s.tif --sharpness 1:2:6 --force",
        ("scene/S2_HrMSI.tif",),
    ),
    Command(
        "simulate", f"simulate in/scene/{PRODUCT} -o out/store --patch 40", (f"scene/{PRODUCT}/*",)
    ),
    Command(
        "train",
        f"train fusformer in/store -o out/run {NETWORK}",
        ("store/*.h5", "store/manifest.json"),
        needs=("store",),
    ),
    Command(
        "report",
        f"report in/fused.tif -o out/p.html {PAIR}",
        ("fused.tif", "fused.tif.json"),
        needs=("fused", "scene"),
    ),
    Command("scene", "scene -o out/scene --size 60 --seed 5", needs=()),
    Command("make", "series make -o out/area --size 24 --seed 8", needs=()),
    Command(
        "build",
        f"series build {BOTH} -o out/built",
        ("area/sentinel2/2022-0[56]*.tif", "area/sentinel2/index.json"),
        needs=("area",),
    ),
    Command(
        "interpolate",
        "interpolate in/area --dates 2022-05-15:2022-06-15:1M -o out/dates --weights prior",
        ("area/*/2022-0[56]*.tif", "area/*/index.json"),
        True,
        ("area",),
    ),
    Command(
        "course",
        "ndvi in/area/sentinel2 -o out/course --geojson in/p.geojson",
        ("area/sentinel2/*", "p.geojson"),
        needs=("area",),
    ),
    Command(
        "evaluate",
        "evaluate in/fused.tif --truth in/scene/truth_HrHSI.tif --s3 in/scene/S3_LrHSI.tif",
        ("fused.tif", "scene/truth_HrHSI.tif"),
        needs=("fused", "scene"),
    ),
    Command(
        "verify",
        "verify in/store in/area in/fused.tif",
        ("store/*", "fused.tif*"),
        needs=("store", "area", "fused"),
    ),
    Command("inspect", f"inspect in/scene/{PRODUCT}", (f"scene/{PRODUCT}/*",)),
)
