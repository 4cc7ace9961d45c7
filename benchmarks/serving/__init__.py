"""Everloop's server beside kserve's own and FastAPI, doing the same top 10 over the same release."""
