"""Flower at the hospital: the only files of this side that import it."""
