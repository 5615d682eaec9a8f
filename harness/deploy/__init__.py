"""Exporting the model of an entry as a bundle, and predicting, explaining and serving with one."""
