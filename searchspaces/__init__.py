"""Families and strategies: builders with their search spaces."""
