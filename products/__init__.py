"""Readers and writers of satellite products, NDVI."""
