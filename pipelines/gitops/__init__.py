"""Which releases an environment serves, as commits: `everloop gitops`."""
