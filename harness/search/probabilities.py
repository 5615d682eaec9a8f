"""Whether what a classifier returned are the probabilities of rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: How far a probability may lie outside [0, 1], and how far the sum of a row may be from 1: rounding in single precision.
RANGE_TOLERANCE = 1e-6
SUM_TOLERANCE = 1e-3


def find_probability_problem(proba: npt.NDArray[np.float32], rows: int, classes: int) -> str:
    """Why these are not the probabilities of so many rows; empty where they are."""
    if proba.shape != (rows, classes):
        return f"expected the shape {(rows, classes)}, found {proba.shape}"
    if not rows:
        return ""
    if not np.isfinite(proba).all():
        wrong = int((~np.isfinite(proba)).any(axis=1).sum())
        return f"{wrong:,} of {rows:,} rows are not finite"
    low, high = float(proba.min()), float(proba.max())
    if low < -RANGE_TOLERANCE or high > 1 + RANGE_TOLERANCE:
        return f"expected values from 0 to 1, found {low:.6g} to {high:.6g}"
    sums = proba.sum(axis=1, dtype=np.float64)
    farthest = float(sums[np.argmax(np.abs(sums - 1))])
    if abs(farthest - 1) > SUM_TOLERANCE:
        return f"expected sums of 1 up to {SUM_TOLERANCE:g}, found a row with {farthest:.6g}"
    return ""
