"""A bundle as a service: rows in, answers with reasons out, and what an operator must see."""
