"""Many deltas to one model: spool, combiners, server optimizers and the table of algorithms."""
