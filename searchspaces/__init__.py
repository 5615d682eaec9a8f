"""Families and strategies: builders beside their search spaces."""
