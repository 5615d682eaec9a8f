"""evenhand: which classifier, with which imbalance strategy, is really best on this data, and by how much."""
