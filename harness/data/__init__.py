"""How rows come in: sources, types, splits, audit."""
