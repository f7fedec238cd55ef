"""Two sensors onto one ground."""
