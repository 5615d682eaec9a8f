"""What predictions show of each task: curves, thresholds, confusion, calibration."""

from harness.report.diagnostics.topic import sections

__all__ = ["sections"]
