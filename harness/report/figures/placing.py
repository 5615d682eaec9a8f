"""Where labels go, so that none hides a point, another label or the edge: plain geometry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle: left, bottom, right, top."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """The area that both share."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(wide, 0.0) * max(high, 0.0)

    def outside(self, frame: Box) -> float:
        """The part of its area that lies outside a frame."""
        return (self.right - self.left) * (self.top - self.bottom) - self.overlap(frame)


RADII = (9.0, 18.0, 30.0, 45.0, 65.0, 90.0, 120.0, 160.0)
DIRECTIONS = (0, 180, 45, 315, 135, 225, 90, 270)  #: degrees, best readable first


def place_labels(
    anchors: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], obstacles: Sequence[Box], frame: Box
) -> list[Box]:
    """A box of the given (width, height) near each anchor, clear of obstacles and of one another where there is room.

    The nearest free place wins; where nothing is free, the place that hides least.
    """
    taken = list(obstacles)
    placed = []
    for (x, y), (width, height) in zip(anchors, sizes, strict=True):
        candidates = [_beside(x, y, width, height, (r, d)) for r in RADII for d in DIRECTIONS]
        best = min(candidates, key=lambda box: box.outside(frame) + sum(box.overlap(other) for other in taken))
        taken.append(best)
        placed.append(best)
    return placed


def _beside(x: float, y: float, width: float, height: float, at: tuple[float, float]) -> Box:
    """The box whose nearest edge is `at` = (distance, direction in degrees) from a point."""
    radius, direction = at[0], math.radians(at[1])
    across, up = round(math.cos(direction), 6), round(math.sin(direction), 6)
    left = x + radius * across - width * (1 - across) / 2
    bottom = y + radius * up - height * (1 - up) / 2
    return Box(left, bottom, left + width, bottom + height)
