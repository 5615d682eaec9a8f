"""Engines: what runs cells and enforces their limits."""
