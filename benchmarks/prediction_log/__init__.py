"""The prediction log while its sink is dead: what memory, latency and the records do."""
