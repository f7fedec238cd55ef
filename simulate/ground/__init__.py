"""Procedural landscapes: made ground with the spectra of real materials."""
