"""Columns of a file of text whose numbers must be read as they are written, because a conversion loses digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.readings import BLANKS, MISSING_WORDS

if TYPE_CHECKING:
    import pandas as pd

MISSING_OR_BLANK_WORDS = frozenset({*BLANKS, *MISSING_WORDS})
LEADING_ZEROS = r"\s*0\d{2,}\s*"  #: of a code; two digits may be an hour or a month
#: Numbers with a point before every three last digits, which may separate thousands, and those without one.
GROUPED, UNGROUPED = r"\s*[+-]?[1-9]\d{0,2}\.\d{3}\s*", r"\s*[+-]?\d{1,3}\s*"
SAMPLE_SIZE = 100  #: values that are looked at first
MIN_GROUPED = 20  #: different ones; fractions have fewer digits sometimes
MAX_EXACT = 2**53  #: whole numbers from here on are rounded as floats


def columns_that_lose_digits(frame: pd.DataFrame, beginning: pd.DataFrame) -> list[str]:
    """List the columns whose conversion to numbers lost digits: zeros at the beginning of codes, or those a float cannot hold.

    Columns whose points may separate thousands are listed too.

    Parameters
    ----------
    frame : DataFrame
        The rows, numbers converted.
    beginning : DataFrame
        The first rows as they are written.

    Returns
    -------
    list of str
        Names of columns.
    """
    names: list[str] = []
    for name in frame.columns.tolist():
        if _conversion_loses_digits(frame[name], beginning[name]):
            names.append(name)
    return names


def _conversion_loses_digits(column: pd.Series, written_beginning: pd.Series) -> bool:
    import pandas as pd

    if pd.api.types.is_integer_dtype(column):
        return bool(written_beginning.str.fullmatch(LEADING_ZEROS).any())
    known_values = column.dropna()
    if not pd.api.types.is_float_dtype(column) or known_values.empty:
        return False
    if not (known_values % 1 == 0).all():
        return may_separate_thousands(written_beginning)
    return bool(known_values.abs().max() >= MAX_EXACT) or bool(written_beginning.str.fullmatch(LEADING_ZEROS).any())


def may_separate_thousands(texts: pd.Series) -> bool:
    """Tell whether the points of numbers may separate thousands: three digits follow each of them, and none is below 1."""
    sample_texts = texts.iloc[:SAMPLE_SIZE]
    if not (
        sample_texts.str.fullmatch(GROUPED)
        | sample_texts.str.fullmatch(UNGROUPED)
        | sample_texts.str.strip().isin(MISSING_OR_BLANK_WORDS)
    ).all():
        return False
    grouped_texts = texts[texts.str.fullmatch(GROUPED)]
    if grouped_texts.nunique() < MIN_GROUPED:
        return False
    other_texts = texts[~texts.str.fullmatch(GROUPED)]
    return bool((other_texts.str.fullmatch(UNGROUPED) | other_texts.str.strip().isin(MISSING_OR_BLANK_WORDS)).all())
