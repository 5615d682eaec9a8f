"""Tables in files: CSV as people have it, Parquet, Excel, JSON lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.arrow_table import NOTES_ATTRIBUTE, arrow_to_pandas, read_excel, read_json_batches
from harness.data.csv_format import CsvFormat, detect_csv_format
from harness.data.file_kinds import FileKind, detect_file_kind
from harness.data.packed_files import open_unpacked
from harness.data.written_columns import columns_that_lose_digits
from harness.errors import DataError
from harness.findings import Finding
from harness.readings import MISSING_WORDS

if TYPE_CHECKING:
    import pandas as pd

CODE_ROWS = 10_000  #: rows among which codes with leading zeros are looked for


def read_table(
    path: Path, *, names_only: bool = False, written: Collection[str] = (), has_header: bool = True
) -> pd.DataFrame:
    """Read a user's table: CSV, Parquet, the first sheet of an Excel file, or JSON lines.

    A CSV may have any usual encoding and separator, and may be packed (gzip, zstandard, zip).

    Parameters
    ----------
    path : Path
        The file.
    names_only : bool, default False
        Read the columns without their rows, which is quick for CSV and Parquet of any size.
    written : collection of str, default ()
        Columns of a CSV that are read as they are written: "NA" is not missing in them, and "7.0" is not the number 7.
    has_header : bool, default True
        Whether the first line of a CSV, or the first row of a sheet, has the names of the columns.

    Returns
    -------
    pandas.DataFrame
        The raw rows. Its attribute `NOTES_ATTRIBUTE` has the findings about the file.

    Raises
    ------
    DataError
        If the file does not exist or is not a table.
    """
    try:
        return _read_file_of_kind(
            detect_file_kind(path), path, names_only=names_only, written_columns=written, has_header=has_header
        )
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or _shorten_error_message(error)}") from error


def _read_file_of_kind(
    file_kind: FileKind, path: Path, *, names_only: bool, written_columns: Collection[str], has_header: bool
) -> pd.DataFrame:
    if file_kind == "parquet":
        return _read_parquet(path, names_only=names_only)
    if file_kind == "json":
        batches = [frame for frame, _ in read_json_batches(path)]
        if not batches:
            raise DataError(f"{path} is empty: expected an object per line")
        return batches[0]
    if file_kind == "excel":
        frame, reading_notes = read_excel(path, has_header=has_header)
    else:
        frame, reading_notes = _read_csv_file(
            path, names_only=names_only, written_columns=written_columns, has_header=has_header
        )
    frame.attrs[NOTES_ATTRIBUTE] = reading_notes
    return frame


def _read_csv_file(
    path: Path, *, names_only: bool, written_columns: Collection[str], has_header: bool
) -> tuple[pd.DataFrame, tuple[Finding, ...]]:
    import pandas as pd

    csv_format = detect_csv_format(path, has_header=has_header)
    with open_unpacked(path) as (decompressed_file, _):
        frame = _read_unpacked_csv(decompressed_file, csv_format, str(path), rows=0 if names_only else None)
    if names_only:
        return frame, csv_format.notes
    with open_unpacked(path) as (decompressed_file, _):
        beginning_rows = _read_unpacked_csv(
            decompressed_file, csv_format, str(path), CODE_ROWS, dtype="str", na_filter=False
        )
    names = [name for name in frame.columns if name in written_columns] + columns_that_lose_digits(
        frame, beginning_rows
    )
    if names:  # words for missing values hold for all columns, so that these are read again
        positions = [position for position, name in enumerate(frame.columns.tolist()) if name in names]
        with open_unpacked(path) as (decompressed_file, _), _translate_csv_errors(str(path)):
            options = _pandas_csv_options(csv_format) | {"usecols": positions, "low_memory": False}
            columns = pd.read_csv(decompressed_file, dtype="str", na_filter=False, **options)
        for column_number, position in enumerate(positions):
            frame[frame.columns[position]] = columns.iloc[:, column_number]
    return frame, csv_format.notes


def read_csv(source: bytes, *, separator: str = ",", what: str) -> pd.DataFrame:
    """Read a CSV in UTF-8 with names in its first line.

    Parameters
    ----------
    source : bytes
        Its content.
    separator : str, default ","
        Separator of its columns.
    what : str
        Name of the source in messages.

    Returns
    -------
    pandas.DataFrame
        The raw rows.

    Raises
    ------
    DataError
        If it is not a CSV.
    """
    return _read_unpacked_csv(io.BytesIO(source), CsvFormat("utf-8-sig", separator, (), True, 0), what)


def _read_unpacked_csv(
    decompressed_file: Any, csv_format: CsvFormat, source_description: str, rows: int | None = None, **options: Any
) -> pd.DataFrame:
    """Read an unpacked CSV in its format."""
    import pandas as pd

    # In chunks, one column could become half text and half numbers.
    settings: dict[str, Any] = {
        "low_memory": False,
        "keep_default_na": False,
        "na_values": ["", *MISSING_WORDS],
    } | options
    with _translate_csv_errors(source_description):
        frame: pd.DataFrame = pd.read_csv(decompressed_file, nrows=rows, **_pandas_csv_options(csv_format), **settings)
    return _set_column_names(frame, csv_format, source_description)


def _pandas_csv_options(csv_format: CsvFormat) -> dict[str, Any]:
    return {
        "sep": csv_format.separator,
        "encoding": csv_format.encoding,
        "header": 0 if csv_format.has_header else None,
        "skiprows": csv_format.skipped_lines,
    }


def read_row_batches(
    path: Path, rows: int, *, blanks_missing: bool = True, has_header: bool = True
) -> Iterator[tuple[pd.DataFrame, float]]:
    """Read a file of new rows in batches, so that memory does not grow with the file.

    Cells of a CSV stay as they are written: training, not these rows, decides how a value is to be understood.

    Parameters
    ----------
    path : Path
        A file that `read_table` reads.
    rows : int
        Rows per batch.
    blanks_missing : bool, default True
        Whether empty cells of a CSV are missing; they are empty texts otherwise.
    has_header : bool, default True
        Whether the first line of a CSV, or the first row of a sheet, has the names of the columns.

    Yields
    ------
    frame : DataFrame
        The raw rows.
    share : float
        How much of the file was read, 0 to 1.

    Raises
    ------
    DataError
        If it is not a table.
    """
    file_kind = detect_file_kind(path)
    if file_kind == "parquet":
        yield from _read_parquet_batches(path, rows)
    elif file_kind == "json":
        yield from read_json_batches(path, rows)
    elif file_kind == "excel":
        frame, _ = read_excel(path, has_header=has_header)
        for first_row in range(0, len(frame), rows):
            batch = frame.iloc[first_row : first_row + rows].reset_index(drop=True)
            yield batch, (first_row + len(batch)) / len(frame)
    else:
        yield from _read_csv_batches(path, rows, blanks_missing=blanks_missing, has_header=has_header)


def _read_csv_batches(
    path: Path, rows: int, *, blanks_missing: bool, has_header: bool
) -> Iterator[tuple[pd.DataFrame, float]]:
    import pandas as pd

    csv_format, size = detect_csv_format(path, min_columns=1, has_header=has_header), max(path.stat().st_size, 1)
    with open_unpacked(path) as (decompressed_file, compressed_file), _translate_csv_errors(str(path)):
        reader = pd.read_csv(
            decompressed_file,
            dtype="str",
            chunksize=rows,
            keep_default_na=False,
            na_values=[""],
            na_filter=blanks_missing,
            **_pandas_csv_options(csv_format),
        )
        for frame in reader:
            named_frame = _set_column_names(frame, csv_format, str(path))
            yield named_frame.reset_index(drop=True), min(1.0, compressed_file.tell() / size)


def _read_parquet_batches(path: Path, rows: int) -> Iterator[tuple[pd.DataFrame, float]]:
    import pyarrow
    import pyarrow.parquet

    with _translate_parquet_errors(path):
        file = pyarrow.parquet.ParquetFile(path)
        total_rows, read_rows = max(file.metadata.num_rows, 1), 0
        for batch in file.iter_batches(rows):
            frame = arrow_to_pandas(pyarrow.Table.from_batches([batch]), read_rows)
            read_rows += batch.num_rows
            yield frame, read_rows / total_rows


@contextmanager
def _translate_csv_errors(what: str) -> Iterator[None]:
    """Turn errors of parsing a CSV into `DataError`."""
    import pandas as pd

    try:
        yield
    except UnicodeError as error:
        raise DataError(f"{what} is not in one encoding ({_shorten_error_message(error)}): save it as UTF-8") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error, MemoryError, ValueError) as error:
        raise DataError(
            f"{what} is not a table that can be read ({_shorten_error_message(error)}): expected a CSV with names in its first line"
        ) from error


@contextmanager
def _translate_parquet_errors(path: Path) -> Iterator[None]:
    """Turn errors of reading a Parquet file into `DataError`."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, ValueError, MemoryError, NotImplementedError) as error:
        raise DataError(f"{path} is not a Parquet file that can be read ({_shorten_error_message(error)})") from error


def _shorten_error_message(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]


def _set_column_names(frame: pd.DataFrame, csv_format: CsvFormat, source_description: str) -> pd.DataFrame:
    """Name the columns as the file does; raises `DataError` where pandas took the first field of rows for their names."""
    import pandas as pd

    if not isinstance(frame.index, pd.RangeIndex) or len(csv_format.names) not in (0, frame.shape[1]):
        raise DataError(
            f"{source_description}: its rows have more fields than its first line has names ({frame.shape[1]})"
        )
    return frame.set_axis(list(csv_format.names), axis=1) if csv_format.names else frame


def _read_parquet(path: Path, *, names_only: bool) -> pd.DataFrame:
    import pyarrow.parquet

    with _translate_parquet_errors(path):
        if names_only:
            return arrow_to_pandas(pyarrow.parquet.ParquetFile(path).schema_arrow.empty_table())
        return arrow_to_pandas(pyarrow.parquet.ParquetFile(path).read())
