"""Numbers such as -999 and 9999999999 that stand for a missing value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

MIN_ROWS = 20  #: in fewer rows, no number is far from the others
MIN_DISTINCT = 5  #: different numbers besides the sentinels
MIN_GAP = 3.0  #: from the other numbers to a sentinel above them, in units of their range
MIN_NEGATIVE_GAP = 0.1  #: from the other numbers, none of which is negative, to -1
MAX_SENTINELS = 3  #: of a column
#: Numbers that are written for an unknown one; with all digits 9, or the limits of whole numbers of a computer.
NINES = tuple(float("9" * digits) for digits in range(2, 16))
LIMITS = (32_767.0, -32_768.0, 2.0**31 - 1, -(2.0**31), 2.0**63, -(2.0**63), 1e10, 1e20, 1e30, 1e36, 1e37, 1e38)
CANDIDATES = frozenset({*NINES, *(-nines for nines in NINES), *LIMITS, *(-limit for limit in LIMITS), -1.0})


def find_sentinels(numbers: pd.Series) -> dict[float, int]:
    """Find numbers that stand for a missing value.

    Such a number is one of a few that are used so, and lies far outside all others; -1 only where no other number is
    negative or near to it. A number that may as well be a quantity is left alone.

    Parameters
    ----------
    numbers : Series
        The numbers of a column, missing values NaN.

    Returns
    -------
    dict of float to int
        The numbers and how often each occurs.
    """
    known = numbers.dropna()
    if len(known) < MIN_ROWS:
        return {}
    distinct = np.sort(known.unique())
    extremes = {*distinct[:MAX_SENTINELS].tolist(), *distinct[-MAX_SENTINELS:].tolist()}
    candidates = np.array(sorted(extremes & CANDIDATES))
    counts: dict[float, int] = {}
    for number in candidates.tolist():
        # Other candidates on the same side may be sentinels too: they are no measure of how far this one lies.
        on_side = candidates[np.sign(candidates) == np.sign(number)]
        others = np.setdiff1d(distinct, [*on_side, *counts, number])
        if len(others) >= MIN_DISTINCT and _is_far(number, float(others[0]), float(others[-1])):
            counts[number] = int((known == number).sum())
    return counts


def _is_far(number: float, low: float, high: float) -> bool:
    """Whether a number lies far outside the range of the others."""
    spread = high - low
    if number == -1:
        return low >= 0 and low + 1 > MIN_NEGATIVE_GAP * spread and low > 1
    if number < 0:
        is_only_negative = low >= 0 and abs(number) >= 99
        return is_only_negative or low - number > MIN_GAP * spread
    return number - high > MIN_GAP * spread
