"""Masked image quality measures, one definition each."""
