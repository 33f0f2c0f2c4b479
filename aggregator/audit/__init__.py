"""What the aggregator writes into its journal, and the reports made from it."""
