"""What is checked in a table before a benchmark: one module per kind of check, each giving findings."""
