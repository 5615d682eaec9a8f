"""Tables that are typed already, as pandas: Parquet of any Arrow type, JSON lines, sheets of Excel, and data frames."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.data.csv_format import MAX_COLUMNS, NO_NAME, check_column_names, name_column, numbered_column_names
from harness.data.packed_files import open_unpacked
from harness.data.reader import cell_to_text
from harness.data.title_lines import count_titles, title_findings
from harness.errors import DataError, MissingPackageError
from harness.findings import Finding

if TYPE_CHECKING:
    import pandas as pd

NOTES_ATTRIBUTE = (
    "evenhand_notes"  #: the attribute of a raw data frame that holds what was noticed while its file was read
)
#: Names of the column in which pandas writes the index of a data frame.
UNNAMED_COLUMN_PATTERN = re.compile(rf"{re.escape(NO_NAME)}|Unnamed: ?\d+(\.\d+)?")
MAX_HEAD_ROWS = 50  #: of a sheet, among which titles are looked for
MAX_JSON_LINE = 16_000_000  #: bytes
EXACT_DIGITS = 15  #: digits that every float has
TICKS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
MIN_SECONDS, MAX_SECONDS = -62_135_596_800, 253_402_300_800  #: the years 1 to 9999, since 1970
SAFE_INTEGER = 2**53  #: larger whole numbers are not exact as floats


def arrow_to_pandas(table: Any, first_row: int = 0) -> pd.DataFrame:
    """Convert an Arrow table to a data frame whose values are exact; what pandas says of itself in the file is not used.

    Whole numbers with missing values stay whole, dictionaries are categories, decimals with few digits are floats and
    others texts. The index of a data frame is a column, unless it has no name.

    Parameters
    ----------
    table : pyarrow.Table
        The rows.
    first_row : int, default 0
        Position of its first row in the file.

    Returns
    -------
    DataFrame
        The rows, without types of Arrow.
    """
    import pandas as pd

    names = list(map(str, table.column_names))
    check_column_names([name for name in names if name.strip()], "the table")
    columns = {}
    for name, column in zip(names, table.columns, strict=True):
        if not name.startswith("__index_level_"):
            columns[name_column(name)] = _arrow_to_series(column)
    range_columns = _named_range_indices(table, first_row)
    columns = {name: range_numbers for name, range_numbers in range_columns.items() if name not in columns} | columns
    first_names = [
        name for name in _stored_index_names(table) if name in columns
    ]  # pandas writes them after the columns
    column_order = [*first_names, *(name for name in columns if name not in first_names)]
    return pd.DataFrame({name: columns[name] for name in column_order}, index=pd.RangeIndex(table.num_rows))


def _stored_index_names(table: Any) -> list[str]:
    """Names of the columns that were the index of a data frame."""
    try:
        return [name for name in table.schema.pandas_metadata["index_columns"] if isinstance(name, str)]
    except (AttributeError, KeyError, TypeError, ValueError):  # none, or broken: the order is that of the file
        return []


def _named_range_indices(table: Any, first_row: int) -> dict[str, pd.Series]:
    """Columns of indices with a name that number the rows, which pandas writes as their limits only."""
    import pandas as pd

    range_columns: dict[str, pd.Series] = {}
    try:
        for index in table.schema.pandas_metadata["index_columns"]:
            if isinstance(index, dict) and index["kind"] == "range" and index["name"] is not None:
                range_start = index["start"] + first_row * index["step"]
                range_stop = range_start + table.num_rows * index["step"]
                range_columns[str(index["name"])] = pd.Series(
                    range(range_start, range_stop, index["step"]), dtype="int64"
                )
    except (
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        OverflowError,
    ):  # none, or broken: the rows are there all the same
        return {}
    return range_columns


def convert_arrow_types(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert the columns of a data frame that have Arrow's types; the others are unchanged."""
    import pandas as pd
    import pyarrow

    converted_columns = {}
    for position, dtype in enumerate(frame.dtypes):
        if isinstance(dtype, pd.ArrowDtype):
            column = pyarrow.chunked_array(frame.iloc[:, position].array.__arrow_array__())
            converted_columns[frame.columns[position]] = _arrow_to_series(column).set_axis(frame.index)
    return frame.assign(**converted_columns) if converted_columns else frame


def _arrow_to_series(column: Any) -> pd.Series:
    """Convert a column of any Arrow type."""
    import pandas as pd
    import pyarrow

    try:
        column = _cast_to_plain_type(column)
        arrow_type = column.type
        if pyarrow.types.is_integer(arrow_type) and column.null_count:
            dtype = "UInt64" if pyarrow.types.is_unsigned_integer(arrow_type) else "Int64"
            return pd.Series(pd.array(column.to_pylist(), dtype=dtype))
        return pd.Series(column.to_pandas(date_as_object=False)).reset_index(drop=True)
    except (pyarrow.ArrowException, NotImplementedError, TypeError, ValueError, OverflowError):
        return pd.Series(column.to_pylist(), dtype=object)


def _cast_to_plain_type(column: Any) -> Any:
    """Cast types that pandas does not have."""
    import pyarrow
    import pyarrow.compute

    arrow_types = pyarrow.types
    if isinstance(column.type, pyarrow.BaseExtensionType):
        column = column.cast(column.type.storage_type)
    if arrow_types.is_run_end_encoded(column.type):
        column = pyarrow.chunked_array(list(map(pyarrow.compute.run_end_decode, column.chunks)))
    arrow_type = column.type
    if arrow_types.is_dictionary(arrow_type) and not _is_text_type(arrow_type.value_type):
        return _cast_to_plain_type(column.cast(arrow_type.value_type))
    for is_type, convert_column in _CONVERSIONS:
        if getattr(arrow_types, is_type)(arrow_type):
            return convert_column(column)
    return column


def _convert_decimals(column: Any) -> Any:
    """Convert decimals to floats, or to texts where they have more digits than floats."""
    import pyarrow

    return column.cast(pyarrow.float64() if column.type.precision <= EXACT_DIGITS else pyarrow.string())


def _cast_to_string(column: Any) -> Any:
    import pyarrow

    return column.cast(pyarrow.string())


def _decode_bytes(column: Any) -> Any:
    """Convert bytes to text, each value by itself, so that it does not depend on the others."""
    import pyarrow

    try:
        return column.cast(pyarrow.string())
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
        texts = []
        for cell in column.to_pylist():
            texts.append(None if cell is None else cell_to_text(cell))
        return pyarrow.chunked_array([texts], pyarrow.string())


def _is_text_type(arrow_type: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_string(arrow_type) or pyarrow.types.is_large_string(arrow_type))


def _drop_unusual_years(column: Any) -> Any:
    """Make moments outside the years 1 to 9999, which no calendar of pandas or Python has, missing values."""
    import pyarrow
    from pyarrow import compute

    if column.type.unit == "ns":
        return column
    ticks_per_second = TICKS_PER_SECOND[column.type.unit]
    lowest_timestamp = pyarrow.scalar(MIN_SECONDS * ticks_per_second, pyarrow.int64())
    highest_timestamp = pyarrow.scalar(MAX_SECONDS * ticks_per_second, pyarrow.int64())
    ticks = column.cast(pyarrow.int64())
    is_usual = compute.and_(compute.greater_equal(ticks, lowest_timestamp), compute.less(ticks, highest_timestamp))
    return compute.if_else(is_usual, column, pyarrow.scalar(None, column.type))


#: Test of `pyarrow.types` → conversion of the columns that it is true of.
_CONVERSIONS: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("is_decimal", _convert_decimals),
    ("is_string_view", _cast_to_string),
    ("is_binary", _decode_bytes),
    ("is_large_binary", _decode_bytes),
    ("is_binary_view", _decode_bytes),
    ("is_fixed_size_binary", _decode_bytes),
    ("is_timestamp", _drop_unusual_years),
    ("is_time", _cast_to_string),
)


def cells_to_series(cells: list[Any]) -> pd.Series:
    """Convert values of JSON or of a sheet to a column: whole numbers stay whole, and cells of several types texts."""
    import pandas as pd

    column = pd.Series(cells, dtype=object)
    known_cells = column.dropna()
    cell_types = set(map(type, known_cells))
    if cell_types == {int}:
        try:
            if len(known_cells) == len(column):
                return column.astype("int64")
            return pd.Series(pd.array(column.where(column.notna(), None).tolist(), dtype="Int64"))
        except (OverflowError, TypeError, ValueError):  # beyond 64 bits
            return column
    if cell_types == {int, float} and max(map(abs, known_cells)) >= SAFE_INTEGER:
        return column
    if cell_types and cell_types <= {int, float}:
        return column.astype("float64")
    return column.infer_objects()


def check_scalar_cells(column: pd.Series) -> None:
    """Raise `DataError` for a column of lists or records, of which no model of tables can read anything."""
    if column.dtype != object:
        return
    for cell in column:
        if isinstance(cell, (list, tuple, set, dict, np.ndarray)):
            raise DataError(
                f"column {column.name!r} holds lists or records, such as {str(cell)[:40]}: make a column of each part, or leave "
                f"it out (--drop {column.name})"
            )


def is_row_number_index(name: str, values: pd.Series) -> bool:
    """Whether a column without a name numbers the rows, perhaps of a larger table: whole numbers that all differ."""
    if not UNNAMED_COLUMN_PATTERN.fullmatch(name) or values.dtype != np.float64 or not values.is_unique:
        return False
    return bool((values >= 0).all() and (values % 1 == 0).all())


def read_json_batches(path: Path, rows: int | None = None) -> Iterator[tuple[pd.DataFrame, float]]:
    """Read JSON lines, an object per line, or one list of objects, in batches; all rows at once where `rows` is None."""
    size = max(path.stat().st_size, 1)
    with open_unpacked(path) as (decompressed_file, compressed_file):
        records = _read_json_records(decompressed_file, path)
        while batch := list(islice(records, rows)):
            yield _json_records_to_frame(batch, path), min(1.0, compressed_file.tell() / size)


def _read_json_records(decompressed_file: Any, path: Path) -> Iterator[dict[str, Any]]:
    first_byte = decompressed_file.read(1)
    while first_byte.isspace():
        first_byte = decompressed_file.read(1)
    if first_byte == b"[":
        yield from _check_json_records(_parse_json(first_byte + decompressed_file.read(), path), path)
        return
    line_number, line = 1, first_byte + decompressed_file.readline(MAX_JSON_LINE)
    while line:
        if len(line) >= MAX_JSON_LINE:
            raise DataError(f"{path}, line {line_number}: longer than {MAX_JSON_LINE // 1_000_000} MB")
        if line.strip():
            yield from _check_json_records([_parse_json(line, path, f", line {line_number}")], path)
        line_number, line = line_number + 1, decompressed_file.readline(MAX_JSON_LINE)


def _parse_json(text: bytes, path: Path, position: str = "") -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        message = " ".join(str(error).split())[:160]
        raise DataError(
            f"{path}{position}: no JSON that can be read ({message}): expected an object per line"
        ) from error


def _check_json_records(records: Any, path: Path) -> Iterator[dict[str, Any]]:
    for record in records:
        if not isinstance(record, dict):
            raise DataError(
                f"{path} holds {type(record).__name__} {str(record)[:40]!r} where an object of columns is expected"
            )
        yield record


def _json_records_to_frame(records: list[dict[str, Any]], path: Path) -> pd.DataFrame:
    import pandas as pd

    names: dict[str, None] = {}
    for record in records:
        names.update(dict.fromkeys(record))
        if len(names) > MAX_COLUMNS:
            raise DataError(f"{path} has more than {MAX_COLUMNS:,} columns: its rows have other keys each")
    columns = {}
    for name in names:
        cells = [record.get(name) for record in records]
        columns[name_column(name)] = cells_to_series(cells)
    return pd.DataFrame(columns, index=pd.RangeIndex(len(records)))


def read_excel(path: Path, *, has_header: bool = True) -> tuple[pd.DataFrame, tuple[Finding, ...]]:
    """Read the first sheet of an Excel file.

    Parameters
    ----------
    path : Path
        A file in the format of Excel 2007 and later.
    has_header : bool, default True
        Whether its first row has the names of the columns.

    Returns
    -------
    frame : DataFrame
        The rows.
    notes : tuple of Finding
        Says which sheet was read, where there are several.

    Raises
    ------
    DataError
        If it cannot be read.
    MissingPackageError
        If openpyxl is not installed.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise MissingPackageError("Excel files need openpyxl: python -m pip install openpyxl") from error
    try:
        excel_workbook = openpyxl.load_workbook(io.BytesIO(path.read_bytes()), read_only=True, data_only=True)
        first_sheet = excel_workbook.worksheets[0]
        first_sheet.reset_dimensions()  # what the file says of its size may be wrong
        rows = [list(row) for row in first_sheet.iter_rows(values_only=True)]
    except MemoryError as error:
        raise DataError(f"{path} is too large for an Excel file: save it as CSV") from error
    except Exception as error:  # openpyxl raises almost anything for a damaged file
        message = " ".join(str(error).split())[:160]
        raise DataError(f"{path} is not an Excel file that can be read ({type(error).__name__}: {message})") from error
    reading_notes: tuple[Finding, ...] = ()
    if len(excel_workbook.sheetnames) > 1:
        message = (
            f"only the first of {len(excel_workbook.sheetnames)} sheets was read, {excel_workbook.sheetnames[0]!r}"
        )
        reading_notes = (Finding("first_sheet", "note", message),)
    filled = [row for row in rows if any(cell is not None for cell in row)]
    titles = _sheet_titles(filled[:MAX_HEAD_ROWS]) if has_header else []
    return _sheet_to_frame(filled[len(titles) :], path, has_header), (*reading_notes, *title_findings(titles))


def _sheet_titles(rows: list[list[Any]]) -> list[str]:
    """The titles above the names of the columns, in the first rows of a sheet; columns at its end that no row uses are left out."""
    width = 1
    for row in rows:
        width = max(width, 1 + max(position for position, cell in enumerate(row) if cell is not None))
    n_titles = count_titles([(row + [None] * width)[:width] for row in rows])
    return [str(row[0]) for row in rows[:n_titles]]


def _sheet_to_frame(rows: list[list[Any]], path: Path, has_header: bool) -> pd.DataFrame:
    """Make a table of the rows of a sheet, without empty columns at its end."""
    import pandas as pd

    cells = pd.DataFrame(rows, dtype=object)
    if cells.empty:
        raise DataError(f"{path} is empty: expected names in the first row of its first sheet")
    used_columns = int(np.flatnonzero(cells.notna().any())[-1]) + 1
    names = list(numbered_column_names(used_columns))
    if has_header:
        names = list(map(str, cells.iloc[0, :used_columns].where(cells.iloc[0, :used_columns].notna(), "")))
        cells = cells.iloc[1:]
    check_column_names(names, str(path))
    columns = {}
    for position, name in enumerate(names):
        columns[name_column(name)] = cells_to_series(cells[position].tolist())
    return pd.DataFrame(columns, index=pd.RangeIndex(len(cells)))
