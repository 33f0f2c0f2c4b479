"""Stored models and where each came from."""
