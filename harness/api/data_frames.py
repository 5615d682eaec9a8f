"""Data frames that are given to a benchmark: recognised, turned into frames of pandas, checked cell by cell, stored."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.arrow_table import arrow_to_pandas, convert_arrow_types
from harness.errors import DataError
from harness.store.files import write_atomic

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

#: Types of cells that cannot be read as a number, text or date.
CONTAINERS = (set, frozenset, list, tuple, dict, bytearray)


def is_data_frame(data: Any) -> bool:
    """Whether these are a data frame of pandas or polars."""
    return type(data).__name__ == "DataFrame" and type(data).__module__.partition(".")[0] in ("pandas", "polars")


def convert_to_pandas(data: Any) -> pd.DataFrame:
    """Convert a data frame of pandas or polars to one of pandas whose columns have texts as names.

    An index with a name becomes a column, as in a file; one without a name is left out.

    Raises
    ------
    DataError
        If two columns have one name, or names have several levels.
    """
    frame: pd.DataFrame = data
    if type(data).__module__.startswith("polars"):
        frame = arrow_to_pandas(_polars_to_arrow(data))
    if frame.columns.nlevels > 1:
        raise DataError("the columns of the data frame have several levels: flatten them to one name each")
    index_names = [str(name) for name in frame.index.names if name is not None]
    names = [*index_names, *map(str, frame.columns)]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"the data frame has two columns named {name!r}, counting its index: rename one")
    if index_names:
        return convert_arrow_types(frame.reset_index().set_axis(names, axis=1))
    return convert_arrow_types(frame.set_axis(names, axis=1))


def _polars_to_arrow(data: Any) -> pyarrow.Table:
    """Convert a data frame of polars; raises `DataError` where it has a type that Arrow does not have, such as Int128."""
    from pyarrow import ArrowException

    try:
        table: pyarrow.Table = data.to_arrow()
    except ArrowException as error:
        types = ", ".join(sorted(set(map(str, data.dtypes))))
        raise DataError(
            f"the data frame of polars cannot be converted (its types: {types}): cast the unusual ones"
        ) from error
    return table


def refuse_object_cells(frame: pd.DataFrame, ignored: Collection[str]) -> pd.DataFrame:
    """Refuse columns whose cells are containers or objects without a text of their own.

    The text of a set depends on the process, that of an object on its address, and that of a long list is shortened.

    Parameters
    ----------
    frame : DataFrame
        The rows.
    ignored : collection of str
        Columns that are left out of the run.

    Returns
    -------
    DataFrame
        The same rows; ignored columns with such cells are empty.

    Raises
    ------
    DataError
        If another column has such a cell; the message names the column, the row and the type.
    """
    checked_frame = frame
    for position, name in enumerate(frame.columns):
        column = frame.iloc[:, position]
        if not _may_hold_any_type(column.dtype):
            continue
        types = list(map(type, column))
        unreadable = [kind for kind in dict.fromkeys(types) if not _has_reproducible_text(kind)]
        if unreadable and name in ignored:
            checked_frame = checked_frame.assign(**{name: None})
        elif unreadable:
            raise DataError(
                f"column {name!r} holds a {unreadable[0].__name__} in row {types.index(unreadable[0])} (from 0), which is neither "
                "number, text nor date: make columns of its parts, or drop it"
            )
    return checked_frame


def _may_hold_any_type(dtype: Any) -> bool:
    """Whether cells of a column may be of any type."""
    categories = getattr(dtype, "categories", None)
    if categories is not None:
        return str(getattr(categories, "dtype", "")) == "object"
    return str(dtype) == "object" or str(dtype).startswith(("list", "struct", "map", "large_list", "fixed_size_list"))


def _has_reproducible_text(cell_type: type) -> bool:
    """Whether the text of a cell of this type is the same in every process."""
    if issubclass(cell_type, CONTAINERS) or cell_type.__name__ in ("ndarray", "Series", "DataFrame"):
        return False
    return cell_type.__str__ is not object.__str__ or cell_type.__repr__ is not object.__repr__


def store_data_frame(frame: pd.DataFrame, folder: Path, name: str) -> Path:
    """Store a data frame as Parquet below a name that depends on its content, so that no stored rows are replaced.

    Cells of several types in one column, which Parquet does not have, are written as text.

    Parameters
    ----------
    frame : DataFrame
        The rows.
    folder : Path
        The folder; it is made.
    name : str
        The beginning of the name of the file.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    DataError
        If a column cannot be written.
    """
    import pyarrow

    writable_frame = frame.copy(deep=False)
    writable_frame.attrs = {}
    for column in frame.columns[frame.dtypes.map(str) == "object"]:
        try:
            pyarrow.array(frame[column], from_pandas=True)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError, OverflowError):
            writable_frame[column] = frame[column].map(str, na_action="ignore")
    buffer = io.BytesIO()
    try:
        writable_frame.to_parquet(buffer)
    except (pyarrow.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"the data frame cannot be stored ({' '.join(str(error).split())[:160]})") from error
    file_bytes = buffer.getvalue()
    path = folder / f"{name}.{hashlib.sha256(file_bytes).hexdigest()[:12]}.parquet"
    if not path.exists():
        write_atomic(path, file_bytes)
    return path
