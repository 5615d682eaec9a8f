"""Columns that are useless to any model: constants, identifiers, texts, and dates whose order of day and month is unclear."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias

from harness.data.dates import find_common_date_order

if TYPE_CHECKING:
    import pandas as pd

    from harness.data.columns import Column

MIN_IDENTIFIER_ROWS = 20  #: in fewer rows, distinct values are no evidence of an identifier
MIN_IDENTIFIER_SHARE = 0.95  #: of distinct values, where the name of the column says that it is an identifier
MIN_TEXT_WORDS = 4  #: median number of words from which distinct values are sentences rather than names
CAMEL_CASE_ID = re.compile(r".*[a-z0-9](?:ID|Id)")
AMBIGUOUS_DATES = "the day or the month may come first, write them like 2024-01-31"

OmissionCode: TypeAlias = Literal["omitted_constant", "omitted_identifier", "text_column", "unclear_date"]


def omission_code(column: Column) -> OmissionCode | None:
    """Decide whether a column is useless to any model.

    Identifiers are strings that all differ, whole numbers that count the rows, and columns that are named so and nearly all
    of whose values differ. Whole numbers that merely all differ may be a quantity and are kept, and so are dates.

    Parameters
    ----------
    column : Column
        A column with its type.

    Returns
    -------
    {"omitted_constant", "omitted_identifier", "text_column", "unclear_date"} or None
        Code of the reason why the column is to be left out; None if it is not.
    """
    known_values = column.values.dropna()
    is_complete = len(known_values) == len(column.values)
    if known_values.nunique() <= int(is_complete):
        return "omitted_constant"
    if len(known_values) < MIN_IDENTIFIER_ROWS or column.kind == "date":
        return None
    if _is_named_identifier(str(column.values.name), known_values):
        return "omitted_identifier"
    if column.kind == "number":
        return "omitted_identifier" if is_complete and _are_consecutive_numbers(known_values) else None
    return _omission_code_of_texts(known_values.astype("str")) if known_values.is_unique else None


def is_identifier_name(name: str) -> bool:
    """Tell whether the name of a column is that of an identifier, such as ``customer_id``."""
    words = re.split(r"[^a-zA-Z0-9]+", name)
    has_identifier_word = any(word.lower() in ("id", "ids", "uuid", "guid") for word in (words[0], words[-1]))
    return has_identifier_word or CAMEL_CASE_ID.fullmatch(name) is not None


def _is_named_identifier(name: str, known_values: pd.Series) -> bool:
    """Whether a column is named like an identifier and nearly all of its values, whole numbers or names, differ."""
    if not is_identifier_name(name) or known_values.nunique() < MIN_IDENTIFIER_SHARE * len(known_values):
        return False
    return known_values.dtype == "category" or bool((known_values % 1 == 0).all())


def _are_consecutive_numbers(column_numbers: pd.Series) -> bool:
    """Whether numbers are consecutive whole numbers in any order."""
    # Halves, because the difference of two numbers of 1e308 has no float.
    is_range = (
        column_numbers.max() / 2 - column_numbers.min() / 2 == (len(column_numbers) - 1) / 2
        and column_numbers.is_unique
    )
    return is_range and bool((column_numbers % 1 == 0).all())


def _omission_code_of_texts(text: pd.Series) -> OmissionCode:
    """Code of the reason to leave out strings that all differ."""
    if find_common_date_order(text) == "unclear":
        return "unclear_date"
    return "text_column" if text.str.count(r"\S+").median() >= MIN_TEXT_WORDS else "omitted_identifier"
