"""One column of new rows, read as training read it and checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.data.columns import BLANKS, DateOrder, parse_days, to_days
from harness.deploy.schema import Feature
from harness.errors import EvenhandError

EXPECTED = {
    "number": "a finite number",
    "date": "a date",
    "category": "a text",
    "text": "a text",
    "picture": "a PNG or JPEG file",
}
DATE_EXAMPLES = {"day first": "31.01.2024", "month first": "01/31/2024"}
DEFAULT_DATE_EXAMPLE = "2024-01-31"
MAX_INTEGER = 10**300  #: larger integers are no floats
MAX_SHOWN_CHARACTERS = 60  #: of a value in a message
BOOLEANS = {"true": "True", "false": "False"}


class Flag(NamedTuple):
    """An unusual value: its row, its column, and what is unusual."""

    row: int
    column: str
    message: str


class InvalidRowsError(EvenhandError):
    """Rows that cannot be predicted.

    Parameters
    ----------
    message : str
        What was expected and what was found.
    field : str
        The column.
    row : int, optional
        Position of the first such row; None where all rows are concerned.
    """

    def __init__(self, message: str, field: str, row: int | None = None) -> None:
        super().__init__(message)
        self.field, self.row = field, row


def read_column(feature: Feature, column: Sequence[Any] | pd.Series) -> tuple[Any, list[Flag]]:
    """Read and check a column of new rows.

    Parameters
    ----------
    feature : Feature
        The column in training.
    column : sequence or Series
        Its values in the new rows: a Series, or values as JSON has them.

    Returns
    -------
    column : Series, Categorical or ndarray
        Values as the model takes them: float64 for numbers and dates (days since 1970), categories, or texts.
    flags : list of Flag
        Missing values, unknown categories, and numbers outside the range in training.

    Raises
    ------
    InvalidRowsError
        If a value is infinite or of a wrong type.
    """
    if feature.kind == "category" and isinstance(column, list | tuple):
        categories = _read_levels(feature, column)
        if categories is not None:
            return categories
    return _READERS[feature.kind](feature, _as_series(feature, column))


def _as_series(feature: Feature, column: Sequence[Any] | pd.Series) -> pd.Series:

    if isinstance(column, pd.Series):
        series = column.reset_index(drop=True)
        return series.map(_as_json_type, na_action="ignore") if series.dtype == object else series
    if feature.kind == "number" and not feature.written:
        floats = _parse_floats(column)
        if floats is not None:
            return pd.Series(floats)
    return pd.Series(list(column), dtype=object)


def _as_json_type(cell: Any) -> Any:
    """Turn types that JSON does not have, such as dates and decimals of a Parquet file, into text, as training did."""
    return cell if isinstance(cell, str | bool | int | float) else str(cell)


def _parse_floats(texts: Sequence[Any]) -> npt.NDArray[np.float64] | None:
    """Parse plain numbers in text, or return None if there is anything else: the fast path of a service for CSV."""

    if set(map(type, texts)) != {str}:
        return None
    joined = "".join(texts)
    if not joined.isascii() or "_" in joined:
        return None
    try:
        return np.array(list(map(float, texts)))
    except ValueError:
        return None


def _read_numbers(feature: Feature, cells: pd.Series) -> tuple[pd.Series, list[Flag]]:
    """Numbers as float64, dates as days since 1970."""

    if pd.api.types.is_datetime64_any_dtype(cells) or pd.api.types.is_timedelta64_dtype(cells):
        column = to_days(cells)
    elif feature.kind == "date":
        column = _parse_dates(feature, cells)
    else:
        column = _parse_numbers(feature, cells)
    numbers = column.to_numpy()
    infinite = np.isinf(numbers)
    if infinite.any():
        raise _invalid_value(feature, int(np.flatnonzero(infinite)[0]), "an infinite one")
    flags = _flag_missing(feature, np.isnan(numbers))
    if feature.low is not None and feature.high is not None:
        limits = f"{feature.format_number(feature.low)} to {feature.format_number(feature.high)}"
        for row in np.flatnonzero((numbers < feature.low) | (numbers > feature.high)):
            number = feature.format_number(float(numbers[row]))
            flags.append(Flag(int(row), feature.name, f"{number} is beyond the range in training, {limits}"))
    return column, flags


def _parse_numbers(feature: Feature, cells: pd.Series) -> pd.Series:

    if cells.dtype.kind in "iuf":
        return pd.Series(cells.to_numpy(np.float64, na_value=np.nan))
    if set(map(type, cells)) <= {int, float, type(None)}:
        try:
            return pd.Series(np.array(cells, dtype=np.float64))
        except OverflowError:  # an integer that is larger than all floats
            rows = (row for row, cell in enumerate(cells) if isinstance(cell, int) and abs(cell) > MAX_INTEGER)
            raise _invalid_value(feature, next(rows), "one that is far too large") from None
    text = cells
    if cells.dtype == object:
        text = cells.where(cells.map(lambda cell: isinstance(cell, str)))
    else:  # texts, usually all of them numbers
        with suppress(ValueError, TypeError):
            return pd.Series(pd.to_numeric(cells.to_numpy(object)), dtype="float64")
    text = text.astype("str").str.strip()
    if feature.written == "decimal comma":
        text = text.str.replace(",", ".")
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(np.float64, na_value=np.nan, copy=True)
    for row in np.flatnonzero(np.isnan(numbers)):  # missing, invalid, or no text
        numbers[row] = _parse_number(feature, int(row), cells.iloc[row])
    return pd.Series(numbers)


def _parse_number(feature: Feature, row: int, cell: Any) -> float:

    if _is_missing(cell):
        return math.nan
    if isinstance(cell, str):
        text = cell.strip()
        if feature.written == "decimal comma":
            text = text.replace(",", ".")
        # Python also reads 1_000 and digits of other scripts, which are no numbers in a table.
        if text.isascii() and "_" not in text:
            with suppress(ValueError):
                return float(text)
    elif isinstance(cell, int | float | np.number) and not isinstance(cell, bool | np.bool_):
        if isinstance(cell, int) and abs(cell) > MAX_INTEGER:
            return math.inf
        return float(cell)
    raise _invalid_value(feature, row, _shortened(cell))


def _parse_dates(feature: Feature, cells: pd.Series) -> pd.Series:
    """Dates written as text, in the order of training."""

    texts: list[str | None] = []
    for row, cell in enumerate(cells):
        if _is_missing(cell):
            texts.append(None)
        elif isinstance(cell, str):
            texts.append(cell.strip())
        else:
            raise _invalid_value(feature, row, _shortened(cell))
    column = pd.Series(texts, dtype="str")
    order = cast("DateOrder", feature.written or "year first")
    numbers = parse_days(column, order)
    if numbers is None:
        row = next(row for row in range(len(column)) if parse_days(column.iloc[[row]], order) is None)
        raise _invalid_value(feature, row, _shortened(cells.iloc[row]))
    return numbers.astype("float64")


def _read_levels(feature: Feature, cells: Sequence[Any]) -> tuple[pd.Categorical, list[Flag]] | None:
    """Read a category if every value is a level as training wrote it, else return None: the fast path of a service."""

    dtype, level_codes = _level_codes(feature.levels)
    try:
        codes = np.array([level_codes[cell] for cell in cells], dtype=np.int64)
    except (KeyError, TypeError):  # no level, or of a type that is not hashable
        return None
    return pd.Categorical.from_codes(codes, dtype=dtype), _flag_missing(feature, codes == -1)


@lru_cache(maxsize=4_096)
def _level_codes(levels: tuple[str, ...]) -> tuple[pd.CategoricalDtype, dict[str | None, int]]:
    """The type of a column of these levels, and the code of each."""

    codes: dict[str | None, int] = {level: code for code, level in enumerate(levels)}
    return pd.CategoricalDtype(pd.Index(levels, dtype="str")), codes | {None: -1}


def _read_categories(feature: Feature, cells: pd.Series) -> tuple[pd.Series, list[Flag]]:

    if cells.dtype == object and not {list, dict}.isdisjoint(map(type, cells)):
        row = next(row for row, cell in enumerate(cells) if isinstance(cell, list | dict))
        raise _invalid_value(feature, row, _shortened(cells.iloc[row]))
    value_codes, distinct_values = pd.factorize(cells, use_na_sentinel=True)
    names: dict[str, int] = {}
    name_codes = []  # of each distinct value; several values may have the same name
    for distinct in distinct_values:
        name = _category_name(feature, cells, distinct)
        name_codes.append(-1 if name is None else names.setdefault(name, len(names)))
    codes = np.array([*name_codes, -1], dtype=np.int64)[value_codes]
    categories = pd.Index(list(names), dtype="str")
    column = pd.Series(pd.Categorical.from_codes(codes, categories=categories))
    flags = _flag_missing(feature, codes == -1)
    is_unknown = np.append(~categories.isin(list(feature.levels)), False)[codes]
    for row in map(int, np.flatnonzero(is_unknown)):
        message = f"{_shortened(column.iloc[row])} is not a value that the model distinguishes"
        flags.append(Flag(row, feature.name, message))
    return column, flags


def _category_name(feature: Feature, cells: pd.Series, cell: Any) -> str | None:
    """Name of a category as training wrote it; None where it is missing."""

    if _is_missing(cell):
        return None
    if isinstance(cell, bool | np.bool_):
        return str(bool(cell))
    if isinstance(cell, str):
        text = _check_unicode(feature, cells, cell).strip()
        if feature.written == "true or false":
            return BOOLEANS.get(text.lower(), text)
        return _number_name(feature, text)
    if isinstance(cell, int | np.integer):
        return _number_name(feature, str(cell))
    if isinstance(cell, float | np.floating):
        text = str(int(cell)) if float(cell).is_integer() else str(float(cell))
        return _number_name(feature, text)
    raise _invalid_value(feature, _row_of(cells, cell), _shortened(cell))


def _number_name(feature: Feature, text: str) -> str:
    """A category that was a number in training, written as it was there: 1.0 as 1, or 1 as 1.0."""
    if feature.written not in ("whole numbers", "numbers"):
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    if feature.written == "whole numbers" and number.is_integer():
        return str(int(number))
    return str(number)


def _read_texts(feature: Feature, cells: pd.Series) -> tuple[npt.NDArray[np.object_], list[Flag]]:

    texts = np.full(len(cells), "", dtype=object)  # a missing text is empty, as in training
    for row, cell in enumerate(cells):
        if isinstance(cell, str):
            texts[row] = _check_unicode(feature, cells, cell).strip()
        elif not _is_missing(cell):
            raise _invalid_value(feature, row, _shortened(cell))
    return texts, _flag_missing(feature, texts == "")


_READERS: dict[str, Callable[[Feature, pd.Series], tuple[Any, list[Flag]]]] = {
    "number": _read_numbers,
    "date": _read_numbers,
    "category": _read_categories,
    "text": _read_texts,
}


def _check_unicode(feature: Feature, cells: pd.Series, text: str) -> str:
    """Return the same text; raise for lone surrogates, which JSON can contain and files cannot."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        description = f"one that is no Unicode, {text[:MAX_SHOWN_CHARACTERS]!a}"
        raise _invalid_value(feature, _row_of(cells, text), description) from error
    return text


def _row_of(cells: pd.Series, target: Any) -> int:
    return next(row for row, cell in enumerate(cells) if cell is target or cell == target)


def _flag_missing(feature: Feature, is_missing: npt.NDArray[np.bool_]) -> list[Flag]:

    return [Flag(int(row), feature.name, "missing") for row in np.flatnonzero(is_missing)]


def _is_missing(cell: Any) -> bool:
    """Tell whether a value is None, NaN, or a text that means missing in training too."""
    if isinstance(cell, str):
        return cell.strip() in BLANKS
    if isinstance(cell, float) and math.isnan(cell):
        return True
    return cell is None or type(cell).__name__ in ("NAType", "NaTType")


def _invalid_value(feature: Feature, row: int, description: str) -> InvalidRowsError:
    expected = EXPECTED[feature.kind]
    if feature.kind == "date":
        expected += f" like {DATE_EXAMPLES.get(feature.written, DEFAULT_DATE_EXAMPLE)}"
    message = f"row {row}, column {feature.name!r}: expected {expected}, found {description}"
    return InvalidRowsError(message, feature.name, row)


def _shortened(cell: Any) -> str:
    text = repr(cell)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[:MAX_SHOWN_CHARACTERS] + "…"
