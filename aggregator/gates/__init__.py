"""What an update and a candidate must pass."""
