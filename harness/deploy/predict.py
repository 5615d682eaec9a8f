"""New rows as a bundle takes them, and predictions for a file of any size: read, predicted and written in batches.

Rows are read column by column and checked; unusual values are flagged and predicted all the same.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.data import files
from harness.data.csv_format import NO_NAME
from harness.data.images import SUFFIXES, read_image
from harness.deploy.bundle import Bundle
from harness.deploy.schema import Schema
from harness.deploy.validate import InvalidRowsError, UnusualValue, read_new_column
from harness.errors import BundleError, DataError, one_line
from harness.registry.task import Features

#: Rows of a table and images per batch; memory does not grow with the file.
BATCH_ROWS, BATCH_IMAGES = 20_000, 256
SHOWN_COLUMNS = 3  #: with flags, in the summary
SHOWN_CHARACTERS = 40  #: of names, in the summary
#: Columns that are added to those of a table.
CLASS_COLUMN, FLAGS_COLUMN = "predicted_class", "flags"
#: Called with the number of rows that were predicted, and how much of the file was read, 0 to 1.
PredictionProgress: TypeAlias = Callable[[int, float], None]


@dataclass(frozen=True)
class ModelInputs:
    """Rows ready for a model.

    Attributes
    ----------
    X : DataFrame or ndarray
        The features.
    flags : tuple of UnusualValue
        Unusual values, column by column.
    ignored : tuple of str
        Columns that the model does not read.
    """

    X: Features
    flags: tuple[UnusualValue, ...] = ()
    ignored: tuple[str, ...] = ()


def read_rows(schema: Schema, columns: Mapping[str, Sequence[Any]] | pd.DataFrame) -> ModelInputs:
    """Read columns of new rows as features.

    Values may be numbers, texts, booleans and None; text is understood as in training. Missing values, categories that
    training did not know and numbers outside its range are read and flagged.

    Parameters
    ----------
    schema : Schema
        The rows that the bundle takes.
    columns : mapping of sequence, or DataFrame
        Values by column.

    Returns
    -------
    ModelInputs
        Features, flags and ignored columns.

    Raises
    ------
    InvalidRowsError
        If a column is missing, or a value is infinite or of a wrong type.
    """

    names = list(map(attrgetter("name"), schema.features))
    columns = _restore_older_column_names(columns, names)
    for name in names:
        if name not in columns:
            raise InvalidRowsError(f"column {name!r} is missing: expected {', '.join(names[:30])}", name)
    ignored_columns = tuple(str(name) for name in columns if name not in names)
    if schema.modality == "image":
        return read_images(schema, list(columns[names[0]]))
    read_columns: dict[str, Any] = {}
    unusual_values: list[UnusualValue] = []
    for feature in schema.features:
        read_columns[feature.name], column_flags = read_new_column(feature, columns[feature.name])
        unusual_values += column_flags
    if schema.modality == "text":
        return ModelInputs(read_columns[names[0]], tuple(unusual_values), ignored_columns)
    return ModelInputs(pd.DataFrame(read_columns), tuple(unusual_values), ignored_columns)


def _restore_older_column_names(
    columns: Mapping[str, Sequence[Any]] | pd.DataFrame, names: Sequence[str]
) -> Mapping[str, Sequence[Any]] | pd.DataFrame:
    """Name the column without a name as bundles of earlier versions do: by its place in the file."""
    older_names = []
    for name in names:
        if name not in columns and name.startswith("Unnamed: "):
            older_names.append(name)
    if len(older_names) != 1 or NO_NAME not in columns:
        return columns
    if isinstance(columns, pd.DataFrame):
        return columns.rename(columns={NO_NAME: older_names[0]})
    return {**columns, older_names[0]: columns[NO_NAME]}


def read_images(schema: Schema, contents: Iterable[bytes]) -> ModelInputs:
    """Read PNG or JPEG files as images of the size of training; raises `InvalidRowsError` for the first that is none."""

    assert schema.image_shape is not None  # noqa: S101 -- a schema of images has their shape
    images = []
    for row, image_bytes in enumerate(contents):
        try:
            images.append(read_image(image_bytes, schema.image_shape))
        except DataError as error:
            raise InvalidRowsError(f": {error}", schema.features[0].name, row) from error
    return ModelInputs(np.stack(images) if images else np.empty((0, *schema.image_shape), np.uint8))


@dataclass(frozen=True)
class PredictionSummary:
    """What was predicted.

    Attributes
    ----------
    rows, flagged : int
        Number of rows, and of those with a flag.
    predicted : dict
        Rows predicted as each class.
    flagged_columns : tuple of (str, int)
        Columns by the number of their flags, the largest first.
    renamed : dict
        Added columns whose usual name a column of the file has → their names.
    """

    rows: int
    flagged: int
    predicted: dict[str, int]
    flagged_columns: tuple[tuple[str, int], ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)

    def describe(self) -> str:
        """Describe the predictions in one line."""
        classes = ", ".join(f"{_shorten_name(name)}: {count:,}" for name, count in self.predicted.items())
        text = f"{self.rows:,} rows, predicted {classes}"
        if self.flagged:
            columns = ", ".join(
                f"{_shorten_name(name)} ({count:,})" for name, count in self.flagged_columns[:SHOWN_COLUMNS]
            )
            flagged_share = f"{self.flagged:,} of {self.rows:,} ({100 * self.flagged / self.rows:.2g} %)"
            text += f"; unlike the training rows: {flagged_share}, by {columns}"
        for name, new_name in self.renamed.items():
            text += f"; the file has a column {name!r} already, so that the added one is {new_name!r}"
        return text


def _shorten_name(name: str) -> str:
    """Write a name on one line, shortened."""
    line = one_line(name)
    return line if len(line) <= SHOWN_CHARACTERS else f"{line[: SHOWN_CHARACTERS - 1]}…"


@dataclass(frozen=True)
class RowBatch:
    """Some rows of a file: as they are in the file (or the names of images), and as the bundle reads them."""

    frame: pd.DataFrame
    inputs: ModelInputs


def predict_file(
    bundle: Bundle, source: Path, out: Path, progress: PredictionProgress, has_header: bool = True
) -> PredictionSummary:
    """Predict the rows of a file into a CSV.

    A table keeps its columns in their order; the class, the probability of each class and the flags of each row are added.
    Images are listed by name.

    Parameters
    ----------
    bundle : Bundle
        The model.
    source : Path
        A table, or a folder of images.
    out : Path
        The CSV; it is replaced at the end, or not at all.
    progress : callable
        Called after each batch with the rows so far and the share of the file, 0 to 1.
    has_header : bool, default True
        Whether the first line of a CSV has the names of the columns.

    Returns
    -------
    PredictionSummary
        Numbers of rows.

    Raises
    ------
    DataError
        If the file cannot be read, or `out` cannot be replaced.
    InvalidRowsError
        If a row cannot be predicted; the message has its number in the file.
    BundleError
        If the CSV cannot be written.
    """
    _check_prediction_source(bundle, source)
    if out.resolve() == source.resolve():
        raise DataError(f"{out} is the file that is to be read: name another one with --out")
    if out.exists() and not out.is_file():  # /dev/stdout, for example, must not be replaced by a file
        raise DataError(f"{out} is no file that can be replaced: name another one with --out")
    out = out.resolve()  # a symbolic link stays a link
    temporary = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8", newline="") as file:
            summary = _write_predictions(bundle, source, file, progress, has_header)
        temporary.replace(out)
    except OSError as error:
        raise BundleError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return summary


def _write_predictions(
    bundle: Bundle, input_path: Path, file: IO[str], progress_callback: PredictionProgress, has_header: bool
) -> PredictionSummary:
    classes = bundle.schema.classes
    class_counts, flagged_rows, rows = np.zeros(len(classes), dtype=np.int64), 0, 0
    flagged_columns: Counter[str] = Counter()
    new_column_names: dict[str, str] = {}
    for batch, finished_share in read_row_batches(bundle, input_path, has_header=has_header):
        proba = bundle.predict_proba(batch.inputs.X)
        labels = bundle.choose_classes(proba)
        added_columns = _prediction_columns(batch, classes, proba, labels)
        if not rows:
            new_column_names = _rename_colliding_columns(list(added_columns), list(batch.frame.columns))
        frame = batch.frame.assign(
            **{new_column_names.get(name, name): column for name, column in added_columns.items()}
        )
        _write_rows_as_csv(frame, file, has_header=not rows)
        class_counts += np.bincount(labels, minlength=len(classes))
        flagged_rows += len({unusual_value.row for unusual_value in batch.inputs.flags})
        flagged_columns.update(unusual_value.column for unusual_value in batch.inputs.flags)
        rows += len(labels)
        progress_callback(rows, finished_share)
    if not rows:
        raise DataError(f"{input_path} holds no rows: there is nothing to predict")
    rows_by_class = dict(zip(classes, class_counts.tolist(), strict=True))
    return PredictionSummary(rows, flagged_rows, rows_by_class, tuple(flagged_columns.most_common()), new_column_names)


def _write_rows_as_csv(frame: pd.DataFrame, file: IO[str], has_header: bool) -> None:
    """Write rows as CSV, with the name that the file gives a column without a name: none."""
    header = []
    for name in frame.columns:
        header.append("" if name == NO_NAME else name)
    quoting: Literal[0, 1] = 1 if _has_carriage_returns(frame) else 0  # csv.QUOTE_ALL and csv.QUOTE_MINIMAL
    frame.to_csv(file, index=False, header=header if has_header else False, lineterminator="\n", quoting=quoting)


def _prediction_columns(
    batch: RowBatch, classes: tuple[str, ...], proba: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]
) -> dict[str, list[str]]:
    """Class, probabilities and flags of the rows, by the names of their columns."""
    messages: list[list[str]] = [[] for _ in labels]
    for unusual_value in batch.inputs.flags:
        messages[unusual_value.row].append(f"{unusual_value.column}: {unusual_value.message}")
    added_columns = {CLASS_COLUMN: [classes[label] for label in labels]}
    for name, column in zip(classes, proba.T, strict=True):
        added_columns[f"probability_{name}"] = list(map("{:.6g}".format, column))
    added_columns[FLAGS_COLUMN] = list(map("; ".join, messages))
    return added_columns


def _has_carriage_returns(frame: pd.DataFrame) -> bool:
    """Whether a text has a carriage return, which would end the row for a reader unless it is quoted."""
    texts = frame.select_dtypes(["object", "str"])
    return any("\r" in text for _, column in texts.items() for text in column.dropna().astype("str").unique())


def _rename_colliding_columns(added_columns: Sequence[str], present_columns: Sequence[str]) -> dict[str, str]:
    """Find other names for added columns that would replace a column of the file."""
    new_column_names: dict[str, str] = {}
    for name in added_columns:
        new_name = name
        while new_name in present_columns or (new_name != name and new_name in added_columns):
            new_name = f"evenhand_{new_name}"
        if new_name != name:
            new_column_names[name] = new_name
    return new_column_names


def read_row_batches(bundle: Bundle, source: Path, has_header: bool = True) -> Iterator[tuple[RowBatch, float]]:
    """Read the rows of a file or of a folder of images in batches.

    Parameters
    ----------
    bundle : Bundle
        Says which rows it takes.
    source : Path
        A table, or a folder of images.
    has_header : bool, default True
        Whether the first line of a CSV has the names of the columns.

    Yields
    ------
    batch : RowBatch
        Some rows.
    share : float
        How much of the file was read, 0 to 1.

    Raises
    ------
    DataError
        If the file cannot be read.
    InvalidRowsError
        If a row cannot be predicted.
    """
    _check_prediction_source(bundle, source)
    try:
        yield from (
            _read_image_folder_batches(bundle, source)
            if source.is_dir()
            else _read_table_batches(bundle, source, has_header)
        )
    except OSError as error:
        raise DataError(f"cannot read {source}: {error.strerror or one_line(str(error))}") from error


def _check_prediction_source(bundle: Bundle, input_path: Path) -> None:
    if not input_path.exists():
        raise DataError(f"no such file: {input_path}")
    takes_images = bundle.schema.modality == "image"
    if takes_images != input_path.is_dir():
        expected_input = "a folder of images" if takes_images else "a CSV or Parquet file"
        raise DataError(f"{input_path}: this bundle takes {expected_input}")


def _read_table_batches(bundle: Bundle, input_path: Path, has_header: bool) -> Iterator[tuple[RowBatch, float]]:
    first_row = 0
    blanks_missing = bundle.schema.modality != "text"
    batches = files.read_row_batches(input_path, BATCH_ROWS, blanks_missing=blanks_missing, has_header=has_header)
    for frame, finished_share in batches:
        try:
            yield RowBatch(frame, read_rows(bundle.schema, frame)), finished_share
        except InvalidRowsError as error:
            if error.row is None:
                raise
            row = first_row + error.row
            raise error.with_row_name(f"row {row + 1} of {input_path.name}", row) from error
        first_row += len(frame)


def _read_image_folder_batches(bundle: Bundle, input_path: Path) -> Iterator[tuple[RowBatch, float]]:

    images = sorted(file for file in input_path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    for first_image in range(0, len(images), BATCH_IMAGES):
        batch_files = images[first_image : first_image + BATCH_IMAGES]
        names = []
        for file in batch_files:
            names.append(file.relative_to(input_path).as_posix())
        try:
            image_inputs = read_images(bundle.schema, map(Path.read_bytes, batch_files))
        except InvalidRowsError as error:
            raise error.with_row_name(names[error.row or 0], error.row) from error
        yield (
            RowBatch(pd.DataFrame({"file": names}), image_inputs),
            min(1.0, (first_image + len(batch_files)) / len(images)),
        )
