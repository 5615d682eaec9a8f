"""Types of raw columns: number, date or category. Labels are not used, so the inference may read the whole table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from harness.data.dates import date_order, parse_days
from harness.data.reader import ColumnKind, numbers_of_dtype, parse_numbers, to_text
from harness.errors import DataError
from harness.findings import Finding

if TYPE_CHECKING:
    import pandas as pd

    from harness.registry.task import ColumnType

DECIMAL_COMMA = r"[+-]?[0-9]+(?:,[0-9]+)?"
THOUSANDS_COMMA = r"[+-]?[0-9]+(?:,[0-9]{3})?"

MIN_IDENTIFIER_ROWS = 20  #: in fewer rows, distinct values are no evidence of an identifier
MIN_TEXT_WORDS = 4  #: median number of words from which distinct values are sentences rather than names
AMBIGUOUS_DATES = "the day or the month may come first, write them like 2024-01-31"

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
    # Halves, because the difference of two numbers of 1e308 has no float.
    is_range = numbers.max() / 2 - numbers.min() / 2 == (len(numbers) - 1) / 2 and numbers.is_unique
    return is_range and bool((numbers % 1 == 0).all())


def _distinct_text_code(text: pd.Series) -> OmissionCode:
    """Code of the reason to leave out strings that all differ."""
    if date_order(text) == "unclear":
        return "unclear_date"
    return "text_column" if text.str.count(r"\S+").median() >= MIN_TEXT_WORDS else "omitted_identifier"


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
    numbers = numbers_of_dtype(column)
    if numbers is None:
        return None
    if types.is_datetime64_any_dtype(column):
        return Column(
            numbers, "date", finding=Finding("read_as_date", "note", "dates as days since 1970", str(column.name))
        )
    if types.is_timedelta64_dtype(column):
        return Column(
            numbers, "number", finding=Finding("read_as_duration", "note", "durations as days", str(column.name))
        )
    return Column(numbers, "number")


def _number_from_text(text: pd.Series) -> Column | None:
    """A column of strings in which every known value is a number or a date; None for any other."""
    known = text.dropna()
    if known.empty:
        return None
    numbers = parse_numbers(text)
    if numbers.notna().sum() == len(known):
        finding = _text_finding("number_as_text", "numbers written as text", text)
        return Column(numbers, "number", finding=finding)
    # Where every comma is followed by three digits it may separate thousands: that is ambiguous, and the column is text.
    if known.str.fullmatch(DECIMAL_COMMA).all() and not known.str.fullmatch(THOUSANDS_COMMA).all():
        numbers = parse_numbers(text, "decimal comma")
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
