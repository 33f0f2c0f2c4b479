"""Flower at the aggregator: the only files of this side that import it."""
