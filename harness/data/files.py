"""Tables in files: CSV as people have it, Parquet, Excel, JSON lines; a user's own file, or folder of images, as a task."""

from __future__ import annotations

import csv
import functools
import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from harness.data.arrow_table import NOTES, arrow_to_pandas, json_batches, read_excel
from harness.data.csv_format import CsvFormat, find_format, open_unpacked
from harness.data.images import load_folder
from harness.data.reader import MISSING_WORDS
from harness.errors import DataError
from harness.findings import Finding
from harness.registry.task import Modality, Raw, Task

if TYPE_CHECKING:
    import pandas as pd

PARQUET_SUFFIXES = (".parquet", ".pq")
EXCEL_SUFFIXES = (".xlsx", ".xlsm")
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
PACKED_SUFFIXES = (".gz", ".zst", ".zip")
PARQUET_MAGIC, OLD_EXCEL_MAGIC = b"PAR1", b"\xd0\xcf\x11\xe0"
FOLDER = "folder"  #: the name of the target of a folder of images: the folders are the classes

FileKind: TypeAlias = Literal["csv", "parquet", "excel", "json"]


def read_table(
    path: Path, *, names_only: bool = False, text: str | None = None, has_header: bool = True
) -> pd.DataFrame:
    """Read a user's table: CSV, Parquet, the first sheet of an Excel file, or JSON lines.

    A CSV may have any usual encoding and separator, and may be packed (gzip, zstandard, zip).

    Parameters
    ----------
    path : Path
        The file.
    names_only : bool, default False
        Read the columns without their rows, which is quick for CSV and Parquet of any size.
    text : str, optional
        A column of a CSV that is read as it is written: "NA" is not missing in it, and "007" is not a number.
    has_header : bool, default True
        Whether the first line of a CSV, or the first row of a sheet, has the names of the columns.

    Returns
    -------
    pandas.DataFrame
        The raw rows. Its attribute `NOTES` has the findings about the file.

    Raises
    ------
    DataError
        If the file does not exist or is not a table.
    """
    try:
        return _read_kind(file_kind(path), path, names_only=names_only, text=text, has_header=has_header)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or _first_words(error)}") from error


def _read_kind(kind: FileKind, path: Path, *, names_only: bool, text: str | None, has_header: bool) -> pd.DataFrame:
    if kind == "parquet":
        return _read_parquet(path, names_only=names_only)
    if kind == "json":
        batches = [frame for frame, _ in json_batches(path)]
        if not batches:
            raise DataError(f"{path} is empty: expected an object per line")
        return batches[0]
    if kind == "excel":
        frame, notes = read_excel(path, has_header=has_header)
    else:
        frame, notes = _read_csv_file(path, names_only=names_only, text=text, has_header=has_header)
    frame.attrs[NOTES] = notes
    return frame


def _read_csv_file(
    path: Path, *, names_only: bool, text: str | None, has_header: bool
) -> tuple[pd.DataFrame, tuple[Finding, ...]]:
    csv_format = find_format(path, has_header=has_header)
    with open_unpacked(path) as (content, _):
        frame = _read_csv(content, csv_format, str(path), rows=0 if names_only else None)
    if (
        text in frame and not names_only
    ):  # words for missing values hold for all columns, so that this one is read again
        with open_unpacked(path) as (content, _):
            columns = _read_csv(content, csv_format, str(path), dtype="str", na_filter=False)
        frame[text] = columns[text]
    return frame, csv_format.notes


def file_kind(path: Path) -> FileKind:
    """Find what kind of table a file is, by its name or else its first bytes; raises `DataError` where it is none.

    Raises
    ------
    DataError
        If there is no such file, or it is known to be no table.
    """
    _check_is_file(path)
    suffix = _suffix(path)
    with path.open("rb") as file:
        magic = file.read(4)
        file.seek(max(0, path.stat().st_size - 4))
        ends_as_parquet = file.read(4) == PARQUET_MAGIC
    if suffix in PARQUET_SUFFIXES or (magic == PARQUET_MAGIC and ends_as_parquet):
        return "parquet"
    if magic == OLD_EXCEL_MAGIC or suffix == ".xls":
        raise DataError(f"{path} is an Excel file of the old kind or protected by a password: save it as .xlsx or CSV")
    if suffix in EXCEL_SUFFIXES or _is_excel(path, magic):
        return "excel"
    if suffix in JSON_SUFFIXES:
        return "json"
    return "csv"


def _check_is_file(path: Path) -> None:
    if not path.exists():
        raise DataError(f"no such file: {path}")
    if not path.is_file():
        raise DataError(f"{path} is a folder: name a CSV or Parquet file")


def _suffix(path: Path) -> str:
    """The last suffix of a file that does not say how it is packed, in lower case."""
    for suffix in reversed(path.suffixes):
        if suffix.lower() not in PACKED_SUFFIXES:
            return suffix.lower()
    return ""


def _is_excel(path: Path, magic: bytes) -> bool:
    """Whether a zip is an Excel file."""
    if magic != b"PK\x03\x04":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except (zipfile.BadZipFile, ValueError):
        return False


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
    return _read_csv(io.BytesIO(source), CsvFormat("utf-8-sig", separator, (), True, 0), what)


def _read_csv(content: Any, csv_format: CsvFormat, what: str, rows: int | None = None, **options: Any) -> pd.DataFrame:
    """Read an unpacked CSV in its format."""
    import pandas as pd

    # In chunks, one column could become half text and half numbers.
    settings: dict[str, Any] = {
        "low_memory": False,
        "keep_default_na": False,
        "na_values": ["", *MISSING_WORDS],
    } | options
    with _csv_errors(what):
        frame: pd.DataFrame = pd.read_csv(content, nrows=rows, **_csv_options(csv_format), **settings)
    return _with_names(frame, csv_format, what)


def _csv_options(csv_format: CsvFormat) -> dict[str, Any]:
    return {
        "sep": csv_format.separator,
        "encoding": csv_format.encoding,
        "header": 0 if csv_format.has_header else None,
        "skiprows": csv_format.skipped_lines,
    }


def read_batches(
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
    kind = file_kind(path)
    if kind == "parquet":
        yield from _parquet_batches(path, rows)
    elif kind == "json":
        yield from json_batches(path, rows)
    elif kind == "excel":
        frame, _ = read_excel(path, has_header=has_header)
        for start in range(0, len(frame), rows):
            batch = frame.iloc[start : start + rows].reset_index(drop=True)
            yield batch, (start + len(batch)) / len(frame)
    else:
        yield from _csv_batches(path, rows, blanks_missing=blanks_missing, has_header=has_header)


def _csv_batches(
    path: Path, rows: int, *, blanks_missing: bool, has_header: bool
) -> Iterator[tuple[pd.DataFrame, float]]:
    import pandas as pd

    csv_format, size = find_format(path, min_columns=1, has_header=has_header), max(path.stat().st_size, 1)
    with open_unpacked(path) as (content, packed), _csv_errors(str(path)):
        reader = pd.read_csv(
            content,
            dtype="str",
            chunksize=rows,
            keep_default_na=False,
            na_values=[""],
            na_filter=blanks_missing,
            **_csv_options(csv_format),
        )
        for frame in reader:
            named = _with_names(frame, csv_format, str(path))
            yield named.reset_index(drop=True), min(1.0, packed.tell() / size)


def _parquet_batches(path: Path, rows: int) -> Iterator[tuple[pd.DataFrame, float]]:
    import pyarrow
    import pyarrow.parquet

    with _parquet_errors(path):
        file = pyarrow.parquet.ParquetFile(path)
        total_rows, read_rows = max(file.metadata.num_rows, 1), 0
        for batch in file.iter_batches(rows):
            frame = arrow_to_pandas(pyarrow.Table.from_batches([batch]), read_rows)
            read_rows += batch.num_rows
            yield frame, read_rows / total_rows


@contextmanager
def _csv_errors(what: str) -> Iterator[None]:
    """Turn errors of parsing a CSV into `DataError`."""
    import pandas as pd

    try:
        yield
    except UnicodeError as error:
        raise DataError(f"{what} is not in one encoding ({_first_words(error)}): save it as UTF-8") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error, MemoryError, ValueError) as error:
        raise DataError(
            f"{what} is not a table that can be read ({_first_words(error)}): expected a CSV with names in its first line"
        ) from error


@contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    """Turn errors of reading a Parquet file into `DataError`."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, ValueError, MemoryError, NotImplementedError) as error:
        raise DataError(f"{path} is not a Parquet file that can be read ({_first_words(error)})") from error


def _first_words(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]


def _with_names(frame: pd.DataFrame, csv_format: CsvFormat, what: str) -> pd.DataFrame:
    """Name the columns as the file does; raises `DataError` where pandas took the first field of rows for their names."""
    import pandas as pd

    if not isinstance(frame.index, pd.RangeIndex) or len(csv_format.names) not in (0, frame.shape[1]):
        raise DataError(f"{what}: its rows have more fields than its first line has names ({frame.shape[1]})")
    return frame.set_axis(list(csv_format.names), axis=1) if csv_format.names else frame


def _read_parquet(path: Path, *, names_only: bool) -> pd.DataFrame:
    import pyarrow.parquet

    with _parquet_errors(path):
        if names_only:
            return arrow_to_pandas(pyarrow.parquet.ParquetFile(path).schema_arrow.empty_table())
        return arrow_to_pandas(pyarrow.parquet.ParquetFile(path).read())


@dataclass(frozen=True)
class UserData:
    """A user's own data as the command line describes them; all fields survive a conversion to JSON.

    Attributes
    ----------
    path : str
        A CSV or Parquet file, or a folder with a folder of images per class.
    target : str
        The column to predict.
    positive : str, optional
        The positive class; the rarer one by default.
    drop : tuple of str
        Columns that are left out.
    group, time : str, optional
        Columns by which rows are split.
    text : str, optional
        The column of texts that is read instead of a table's features.
    name : str, optional
        The name of the task; derived from the file by default.
    has_header : bool
        Whether the first line of a CSV, or the first row of a sheet, has the names of the columns.
    """

    path: str
    target: str
    positive: str | None = None
    drop: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    text: str | None = None
    name: str = ""
    has_header: bool = True

    def task(self) -> Task:
        """Make the task of these data; nothing is read yet."""
        path = Path(self.path).absolute()
        stem, modality = path.stem, "tabular"
        if path.suffix.lower() in PACKED_SUFFIXES:
            stem = Path(stem).stem
        load: Any = functools.partial(_load_rows, path, self.text, self.has_header)
        if path.is_dir():
            stem, load, modality = path.name, functools.partial(_load_images, path), "image"
        elif self.text:
            modality = "text"
        safe_name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_") or "table"
        return Task(
            name=self.name or safe_name,
            load=load,
            target=self.target,
            positive=self.positive,
            title=path.name,
            description="Data of one's own.",
            source=path.name,
            modality=cast("Modality", modality),
            text=self.text,
            banned=dict.fromkeys(self.drop, "as asked"),
            group=self.group,
            time=self.time,
        )


def _load_rows(path: Path, text: str | None, has_header: bool, _data_dir: Path | None) -> Raw:
    return read_table(path, text=text, has_header=has_header)


def _load_images(path: Path, _data_dir: Path | None) -> Raw:
    return load_folder(path)
