"""One column of new rows, read as training read it and checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from harness.data.columns import BLANKS, Order, days, days_in_text
from harness.deploy.schema import Feature
from harness.errors import EvenhandError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

EXPECTED = {
    "number": "a finite number",
    "date": "a date",
    "category": "a text",
    "text": "a text",
    "picture": "a PNG or JPEG file",
}
DATES = {"day first": "31.01.2024", "month first": "01/31/2024"}  #: others are written like 2024-01-31
LARGEST = 10**300  #: whole numbers beyond it are no floats
LONGEST = 60  #: characters of a value that a message repeats
BOOLEANS = {"true": "True", "false": "False"}

#: A row, a column, and what is odd there.
Flag = tuple[int, str, str]


class BadRows(EvenhandError):  # noqa: N818 -- what is bad is said by its name
    """Rows that cannot be answered: `field` is the column, `row` the position of the first such row, None where all are."""

    def __init__(self, message: str, field: str, row: int | None = None) -> None:
        super().__init__(message)
        self.field, self.row = field, row


def read_column(feature: Feature, given: Sequence[Any] | pd.Series) -> tuple[Any, list[Flag]]:
    """A column of numbers, dates, categories or texts as the model takes it, and what is odd in it; see `read_rows`."""
    if feature.kind == "category" and isinstance(given, list | tuple) and (known := _levels_alone(feature, given)):
        return known
    return _READERS[feature.kind](feature, _as_series(feature, given))


def _numbers(feature: Feature, values: pd.Series) -> tuple[pd.Series, list[Flag]]:
    """Numbers as float64, dates as days since 1970."""
    import numpy as np
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(values) or pd.api.types.is_timedelta64_dtype(values):
        column = days(values)
    else:
        column = _days(feature, values) if feature.kind == "date" else _plain_numbers(feature, values)
    numbers = column.to_numpy()
    if (infinite := np.isinf(numbers)).any():
        raise _wrong(feature, int(np.flatnonzero(infinite)[0]), "an infinite one")
    flags = _missing(feature, np.isnan(numbers))
    if feature.low is not None and feature.high is not None:
        limits = f"{feature.shown(feature.low)} to {feature.shown(feature.high)}"
        for row in np.flatnonzero((numbers < feature.low) | (numbers > feature.high)):
            said = f"{feature.shown(float(numbers[row]))} is beyond the range in training, {limits}"
            flags.append((int(row), feature.name, said))
    return column, flags


def _plain_numbers(feature: Feature, values: pd.Series) -> pd.Series:
    import numpy as np
    import pandas as pd

    if values.dtype.kind in "iuf":
        return pd.Series(values.to_numpy(np.float64, na_value=np.nan))
    if set(map(type, values)) <= {int, float, type(None)}:
        try:
            return pd.Series(np.array(values, dtype=np.float64))
        except OverflowError:  # a whole number beyond all floats
            large = next(row for row, value in enumerate(values) if isinstance(value, int) and abs(value) > LARGEST)
            raise _wrong(feature, large, "one that is far too large") from None
    if values.dtype != object:  # texts, as a rule all of them numbers
        with suppress(ValueError, TypeError):
            return pd.Series(pd.to_numeric(values.to_numpy(object)), dtype="float64")
    text = values if values.dtype != object else values.where(values.map(lambda value: isinstance(value, str)))
    text = text.astype("str").str.strip()
    if feature.written == "decimal comma":
        text = text.str.replace(",", ".")
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(np.float64, na_value=np.nan, copy=True)
    for row in np.flatnonzero(np.isnan(numbers)):  # missing, wrong, or no text at all
        numbers[row] = _number(feature, int(row), values.iloc[row])
    return pd.Series(numbers)


def _number(feature: Feature, row: int, value: Any) -> float:
    import numpy as np

    if _nothing(value):
        return math.nan
    if isinstance(value, str):
        text = value.strip().replace(",", ".") if feature.written == "decimal comma" else value.strip()
        if (
            text.isascii() and "_" not in text
        ):  # Python reads 1_000 and digits of other scripts; a table does not mean them
            try:
                return float(text)
            except ValueError as error:
                raise _wrong(feature, row, _short(value)) from error
    elif isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_):
        return math.inf if isinstance(value, int) and abs(value) > LARGEST else float(value)
    raise _wrong(feature, row, _short(value))


def _days(feature: Feature, values: pd.Series) -> pd.Series:
    """Dates written as text, each understood as training's were."""
    import pandas as pd

    for row, value in enumerate(values):
        if not isinstance(value, str) and not _nothing(value):
            raise _wrong(feature, row, _short(value))
    text = pd.Series([None if _nothing(value) else value.strip() for value in values], dtype="str")
    order = cast("Order", feature.written or "year first")
    found = days_in_text(text, order)
    if found is None:  # which of them it is
        single = (days_in_text(text.iloc[[row]], order) for row in range(len(text)))
        row = next(row for row, one in enumerate(single) if one is None)
        raise _wrong(feature, row, _short(values.iloc[row]))
    return found.astype("float64")


def _as_series(feature: Feature, given: Sequence[Any] | pd.Series) -> pd.Series:
    import pandas as pd

    if isinstance(given, pd.Series):
        values = given.reset_index(drop=True)
        return values.map(_as_learnt, na_action="ignore") if values.dtype == object else values
    floats = _floats(given) if feature.kind == "number" and not feature.written else None
    return pd.Series(list(given), dtype=object) if floats is None else pd.Series(floats)


def _as_learnt(value: Any) -> Any:
    """What JSON has no type for, such as the days and decimals of a Parquet file, as the text that training took it for."""
    return value if isinstance(value, str | bool | int | float) else str(value)


def _floats(values: Sequence[Any]) -> npt.NDArray[np.float64] | None:
    """Numbers as text, each of which Python reads as a table means it, or None: a service reads most files this way."""
    import numpy as np

    if set(map(type, values)) != {str} or not (text := "".join(values)).isascii() or "_" in text:
        return None
    try:
        return np.array([float(value) for value in values])
    except ValueError:
        return None


def _levels_alone(feature: Feature, values: Sequence[Any]) -> tuple[pd.Categorical, list[Flag]] | None:
    """A category of which every value is a level as training wrote it, or None: a service reads most rows this way."""
    import numpy as np
    import pandas as pd

    dtype, place = _places(feature.levels)
    try:
        codes = np.array([place[value] for value in values], dtype=np.int64)
    except (KeyError, TypeError):  # no level, or a value that none can be
        return None
    return pd.Categorical.from_codes(codes, dtype=dtype), _missing(feature, codes == -1)


@lru_cache(maxsize=4_096)
def _places(levels: tuple[str, ...]) -> tuple[pd.CategoricalDtype, dict[str | None, int]]:
    """The type of a column of these levels, and the code of each."""
    import pandas as pd

    codes: dict[str | None, int] = {level: i for i, level in enumerate(levels)}
    return pd.CategoricalDtype(pd.Index(levels, dtype="str")), codes | {None: -1}


def _categories(feature: Feature, values: pd.Series) -> tuple[pd.Series, list[Flag]]:
    import numpy as np
    import pandas as pd

    if values.dtype == object and not {list, dict}.isdisjoint(map(type, values)):
        row = next(row for row, value in enumerate(values) if isinstance(value, list | dict))
        raise _wrong(feature, row, _short(values.iloc[row]))
    codes, found = pd.factorize(values, use_na_sentinel=True)
    names = [_name(feature, values, value) for value in found]
    merged = pd.Index([name for name in dict.fromkeys(names) if name is not None], dtype="str")
    at = {name: i for i, name in enumerate(merged)}
    place = np.array([*(-1 if name is None else at[name] for name in names), -1], dtype=np.int64)
    column = pd.Series(pd.Categorical.from_codes(place[codes], categories=merged))
    flags = _missing(feature, (place[codes] == -1))
    strange = np.append(~merged.isin(list(feature.levels)), False)[place[codes]]
    for odd in np.flatnonzero(strange):
        row = int(odd)
        flags.append((row, feature.name, f"{_short(column.iloc[row])} is not a value that the model tells apart"))
    return column, flags


def _name(feature: Feature, values: pd.Series, value: Any) -> str | None:
    """A value of a category as training wrote it; None where it is missing."""
    import numpy as np

    if _nothing(value):
        return None
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, str):
        text = _encodable(feature, values, value).strip()
        return BOOLEANS.get(text.lower(), text) if feature.written == "true or false" else _figure(feature, text)
    if isinstance(value, int | np.integer):
        return _figure(feature, str(value))
    if isinstance(value, float | np.floating):
        return _figure(feature, str(int(value)) if float(value).is_integer() else str(float(value)))
    raise _wrong(feature, _where(values, value), _short(value))


def _encodable(feature: Feature, values: pd.Series, text: str) -> str:
    """The same text; raises `BadRows` for halves of characters, which JSON can write and nothing else can."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _wrong(feature, _where(values, text), f"one that is no Unicode, {text[:LONGEST]!a}") from error
    return text


def _where(values: pd.Series, value: Any) -> int:
    return next(row for row, one in enumerate(values) if one is value or one == value)


def _figure(feature: Feature, text: str) -> str:
    """A name that was a number in training, written as it was there: 1.0 is 1, or 1 is 1.0."""
    if feature.written not in ("whole numbers", "numbers"):
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if feature.written == "whole numbers" and number.is_integer() else str(number)


def _texts(feature: Feature, values: pd.Series) -> tuple[npt.NDArray[np.object_], list[Flag]]:
    import numpy as np

    found = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        if not isinstance(value, str) and not _nothing(value):
            raise _wrong(feature, row, _short(value))
        # As in training a missing text is empty.
        found[row] = _encodable(feature, values, value).strip() if isinstance(value, str) else ""
    return found, _missing(feature, found == "")


_READERS = {"number": _numbers, "date": _numbers, "category": _categories, "text": _texts}


def _missing(feature: Feature, missing: npt.NDArray[np.bool_]) -> list[Flag]:
    import numpy as np

    return [(int(row), feature.name, "missing") for row in np.flatnonzero(missing)]


def _nothing(value: Any) -> bool:
    """Whether nothing is known: None, NaN, or a text that says so in training too."""
    if isinstance(value, str):
        return value.strip() in BLANKS
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or type(value).__name__ in ("NAType", "NaTType")
    )


def _wrong(feature: Feature, row: int, found: str) -> BadRows:
    like = f" like {DATES.get(feature.written, '2024-01-31')}" if feature.kind == "date" else ""
    said = f"row {row}, column {feature.name!r}: expected {EXPECTED[feature.kind]}{like}, found {found}"
    return BadRows(said, feature.name, row)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"
