"""What a cluster can and cannot do for Everloop, asked before anything is installed: `everloop doctor`."""
