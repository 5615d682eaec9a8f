"""Declarations (task, family, strategy, search space, protocol), how they are discovered, and their fingerprints."""
