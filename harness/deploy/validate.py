"""One column of new rows, read as training read it, and checked against the schema: missing, unknown and unusual values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.data.reader import UnreadableValueError, quote_value, read_values
from harness.deploy.schema import Feature
from harness.errors import EvenhandError

EXPECTED_BY_KIND = {
    "number": "a finite number",
    "date": "a date",
    "category": "a text",
    "text": "a text",
    "picture": "a PNG or JPEG file",
}
DATE_EXAMPLES = {"day first": "31.01.2024", "month first": "01/31/2024"}
DEFAULT_DATE_EXAMPLE = "2024-01-31"
#: Share of the training rows from which missing values, or values that the model does not distinguish, are not unusual.
MAX_USUAL_SHARE = 0.05
RANGE_MARGIN = 0.1  #: of half the range in training, within which a number beyond it is not unusual
OTHER_BIN, MISSING_BIN = -2, -1  #: positions in `Feature.shares`


#: Codes of flags.
MISSING_VALUE, OUT_OF_RANGE, UNKNOWN_CATEGORY = "missing_value", "out_of_range", "unknown_category"


class UnusualValue(NamedTuple):
    """An unusual value: its row, its column, what is unusual, and a code of that which does not change between versions."""

    row: int
    column: str
    message: str
    code: str


class InvalidRowsError(EvenhandError):
    """Rows that cannot be predicted.

    Parameters
    ----------
    message : str
        What was expected and what was found.
    field : str
        The column.
    row : int, optional
        Position of the first such row, which the message is preceded by; None where all rows are concerned.
    """

    code = "invalid_rows"

    def __init__(self, message: str, field: str, row: int | None = None) -> None:
        super().__init__(message if row is None else f"row {row}{message}")
        self.message, self.field, self.row = message, field, row

    def with_row_name(self, name: str, row: int | None = None) -> InvalidRowsError:
        """The same error with another name and number of the row."""
        error = InvalidRowsError(f"{name}{self.message}", self.field)
        error.row = row
        return error


def read_new_column(feature: Feature, column: Sequence[Any] | pd.Series) -> tuple[Any, list[UnusualValue]]:
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
    flags : list of UnusualValue
        Missing values, unknown categories, and numbers outside the range in training.

    Raises
    ------
    InvalidRowsError
        If a value is infinite or of a wrong type.
    """
    if feature.kind == "category" and isinstance(column, list | tuple):
        categories = _read_levels_if_all_known(feature, column)
        if categories is not None:
            return categories
    try:
        column_series = read_values(column, feature.column_reading, feature.levels)
    except UnreadableValueError as error:
        raise _invalid_value_error(feature, error.row, error.description) from error
    return _CHECKS[feature.kind](feature, column_series)


def _read_levels_if_all_known(
    feature: Feature, cells: Sequence[Any]
) -> tuple[pd.Categorical, list[UnusualValue]] | None:
    """Read a category if every value is a level as training wrote it, else return None: the fast path of a service."""

    dtype, level_codes = _level_codes(feature.levels)
    try:
        cell_codes = np.array([level_codes[cell] for cell in cells], dtype=np.int64)
    except (KeyError, TypeError):  # no level, or of a type that is not hashable
        return None
    return pd.Categorical.from_codes(cell_codes, dtype=dtype), _flag_missing_values(feature, cell_codes == -1)


@lru_cache(maxsize=4_096)
def _level_codes(levels: tuple[str, ...]) -> tuple[pd.CategoricalDtype, dict[str | None, int]]:
    """The type of a column of these levels, and the code of each."""

    codes_by_level: dict[str | None, int] = {level: level_code for level_code, level in enumerate(levels)}
    return pd.CategoricalDtype(pd.Index(levels, dtype="str")), codes_by_level | {None: -1}


def _flag_numbers_out_of_range(feature: Feature, column: pd.Series) -> tuple[pd.Series, list[UnusualValue]]:
    """Refuse infinite numbers, and flag those beyond the range in training."""

    column_numbers = column.to_numpy()
    is_infinite = np.isinf(column_numbers)
    if is_infinite.any():
        raise _invalid_value_error(feature, int(np.flatnonzero(is_infinite)[0]), "an infinite one")
    unusual_values = _flag_missing_values(feature, np.isnan(column_numbers))
    if feature.low is not None and feature.high is not None and not feature.is_identifier:
        range_text = f"{feature.format_number(feature.low)} to {feature.format_number(feature.high)}"
        # Of many rows some lie a little beyond the range of others by chance alone.
        range_margin = RANGE_MARGIN * (feature.high * 0.5 - feature.low * 0.5)
        for row in np.flatnonzero(
            (column_numbers < feature.low - range_margin) | (column_numbers > feature.high + range_margin)
        ):
            number_text = feature.format_number(float(column_numbers[row]))
            unusual_values.append(
                UnusualValue(
                    int(row), feature.name, f"{number_text} is beyond the range in training, {range_text}", OUT_OF_RANGE
                )
            )
    return column, unusual_values


def _flag_unknown_categories(feature: Feature, names: pd.Series) -> tuple[pd.Series, list[UnusualValue]]:
    """Flag categories that the model does not distinguish, unless values that it does not distinguish were usual in training."""

    name_codes, distinct_names = pd.factorize(names, use_na_sentinel=True)
    categories = pd.Index(distinct_names, dtype="str")
    column = pd.Series(pd.Categorical.from_codes(name_codes, categories=categories))
    unusual_values = _flag_missing_values(feature, name_codes == -1)
    if _training_share_of_bin(feature, OTHER_BIN) > MAX_USUAL_SHARE:
        return column, unusual_values  # so had many rows of training: surnames, free text
    is_unknown = np.append(~categories.isin(list(feature.levels)), False)[name_codes]
    for row in map(int, np.flatnonzero(is_unknown)):
        message = f"{quote_value(column.iloc[row])} is not a value that the model distinguishes"
        unusual_values.append(UnusualValue(row, feature.name, message, UNKNOWN_CATEGORY))
    return column, unusual_values


def _flag_empty_texts(feature: Feature, texts: pd.Series) -> tuple[npt.NDArray[np.object_], list[UnusualValue]]:
    """Flag empty texts."""

    array = texts.to_numpy(object)
    return array, _flag_missing_values(feature, array == "")


_CHECKS: dict[str, Callable[[Feature, pd.Series], tuple[Any, list[UnusualValue]]]] = {
    "number": _flag_numbers_out_of_range,
    "date": _flag_numbers_out_of_range,
    "category": _flag_unknown_categories,
    "text": _flag_empty_texts,
}


def _training_share_of_bin(feature: Feature, position: int) -> float:
    """Share of the training rows in a bin, 0 where the bundle does not say."""
    return feature.shares[position] if feature.shares else 0.0


def _flag_missing_values(feature: Feature, is_missing: npt.NDArray[np.bool_]) -> list[UnusualValue]:
    """Flag missing values, unless they were usual in training."""
    if _training_share_of_bin(feature, MISSING_BIN) > MAX_USUAL_SHARE:
        return []
    return [UnusualValue(int(row), feature.name, "missing", MISSING_VALUE) for row in np.flatnonzero(is_missing)]


def _invalid_value_error(feature: Feature, row: int, description: str) -> InvalidRowsError:
    expected_text = EXPECTED_BY_KIND[feature.kind]
    if feature.kind == "date":
        expected_text += f" like {DATE_EXAMPLES.get(feature.written, DEFAULT_DATE_EXAMPLE)}"
    message = f", column {feature.name!r}: expected {expected_text}, found {description}"
    return InvalidRowsError(message, feature.name, row)
