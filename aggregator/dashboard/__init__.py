"""The dashboard: a federation as it stands now, for people; it reads and never writes."""
