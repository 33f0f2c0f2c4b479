"""The bytes that travel: layouts, arrays, keys and signed envelopes."""
