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
DECIMAL_COMMA = r"[+-]?\d+(?:,\d+)?"

Reason: TypeAlias = Literal["constant", "id_like"]


def typed(column: pd.Series, override: ColumnType | None = None) -> tuple[pd.Series, str]:
    """The column as float64 or as a category of strings (missing: NaN), and a note where its type was not obvious.

    Raises `DataError` for infinite values, and where a column declared a number holds something else.
    """
    import numpy as np

    values, note = (None, "") if override == "category" else _number(column)
    if values is None:
        text = texts(column)
        if override != "category" and not _listed(column):
            values, note = _number_in_text(text)
        if values is None and override == "number":
            raise DataError(f"column {column.name!r} is declared a number, but holds {_first_word(text)!r}")
        if values is None:
            return _category(text), ""
    if infinite := int(np.isinf(values).sum()):
        raise DataError(f"column {column.name!r} has {infinite} infinite values: replace them, or leave them empty")
    return values, f"{column.name}: {note}" if note else ""


def texts(column: pd.Series) -> pd.Series:
    """The values as stripped strings, whole numbers without a decimal point, blanks missing."""
    import pandas as pd

    if not isinstance(column.dtype, pd.StringDtype):
        missing = column.isna()
        if pd.api.types.is_float_dtype(column) and bool((column.dropna() % 1 == 0).all()):
            column = column.astype("Int64")
        column = column.astype(object).where(~missing, None).map(str, na_action="ignore")
    text = column.astype("str").str.strip()
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


def days(column: pd.Series) -> pd.Series:
    """Dates as days since 1970 (UTC), durations as days; missing: NaN."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        column = pd.to_datetime(column, utc=True) - pd.Timestamp(0, tz="UTC")
    counted: pd.Series = column.dt.total_seconds() / 86_400
    return counted


def _listed(column: pd.Series) -> bool:
    """Whether the data themselves say that the column is a category."""
    import pandas as pd

    return pd.api.types.is_bool_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype)


def _category(text: pd.Series) -> pd.Series:
    import pandas as pd

    levels = sorted(text.dropna().unique())
    return pd.Series(pd.Categorical(text, categories=pd.Index(levels, dtype="str")), index=text.index, name=text.name)


def _number(column: pd.Series) -> tuple[pd.Series | None, str]:
    """A column of a numeric or temporal type as float64, with a note; None for any other."""
    import numpy as np
    import pandas as pd

    types = pd.api.types
    if types.is_complex_dtype(column):
        raise DataError(f"column {column.name!r} holds complex numbers: split them into two columns")
    if types.is_datetime64_any_dtype(column):
        return days(column), "dates as days since 1970"
    if types.is_timedelta64_dtype(column):
        return days(column), "durations as days"
    if _listed(column) or not types.is_numeric_dtype(column):
        return None, ""
    return pd.Series(column.to_numpy(np.float64, na_value=np.nan), index=column.index, name=column.name), ""


def _number_in_text(text: pd.Series) -> tuple[pd.Series | None, str]:
    """Text as float64, with a note, where every known value is a number or a date; else None."""
    import pandas as pd

    known = text.dropna()
    if known.empty:
        return None, ""
    blank = f", {len(text) - len(known)} blank ones missing" if len(known) < len(text) else ""
    numbers = pd.to_numeric(text, errors="coerce")
    if numbers.notna().sum() == len(known):
        return numbers.astype("float64"), "numbers written as text" + blank
    # Where every comma is followed by three digits it may separate thousands: nobody can tell, and it stays text.
    if known.str.fullmatch(DECIMAL_COMMA).all() and not known.str.fullmatch(r"[+-]?\d+(?:,\d{3})?").all():
        return text.str.replace(",", ".").astype("float64"), "numbers with a decimal comma" + blank
    if known.str.fullmatch(DATE).all():
        moments = pd.to_datetime(text, errors="coerce", format="ISO8601", utc=True)
        if moments.notna().sum() == len(known):
            return days(moments), "dates as days since 1970"
    return None, ""


def _first_word(text: pd.Series) -> str:
    import pandas as pd

    known = text.dropna()
    return str(known[pd.to_numeric(known, errors="coerce").isna()].iloc[0])
