"""Sentinel-2 and Sentinel-3 fusion."""
