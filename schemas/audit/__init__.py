"""The audit log: events, the tree over them, and signed tree heads."""
