"""The online side: predictor, online history, fallback."""
