"""Metrics, calibration of probabilities and decision thresholds."""
