"""The look that every page shares: style, tables, and how figures are written for people."""
