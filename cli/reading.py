"""How images are to be read: one group of options for every command that reads some."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from trifuse.cli.options import remote
from trifuse.core import ConfigError, Reading

MAX_TEXT = 1 << 20
"""Bytes of a file of wavelengths."""


def reading(*images: str, bands: Mapping[str, str] | None = None) -> Callable[..., Any]:
    """Options that say of a command's images what their files do not.

    ``--scale --offset --nodata --wavelengths --mask --resolution``, each ``VALUE``, or
    ``IMAGE=VALUE`` where the command reads several, and ``--remote`` for STAC Items. The command
    gets a :class:`trifuse.core.Reading` in place of each path that something is said of.

    Args:
        images: names of the parameters that are paths, or tuples of paths.
        bands: parameter that names the bands of an image's file, by image; taken out as well.
    """
    several = len(images) > 1
    which = f" {images[0]}=… for one of {', '.join(images)}." if several else ""

    def numbers(text: str) -> Any:
        values = [float(part) for part in text.split(",")]
        return values[0] if len(values) == 1 else tuple(values)

    kinds: dict[str, tuple[str, Callable[[str], Any], str]] = {
        "scale": ("NUMBER", numbers, "Value = stored × scale + offset; one, or one per band."),
        "offset": ("NUMBER", numbers, "Likewise, in reflectance: -0.1."),
        "nodata": ("NUMBER", float, "Stored number that is no value."),
        "wavelengths": ("NM,NM,…", _wavelengths, "Centres in nm, or a text file with them."),
        "mask": ("NAMES", str, "Classes or flags of a product that are not usable, or none."),
        "resolution": ("METRES", _resolution, "Of a Sentinel-2 product: 10, 20 or 60."),
    }

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(**options: Any) -> Any:
            said: dict[str, dict[str, Any]] = {image: {} for image in images}
            there = [image for image in images if options.get(image)] or list(images)
            for name, (_, parse, _) in kinds.items():
                for text in options.pop(f"read_{name}"):
                    for image, value in _parsed(text, images, there, parse, name).items():
                        said[image][name] = value
            for image, parameter in (bands or {}).items():
                if (given := options.pop(parameter)) is not None:
                    said[image]["bands"] = tuple(given)
            if options.pop("remote"):
                for image in _items(options, images):
                    said[image]["remote"] = True
            for image, facts in said.items():
                if facts:
                    options[image] = _said(options.get(image), facts, image)
            return function(**options)

        wrapper = remote(wrapper)
        for name, (metavar, _, text) in reversed(kinds.items()):
            wrapper = click.option(
                f"--{name}",
                f"read_{name}",
                multiple=True,
                metavar=metavar,
                help=text + which * (name == "scale"),
            )(wrapper)
        return wrapper

    return decorate


def _parsed(
    text: str, images: Sequence[str], there: Sequence[str], parse: Callable[[str], Any], name: str
) -> dict[str, Any]:
    """Value by image: of the one that is named, else of all that are given."""
    image, equals, value = text.partition("=")
    chosen = [image.strip()] if equals and image.strip() in images else list(there)
    if equals and image.strip() not in images:
        raise click.BadParameter(
            f"{text!r}: give VALUE, or IMAGE=VALUE with one of {', '.join(images)}",
            param_hint=f"'--{name}'",
        )
    try:
        return dict.fromkeys(chosen, parse(value if equals else text))
    except ValueError:
        raise click.BadParameter(f"{text!r}: give numbers", param_hint=f"'--{name}'") from None


def _items(options: Mapping[str, Any], images: Sequence[str]) -> list[str]:
    """Which of the images are STAC Items.

    Raises:
        ConfigError: if none is.
    """
    from trifuse.products.files.item import SUFFIXES

    given = {name: options.get(name) for name in images}
    paths = {name: v if isinstance(v, tuple) else (v,) for name, v in given.items() if v}
    found = [n for n, p in paths.items() if any(f.suffix.lower() in SUFFIXES for f in p)]
    if not found:
        where = next((p[0] for p in paths.values()), None)
        raise ConfigError("--remote is for STAC Items, and no image is one", where=where)
    return found


def _said(image: Any, facts: Mapping[str, Any], name: str) -> Any:
    """What is said of an image, with the image; of several, of each."""
    if image is None:
        raise click.UsageError(f"{', '.join(facts)} is said of {name}, which is not given")
    if isinstance(image, tuple):
        return tuple(_said(path, facts, name) for path in image)
    if isinstance(image, Reading):
        return replace(image, **facts)
    return Reading(image, **facts)


def _wavelengths(text: str) -> tuple[float, ...]:
    path = Path(text)
    if not text.replace(",", "").replace(".", "").strip().isdigit() and path.is_file():
        if path.stat().st_size > MAX_TEXT:
            raise click.BadParameter(f"{text}: is no list of wavelengths")
        text = path.read_text(encoding="utf-8", errors="replace")
    return tuple(float(part) for part in text.replace(",", " ").split())


def _resolution(text: str) -> int:
    if text not in ("10", "20", "60"):
        raise click.BadParameter(f"{text!r}: give 10, 20 or 60", param_hint="'--resolution'")
    return int(text)
