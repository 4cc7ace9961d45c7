"""How often drift is seen where there is none, how soon where there is, and how fast it is counted."""
