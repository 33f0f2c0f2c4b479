"""Verifying what a bundle's events mean, beside its integrity: all that `consilium verify` does."""
