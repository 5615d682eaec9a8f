"""Numbers computed from stored predictions and records: scores, ranking, significance, ensembles, curves."""
