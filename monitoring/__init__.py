"""What is measured while models serve."""
