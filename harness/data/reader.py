"""The one reader of raw columns: missing words, numbers, dates, booleans, names of categories and texts.

Training infers the format of a column (harness.data.columns) and reads it here; new rows are read here in the format of
training. Another way of writing values is one more entry in `WRITTEN`, and one more step in the function of its kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from harness.data.date_formats import DateOrder
from harness.data.dates import parse_dates, parse_declared_dates, to_days
from harness.data.durations import parse_durations
from harness.data.numbers import is_missing_value_word, parse_number
from harness.data.spellings import match_known_names
from harness.errors import DataError
from harness.readings import BLANKS, ColumnReading, NumberFormat

if TYPE_CHECKING:
    import pandas as pd

BOOLEAN_NAMES = {"true": "True", "false": "False"}
MAX_SHOWN_CHARACTERS = 60  #: of a value in a message
MAX_INT64 = 2**63
MAX_INTEGER = 10**300  #: larger integers are no floats


class UnreadableValueError(DataError):
    """A value that does not have the format of its column.

    Parameters
    ----------
    row : int
        Its position.
    description : str
        What was found.
    """

    code = "unreadable_value"

    def __init__(self, row: int, description: str) -> None:
        super().__init__(f"row {row}: {description}")
        self.row, self.description = row, description


def read_values(column: Sequence[Any] | pd.Series, reading: ColumnReading, levels: Sequence[str] = ()) -> pd.Series:
    """Read raw values as their column is read, whatever the other values of the column are.

    Parameters
    ----------
    column : sequence or Series
        The raw values: a Series, or a list of values as JSON or a CSV has them.
    reading : ColumnReading
        How the column is read.
    levels : sequence of str, default ()
        Known names of a category; other spellings of them are read as these, where the column merges spellings.

    Returns
    -------
    Series
        float64 for numbers and dates (days since 1970), else strings; missing values NaN. Numbers may be infinite.

    Raises
    ------
    UnreadableValueError
        For the first value of another format.
    """
    series = column
    if hasattr(column, "reset_index"):
        series = column.reset_index(drop=True)
    values = _READERS[reading.kind](series, reading)
    if reading.kind != "category" or not (reading.spellings or reading.merges_spellings):
        return values
    names = dict(reading.names_by_spelling)
    if reading.merges_spellings and levels:
        unread = set(values.dropna().unique()) - names.keys()
        names |= match_known_names(unread, levels)
    return values.map(lambda name: names.get(name, name), na_action="ignore").astype("str") if names else values


def column_to_text(column: pd.Series, missing: Sequence[str] | frozenset[str] = BLANKS) -> pd.Series:
    """Convert a column to stripped strings.

    Parameters
    ----------
    column : Series
        The raw column; whole numbers are written without a decimal point.
    missing : collection of str, default BLANKS
        Texts that become missing values.

    Returns
    -------
    Series
        Strings, missing where the column is missing or blank.
    """
    import pandas as pd

    if not isinstance(column.dtype, pd.StringDtype):
        is_missing = column.isna()
        if _holds_whole_number_floats(column):
            column = column.astype("Int64")
        column = column.astype(object).where(~is_missing, None).map(cell_to_text, na_action="ignore")
    text = column.astype("str").str.strip()
    return text.mask(text.isin(missing))


def count_texts(text: pd.Series) -> dict[str, int]:
    """Count the different texts of a column, the most frequent first; missing values are left out."""
    counts = text.value_counts()
    return dict(zip(map(str, counts.index.tolist()), counts.tolist(), strict=True))


def cell_to_text(cell: Any) -> str:
    """Write a value as text; bytes that are no text in UTF-8 have their codes."""
    return cell.decode("utf-8", "backslashreplace") if isinstance(cell, bytes) else str(cell)


def dtype_to_numbers(column: pd.Series) -> pd.Series | None:
    """Convert a column of a numeric or temporal dtype to float64 (dates and durations: days); None for any other."""
    import pandas as pd

    types = pd.api.types
    if types.is_datetime64_any_dtype(column) or types.is_timedelta64_dtype(column):
        return to_days(column)
    if types.is_bool_dtype(column) or not types.is_numeric_dtype(column) or types.is_complex_dtype(column):
        return None
    return pd.Series(column.to_numpy(np.float64, na_value=np.nan), index=column.index, name=column.name)


def parse_numbers(text: pd.Series, written: str = "", number_format: NumberFormat | None = None) -> pd.Series:
    """Convert numbers in strings to float64.

    Parameters
    ----------
    text : Series
        Stripped strings, missing values NaN.
    written : {"", "decimal comma", "duration"}, default ""
        With "decimal comma" a comma is read as a decimal point; with "duration" times of day and durations are read as days.
    number_format : NumberFormat or None, default None
        How numbers are written that are more than plain digits; takes the place of `written`.

    Returns
    -------
    Series
        Numbers; NaN for missing values and for strings that are no numbers.
    """
    import pandas as pd

    if written == "duration":
        return parse_durations(text)
    if number_format is not None:
        parsed = {name: parse_number(name, number_format) for name in text.dropna().unique()}
        return text.map(parsed, na_action="ignore").astype("float64")
    codes, distinct = pd.factorize(text)  # a text that is repeated is read once
    names: pd.Series = pd.Series(distinct, dtype="str")
    if written == "decimal comma":
        names = names.str.replace(",", ".", regex=False)
    numbers = np.append(pd.to_numeric(names, errors="coerce").to_numpy(np.float64), np.nan)
    return pd.Series(numbers[codes], index=text.index, name=text.name)


def find_category_writing(column: pd.Series) -> str:
    """Find how the names of a category are written, from the type of its raw values: 1.0 is the name 1, or TRUE is True."""
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        # Its names are those of its categories, so that a whole float has a decimal point.
        kind = dtype.categories.dtype.kind
        return {"f": "numbers", "i": "whole numbers", "u": "whole numbers", "b": "true or false"}.get(kind, "")
    if isinstance(dtype, pd.StringDtype):
        return ""
    known = column.dropna()
    if pd.api.types.is_bool_dtype(column) or set(map(type, known)) == {bool}:  # with missing values the dtype is object
        return "true or false"
    if not pd.api.types.is_numeric_dtype(column):
        return ""
    if pd.api.types.is_integer_dtype(column) or _holds_whole_number_floats(column):
        return "whole numbers"
    return "numbers"


def quote_value(cell: Any) -> str:
    """Write a value for a message, shortened."""
    if _is_too_large_integer(cell):  # Python does not write integers of thousands of digits
        return "a number that is far too large"
    text = ascii(cell) if isinstance(cell, str) and not _is_valid_unicode(cell) else repr(cell)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[:MAX_SHOWN_CHARACTERS] + "…"


def _holds_whole_number_floats(column: pd.Series) -> bool:
    """Tell whether these are floats without a fraction that are written as integers."""
    import pandas as pd

    if not pd.api.types.is_float_dtype(column):
        return False
    known = column.dropna()
    return bool((known % 1 == 0).all() and (known.abs() < MAX_INT64).all())


def _read_number_column(column: Sequence[Any] | pd.Series, reading: ColumnReading) -> pd.Series:
    import pandas as pd

    numbers = dtype_to_numbers(column) if isinstance(column, pd.Series) else _list_to_numbers(column, reading)
    if numbers is None:
        column = _list_to_series(column)
        text = _new_values_to_text(column, reading)
        numbers = parse_numbers(text, reading.written, reading.number)
        has_text_format = reading.number is not None or reading.written == "duration"
        if has_text_format:  # a number among texts is no text with separators
            is_number = column.map(lambda cell: type(cell) in (int, float) and cell == cell)  # noqa: PLR0124 -- not NaN
            numbers = numbers.mask(is_number, column.where(is_number, np.nan).astype("float64"))
        _check_all_texts_read(column, text, numbers, reading)
    if reading.sentinels:
        numbers = numbers.mask(numbers.isin(reading.sentinels))
    return numbers


def _list_to_numbers(cells: Sequence[Any], reading: ColumnReading) -> pd.Series | None:
    """Read a list of numbers, or of plain numbers in text; None for any other: the fast path of a service."""
    import pandas as pd

    cell_types = set(map(type, cells))
    try:
        if cell_types <= {int, float, type(None)}:
            return pd.Series(np.array(cells, dtype=np.float64))
        if cell_types == {str} and not reading.written and reading.number is None:
            joined = "".join(cells)
            if joined.isascii() and "_" not in joined:  # Python also reads 1_000 and digits of other scripts
                return pd.Series(np.array(list(map(float, cells))))
    except OverflowError:  # an integer that is larger than all floats
        raise UnreadableValueError(
            _first_matching_row(cells, _is_too_large_integer), "one that is far too large"
        ) from None
    except ValueError:
        return None
    return None


def _read_date_column(column: Sequence[Any] | pd.Series, reading: ColumnReading) -> pd.Series:
    import pandas as pd

    if not isinstance(column, pd.Series):
        column = [_normalize_json_number(cell) for cell in column]
    column = _list_to_series(column)
    if pd.api.types.is_datetime64_any_dtype(column):
        days = to_days(column)
    else:
        text = _new_values_to_text(column, reading)
        if reading.date_format:
            days = parse_declared_dates(text, reading.date_format)
        else:
            days = parse_dates(text, cast("DateOrder", reading.written or "year first"), reading.first_year)
        _check_all_texts_read(column, text, days, reading)
    if reading.sentinels:
        days = days.mask(days.isin(reading.sentinels))
    return days.astype("float64")


def _read_category_column(column: Sequence[Any] | pd.Series, reading: ColumnReading) -> pd.Series:
    """Names of categories, as the values of training were named."""
    import pandas as pd

    written_form = reading.written
    if not isinstance(column, pd.Series):
        _raise_for_unreadable_cells(column, _is_list_or_dict)
        column = [_normalize_json_number(cell) for cell in column]
    column = _list_to_series(column)
    if pd.api.types.is_float_dtype(column) and not written_form:
        written_form = "whole numbers"  # of several floats, each is named as if it were alone
    text = _new_values_to_text(column, reading)
    rename = _NAMES.get(written_form)
    if rename is None:
        return text
    names = {name: rename(name) for name in text.dropna().unique()}
    return text.map(names, na_action="ignore").astype("str")


def _read_text_column(column: Sequence[Any] | pd.Series, reading: ColumnReading) -> pd.Series:
    import pandas as pd

    if not isinstance(column, pd.Series):
        _raise_for_unreadable_cells(column, _is_not_text)
    return _new_values_to_text(_list_to_series(column), reading).fillna("")


_READERS: dict[str, Callable[[Sequence[Any] | pd.Series, ColumnReading], pd.Series]] = {
    "number": _read_number_column,
    "date": _read_date_column,
    "category": _read_category_column,
    "text": _read_text_column,
}


def _normalize_boolean_name(text: str) -> str:
    return BOOLEAN_NAMES.get(text.lower(), text)


def _whole_number_name(text: str) -> str:
    """Write a number without a decimal point if it is whole; other texts stay."""
    number = _parse_plain_float(text)
    if number is None:
        return text
    if text.lstrip("+-").isdecimal():
        return str(int(text))  # without the rounding of a float
    return str(int(number)) if number.is_integer() else str(number)


def _float_name(text: str) -> str:
    """Write a number as a float is written, 1 as 1.0; other texts stay."""
    number = _parse_plain_float(text)
    return text if number is None else str(number)


_NAMES: dict[str, Callable[[str], str]] = {
    "true or false": _normalize_boolean_name,
    "whole numbers": _whole_number_name,
    "numbers": _float_name,
}


def _parse_plain_float(text: str) -> float | None:
    if not text.isascii() or "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _normalize_json_number(cell: Any) -> Any:
    """JSON does not tell 1.0 from 1."""
    return int(cell) if type(cell) is float and cell.is_integer() else cell


def _list_to_series(cells: Sequence[Any] | pd.Series) -> pd.Series:
    import pandas as pd

    return cells if isinstance(cells, pd.Series) else pd.Series(list(cells), dtype=object)


def _new_values_to_text(column: pd.Series, reading: ColumnReading) -> pd.Series:
    """Convert new values to text; JSON may contain halves of characters, which files cannot."""
    try:
        return column_to_text(column, reading.missing)
    except UnicodeEncodeError:
        row = _first_matching_row(column, lambda cell: isinstance(cell, str) and not _is_valid_unicode(cell))
        raise UnreadableValueError(row, f"one that is no Unicode, {quote_value(column.iloc[row])}") from None
    except ValueError:  # an integer of thousands of digits, which Python does not write
        raise UnreadableValueError(
            _first_matching_row(column, _is_too_large_integer), "one that is far too large"
        ) from None


def _is_valid_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_too_large_integer(cell: Any) -> bool:
    return isinstance(cell, int) and abs(cell) > MAX_INTEGER


def _first_matching_row(cells: Sequence[Any] | pd.Series, is_wrong: Callable[[Any], bool]) -> int:
    return next(row for row, cell in enumerate(cells) if is_wrong(cell))


def _is_list_or_dict(cell: Any) -> bool:
    return isinstance(cell, list | dict)


def _is_not_text(cell: Any) -> bool:
    is_nan = isinstance(cell, float) and math.isnan(cell)
    return not (cell is None or is_nan or isinstance(cell, str))


def _raise_for_unreadable_cells(cells: Sequence[Any], is_wrong: Callable[[Any], bool]) -> None:
    for row, cell in enumerate(cells):
        if is_wrong(cell):
            raise UnreadableValueError(row, quote_value(cell))


def _check_all_texts_read(column: pd.Series, text: pd.Series, read_column: pd.Series, reading: ColumnReading) -> None:
    """Raise for the first text that was not read and is no word for a missing value."""
    if reading.skips_unreadable:
        return
    is_unreadable: npt.NDArray[np.bool_] = (text.notna() & read_column.isna()).to_numpy(bool)
    for row in np.flatnonzero(is_unreadable):
        if not is_missing_value_word(text.iloc[row]):
            raise UnreadableValueError(int(row), quote_value(column.iloc[row]))
