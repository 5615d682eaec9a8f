"""What a person declares: tasks, families, strategies, metrics, search spaces and the protocol."""
