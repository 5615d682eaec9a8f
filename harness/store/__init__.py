"""The only part with state on disk: records, predictions, studies."""
