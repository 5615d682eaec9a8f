"""How a configuration is found, on outer-training rows only."""
