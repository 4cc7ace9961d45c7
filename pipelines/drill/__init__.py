"""The drill: the loop's whole story played unattended, with real processes and a synthetic world that reacts."""
