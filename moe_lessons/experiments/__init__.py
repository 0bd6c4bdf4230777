"""What lessons run and what ships as results: one file an experiment. `core` is what they share."""
