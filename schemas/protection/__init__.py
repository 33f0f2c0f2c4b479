"""What a plan shows the aggregator of the sites' values, and the protocol that opens only a sum."""
