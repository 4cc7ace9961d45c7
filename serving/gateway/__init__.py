"""The data plane: sticky groups, exploration, fallback, feedback, and the log of what was shown."""
