"""Times of day and durations in text, such as 12:30, 08:15:30 PM, 3 days 02:00:00 and PT1H30M: numbers of days."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from harness.data.numbers import is_missing_value_word

if TYPE_CHECKING:
    import pandas as pd

CLOCK = re.compile(
    r"(?:(?P<days>[+-]?\d+) days?,? )?(?P<sign>[+-])?(?P<hours>\d{1,4}):(?P<minutes>[0-5]\d)"
    r"(?::(?P<seconds>[0-5]\d(?:\.\d+)?))?(?:\s?(?P<half>[ap])\.?m\.?)?",
    re.IGNORECASE,
)
ISO = re.compile(
    r"(?P<sign>[+-])?P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)
MIN_DISTINCT = 5  #: different times, for a column of numbers rather than of names
MAX_OTHER_SHARE = 0.05  #: of the values that are neither times nor words for a missing value


@lru_cache(maxsize=65_536)
def parse_duration(text: str) -> float | None:
    """Read a time of day or a duration.

    Parameters
    ----------
    text : str
        The text.

    Returns
    -------
    float or None
        Days, of a time of day since midnight; None for any other text.
    """
    match = CLOCK.fullmatch(text)
    if match is not None:
        return _clock_time_to_days(match)
    match = ISO.fullmatch(text)
    if match is None or text[-1] in "PT":
        return None
    duration_days = int(match["days"] or 0) + _time_as_day_fraction(match, int(match["hours"] or 0))
    return -duration_days if match["sign"] == "-" else duration_days


def _clock_time_to_days(match: re.Match[str]) -> float | None:
    """Days of a time with colons; None where the hour is none of a half of the day."""
    hours = int(match["hours"])
    half_of_day = (match["half"] or "").lower()
    if half_of_day and not 1 <= hours <= 12:
        return None
    if half_of_day:
        hours = hours % 12 + (12 if half_of_day == "p" else 0)
    day_fraction = _time_as_day_fraction(match, hours)
    return int(match["days"] or 0) + (-day_fraction if match["sign"] == "-" else day_fraction)


def _time_as_day_fraction(match: re.Match[str], hours: int) -> float:
    return (3600 * hours + 60 * int(match["minutes"] or 0) + float(match["seconds"] or 0)) / 86_400


def are_durations(counts: Mapping[str, int]) -> dict[str, int] | None:
    """Tell whether a column holds times of day or durations.

    Parameters
    ----------
    counts : mapping of str to int
        The different known texts of the column with their counts.

    Returns
    -------
    dict of str to int or None
        The texts that are none, with their counts; None where the column holds something else.
    """
    non_duration_counts: dict[str, int] = {}
    non_duration_count = 0
    total_count = sum(counts.values())
    for text, count in counts.items():
        if parse_duration(text) is None:
            non_duration_counts[text] = count
            non_duration_count += 0 if is_missing_value_word(text) else count
            if non_duration_count > MAX_OTHER_SHARE * total_count:
                return None
    return non_duration_counts if len(counts) - len(non_duration_counts) >= MIN_DISTINCT else None


def parse_durations(text: pd.Series) -> pd.Series:
    """Convert times of day and durations in strings to days; NaN for missing values and for other strings."""
    days_by_text = {name: parse_duration(name) for name in text.dropna().unique()}
    return text.map(days_by_text, na_action="ignore").astype("float64")
