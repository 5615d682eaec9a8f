"""Dates written as text: ISO 8601, and the day or the month first where the values themselves say which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import pandas as pd

TIME = r"(?:[T ]\d{1,2}:\d{2}.*)?"
YEAR_FIRST = rf"\d{{4}}([-/.])\d{{1,2}}\1\d{{1,2}}{TIME}"
YEAR_LAST = rf"(\d{{1,2}})([-/.])(\d{{1,2}})\2(\d{{4}})({TIME})"

Order: TypeAlias = Literal["year first", "day first", "month first", "unclear"]


def order_of(text: pd.Series) -> Order | None:
    """How the known values of a column write dates, all in the same way; None where they are no dates."""
    known = text.dropna()
    if known.empty:
        return None
    if known.str.fullmatch(YEAR_FIRST).all():
        return "year first"
    if not known.str.fullmatch(YEAR_LAST).all():
        return None
    parts = known.str.extract(YEAR_LAST)
    return _day_or_month_first(parts[0], parts[2], parts[1])


def _day_or_month_first(first: pd.Series, second: pd.Series, separator: pd.Series) -> Order | None:
    """Told apart by a number above 12.

    Where there is none, dots mean that the day comes first, as months are not written so; else it stays unclear.
    """
    dots = separator.iloc[0] == "."
    day, month = first.astype(int).max() > 12, second.astype(int).max() > 12
    if separator.nunique() > 1 or (month and (day or dots)):
        return None
    if month:
        return "month first"
    return "day first" if day or dots else "unclear"


def written_as_date(text: pd.Series) -> pd.Series:
    """Which values look like a date, each for itself."""
    return text.str.fullmatch(YEAR_FIRST).astype(bool) | text.str.fullmatch(YEAR_LAST).astype(bool)


def days_in_text(text: pd.Series, order: Order | None = None) -> pd.Series | None:
    """Text as days since 1970, missing values as NaN, where every known value is a date and its order is clear.

    `order` is that of dates whose order is known already: one value alone seldom tells it.
    """
    import pandas as pd

    if order is None:
        order = order_of(text)
    elif not text.dropna().str.fullmatch(YEAR_FIRST if order == "year first" else YEAR_LAST).all():
        return None
    if order in (None, "unclear"):
        return None
    if order == "year first":
        moments = text.str.replace(r"^(\d{4})[/.](\d+)[/.]", r"\1-\2-", regex=True)
    else:
        iso = r"\4-\3-\1\5" if order == "day first" else r"\4-\1-\3\5"
        moments = text.str.replace(rf"^{YEAR_LAST}$", iso, regex=True)
    # "mixed" only lets times of day be written in several ways: the date itself is year, month, day by now.
    parsed = pd.to_datetime(moments, errors="coerce", format="mixed", utc=True)
    return days(parsed) if parsed.notna().sum() == text.notna().sum() else None


def days(column: pd.Series) -> pd.Series:
    """Dates as days since 1970 (UTC), durations as days; missing: NaN."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        column = pd.to_datetime(column, utc=True) - pd.Timestamp(0, tz="UTC").as_unit("us")  # 9999-12-31 is beyond ns
    counted: pd.Series = column.dt.total_seconds() / 86_400
    return counted
