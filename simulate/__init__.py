"""From hyperspectral cubes to triplets."""
