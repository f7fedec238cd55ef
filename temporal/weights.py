"""The old place of :mod:`trifuse.temporal.networks`; it goes with the next version."""

from trifuse.temporal.networks import SHIPPED, load_weights, read_card, save_weights

__all__ = ["SHIPPED", "load_weights", "read_card", "save_weights"]
