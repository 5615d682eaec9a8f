"""Columns of a file of text whose numbers must be read as they are written, because a conversion loses digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

LEADING_ZEROS = r"\s*0\d{2,}\s*"  #: of a code; two digits may be an hour or a month
MAX_EXACT = 2**53  #: whole numbers from here on are rounded as floats


def rounded_columns(frame: pd.DataFrame, beginning: pd.DataFrame) -> list[str]:
    """List the columns whose conversion to numbers lost digits: zeros at the beginning of codes, or those a float cannot hold.

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
        if _loses_digits(frame[name], beginning[name]):
            names.append(name)
    return names


def _loses_digits(column: pd.Series, beginning: pd.Series) -> bool:
    import pandas as pd

    if pd.api.types.is_integer_dtype(column):
        return bool(beginning.str.fullmatch(LEADING_ZEROS).any())
    known = column.dropna()
    if not pd.api.types.is_float_dtype(column) or known.empty or not (known % 1 == 0).all():
        return False
    return bool(known.abs().max() >= MAX_EXACT) or bool(beginning.str.fullmatch(LEADING_ZEROS).any())
