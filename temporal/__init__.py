"""TAMRF: cloudy series of several sensors in, every band on any date out."""
