"""How good the models are on MovieLens 100K: full rankings, settings learnt on validation data only."""
