"""What protects the sites' replies on their way."""
