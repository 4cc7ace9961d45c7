"""The retrain controller: an alert becomes at most one training run, and every decision can be read afterwards."""
