"""What guards a patient: secure randomness, the privacy ledger and the forecast."""
