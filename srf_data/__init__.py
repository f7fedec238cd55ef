"""Published spectral response functions, and spectra integrated over them."""
