"""Numbers such as -999 and 9999999999, and dates such as 9999-12-31, that stand for a missing value."""

from __future__ import annotations

from datetime import date
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
NINES_SENTINELS = tuple(float("9" * digits) for digits in range(2, 16))
DTYPE_LIMITS = (32_767.0, -32_768.0, 2.0**31 - 1, -(2.0**31), 2.0**63, -(2.0**63), 1e10, 1e20, 1e30, 1e36, 1e37, 1e38)
#: Null values of measurements, as in well logs.
MEASUREMENTS = (-999.25, -9999.25)
CANDIDATES = frozenset(
    {
        *NINES_SENTINELS,
        *(-nines for nines in NINES_SENTINELS),
        *DTYPE_LIMITS,
        *(-limit for limit in DTYPE_LIMITS),
        *MEASUREMENTS,
        -1.0,
    }
)
#: Dates that are written for an unknown one or for no end: the limits of databases, spreadsheets and programs.
DATES = (
    "0001-01-01", "1111-11-11", "1677-09-21", "1753-01-01", "1800-01-01", "1899-12-30", "1899-12-31", "1900-01-01", "1901-01-01",
    "1970-01-01", "2099-12-31", "2100-01-01", "2199-12-31", "2262-04-11", "2999-12-31", "3000-01-01", "9999-01-01", "9999-12-31",
)  # fmt: skip
DAYS = frozenset(date.fromisoformat(text).toordinal() - date(1970, 1, 1).toordinal() for text in DATES)
MIN_DATE_GAP = 3.0  #: from the other dates to such a date, in units of their range


def find_number_sentinels(numbers: pd.Series) -> dict[float, int]:
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
    known_numbers = numbers.dropna()
    if len(known_numbers) < MIN_ROWS:
        return {}
    distinct_numbers = np.sort(known_numbers.unique())
    extreme_numbers = {*distinct_numbers[:MAX_SENTINELS].tolist(), *distinct_numbers[-MAX_SENTINELS:].tolist()}
    candidate_numbers = np.array(sorted(extreme_numbers & CANDIDATES))
    counts: dict[float, int] = {}
    for candidate_number in candidate_numbers.tolist():
        # Other candidates on the same side may be sentinels too: they are no measure of how far this one lies.
        same_side_candidates = candidate_numbers[np.sign(candidate_numbers) == np.sign(candidate_number)]
        other_numbers = np.setdiff1d(distinct_numbers, [*same_side_candidates, *counts, candidate_number])
        if len(other_numbers) >= MIN_DISTINCT and _is_far_outside_range(
            candidate_number, float(other_numbers[0]), float(other_numbers[-1])
        ):
            counts[candidate_number] = int((known_numbers == candidate_number).sum())
    return counts


def _is_far_outside_range(candidate_number: float, range_low: float, range_high: float) -> bool:
    """Whether a number lies far outside the range of the others."""
    range_width = range_high - range_low
    if candidate_number == -1:
        return range_low >= 0 and range_low + 1 > MIN_NEGATIVE_GAP * range_width and range_low > 1
    if candidate_number < 0:
        is_only_negative = range_low >= 0 and abs(candidate_number) >= 99
        return is_only_negative or range_low - candidate_number > MIN_GAP * range_width
    return candidate_number - range_high > MIN_GAP * range_width


def find_date_sentinels(days: pd.Series) -> dict[float, int]:
    """Find dates that stand for a missing value.

    Such a date is one of a few that are used so, is the first or the last one of the column, and lies far outside all others.

    Parameters
    ----------
    days : Series
        The dates of a column as days since 1970, missing values NaN.

    Returns
    -------
    dict of float to int
        The dates and how often each occurs.
    """
    known_days = days.dropna()
    if len(known_days) < MIN_ROWS:
        return {}
    is_candidate = np.floor(known_days).isin(DAYS)
    other_days = known_days[~is_candidate]
    if other_days.nunique() < MIN_DISTINCT:
        return {}
    gap_margin = MIN_DATE_GAP * (other_days.max() - other_days.min())
    is_far = (known_days < other_days.min() - gap_margin) | (known_days > other_days.max() + gap_margin)
    counts: dict[float, int] = {}
    for day, count in known_days[is_candidate & is_far].value_counts().head(MAX_SENTINELS).items():
        counts[float(str(day))] = int(count)
    return counts
