"""Restored scenes with their truth: what a refiner is trained on, made once and kept on disk.

A scene costs more to make and restore than to train on once, so a pool of them is made first:
one file a scene, resumable, from its configuration and its seeds alone. Crops are cut from it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from trifuse.core import (
    BandSet,
    Cube,
    CubeSource,
    Grid,
    Manifest,
    MemorySource,
    Unit,
    fingerprint,
    run_units,
    write_bytes,
)
from trifuse.core.native import native_field, native_view
from trifuse.core.settings import require, require_least, to_mapping
from trifuse.fusformer.refiner import BANDS
from trifuse.fusion.spectral.universal import universal_map
from trifuse.restore.local import LocalRestorer
from trifuse.restore.places import ground_kinds
from trifuse.restore.sharpness import Sharpness
from trifuse.restore.sharpness_check import learn
from trifuse.simulate.observation import add_noise, calibrate, draw_calibration, native_ratios
from trifuse.srf_data import S3_SYN, load
from trifuse.train import refining_scenes as scenes
from trifuse.train.batches import Draw

STEP = 5e-5
"""Reflectance of one count in the files: errors of 1.4e-5, far below any noise."""

MTF = 0.3
"""What restoration is told of the blurred bands."""

PLANES = ("restored", "raw", "sharp")

INPUTS = ("restored", "raw", "deviation", "present")
"""What the network is shown of a sample."""


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """Which scenes are made, and with which errors they are seen.

    Attributes:
        land: procedural scenes as they are.
        recoloured: procedural scenes with bent bands.
        mosaics: of random shapes.
        real: windows of each real image that is given.
        first: only so many of these scenes, which are evenly mixed; 0: all.
        size: edge of a scene in pixels, a multiple of 6.
        seed: of the first procedural scene; each further one takes the next.
        protocol: share of the scenes with the errors of the protocol ``real-world``; the others
            have other noise, at the native sampling or not, another MTF, and a noise level that
            is told wrongly by up to 20 %.
        noise: standard deviations (reflectance) between which those lie.
        mtf: likewise the modulation transfer at the native Nyquist frequency.
        calibration: standard deviations of gain and offset.
        vary: whether bands are dropped from some scenes, those made have an instrument's
            imperfections, and half of the real ones are recoloured.
    """

    land: int = 300
    recoloured: int = 300
    mosaics: int = 120
    real: int = 30
    first: int = 0
    size: int = 126
    seed: int = 1000
    protocol: float = 0.5
    noise: tuple[float, float] = (0.0015, 0.006)
    mtf: tuple[float, float] = (0.2, 0.45)
    calibration: tuple[float, float] = (0.02, 0.003)
    vary: bool = True

    def __post_init__(self) -> None:
        require_least(self, 0, "land", "recoloured", "mosaics", "real", "first", section="pool")
        require(
            self.size >= 48 and self.size % 6 == 0,
            "pool.size",
            f"is {self.size}",
            "give a multiple of 6, from 48",
        )
        require(0 <= self.protocol <= 1, "pool.protocol", f"is {self.protocol:g}", "give a share")
        for name in ("noise", "mtf"):
            low, high = getattr(self, name)
            require(
                0 < low <= high < 1,
                f"pool.{name}",
                f"is {low:g} to {high:g}",
                "give a range within 0 to 1",
            )


VALIDATION = PoolConfig(
    land=10, recoloured=0, mosaics=0, real=0, seed=900, protocol=1.0, vary=False
)
"""Scenes to choose designs and stop early on: other seeds, the errors of the protocol."""


def make_pool(
    folder: Path | str,
    config: PoolConfig,
    real: Sequence[CubeSource] = (),
    *,
    jobs: int = 1,
    overwrite: bool = False,
) -> RefiningPool:
    """Make a pool of restored scenes, or go on with one that was stopped.

    Args:
        folder: for the files, about 1.1 MB a scene.
        config: which scenes.
        real: real images in the refiner's bands, all equally sharp.
        jobs: processes.
        overwrite: remove what the folder holds of another pool.

    Raises:
        StoreError: if the folder holds something else.
        BandError, DataError: if a real image lacks bands or pixels.
    """
    kinds: list[tuple[Any, int]] = [
        ("land", config.land),
        ("recoloured", config.recoloured),
        ("mosaics", config.mosaics),
        *((source, config.real) for source in real),
    ]
    # Evenly mixed, so that the first scenes of a pool are a smaller pool of the same kinds.
    order = sorted(
        ((i + 0.5) / count, k, what) for k, (what, count) in enumerate(kinds) for i in range(count)
    )
    units = [
        Unit(f"{n:05d}", f"{n:05d}.npy", (what, config.seed + n))
        for n, (_, _, what) in enumerate(order[: config.first or None])
    ]
    identity = {**to_mapping(config), "images": [s.name for s in real], "step": STEP}
    manifest = Manifest.open(folder, identity, [u.id for u in units], overwrite=overwrite)
    run_units(units, partial(_make, config), manifest, jobs=jobs, label="scenes")
    return RefiningPool(folder)


def _make(config: PoolConfig, unit: Unit, folder: Path) -> dict[str, Any]:
    """One scene: its planes to a file, what must be known of it to the manifest."""
    kind, seed = unit.payload
    rng = np.random.default_rng([seed, 1])
    if isinstance(kind, CubeSource):
        image = scenes.cut_real(kind, config.size, rng)
        image = scenes.recolour(image, rng) if config.vary and rng.random() < 0.5 else image
    elif kind == "mosaics":
        image = scenes.mosaic(config.size, rng)
    else:
        image = scenes.land(config.size, seed, rng)
        image = scenes.recolour(image, rng) if kind == "recoloured" else image
    if config.vary and not isinstance(kind, CubeSource):
        image = scenes.imperfect(image, rng)
    planes, about = observe_restored(image, config, rng)
    counts = np.clip(np.rint(planes / STEP), -32768, 32767).astype(np.int16)
    buffer = io.BytesIO()
    np.save(buffer, counts, allow_pickle=False)
    write_bytes(folder / unit.file, buffer.getvalue(), overwrite=True)
    return about


def observe_restored(
    image: np.ndarray, config: PoolConfig, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, Any]]:
    """See a sharp image with errors, and restore it as a scene would be.

    Args:
        image: (12, y, x) reflectance, NaN in bands that are not there.
        config: of the errors.
        rng: draws them.

    Returns:
        (3, 12, y, x) restored, raw and sharp image in the observed radiometry, 0 for bands that
        were dropped; and plain values by band: ``present`` (0 or 1), ``deviation`` as the
        restoration tells it, ``square`` the mean square of its error, and ``mapped`` that of its
        error as Sentinel-3's 21 bands see it.
    """
    bands = load("S2A_MSI").select(list(BANDS)).bands
    ratios = native_ratios(bands)
    usual = rng.random() < config.protocol
    noise = 0.003 if usual else float(np.exp(rng.uniform(*np.log(config.noise))))
    told = noise if usual else noise * float(np.exp(rng.uniform(-0.2, 0.2)))
    mtf = MTF if usual else float(rng.uniform(*config.mtf))
    native = not usual and rng.random() < 0.5
    sharp = calibrate(image, *draw_calibration(len(image), *config.calibration, rng))
    seen = native_view(sharp, ratios, mtf)
    if native:
        seen = seen + native_field(seen.shape, ratios, noise, rng)
    else:
        seen = add_noise(seen, noise, rng)
    there = [i for i in range(len(BANDS)) if np.isfinite(image[i]).all()]
    kept = scenes.drop_bands(there, ratios, rng) if config.vary else there
    own = BandSet(tuple(bands[i] for i in kept))
    grid = Grid.from_origin("EPSG:32633", 366000.0, 5810010.0, 10.0, *image.shape[1:])
    cube = Cube(np.asarray(seen[kept], np.float32), np.ones(grid.shape, np.bool_), own, grid)
    sharpness = Sharpness(tuple(ratios[i] for i in kept), (MTF,) * len(kept), (told,) * len(kept))
    source = MemorySource(cube)
    sharpness, statistics, _ = learn(source, sharpness)
    kinds = ground_kinds(source, sharpness)
    restorer = LocalRestorer(grid.shape, sharpness, statistics, kinds)
    planes = np.zeros((3, *image.shape), np.float32)
    planes[:, kept] = restorer(cube.data), cube.data, sharp[kept]
    error = planes[0] - planes[2]
    mapped = np.tensordot(to_s3(), error, axes=1)
    present, deviation = np.zeros(len(BANDS)), np.zeros(len(BANDS))
    present[kept], deviation[kept] = 1, restorer.deviation
    about = {
        "present": present,
        "deviation": deviation,
        "square": (error**2).mean(axis=(1, 2)),
        "mapped": (mapped**2).mean(axis=(1, 2)),
    }
    return planes, {k: [float(f"{x:.5g}") for x in v] for k, v in about.items()}


def to_s3() -> np.ndarray:
    """How the refiner's bands become Sentinel-3's, whatever the scene: (21, 12) float32."""
    s2, s3 = load("S2A_MSI").select(list(BANDS)), load("S3A_SYN").select(list(S3_SYN))
    return np.asarray(universal_map(s2.bands, s3.bands).matrix, np.float32)


class RefiningPool:
    """A finished pool.

    Args:
        folder: that :func:`make_pool` made.

    Attributes:
        hash: of the content.
        about: by name of :func:`observe_restored`, (scenes, bands) float32.

    Raises:
        StoreError: if the folder holds no finished pool.
    """

    def __init__(self, folder: Path | str) -> None:
        manifest = Manifest.load(folder)
        manifest.require_complete()
        self._manifest = manifest
        self.config: Mapping[str, Any] = manifest.config
        done = [manifest.done[u] for u in sorted(manifest.planned)]
        self._paths = [manifest.path(u) for u in sorted(manifest.planned)]
        self.hash = fingerprint({"scenes": [d["sha256"] for d in done]})
        self.about = {
            k: np.array([d[k] for d in done], np.float32)
            for k in ("present", "deviation", "square", "mapped")
        }

    def __len__(self) -> int:
        return len(self._paths)

    def planes(self, index: int) -> np.ndarray:
        """(3, 12, y, x) int16 counts of STEP; see :data:`PLANES`; read where they are asked for."""
        planes: np.ndarray = np.load(self._paths[index], mmap_mode="r", allow_pickle=False)
        return planes

    def tensors(self, index: int, planes: np.ndarray) -> dict[str, Tensor]:
        """Planes of a scene, or of a part of it, with what is known of it."""
        images = np.multiply(planes, np.float32(STEP), dtype=np.float32)
        sample = dict(zip(PLANES, torch.from_numpy(images), strict=True))
        return sample | {k: torch.from_numpy(v[index]) for k, v in self.about.items()}


class RefiningDataset(Dataset[dict[str, Tensor]]):
    """Crops of a pool, turned and mirrored.

    Args:
        pool: the scenes.
        crop: edge in pixels, even.
        seed: of the crops.
    """

    def __init__(self, pool: RefiningPool, crop: int, seed: int = 0) -> None:
        self.pool, self.crop, self.seed = pool, crop, seed

    def __len__(self) -> int:
        return len(self.pool)

    def __getitem__(self, key: int | Draw) -> dict[str, Tensor]:
        """A crop of the scene of that number: by its draw, or the first of an epoch."""
        draw = key if isinstance(key, Draw) else Draw(int(key), 0, 0)
        if not 0 <= draw.index < len(self):
            raise IndexError(f"scene {draw.index} of {len(self)}")
        rng = np.random.default_rng([self.seed, 2, draw.epoch, draw.index])
        planes = self.pool.planes(draw.index)
        size = min(self.crop, *planes.shape[2:])
        # Tokens stand for two pixels, as do the samples of the 20 m bands.
        row, col = (2 * int(rng.integers((n - size) // 2 + 1)) for n in planes.shape[2:])
        cut = np.rot90(
            planes[:, :, row : row + size, col : col + size], int(rng.integers(4)), (2, 3)
        )
        cut = cut[..., ::-1] if rng.random() < 0.5 else cut
        return self.pool.tensors(draw.index, np.ascontiguousarray(cut))
