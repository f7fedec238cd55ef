"""One training engine."""
