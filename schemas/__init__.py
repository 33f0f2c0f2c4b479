"""What both sides of a federation agree on, byte for byte."""
