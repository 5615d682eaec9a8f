"""Columns of dates: the order of day, month and year, and the century, learned from all values; days since 1970."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from harness.data.date_formats import NUMBERS, DateOrder, convert_to_iso_date, find_first_year, normalize_date_text
from harness.data.numbers import is_missing_value_word
from harness.data.time_zones import split_region, zone_names
from harness.readings import FIRST_YEAR

if TYPE_CHECKING:
    import pandas as pd

TIME_OF_DAY = r"(?:[T ]\d{1,2}:\d{2}.*)?"
YEAR_FIRST = rf"\d{{4}}([-/.])\d{{1,2}}\1\d{{1,2}}{TIME_OF_DAY}"
YEAR_LAST = rf"(\d{{1,2}})([-/.])(\d{{1,2}})\2(\d{{4}})({TIME_OF_DAY})"
NAMED_DIFFERENCE = r"(?:UTC|GMT)\s?[+-]"  #: which pandas reads with the other sign
#: Order of day and month → replacement that writes a match of `YEAR_LAST` as an ISO date.
ISO_DATE = {"day first": r"\4-\3-\1\5", "month first": r"\4-\1-\3\5"}

MAX_MONTH, MAX_DAY = 12, 31
MAX_OTHER_SHARE = 0.05  #: of the values that are neither dates nor words for a missing value
MAX_IMPOSSIBLE_SHARE = 0.2
MIN_ORDER_SHARE = 0.99  #: of the dates that say so, for the others to be taken for mistakes
MIN_YEAR_SHARE = 0.05  #: of the dates that begin with a number above 31, for that to be a year of two digits
SAMPLE, MIN_SAMPLE_SHARE = 200, 0.5
MIN_COMPACT_DATES, MIN_COMPACT_SHARE = (
    10,
    0.95,
)  #: of whole numbers such as 20210131, to be dates: different ones, and of all
FIRST_COMPACT, LAST_COMPACT = 19_000_101, 21_001_231


@dataclass(frozen=True)
class LearnedDates:
    """The order of the dates of a column, and which texts are none.

    Attributes
    ----------
    order : {"year first", "day first", "month first"}
        Order where day and month are numbers.
    ambiguous : bool
        Whether the order was assumed.
    first_year : int
        First of the hundred years in which a year of two digits lies.
    assumed_century : bool
        Whether that was assumed.
    days : dict of str to float
        Days since 1970 of each text that is a date.
    zones : tuple of str
        Named time zones, where times are written with such.
    impossible, strangers : dict of str to int
        Texts with the format of a date that are none, such as 2021-02-30, and all other texts, with their counts.
    """

    order: DateOrder
    ambiguous: bool
    first_year: int
    assumed_century: bool
    days: dict[str, float]
    zones: tuple[str, ...]
    impossible: dict[str, int]
    strangers: dict[str, int]


def find_common_date_order(text: pd.Series) -> DateOrder | None:
    """Find the order of day, month and year in a column of dates.

    Parameters
    ----------
    text : Series
        Strings, missing values NaN.

    Returns
    -------
    {"year first", "day first", "month first", "unclear"} or None
        The order of all values; None if they are not dates in one format.
    """
    known_texts = text.dropna()
    if known_texts.empty:
        return None
    if known_texts.str.fullmatch(YEAR_FIRST).all():
        return "year first"
    if not known_texts.str.fullmatch(YEAR_LAST).all():
        return None
    date_parts = known_texts.str.extract(YEAR_LAST)
    first_numbers, separator, second_numbers = date_parts[0].astype(int), date_parts[1], date_parts[2].astype(int)
    # A number above 12 is a day. Without one, dots mean that the day comes first, as months are not written so.
    day_first, month_first = first_numbers.max() > 12 or separator.iloc[0] == ".", second_numbers.max() > 12
    if separator.nunique() > 1 or (month_first and day_first):
        return None
    if month_first:
        return "month first"
    return "day first" if day_first else "unclear"


def looks_like_date(text: pd.Series) -> pd.Series:
    """Test for each string whether it has the format of a date."""
    return text.str.fullmatch(YEAR_FIRST).astype(bool) | text.str.fullmatch(YEAR_LAST).astype(bool)


def learn_date_format(counts: Mapping[str, int]) -> LearnedDates | None:
    """Learn how the dates of a column are written.

    Parameters
    ----------
    counts : mapping of str to int
        The different known texts of the column with their counts.

    Returns
    -------
    LearnedDates or None
        The order of day and month, and the dates; None where the column holds something else.
    """
    import pandas as pd

    if not _sample_has_dates(list(counts)):
        return None
    date_order, is_ambiguous = _learn_date_order(counts)
    if date_order is None:
        return None
    first_year, assumed_century = find_first_year(counts, date_order)
    texts = pd.Series(list(counts), dtype="str")
    days_by_text: dict[str, float] = {}
    impossible_dates: dict[str, int] = {}
    non_dates: dict[str, int] = {}
    non_date_count = 0
    for text, day in zip(texts.tolist(), parse_dates(texts, date_order, first_year).tolist(), strict=True):
        if not pd.isna(day):
            days_by_text[text] = day
        elif convert_to_iso_date(text, date_order) is not None:
            impossible_dates[text] = counts[text]
        else:
            non_dates[text] = counts[text]
            non_date_count += 0 if is_missing_value_word(text) else counts[text]
    total_count = sum(counts.values())
    if (
        not days_by_text
        or non_date_count > MAX_OTHER_SHARE * total_count
        or sum(impossible_dates.values()) > MAX_IMPOSSIBLE_SHARE * total_count
    ):
        return None
    return LearnedDates(
        date_order,
        is_ambiguous,
        first_year,
        assumed_century,
        days_by_text,
        zone_names(days_by_text),
        impossible_dates,
        non_dates,
    )


def _sample_has_dates(texts: list[str]) -> bool:
    sample = [text for text in texts[:: max(1, len(texts) // SAMPLE)] if not is_missing_value_word(text)]
    texts_with_date = sum(convert_to_iso_date(text, "day first") is not None for text in sample)
    return texts_with_date > 0 and texts_with_date >= MIN_SAMPLE_SHARE * len(sample)


@dataclass
class _OrderEvidence:
    """What numbers in dates say of the order of day, month and year: counts of dates, and the different numbers."""

    firsts: set[int] = field(default_factory=set)
    seconds: set[int] = field(default_factory=set)
    separators: set[str] = field(default_factory=set)
    year_first: int = 0
    day_first: int = 0
    month_first: int = 0

    def add(self, match: re.Match[str], count: int) -> None:
        """Add a date that occurs so often."""
        first_number, second_number = int(match["first"]), int(match["second"])
        self.firsts.add(first_number)
        self.seconds.add(second_number)
        self.separators.add(match["separator"])
        if first_number > MAX_DAY and len(match["year"]) == 2:
            self.year_first += count
        elif MAX_MONTH < first_number <= MAX_DAY and second_number <= MAX_MONTH:
            self.day_first += count
        elif MAX_MONTH < second_number <= MAX_DAY and first_number <= MAX_MONTH:
            self.month_first += count

    def order(self, total: int) -> tuple[DateOrder | None, bool]:
        """The order, None where dates contradict each other, and whether it is assumed only."""
        if self.year_first:
            is_common = self.year_first >= MIN_YEAR_SHARE * total and not self.month_first
            return ("year first" if is_common else None), False
        if not self.day_first and not self.month_first:
            return self._assumed_order()
        date_order: DateOrder = "month first" if self.month_first > self.day_first else "day first"
        is_clear = max(self.day_first, self.month_first) >= MIN_ORDER_SHARE * (self.day_first + self.month_first)
        return (date_order if is_clear else None), False

    def _assumed_order(self) -> tuple[DateOrder, bool]:
        """The order where no number is above 12: of dates with points, or always on the first day of a month, it is clear."""
        if self.separators == {"."} or (self.firsts == {1} and len(self.seconds) > 2):
            return "day first", False
        if self.seconds == {1} and len(self.firsts) > 2:
            return "month first", False
        return "day first", True


def _learn_date_order(counts: Mapping[str, int]) -> tuple[DateOrder | None, bool]:
    """Find whether the day or the month comes first where both are numbers, and whether that is assumed only."""
    evidence = _OrderEvidence()
    for text, count in counts.items():
        match = NUMBERS.fullmatch(split_region(normalize_date_text(text))[0])
        if match is not None:
            evidence.add(match, count)
    if not evidence.firsts:
        return "year first", False
    return evidence.order(sum(counts.values()))


def parse_dates(text: pd.Series, order: DateOrder, first_year: int = FIRST_YEAR) -> pd.Series:
    """Convert dates in strings to days since 1970.

    Parameters
    ----------
    text : Series
        Stripped strings, missing values NaN.
    order : {"year first", "day first", "month first"}
        Order of day, month and year where all three are numbers.
    first_year : int, default 1969
        First of the hundred years in which a year of two digits lies.

    Returns
    -------
    Series
        Days; NaN for missing values and for strings that are no dates of this order.
    """
    import pandas as pd

    text_codes, names = pd.factorize(text)  # a date that is repeated is read once
    day_numbers = _parse_distinct_dates(pd.Series(names, dtype="str"), order, first_year).to_numpy(np.float64)
    return pd.Series(np.append(day_numbers, np.nan)[text_codes], index=text.index, name=text.name)


def _parse_distinct_dates(text: pd.Series, date_order: DateOrder, first_year: int) -> pd.Series:
    import pandas as pd

    pattern = YEAR_FIRST if date_order == "year first" else YEAR_LAST
    is_usual = text.str.fullmatch(pattern).astype(bool) & ~text.str.contains(NAMED_DIFFERENCE).astype(bool)
    usual_texts = text.where(is_usual)
    if date_order == "year first":
        iso_dates = usual_texts.str.replace(r"^(\d{4})[/.](\d+)[/.]", r"\1-\2-", regex=True)
    else:
        iso_dates = usual_texts.str.replace(rf"^{YEAR_LAST}$", ISO_DATE[date_order], regex=True)
    # "mixed" only allows several formats of the time of day: the date itself is year, month, day by now.
    day_numbers = to_days(pd.to_datetime(iso_dates, errors="coerce", format="mixed", utc=True))
    other_texts = text[text.notna() & day_numbers.isna()]
    if other_texts.empty:
        return day_numbers
    iso_dates_by_text = {
        other_text: convert_to_iso_date(other_text, date_order, first_year) for other_text in other_texts.unique()
    }
    other_iso_dates = other_texts.map(iso_dates_by_text).astype("str")
    other_iso_dates = other_iso_dates.where(other_texts.map(iso_dates_by_text).notna())
    return day_numbers.fillna(to_days(pd.to_datetime(other_iso_dates, errors="coerce", format="mixed", utc=True)))


def parse_declared_dates(text: pd.Series, date_format: str) -> pd.Series:
    """Convert dates of a declared format to days since 1970; NaN for strings of another one."""
    import pandas as pd

    return to_days(pd.to_datetime(text, errors="coerce", format=date_format, utc=True))


def parse_consistent_dates(text: pd.Series) -> pd.Series | None:
    """Convert dates in strings to days since 1970, in the order that all of them have; None if they have none."""
    date_order = find_common_date_order(text)
    if date_order in (None, "unclear"):
        return None
    day_numbers = parse_dates(text, date_order)
    return day_numbers if day_numbers.notna().sum() == text.notna().sum() else None


def to_days(column: pd.Series) -> pd.Series:
    """Convert a column of dates to days since 1970 (UTC), or of durations to days; missing values are NaN."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        column = pd.to_datetime(column, utc=True) - pd.Timestamp(0, tz="UTC").as_unit("us")  # 9999-12-31 is beyond ns
    day_numbers: pd.Series = column.dt.total_seconds() / 86_400
    return day_numbers


def are_compact_dates(numbers: pd.Series) -> bool:
    """Tell whether whole numbers are dates without separators, such as 20210131 or 20210131235959.

    Parameters
    ----------
    numbers : Series
        Numbers, missing values NaN.

    Returns
    -------
    bool
        Whether nearly all are days of a calendar between 1900 and 2100, and ten or more of them differ.
    """
    known_numbers = numbers.dropna()
    if known_numbers.empty or known_numbers.max() < FIRST_COMPACT:
        return False
    day_numbers = known_numbers.where(known_numbers <= LAST_COMPACT * 10, known_numbers // 10**6)
    clock_numbers = known_numbers.where(known_numbers > LAST_COMPACT * 10, 0) % 10**6
    month, day = day_numbers // 100 % 100, day_numbers % 100
    is_date = day_numbers.between(FIRST_COMPACT, LAST_COMPACT) & month.between(1, MAX_MONTH) & day.between(1, MAX_DAY)
    is_date &= (
        (clock_numbers // 10**4 < 24)
        & (clock_numbers // 100 % 100 < 60)
        & (clock_numbers % 100 < 60)
        & (known_numbers % 1 == 0)
    )
    return bool(is_date.mean() >= MIN_COMPACT_SHARE) and known_numbers[is_date].nunique() >= MIN_COMPACT_DATES
