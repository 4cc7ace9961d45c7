"""Pipelines of steps, their compiler and the command line."""
