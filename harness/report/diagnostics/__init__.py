"""What predictions show of each task: curves, thresholds, confusion, calibration."""
