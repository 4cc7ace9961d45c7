"""What people did with what they were shown: lists joined with later events, and events on their way into training."""
