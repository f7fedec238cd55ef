"""Classical fusion methods, as baselines and as products."""
