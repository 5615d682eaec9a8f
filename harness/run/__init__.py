"""How cells are executed."""
