"""Releases go out to a few people first, and come back by themselves when something is wrong."""
