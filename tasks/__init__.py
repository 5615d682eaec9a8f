"""Tasks: one declaration a file."""
