"""Records and predictions become tables: pure functions."""
