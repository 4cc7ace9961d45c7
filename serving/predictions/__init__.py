"""The prediction log of a gateway: from memory over a spool on disk into the home, and feedback beside it."""
