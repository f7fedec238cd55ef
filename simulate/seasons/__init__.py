"""Procedural series: made ground through a year, seen by sensors through clouds."""
