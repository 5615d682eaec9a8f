"""Dates written as text: the order of day, month and year, and days since 1970."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import pandas as pd

DateOrder: TypeAlias = Literal["year first", "day first", "month first", "unclear"]

TIME_OF_DAY = r"(?:[T ]\d{1,2}:\d{2}.*)?"
YEAR_FIRST = rf"\d{{4}}([-/.])\d{{1,2}}\1\d{{1,2}}{TIME_OF_DAY}"
YEAR_LAST = rf"(\d{{1,2}})([-/.])(\d{{1,2}})\2(\d{{4}})({TIME_OF_DAY})"
#: Order of day and month → replacement that writes a match of `YEAR_LAST` as an ISO date.
ISO_DATE = {"day first": r"\4-\3-\1\5", "month first": r"\4-\1-\3\5"}


def date_order(text: pd.Series) -> DateOrder | None:
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
    known = text.dropna()
    if known.empty:
        return None
    if known.str.fullmatch(YEAR_FIRST).all():
        return "year first"
    if not known.str.fullmatch(YEAR_LAST).all():
        return None
    parts = known.str.extract(YEAR_LAST)
    first, separator, second = parts[0].astype(int), parts[1], parts[2].astype(int)
    # A number above 12 is a day. Without one, dots mean that the day comes first, as months are not written so.
    day_first, month_first = first.max() > 12 or separator.iloc[0] == ".", second.max() > 12
    if separator.nunique() > 1 or (month_first and day_first):
        return None
    if month_first:
        return "month first"
    return "day first" if day_first else "unclear"


def looks_like_date(text: pd.Series) -> pd.Series:
    """Test for each string whether it has the format of a date."""
    return text.str.fullmatch(YEAR_FIRST).astype(bool) | text.str.fullmatch(YEAR_LAST).astype(bool)


def parse_dates(text: pd.Series, order: DateOrder) -> pd.Series:
    """Convert dates in strings to days since 1970.

    Parameters
    ----------
    text : Series
        Stripped strings, missing values NaN.
    order : {"year first", "day first", "month first"}
        Order of day, month and year.

    Returns
    -------
    Series
        Days; NaN for missing values and for strings that are no dates of this order.
    """
    import pandas as pd

    pattern = YEAR_FIRST if order == "year first" else YEAR_LAST
    has_format = text.str.fullmatch(pattern).astype(bool)
    text = text.where(has_format)
    if order == "year first":
        iso_dates = text.str.replace(r"^(\d{4})[/.](\d+)[/.]", r"\1-\2-", regex=True)
    else:
        iso_dates = text.str.replace(rf"^{YEAR_LAST}$", ISO_DATE[order], regex=True)
    # "mixed" only allows several formats of the time of day: the date itself is year, month, day by now.
    return to_days(pd.to_datetime(iso_dates, errors="coerce", format="mixed", utc=True))


def parse_days(text: pd.Series) -> pd.Series | None:
    """Convert dates in strings to days since 1970, in the order that all of them have; None if they have none."""
    order = date_order(text)
    if order in (None, "unclear"):
        return None
    days = parse_dates(text, order)
    return days if days.notna().sum() == text.notna().sum() else None


def to_days(column: pd.Series) -> pd.Series:
    """Convert a column of dates to days since 1970 (UTC), or of durations to days; missing values are NaN."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        column = pd.to_datetime(column, utc=True) - pd.Timestamp(0, tz="UTC").as_unit("us")  # 9999-12-31 is beyond ns
    days: pd.Series = column.dt.total_seconds() / 86_400
    return days
