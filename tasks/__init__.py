"""Tasks: one data source per file, with the tasks that are made of it."""
