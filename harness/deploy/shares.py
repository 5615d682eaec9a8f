"""Intervals of shares: how many of some rows are so, and how many would be of others like them."""

from __future__ import annotations

import math


def wilson(hits: int, rows: int, alpha: float = 0.05) -> tuple[float, float]:
    """Wilson's interval (1927) of a share; 0 to 1 of no rows. It covers 1 − `alpha` on average over shares."""
    from scipy.special import ndtri

    if not rows:
        return 0.0, 1.0
    z = float(ndtri(1 - alpha / 2))
    middle = (hits + z * z / 2) / (rows + z * z)
    half = z * math.sqrt(hits * (rows - hits) / rows + z * z / 4) / (rows + z * z)
    return max(0.0, middle - half), min(1.0, middle + half)


def exact(hits: int, rows: int, alpha: float = 0.05) -> tuple[float, float]:
    """The interval of a share that never covers less than 1 − `alpha` (Clopper & Pearson 1934); 0 to 1 of no rows.

    For many shares at once and for rare classes: there Wilson's misses several times as often as it says.
    """
    from scipy.special import betaincinv

    low = float(betaincinv(hits, rows - hits + 1, alpha / 2)) if hits else 0.0
    high = float(betaincinv(hits + 1, rows - hits, 1 - alpha / 2)) if hits < rows else 1.0
    return low, high
