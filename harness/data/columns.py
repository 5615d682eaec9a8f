"""Types of raw columns: number, date or category. Labels are not used, so the inference may read the whole table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from harness.errors import DataError
from harness.findings import Finding

if TYPE_CHECKING:
    import pandas as pd

    from harness.registry.task import ColumnType

TIME_OF_DAY = r"(?:[T ]\d{1,2}:\d{2}.*)?"
YEAR_FIRST = rf"\d{{4}}([-/.])\d{{1,2}}\1\d{{1,2}}{TIME_OF_DAY}"
YEAR_LAST = rf"(\d{{1,2}})([-/.])(\d{{1,2}})\2(\d{{4}})({TIME_OF_DAY})"
#: Order of day and month → replacement that writes a match of `YEAR_LAST` as an ISO date.
ISO_DATE = {"day first": r"\4-\3-\1\5", "month first": r"\4-\1-\3\5"}
DECIMAL_COMMA = r"[+-]?\d+(?:,\d+)?"
THOUSANDS_COMMA = r"[+-]?\d+(?:,\d{3})?"

BLANKS = ("", "?")  #: texts that mean a missing value
MIN_IDENTIFIER_ROWS = 20  #: in fewer rows, distinct values are no evidence of an identifier
MIN_TEXT_WORDS = 4  #: median number of words from which distinct values are sentences rather than names
AMBIGUOUS_DATES = "the day or the month may come first, write them like 2024-01-31"

DateOrder: TypeAlias = Literal["year first", "day first", "month first", "unclear"]
ColumnKind: TypeAlias = Literal["number", "date", "category"]
OmissionCode: TypeAlias = Literal["omitted_constant", "omitted_identifier", "text_column", "unclear_date"]


@dataclass(frozen=True)
class Column:
    """A column with its type.

    Attributes
    ----------
    values : Series
        float64 (a date: days since 1970) or a category of strings, missing values NaN.
    kind : {"number", "date", "category"}
        Type of the column.
    written : str, default ""
        How the text of its values is understood: "decimal comma", "day first" or "month first", where it is.
    finding : Finding or None, default None
        How the values were read, where that was not obvious.
    """

    values: pd.Series
    kind: ColumnKind
    written: str = ""
    finding: Finding | None = None


def infer_column(column: pd.Series, override: ColumnType | None = None) -> Column:
    """Infer the type of a raw column and convert it.

    Parameters
    ----------
    column : Series
        The raw column.
    override : {"number", "category"} or None, default None
        Declared type.

    Returns
    -------
    Column
        The converted column.

    Raises
    ------
    DataError
        If numbers are infinite, or if a column declared a number holds anything else.
    """
    number = None
    if override != "category":
        number = _number_from_dtype(column)
    if number is None:
        text = to_text(column)
        if override != "category" and not _is_categorical(column):
            number = _number_from_text(text)
        if number is None and override == "number":
            raise DataError(f"column {column.name!r} is declared a number, but holds {_first_word(text)!r}")
        if number is None:
            return _category_from_text(text)
    if infinite := int(np.isinf(number.values).sum()):
        raise DataError(f"column {column.name!r} has {infinite} infinite values: replace them, or leave them empty")
    return number


def to_text(column: pd.Series, blanks: tuple[str, ...] = BLANKS) -> pd.Series:
    """Convert a column to stripped strings.

    Parameters
    ----------
    column : Series
        The raw column; whole numbers are written without a decimal point.
    blanks : tuple of str, default BLANKS
        Texts that become missing values.

    Returns
    -------
    Series
        Strings, missing where the column is missing or blank.
    """
    import pandas as pd

    if not isinstance(column.dtype, pd.StringDtype):
        is_missing = column.isna()
        if pd.api.types.is_float_dtype(column) and bool((column.dropna() % 1 == 0).all()):
            column = column.astype("Int64")
        column = column.astype(object).where(~is_missing, None).map(str, na_action="ignore")
    text = column.astype("str").str.strip()
    return text.mask(text.isin(blanks))


def omission_code(column: Column) -> OmissionCode | None:
    """Decide whether a column is useless to any model.

    Identifiers are strings that all differ, and whole numbers that count the rows. Whole numbers that merely all differ may
    be a quantity and are kept, and so are dates.

    Parameters
    ----------
    column : Column
        A column with its type.

    Returns
    -------
    {"omitted_constant", "omitted_identifier", "text_column", "unclear_date"} or None
        Code of the reason why the column is to be left out; None if it is not.
    """
    known = column.values.dropna()
    is_complete = len(known) == len(column.values)
    if known.empty or (is_complete and bool((known == known.iloc[0]).all())):
        return "omitted_constant"
    if len(known) < MIN_IDENTIFIER_ROWS or column.kind == "date":
        return None
    if column.kind == "number":
        return "omitted_identifier" if is_complete and _counts_rows(known) else None
    if len(column.values.cat.categories) < len(known):
        return None
    return _distinct_text_code(known.astype("str"))


def _counts_rows(numbers: pd.Series) -> bool:
    """Whether numbers are consecutive whole numbers in any order."""
    is_range = numbers.max() - numbers.min() == len(numbers) - 1 and numbers.is_unique
    return is_range and bool((numbers % 1 == 0).all())


def _distinct_text_code(text: pd.Series) -> OmissionCode:
    """Code of the reason to leave out strings that all differ."""
    if date_order(text) == "unclear":
        return "unclear_date"
    return "text_column" if text.str.count(r"\S+").median() >= MIN_TEXT_WORDS else "omitted_identifier"


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


def parse_days(text: pd.Series, order: DateOrder | None = None) -> pd.Series | None:
    """Convert dates in strings to days since 1970.

    Parameters
    ----------
    text : Series
        Strings, missing values NaN.
    order : {"year first", "day first", "month first"} or None, default None
        Order of day, month and year; None infers it from all values, which a single value rarely allows.

    Returns
    -------
    Series or None
        Days, missing values NaN; None unless every known value is a date of this order.
    """
    import pandas as pd

    if order is None:
        order = date_order(text)
    elif not text.dropna().str.fullmatch(YEAR_FIRST if order == "year first" else YEAR_LAST).all():
        return None
    if order in (None, "unclear"):
        return None
    if order == "year first":
        iso_dates = text.str.replace(r"^(\d{4})[/.](\d+)[/.]", r"\1-\2-", regex=True)
    else:
        iso_dates = text.str.replace(rf"^{YEAR_LAST}$", ISO_DATE[order], regex=True)
    # "mixed" only allows several formats of the time of day: the date itself is year, month, day by now.
    parsed = pd.to_datetime(iso_dates, errors="coerce", format="mixed", utc=True)
    return to_days(parsed) if parsed.notna().sum() == text.notna().sum() else None


def to_days(column: pd.Series) -> pd.Series:
    """Convert a column of dates to days since 1970 (UTC), or of durations to days; missing values are NaN."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        column = pd.to_datetime(column, utc=True) - pd.Timestamp(0, tz="UTC").as_unit("us")  # 9999-12-31 is beyond ns
    days: pd.Series = column.dt.total_seconds() / 86_400
    return days


def _is_categorical(column: pd.Series) -> bool:
    """Whether the dtype says that the column is a category."""
    import pandas as pd

    return pd.api.types.is_bool_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype)


def _category_from_text(text: pd.Series) -> Column:
    import pandas as pd

    levels = pd.Index(sorted(text.dropna().unique()), dtype="str")
    category = pd.Series(pd.Categorical(text, categories=levels), index=text.index, name=text.name)
    if date_order(text) == "unclear":
        message = f"dates taken as names: {AMBIGUOUS_DATES}"
        return Column(category, "category", finding=Finding("ambiguous_date", "note", message, str(text.name)))
    return Column(category, "category")


def _number_from_dtype(column: pd.Series) -> Column | None:
    """A column of a numeric or temporal dtype; None for any other."""
    import pandas as pd

    types = pd.api.types
    if types.is_complex_dtype(column):
        raise DataError(f"column {column.name!r} holds complex numbers: split them into two columns")
    if types.is_datetime64_any_dtype(column):
        finding = Finding("read_as_date", "note", "dates as days since 1970", str(column.name))
        return Column(to_days(column), "date", finding=finding)
    if types.is_timedelta64_dtype(column):
        finding = Finding("read_as_duration", "note", "durations as days", str(column.name))
        return Column(to_days(column), "number", finding=finding)
    if _is_categorical(column) or not types.is_numeric_dtype(column):
        return None
    numbers = pd.Series(column.to_numpy(np.float64, na_value=np.nan), index=column.index, name=column.name)
    return Column(numbers, "number")


def _number_from_text(text: pd.Series) -> Column | None:
    """A column of strings in which every known value is a number or a date; None for any other."""
    import pandas as pd

    known = text.dropna()
    if known.empty:
        return None
    numbers = pd.to_numeric(text, errors="coerce")
    if numbers.notna().sum() == len(known):
        finding = _text_finding("number_as_text", "numbers written as text", text)
        return Column(numbers.astype("float64"), "number", finding=finding)
    # Where every comma is followed by three digits it may separate thousands: that is ambiguous, and the column is text.
    if known.str.fullmatch(DECIMAL_COMMA).all() and not known.str.fullmatch(THOUSANDS_COMMA).all():
        numbers = text.str.replace(",", ".").astype("float64")
        finding = _text_finding("decimal_comma", "numbers with a decimal comma", text)
        return Column(numbers, "number", "decimal comma", finding)
    days, order = parse_days(text), date_order(text)
    if days is None:
        return None
    if order is None or order == "year first":
        return Column(days, "date", finding=Finding("read_as_date", "note", "dates as days since 1970", str(text.name)))
    finding = Finding("read_as_date", "note", f"dates ({order}) as days since 1970", str(text.name))
    return Column(days, "date", order, finding)


def _text_finding(code: str, message: str, text: pd.Series) -> Finding:
    """Describe how text was read, and how many of its values are missing."""
    n_missing = int(text.isna().sum())
    if not n_missing:
        return Finding(code, "note", message, str(text.name))
    return Finding(code, "note", f"{message}, {n_missing} blank ones missing", str(text.name), n_missing)


def _first_word(text: pd.Series) -> str:
    """First known value that is not a number."""
    import pandas as pd

    known = text.dropna()
    return str(known[pd.to_numeric(known, errors="coerce").isna()].iloc[0])
