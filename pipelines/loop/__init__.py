"""The loop on one machine: its parts as processes, started, watched and stopped together."""
