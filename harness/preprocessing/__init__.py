"""Preparation of columns, encoders of tables, texts and images, resampling."""
