"""What a hospital installs: its cohort, its training, its privacy and its records."""
