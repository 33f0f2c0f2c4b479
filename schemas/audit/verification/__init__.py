"""Verifying a bundle's integrity, with the standard library and `cryptography` alone."""
