"""Keras networks and their training loop, imported only where a cell needs them."""
