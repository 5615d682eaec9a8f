"""What a raw column is: a number, a date or a category. Labels are not used, so the whole table may be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from harness.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from harness.registry.task import ColumnType
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


BLANKS = ("", "?")  #: text that means that nothing is known
FEWEST_IDS = 20  #: in fewer rows, values that all differ say nothing about the column
FEWEST_WORDS = 4  #: values that have so many words are sentences rather than names
UNCLEAR = "the day or the month may come first, write them like 2024-01-31"
DECIMAL_COMMA = r"[+-]?\d+(?:,\d+)?"

Kind: TypeAlias = Literal["number", "date", "category"]
Reason: TypeAlias = Literal["constant", "id_like", "text", "unclear_date"]


@dataclass(frozen=True)
class Column:
    """A column understood: float64 (a date: days since 1970) or a category of strings, missing values NaN.

    `note` says how it was understood where that was not obvious.
    """

    values: pd.Series
    kind: Kind
    note: str = ""


def typed(column: pd.Series, override: ColumnType | None = None) -> Column:
    """A raw column as a number, a date or a category.

    Raises `DataError` for infinite values, and where a column declared a number holds something else.
    """
    import numpy as np

    found = None if override == "category" else _number(column)
    if found is None:
        text = texts(column)
        if override != "category" and not _listed(column):
            found = _number_in_text(text)
        if found is None and override == "number":
            raise DataError(f"column {column.name!r} is declared a number, but holds {_first_word(text)!r}")
        if found is None:
            unclear = order_of(text) == "unclear"
            return Column(_category(text), "category", "dates taken as names: " + UNCLEAR if unclear else "")
    if infinite := int(np.isinf(found.values).sum()):
        raise DataError(f"column {column.name!r} has {infinite} infinite values: replace them, or leave them empty")
    return found


def texts(column: pd.Series, blanks: tuple[str, ...] = BLANKS) -> pd.Series:
    """The values as stripped strings, whole numbers without a decimal point, blanks missing."""
    import pandas as pd

    if not isinstance(column.dtype, pd.StringDtype):
        missing = column.isna()
        if pd.api.types.is_float_dtype(column) and bool((column.dropna() % 1 == 0).all()):
            column = column.astype("Int64")
        column = column.astype(object).where(~missing, None).map(str, na_action="ignore")
    text = column.astype("str").str.strip()
    return text.mask(text.isin(blanks))


def useless(column: Column) -> Reason | None:
    """Why a typed column can teach nothing: one value only, an identifier, or sentences.

    Identifiers are strings that all differ and whole numbers that count the rows; whole numbers that merely all differ
    may be a quantity and stay, and so do dates.
    """
    values = column.values
    known = values.dropna()
    if len(known) == 0 or (len(known) == len(values) and bool((known == known.iloc[0]).all())):
        return "constant"
    if len(known) < FEWEST_IDS or column.kind == "date":
        return None
    if column.kind == "category":
        return _why_different(known.astype("str")) if len(values.cat.categories) == len(known) else None
    counts_rows = len(known) == len(values) and known.max() - known.min() == len(known) - 1 and known.is_unique
    return "id_like" if counts_rows and bool((known % 1 == 0).all()) else None


def _why_different(text: pd.Series) -> Reason:
    """What strings are that all differ."""
    if order_of(text) == "unclear":
        return "unclear_date"
    return "text" if text.str.count(r"\S+").median() >= FEWEST_WORDS else "id_like"


def _listed(column: pd.Series) -> bool:
    """Whether the data themselves say that the column is a category."""
    import pandas as pd

    return pd.api.types.is_bool_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype)


def _category(text: pd.Series) -> pd.Series:
    import pandas as pd

    levels = sorted(text.dropna().unique())
    return pd.Series(pd.Categorical(text, categories=pd.Index(levels, dtype="str")), index=text.index, name=text.name)


def _number(column: pd.Series) -> Column | None:
    """A column of a numeric or temporal type; None for any other."""
    import numpy as np
    import pandas as pd

    types = pd.api.types
    if types.is_complex_dtype(column):
        raise DataError(f"column {column.name!r} holds complex numbers: split them into two columns")
    if types.is_datetime64_any_dtype(column):
        return Column(days(column), "date", "dates as days since 1970")
    if types.is_timedelta64_dtype(column):
        return Column(days(column), "number", "durations as days")
    if _listed(column) or not types.is_numeric_dtype(column):
        return None
    values = pd.Series(column.to_numpy(np.float64, na_value=np.nan), index=column.index, name=column.name)
    return Column(values, "number")


def _number_in_text(text: pd.Series) -> Column | None:
    """Text in which every known value is a number or a date; else None."""
    import pandas as pd

    known = text.dropna()
    if known.empty:
        return None
    blank = f", {len(text) - len(known)} blank ones missing" if len(known) < len(text) else ""
    numbers = pd.to_numeric(text, errors="coerce")
    if numbers.notna().sum() == len(known):
        return Column(numbers.astype("float64"), "number", "numbers written as text" + blank)
    # Where every comma is followed by three digits it may separate thousands: nobody can tell, and it stays text.
    if known.str.fullmatch(DECIMAL_COMMA).all() and not known.str.fullmatch(r"[+-]?\d+(?:,\d{3})?").all():
        values = text.str.replace(",", ".").astype("float64")
        return Column(values, "number", "numbers with a decimal comma" + blank)
    dates = days_in_text(text)
    if dates is None:
        return None
    first = {"day first": " (day first)", "month first": " (month first)"}.get(str(order_of(text)), "")
    return Column(dates, "date", f"dates{first} as days since 1970")


def _first_word(text: pd.Series) -> str:
    import pandas as pd

    known = text.dropna()
    return str(known[pd.to_numeric(known, errors="coerce").isna()].iloc[0])
