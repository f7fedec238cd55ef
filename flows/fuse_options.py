"""What a fusion can be asked for, as one value that is checked when it is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from trifuse.core import Box, ConfigError, DataError
from trifuse.core.runtime import Precision
from trifuse.core.workers import check_place
from trifuse.flows.inputs import Image
from trifuse.fusion import Method, get_method
from trifuse.fusion.inference import ConsistencyMode, StreamOptions
from trifuse.fusion.methods import method_for
from trifuse.products.write.writer import DType

DEFAULT = "refined"
"""Method where none is given."""


@dataclass(frozen=True, slots=True)
class FuseOptions:
    """Options of a fusion; what makes no sense whatever the images is refused when it is made.

    Attributes:
        out: GeoTIFF to write (cloud-optimised, with a sidecar and a quicklook); None keeps the
            result in memory.
        method: ``bicubic``, ``regression``, ``network`` or a method of :mod:`trifuse.fusion`;
            default: what takes the weights, by their card; without weights ``refined``.
        weights: safetensors of a trained network; with ``refined``: of the one that refines its
            bands in place of that which comes along, or ``none`` for no network.
        mtf: modulation transfer of the coarse sensor at its Nyquist frequency.
        sharpness: of S2's bands, for methods that restore them: ``auto`` (the default) goes by
            what the image's reader tells, checked against the pixels, and looks in the pixels
            where nothing is told; ``sharp`` restores nothing; ``1:2:6@3,0:nearest`` gives it, see
            :func:`trifuse.restore.scene_sampling.parse_sampling`.
        s2_noise: standard deviation of S2's noise (reflectance), for such methods.
        s3_noise: of S3's; default: told by what S2 does not explain.
        adapt: seconds for which the network of ``refined`` is trained on the scene itself, one
            scale down; the better of with and without is kept. Other seconds, or another machine,
            give other pixels.
        consistency: ``noise`` leaves it to the method how far to believe S3; ``exact`` makes the
            result degrade to S3 (keep it exact in the file by ``dtype="float32"``).
        uncertainty: also make the standard deviation of each band at each pixel, and a band
            ``strange`` that exceeds 1 where a spectrum is unlike all that the method knows;
            written as ``<out>_std.tif``.
        coregister: ``auto`` looks for a shift of S3 against S2 and heeds it if it is reliable,
            at least 0.05 S3 cells and at least three times its standard error, and else changes
            nothing; methods that restore S2 heed less, and the width of the PSF too;
            ``off`` does not look; (east, north) in metres by which S3 has to be moved.
        bbox: area to fuse, (west, south, east, north) in degrees, covered to the pixel; where
            there is no ground, pixels are missing. What is learned is learned from the cells
            around it too (:func:`trifuse.flows.area.learnt_around`). Default: what both show.
        like: an image whose ground is fused, in place of ``bbox``.
        bands: of S3 to make; default: all it has, or those of the network.
        tile: edge of a tile in pixels.
        overlap: blended pixels between tiles.
        preset: ``paper`` is tiles of 150 pixels blended over 20.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``32``, ``bf16`` or ``16``.
        dtype: of the file: ``int16`` in counts of 1e-4, or ``float32``.
        quicklook: also write ``<out>.png``.
        compile: send networks through ``torch.compile``.
        jobs: processes that compute the tiles.
        scheduler: address of a running Dask scheduler whose workers compute them, in place of
            ``jobs``; they see inputs and output under the same paths.
        overwrite: replace an output that exists.

    Raises:
        ConfigError: if an option is out of range, or two do not go together.
    """

    out: Path | str | None = None
    method: Method | str | None = None
    weights: Path | str | None = None
    mtf: float = 0.3
    sharpness: str | None = None
    s2_noise: float | None = None
    s3_noise: float | None = None
    adapt: float | None = None
    consistency: ConsistencyMode = "noise"
    uncertainty: bool = False
    coregister: Literal["auto", "off"] | tuple[float, float] = "auto"
    bbox: Box | None = None
    like: Image | None = None
    bands: Sequence[str] | None = None
    tile: int | None = None
    overlap: int | None = None
    preset: Literal["paper"] | None = None
    device: str = "auto"
    precision: Precision = "32"
    dtype: DType = "int16"
    quicklook: bool = True
    compile: bool = False
    jobs: int = 1
    scheduler: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_place(self.jobs, self.scheduler)
        _ = self.streaming
        if self.dtype not in get_args(DType):
            raise ConfigError(f"dtype {self.dtype!r}", fix="give int16 or float32")
        if isinstance(self.coregister, str) and self.coregister not in ("auto", "off"):
            raise ConfigError(
                f"coregister {self.coregister!r}", fix="give auto, off or east,north metres"
            )

    @property
    def streaming(self) -> StreamOptions:
        """How the scene is gone through."""
        return StreamOptions(
            tile=self.tile,
            overlap=self.overlap,
            preset=self.preset,
            device=self.device,
            precision=self.precision,
            compile=self.compile,
            consistency=self.consistency,
        )

    @property
    def path(self) -> Path | None:
        """The GeoTIFF to write; None keeps the result in memory."""
        return None if self.out is None else Path(self.out)

    @property
    def std_path(self) -> Path | None:
        """File of the standard deviations; None if none is written."""
        path = self.path
        if path is None or not self.uncertainty:
            return None
        return path.with_name(f"{path.stem}_std{path.suffix}")

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Files that must not be there yet, or may be replaced."""
        path = self.path
        picture = path.with_suffix(".png") if path is not None and self.quicklook else None
        return tuple(p for p in (path, picture, self.std_path) if p is not None)

    def chosen_method(self) -> Method:
        """The method that these options stand for; see :func:`choose_method`."""
        return choose_method(
            self.method,
            self.weights,
            sharpness=self.sharpness,
            s2_noise=self.s2_noise,
            s3_noise=self.s3_noise,
        )


def choose_method(
    method: Method | str | None, weights: Path | str | None, **options: Any
) -> Method:
    """The method that is meant by a name or none, weights or none, and options.

    Args:
        method: a name or a method.
        weights: of a network.
        options: fields of the method; those that are None are left as they are.

    Raises:
        ConfigError: if the method has no such field.
        DataError: if both a method and weights are given.
        WeightsError: if the weights cannot be used.
    """
    if method is None:
        method = DEFAULT if weights is None else method_for(weights)
    if isinstance(method, str):
        chosen = get_method(method, weights)
    elif weights is None:
        chosen = method
    else:
        raise DataError("both a method and weights are given", fix="leave out one of them")
    given = {k: v for k, v in options.items() if v is not None}
    known: set[str] = {f.name for f in fields(chosen) if f.init} if is_dataclass(chosen) else set()
    if unknown := sorted(set(given) - known):
        raise ConfigError(f"method {chosen.name} has no {', '.join(unknown)}", fix="take physics")
    return replace(chosen, **given) if given else chosen  # type: ignore[type-var]
