"""Options that say how Sentinel-2's bands were sampled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from trifuse.core import ConfigError


def sharpness(default: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: ``--sharpness`` and ``--blur``; the command takes both by :func:`with_blur`.

    Args:
        default: of ``--sharpness``.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        function = click.option(
            "--blur",
            metavar="FWHM",
            help="S2's 20 m and 60 m bands are blurred by so many of their own pixels (full width "
            "at half maximum, e.g. 1.2, or auto), and were never sampled: restore that.",
        )(function)
        return click.option(
            "--sharpness",
            metavar="HOW",
            default=default,
            show_default=default is not None,
            help="How S2's bands were sampled: auto, sharp, or such as 1:2:6 or 1:2:6@3,0:nearest.",
        )(function)

    return decorate


def with_blur(options: dict[str, Any], default: str | None = None) -> dict[str, Any]:
    """The options with ``blur`` taken into ``sharpness``.

    Raises:
        ConfigError: if both are given.
    """
    options = dict(options)
    blur = options.pop("blur", None)
    if blur is None:
        return options
    if options.get("sharpness") != default:
        raise ConfigError("both --blur and --sharpness are given", fix="leave out one of them")
    return {**options, "sharpness": f"blur:{blur}"}
