"""Data frames of pandas and polars as Parquet files, which worker processes read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import DataError
from harness.store.files import write_atomic

if TYPE_CHECKING:
    import pandas as pd


def is_frame(data: Any) -> bool:
    """Whether these are a data frame of pandas or polars."""
    return type(data).__name__ == "DataFrame" and type(data).__module__.partition(".")[0] in ("pandas", "polars")


def to_pandas(data: Any) -> pd.DataFrame:
    """Convert a data frame of pandas or polars to one of pandas whose columns have texts as names.

    Raises
    ------
    DataError
        If two columns have one name, or names have several levels.
    """
    frame: pd.DataFrame = data.to_pandas() if type(data).__module__.startswith("polars") else data
    if frame.columns.nlevels > 1:
        raise DataError("the columns of the data frame have several levels: flatten them to one name each")
    names = list(map(str, frame.columns))
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"the data frame has two columns named {name!r}: rename one")
    return frame.set_axis(names, axis=1)


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write a data frame as Parquet, unless the file has the same content already.

    Cells of several types in one column, which Parquet does not have, are written as text.

    Parameters
    ----------
    frame : DataFrame
        The rows; an index without a name is left out.
    path : Path
        The file.

    Raises
    ------
    DataError
        If a column cannot be written.
    """
    import pyarrow

    writable = frame.copy(deep=False)
    for name in frame.columns[frame.dtypes.map(str) == "object"]:
        try:
            pyarrow.array(frame[name], from_pandas=True)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError):
            writable[name] = frame[name].map(str, na_action="ignore")
    buffer = io.BytesIO()
    try:
        writable.to_parquet(buffer)
    except (pyarrow.ArrowException, ValueError) as error:
        raise DataError(f"the data frame cannot be stored ({' '.join(str(error).split())[:160]})") from error
    content = buffer.getvalue()
    if not path.exists() or path.read_bytes() != content:
        write_atomic(path, content)
