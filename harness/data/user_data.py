"""A user's own file, with or without a test file, or folder of images, as a task."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from harness.data.arrow_table import NOTES_ATTRIBUTE
from harness.data.file_kinds import PACKED_SUFFIXES
from harness.data.files import read_table
from harness.data.images import load_folder
from harness.errors import DataError
from harness.findings import Finding
from harness.registry.registry import suggest_similar_name
from harness.registry.task import Modality, Raw, Task

if TYPE_CHECKING:
    import pandas as pd

FOLDER_TARGET = "folder"  #: the name of the target of a folder of images: the folders are the classes
#: The column that says from which of two files a row is.
FILE_SPLIT = "train or test"
#: Fields that versions without them do not know; a description leaves them out where they are not used.
LATER_FIELDS = ("test_path", "split", "weights", "ids", "title", "costs", "costs_by_class", "origin")


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
    types : mapping of str to str
        Column → its declared type.
    drop_missing_target : bool, default False
        Whether rows without a label are left out.
    test_path : str, optional
        A file with the columns of `path` whose rows are tested, and no others.
    split : str, optional
        Column that says which rows are tested: train and test, or numbers of folds.
    weights : str, optional
        Column of row weights.
    ids : tuple of str
        Columns that name a row.
    title : str, optional
        Title of the task; the name of the file by default.
    costs : tuple of tuple of float, optional
        ``costs[true][predicted]``, classes in order.
    costs_by_class : mapping of str to mapping of str to float
        Costs by the names of the classes, instead of `costs`.
    origin : mapping of str to str
        Of fetched data, title, description, source, licence and citation.
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
    types: Mapping[str, str] = field(default_factory=dict)
    drop_missing_target: bool = False
    test_path: str | None = None
    split: str | None = None
    weights: str | None = None
    ids: tuple[str, ...] = ()
    title: str = ""
    costs: tuple[tuple[float, ...], ...] | None = None
    costs_by_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)

    def task(self) -> Task:
        """Make the task of these data; nothing is read yet."""
        path = Path(self.path).absolute()
        task_modality = "tabular"
        load_frame: Any = functools.partial(self._load_table, path)
        if path.is_dir():
            load_frame, task_modality = functools.partial(_load_images, path), "image"
        elif self.text:
            task_modality = "text"
        return Task(
            name=self.task_name,
            load=load_frame,
            target=self.target,
            positive=self.positive,
            title=self.title or self.origin.get("title") or path.name,
            description=self.origin.get("description", "Data of one's own."),
            source=self.origin.get("source", path.name),
            licence=self.origin.get("licence", ""),
            citation=self.origin.get("citation", ""),
            modality=cast("Modality", task_modality),
            text=self.text,
            banned=dict.fromkeys(self.drop, "as asked"),
            group=self.group,
            time=self.time,
            types=self.types,
            drop_missing_target=self.drop_missing_target,
            split=self.split_column,
            weights=self.weights,
            ids=self.ids,
            costs=self.costs,
            costs_by_class=self.costs_by_class,
        )

    @property
    def task_name(self) -> str:
        """The name of the task: as it is given, or derived from that of the file or folder."""
        path = Path(self.path).absolute()
        file_stem = path.name if path.is_dir() else path.stem
        if path.suffix.lower() in PACKED_SUFFIXES and not path.is_dir():
            file_stem = Path(file_stem).stem
        safe_name = re.sub(r"[^a-z0-9]+", "_", file_stem.lower()).strip("_") or "table"
        return self.name or safe_name

    @property
    def split_column(self) -> str | None:
        """The column that says which rows are tested; with a test file, the one that is added to the rows of both files."""
        return FILE_SPLIT if self.test_path else self.split

    @property
    def columns_as_written(self) -> tuple[str, ...]:
        """Columns that are read as they are written: the target, texts, names of rows, and those declared as names or dates."""
        non_number_columns = [name for name, column_kind in self.types.items() if column_kind != "number"]
        return (self.target, *filter(None, [self.text]), *self.ids, *non_number_columns)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without fields that are not used and that older versions do not know."""
        json_fields = asdict(self)
        for name in LATER_FIELDS:
            if not json_fields[name]:
                del json_fields[name]
        return json_fields

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> UserData:
        """Data as they were before a conversion to JSON, where tuples become lists."""
        known_fields = {data_field.name for data_field in fields(cls)}
        converted_fields = {name: field_content for name, field_content in plain.items() if name in known_fields}
        for name in ("drop", "ids"):
            converted_fields[name] = tuple(converted_fields.get(name, ()))
        if converted_fields.get("costs"):
            converted_fields["costs"] = tuple(map(tuple, converted_fields["costs"]))
        return cls(**converted_fields)

    def _load_table(self, path: Path, _data_dir: Path | None) -> Raw:
        test_path = None
        if self.test_path:
            test_path = Path(self.test_path).absolute()
        return load_rows(path, test_path, written=self.columns_as_written, has_header=self.has_header)


def load_rows(
    path: Path, test_path: Path | None = None, *, written: tuple[str, ...] = (), has_header: bool = True
) -> Raw:
    """Read the rows of a file, and of a test file of the same columns behind them; or a folder of images.

    Parameters
    ----------
    path : Path
        The file, or a folder with a folder of images per class.
    test_path : Path, optional
        A file whose rows are tested; its columns may be in another order.
    written : tuple of str
        Columns that are read as they are written.
    has_header : bool, default True
        Whether the first line of a CSV, or the first row of a sheet, has the names of the columns.

    Returns
    -------
    DataFrame
        The rows; with a test file, the column `FILE_SPLIT` says from which file each is.

    Raises
    ------
    DataError
        If a file cannot be read, or the test file lacks a column.
    """
    if path.is_dir():
        return load_folder(path)
    rows = read_table(path, written=written, has_header=has_header)
    if test_path is None:
        return rows
    test_frame = read_table(test_path, written=written, has_header=has_header)
    columns = check_test_columns(rows, test_frame, str(test_path))
    differing_columns = []
    for name in columns:
        if _holds_numbers(rows[name]) != _holds_numbers(test_frame[name]):
            differing_columns.append(str(name))
    if differing_columns:  # one file has numbers where the other has text: neither is rewritten as a number
        written = (*written, *differing_columns)
        rows = read_table(path, written=written, has_header=has_header)
        test_frame = read_table(test_path, written=written, has_header=has_header)
    return join_test_rows(rows, test_frame, test_path.name)


def check_test_columns(rows: pd.DataFrame, tested: pd.DataFrame, source: str) -> list[Any]:
    """The columns of the training rows, all of which the test rows must have.

    Raises
    ------
    DataError
        If a column is missing, or the rows have a column of the name `FILE_SPLIT`.
    """
    columns = list(rows.columns)
    if FILE_SPLIT in columns:
        raise DataError(f"rename the column {FILE_SPLIT!r}: a test file needs this name")
    missing_columns = [name for name in columns if name not in tested.columns]
    if missing_columns:
        other_columns = list(map(str, tested.columns.difference(columns)))
        columns_advice = (
            suggest_similar_name(str(missing_columns[0]), other_columns)
            if other_columns
            else "it needs the columns of the training rows"
        )
        more_columns_text = f" and {len(missing_columns) - 1} more" if len(missing_columns) > 1 else ""
        raise DataError(
            f"{source} lacks the column {str(missing_columns[0])!r}{more_columns_text} of the training rows: {columns_advice}"
        )
    return columns


def join_test_rows(rows: pd.DataFrame, tested: pd.DataFrame, source: str) -> pd.DataFrame:
    """Training rows and test rows below each other, with a column that says which is which.

    Parameters
    ----------
    rows, tested : DataFrame
        Training rows, and test rows with the same columns in any order.
    source : str
        Name of the test rows, for remarks.
    """
    import pandas as pd

    columns = check_test_columns(rows, tested, source)
    reading_notes = [*rows.attrs.get(NOTES_ATTRIBUTE, ()), *tested.attrs.get(NOTES_ATTRIBUTE, ())]
    for name in tested.columns:
        if name not in columns:
            message = f"only the test rows ({source}) have this column, which is left out"
            reading_notes.append(Finding("test_column", "note", message, column=str(name)))
    joined_parts = []
    for frame_part, word in ((rows, "train"), (tested[columns], "test")):
        marked_part = frame_part.assign(**{FILE_SPLIT: word})
        marked_part.attrs = {}
        joined_parts.append(marked_part)
    joined_frame = pd.concat(joined_parts, ignore_index=True)
    joined_frame.attrs[NOTES_ATTRIBUTE] = tuple(dict.fromkeys(reading_notes))
    return joined_frame


def _holds_numbers(column: pd.Series) -> bool:
    """Whether a column holds numbers, or nothing."""
    import pandas as pd

    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _load_images(path: Path, _data_dir: Path | None) -> Raw:
    return load_folder(path)
