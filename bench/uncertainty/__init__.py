"""Coverage of the standard deviations that fusion tells of itself."""
