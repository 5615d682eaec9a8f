"""Tables in files: CSV with any common separator, and Parquet; a user's own file, or folder of images, as a task."""

from __future__ import annotations

import csv
import functools
import io
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from harness.data.images import load_folder
from harness.data.reader import MISSING_WORDS
from harness.errors import DataError
from harness.registry.task import Modality, Raw, Task

if TYPE_CHECKING:
    import pandas as pd

FIRST_LINE = 1_000_000  #: bytes within which the first line of a CSV must end
SEPARATORS = ",;\t|"
PARQUET_SUFFIXES = (".parquet", ".pq")
FOLDER = "folder"  #: the name of the target of a folder of images: the folders are the classes


def read_table(path: Path, *, names_only: bool = False, text: str | None = None) -> pd.DataFrame:
    """Read a user's CSV (comma, semicolon, tab or bar; UTF-8; names in the first line) or Parquet file.

    Parameters
    ----------
    path : Path
        The file.
    names_only : bool, default False
        Read the columns without their rows, which is quick for any size.
    text : str, optional
        A column of a CSV that is read as it is written: "NA" is not missing in it, and "007" is not a number.

    Returns
    -------
    pandas.DataFrame
        The raw rows.

    Raises
    ------
    DataError
        If the file does not exist or is not a table.
    """
    if not path.exists():
        raise DataError(f"no such file: {path}")
    if not path.is_file():
        raise DataError(f"{path} is a folder: name a CSV or Parquet file")
    try:
        if path.suffix.lower() in PARQUET_SUFFIXES:
            return _read_parquet(path, names_only=names_only)
        return read_csv(path, separator=separator_of(path), what=str(path), rows=0 if names_only else None, text=text)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def read_csv(
    source: Path | bytes, *, separator: str = ",", what: str, rows: int | None = None, text: str | None = None
) -> pd.DataFrame:
    """Read a CSV with names in its first line.

    Parameters
    ----------
    source : Path or bytes
        The file or its content.
    separator : str, default ","
        Separator of its columns.
    what : str
        Name of the source in messages.
    rows : int, optional
        How many rows to read; all by default.
    text : str, optional
        A column that is read as it is written.

    Returns
    -------
    pandas.DataFrame
        The raw rows.

    Raises
    ------
    DataError
        If it is not a CSV.
    """
    import pandas as pd

    def read(**options: Any) -> pd.DataFrame:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        frame: pd.DataFrame = pd.read_csv(file, sep=separator, nrows=rows, encoding="utf-8-sig", **options)
        return frame

    with _csv_errors(what):
        # In chunks, one column could become half text and half numbers.
        frame = read(low_memory=False, keep_default_na=False, na_values=["", *MISSING_WORDS])
        if text in frame:  # words for missing values hold for all columns, so that this one is read again
            frame[text] = read(usecols=[text], dtype="str", na_filter=False)[text]
    _check_fields(frame, what)
    return frame


def read_batches(path: Path, rows: int, *, blanks_missing: bool = True) -> Iterator[tuple[pd.DataFrame, float]]:
    """Read a file of new rows in batches, so that memory does not grow with the file.

    Cells of a CSV stay as they are written: training, not these rows, decides how a value is to be understood.

    Parameters
    ----------
    path : Path
        A CSV or Parquet file.
    rows : int
        Rows per batch.
    blanks_missing : bool, default True
        Whether empty cells of a CSV are missing; they are empty texts otherwise.

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
    if path.suffix.lower() in PARQUET_SUFFIXES:
        yield from _parquet_batches(path, rows)
    else:
        yield from _csv_batches(path, rows, blanks_missing=blanks_missing)


def _csv_batches(path: Path, rows: int, *, blanks_missing: bool) -> Iterator[tuple[pd.DataFrame, float]]:
    import pandas as pd

    separator, size = separator_of(path, min_columns=1), max(path.stat().st_size, 1)
    with path.open("rb") as file, _csv_errors(str(path)):
        reader = pd.read_csv(
            file,
            sep=separator,
            dtype="str",
            encoding="utf-8-sig",
            chunksize=rows,
            keep_default_na=False,
            na_values=[""],
            na_filter=blanks_missing,
        )
        for frame in reader:
            _check_fields(frame, str(path))
            yield frame.reset_index(drop=True), min(1.0, file.tell() / size)


def _parquet_batches(path: Path, rows: int) -> Iterator[tuple[pd.DataFrame, float]]:
    import pyarrow.parquet

    with _parquet_errors(path):
        file = pyarrow.parquet.ParquetFile(path)
        total_rows, read_rows = max(file.metadata.num_rows, 1), 0
        for batch in file.iter_batches(rows):
            read_rows += batch.num_rows
            yield without_index(batch.to_pandas()), read_rows / total_rows


@contextmanager
def _csv_errors(what: str) -> Iterator[None]:
    """Turn errors of parsing a CSV into `DataError`."""
    import pandas as pd

    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(f"{what} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error, MemoryError) as error:
        raise DataError(
            f"{what} is not a table that can be read ({_first_words(error)}): expected a CSV with names in its first line"
        ) from error


@contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    """Turn errors of reading a Parquet file into `DataError`."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, ValueError, MemoryError) as error:
        raise DataError(f"{path} is not a Parquet file that can be read ({_first_words(error)})") from error


def _first_words(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]


def _check_fields(frame: pd.DataFrame, what: str) -> None:
    """Raise `DataError` where pandas took the first field of every row for a name of the row."""
    import pandas as pd

    if not isinstance(frame.index, pd.RangeIndex):
        raise DataError(f"{what}: its rows have more fields than its first line has names ({frame.shape[1]})")


def separator_of(path: Path, min_columns: int = 2) -> str:
    """Determine the separator of a CSV from its first line.

    Parameters
    ----------
    path : Path
        The file.
    min_columns : int, default 2
        The smallest number of columns.

    Returns
    -------
    str
        One of `SEPARATORS`.

    Raises
    ------
    DataError
        If the file is not a CSV, has fewer columns, or two columns with one name.
    """
    with path.open("rb") as file:
        return _separator(file.readline(FIRST_LINE), str(path), min_columns)


def _separator(line: bytes, what: str, min_columns: int) -> str:
    """Determine the separator from the first line; errors that a whole read would find late are raised here."""
    if not line.strip():
        raise DataError(f"{what} is empty, or its first line is: expected a CSV with names in its first line")
    if len(line) >= FIRST_LINE:
        raise DataError(
            f"{what}: its first line is longer than {FIRST_LINE // 1_000_000} MB: expected a CSV with names in it"
        )
    if b"\0" in line:
        raise DataError(f"{what} is not a text file: expected a CSV in UTF-8, or a file that ends in .parquet")
    try:
        text = line.decode("utf-8-sig").replace("\r", "\n").split("\n")[0]
    except UnicodeDecodeError as error:
        raise DataError(f"{what} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    separator = max(SEPARATORS, key=text.count)
    names = next(csv.reader([text], delimiter=separator))
    if len(names) < min_columns:
        raise DataError(
            f"{what} has one column only: a target and at least one feature are needed (separators: , ; tab |)"
        )
    duplicates = [name for name, count in Counter(names).items() if count > 1]
    if duplicates:
        raise DataError(f"{what} has two columns named {duplicates[0]!r}: rename one")
    return separator


def _read_parquet(path: Path, *, names_only: bool) -> pd.DataFrame:
    import pandas as pd
    import pyarrow.parquet

    with _parquet_errors(path):
        if names_only:
            return without_index(pyarrow.parquet.read_schema(path).empty_table().to_pandas())
        return without_index(pd.read_parquet(path))


def without_index(frame: pd.DataFrame) -> pd.DataFrame:
    """Number the rows from 0; a named index becomes a column again."""
    return frame.reset_index(drop=frame.index.names == [None])


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
    """

    path: str
    target: str
    positive: str | None = None
    drop: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    text: str | None = None
    name: str = ""

    def task(self) -> Task:
        """Make the task of these data; nothing is read yet."""
        path = Path(self.path).absolute()
        stem, load, modality = path.stem, functools.partial(_load_rows, path, self.text), "tabular"
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


def _load_rows(path: Path, text: str | None, _data_dir: Path | None) -> Raw:
    return read_table(path, text=text)


def _load_images(path: Path, _data_dir: Path | None) -> Raw:
    return load_folder(path)
