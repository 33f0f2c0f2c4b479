"""Verifying what a bundle's events mean, once its integrity is held."""
