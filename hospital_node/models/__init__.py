"""The networks that a plan may name, built from this installed code only."""
