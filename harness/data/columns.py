"""What a raw column is: a number or a category. Labels are not used, so the whole table may be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from harness.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from harness.declare.task import ColumnType

BLANKS = ("", "?")  #: text that means that nothing is known
FEWEST_IDS = 20  #: in fewer rows, values that all differ say nothing about the column
DATE = r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.*)?"  #: ISO 8601: the only way of writing dates that is never ambiguous

Reason: TypeAlias = Literal["constant", "id_like"]


def typed(column: pd.Series, override: ColumnType | None = None) -> tuple[pd.Series, str]:
    """The column as float64 or as a category of strings (missing: NaN), and a note where its type was not obvious.

    Raises `DataError` for infinite values, and where a column declared a number holds something else.
    """
    import numpy as np
    import pandas as pd

    if override == "category":
        return _category(texts(column)), ""
    values, note = _number(column)
    if values is None and override == "number":
        bad = texts(column)[pd.to_numeric(texts(column), errors="coerce").isna()].dropna().iloc[0]
        raise DataError(f"column {column.name!r} is declared a number, but holds {bad!r}")
    if values is None:
        return _category(texts(column)), ""
    if infinite := int(np.isinf(values).sum()):
        raise DataError(f"column {column.name!r} has {infinite} infinite values: replace them, or leave them empty")
    return values, note


def texts(column: pd.Series) -> pd.Series:
    """The values as stripped strings, whole numbers without a decimal point, blanks missing."""
    import pandas as pd

    missing = column.isna()
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    text = column.astype(object).where(~missing, None).map(str, na_action="ignore").astype("str").str.strip()
    return text.mask(text.isin(BLANKS))


def useless(column: pd.Series) -> Reason | None:
    """Why a typed column can teach nothing: one value only, or an identifier.

    Identifiers are strings that all differ and whole numbers that count the rows; whole numbers that merely all differ
    may be a quantity and stay.
    """
    import pandas as pd

    known = column.dropna()
    if len(known) == 0 or (len(known) == len(column) and bool((known == known.iloc[0]).all())):
        return "constant"
    if len(known) < FEWEST_IDS:
        return None
    if isinstance(column.dtype, pd.CategoricalDtype):
        return "id_like" if len(column.cat.categories) == len(known) else None
    counts_rows = len(known) == len(column) and known.max() - known.min() == len(known) - 1 and known.is_unique
    return "id_like" if counts_rows and bool((known % 1 == 0).all()) else None


def _category(text: pd.Series) -> pd.Series:
    import pandas as pd

    levels = sorted(text.dropna().unique())
    return pd.Series(pd.Categorical(text, categories=pd.Index(levels, dtype="str")), index=text.index, name=text.name)


def _number(column: pd.Series) -> tuple[pd.Series | None, str]:
    """The column as float64, None where it is not a number."""
    import numpy as np
    import pandas as pd

    types = pd.api.types
    if types.is_bool_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype):
        return None, ""
    if types.is_complex_dtype(column):
        raise DataError(f"column {column.name!r} holds complex numbers: split them into two columns")
    if types.is_numeric_dtype(column):
        return pd.Series(column.to_numpy(np.float64, na_value=np.nan), index=column.index, name=column.name), ""
    if types.is_datetime64_any_dtype(column) or types.is_timedelta64_dtype(column):
        return days(column), f"{column.name}: dates as days since 1970" if not types.is_timedelta64_dtype(
            column
        ) else ""
    text = texts(column)
    known = text.dropna()
    numbers = pd.to_numeric(text, errors="coerce")
    # A bool among objects prints as "True" and is no number; one word is enough to make the column text.
    if len(known) and numbers.notna().sum() == len(known):
        blank = f", {len(text) - len(known)} blank ones missing" if len(known) < len(text) else ""
        return numbers.astype(np.float64), f"{column.name}: numbers written as text{blank}"
    if len(known) and known.str.fullmatch(DATE).all():
        parsed = pd.to_datetime(text, errors="coerce", format="ISO8601", utc=True)
        if parsed.notna().sum() == len(known):
            return days(parsed), f"{column.name}: dates as days since 1970"
    return None, ""


def days(column: pd.Series) -> pd.Series:
    """Dates as days since 1970 (UTC), durations as days; missing: NaN."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        column = pd.to_datetime(column, utc=True) - pd.Timestamp(0, tz="UTC")
    counted: pd.Series = column.dt.total_seconds() / 86_400
    return counted
