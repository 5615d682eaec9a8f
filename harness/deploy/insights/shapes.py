"""Directions and shapes of partial dependence in words, and no more of them than the intervals allow."""

from __future__ import annotations

import math

from harness.deploy.insights.drivers import Curve, Driver
from harness.deploy.insights.markdown import percent
from harness.deploy.markdown import text

UNCLEAR = "the folds differ too much to say"


def shape(driver: Driver) -> str:
    """How the mean probability moves with a column; what is smaller than the interval of the swing is not told."""
    curve = driver.curve
    if curve is None:
        return "–"
    if not curve.swing - (0 if math.isnan(curve.swing_half) else curve.swing_half) > 0:
        return UNCLEAR
    return _of_levels(curve) if curve.points[0].at is None else _of_numbers(curve)


def _of_levels(curve: Curve) -> str:
    high, low = curve.points[curve.highest], curve.points[curve.lowest]
    return (
        f"highest with {text(high.shown)} ({percent(high.mean)}), lowest with {text(low.shown)} ({percent(low.mean)})"
    )


def _of_numbers(curve: Curve) -> str:
    """Rises or falls; or up to a point and then back by more than chance allows."""
    means = [point.mean for point in curve.points]
    small = max(0.25 * curve.swing, 0.0 if math.isnan(curve.swing_half) else curve.swing_half)
    first, last = curve.points[0], curve.points[-1]
    up, down = curve.points[curve.highest], curve.points[curve.lowest]
    ends = f"from {percent(first.mean)} at {first.shown} to {percent(last.mean)} at {last.shown}"
    if up.mean - max(means[0], means[-1]) > small:
        return f"highest in between, {percent(up.mean)} at {up.shown} ({ends})"
    if min(means[0], means[-1]) - down.mean > small:
        return f"lowest in between, {percent(down.mean)} at {down.shown} ({ends})"
    if abs(means[-1] - means[0]) <= small:
        return f"up and down, from {percent(down.mean)} to {percent(up.mean)}"
    return f"{'rises' if means[-1] > means[0] else 'falls'} {ends}"
