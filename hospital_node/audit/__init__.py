"""What a node writes into its journal."""
