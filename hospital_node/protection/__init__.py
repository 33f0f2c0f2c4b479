"""What protects a node's replies on their way."""
