"""From raw rows to a `Table`: types of columns, the target, what no model may use left out; hashes of a table and its rows."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.data.arrow_table import NOTES_ATTRIBUTE, check_scalar_cells, is_row_number_index
from harness.data.column_types import check_column_types
from harness.data.columns import Column, infer_column
from harness.data.omissions import AMBIGUOUS_DATES, is_identifier_name, omission_code
from harness.data.reader import column_to_text
from harness.data.row_roles import drop_unweighted_rows, read_row_roles
from harness.data.sources import data_directory
from harness.data.target import encode_target, find_blank_padded_labels, read_labelled_rows
from harness.errors import DataError
from harness.findings import Finding
from harness.readings import TEXT_BLANKS, ColumnReading
from harness.registry.registry import suggest_similar_name
from harness.registry.task import Features, Raw, Table, Task

if TYPE_CHECKING:
    import pandas as pd

MAX_REASONS = 10  #: why columns were left out, in a message
#: Code of a column that is left out → the message of its finding.
OMISSION_MESSAGES = {
    "omitted_constant": "one value only",
    "unnamed_index": "row numbers that pandas wrote, in a column without a name",
    "omitted_identifier": "an identifier: a different value in every row",
    "text_column": "text: a different one in every row, not used",
    "unclear_date": f"dates that all differ: {AMBIGUOUS_DATES}",
    "declared_identifier": "an identifier, as declared",
    "named_identifier": "an identifier by its name, and nearly all of its values differ",
}

#: Features, notes about them, and how each column of a table was read.
FeaturesNotesReadings: TypeAlias = tuple[Features, list[Finding], dict[str, ColumnReading]]


def load_table(task: Task, data_dir: Path | None = None) -> Table:
    """Load the rows of a task.

    Parameters
    ----------
    task : Task
        The task.
    data_dir : Path or None, default None
        Folder of data files; None means the environment variable `EVENHAND_DATA`.

    Returns
    -------
    Table
        The rows, typed.

    Raises
    ------
    Unavailable
        If the data are not on this machine.
    DataError
        If the data cannot be used.
    """
    return make_table(task, task.load(data_directory(data_dir)))


def make_table(task: Task, raw: Raw) -> Table:
    """Convert raw rows to a table as a task declares them.

    Types are inferred without labels; banned, constant and identifying columns are left out, with a note.

    Parameters
    ----------
    task : Task
        The task.
    raw : DataFrame or LabeledImages
        What ``task.load`` returned.

    Returns
    -------
    Table
        The rows, typed.

    Raises
    ------
    DataError
        If a column is missing or infinite, if the target has missing values or one class, or if no feature is left.
    """
    import pandas as pd

    if task.modality == "image":
        y, classes = encode_target(task, pd.Series(raw.labels, name=task.target, dtype="str"))
        return Table(
            X=raw.images, y=y, classes=classes, test=getattr(raw, "test", None), notes=_make_image_findings(raw.notes)
        )
    frame = raw.reset_index(drop=True).set_axis(list(map(str, raw.columns)), axis=1)
    _check_declared_columns(task, frame)
    file_notes = raw.attrs.get(NOTES_ATTRIBUTE, ())
    frame, weight_notes = drop_unweighted_rows(task, frame)
    labels, target_notes = read_labelled_rows(task, frame[task.target])
    if len(labels) < len(frame):
        frame = frame.loc[labels.index].reset_index(drop=True)
    labels = labels.reset_index(drop=True)
    y, classes = encode_target(task, labels)
    target_notes += find_blank_padded_labels(task, frame[task.target])
    read_features = _read_text_features if task.modality == "text" else _convert_features
    X, feature_notes, readings_by_column = read_features(task, frame)
    row_roles = read_row_roles(task, frame)
    return Table(
        X=X,
        y=y,
        classes=classes,
        groups=row_roles.groups,
        time=row_roles.time,
        test=row_roles.test,
        notes=(
            *file_notes,
            *_make_banned_findings(task),
            *target_notes,
            *weight_notes,
            *row_roles.notes,
            *feature_notes,
        ),
        dates=tuple(name for name, column_reading in readings_by_column.items() if column_reading.kind == "date"),
        readings=readings_by_column,
        folds=row_roles.folds,
        weights=row_roles.weights,
        ids=row_roles.ids,
    )


def _convert_features(task: Task, frame: pd.DataFrame) -> FeaturesNotesReadings:
    """Columns that a model may use, converted to their types."""
    import pandas as pd

    columns: dict[str, pd.Series] = {}
    readings_by_column: dict[str, ColumnReading] = {}
    reading_notes: list[Finding] = []
    column_types = check_column_types(task.types)
    for name in _select_feature_columns(task, frame):
        declared_type = column_types.get(name)
        if declared_type is not None and declared_type.kind in ("id", "drop"):
            continue
        check_scalar_cells(frame[name])
        column = infer_column(frame[name], declared_type)
        omission_reason = _column_omission_code(name, column)
        if omission_reason is not None and (
            omission_reason in ("omitted_constant", "unnamed_index") or declared_type is None
        ):
            reading_notes += _make_omission_findings(omission_reason, name, column)
            continue
        columns[name], readings_by_column[name] = column.values, column.reading
        reading_notes += column.findings
    if not columns:
        raise DataError(
            f"task {task.name!r} has no feature left: {_explain_no_columns_left([*_make_banned_findings(task), *reading_notes])}"
        )
    return pd.DataFrame(columns), reading_notes, readings_by_column


def _explain_no_columns_left(omission_findings: Sequence[Finding]) -> str:
    """Say why no column is left; of many columns, the first ones."""
    reasons = "; ".join(finding.note for finding in omission_findings[:MAX_REASONS]) or "the target is its only column"
    if len(omission_findings) > MAX_REASONS:
        reasons += f"; and {len(omission_findings) - MAX_REASONS} more"
    return reasons


def _column_omission_code(name: str, column: Column) -> str | None:
    """Code of the reason why a column is left out; None where it is not."""
    return "unnamed_index" if is_row_number_index(name, column.values) else omission_code(column)


def _make_omission_findings(omission_reason: str, name: str, column: Column) -> list[Finding]:
    """Why a column is left out, and whether it looks as if it should have been read as numbers."""
    findings = [Finding(omission_reason, "note", _describe_omission(omission_reason, column), column=name)]
    return findings + [finding for finding in column.findings if finding.code == "mixed_column"]


def _describe_omission(omission_reason: str, column: Column) -> str:
    """Say why a column is left out; an identifier by name alone need not differ in every row."""
    known_values = column.values.dropna()
    if (
        omission_reason == "omitted_identifier"
        and is_identifier_name(str(column.values.name))
        and not known_values.is_unique
    ):
        omission_reason = "named_identifier"
    return OMISSION_MESSAGES[omission_reason]


def _read_text_features(task: Task, frame: pd.DataFrame) -> FeaturesNotesReadings:
    """The texts of the declared column; a missing one is empty."""
    column = column_to_text(frame[task.text], TEXT_BLANKS)  # a question mark alone is a text
    message = f"a text task reads {task.text!r} alone"
    reading_notes = [
        Finding("unread_column", "note", message, column=name) for name in _select_feature_columns(task, frame)
    ]
    missing_texts = int(column.isna().sum())
    if missing_texts == len(column) or column.nunique() < 2:
        raise DataError(f"column {task.text!r} of task {task.name!r} has fewer than two different texts")
    if missing_texts:
        message = f"{missing_texts} texts are missing and read as empty"
        reading_notes.append(Finding("missing_text", "note", message, column=str(task.text), rows=missing_texts))
    return column.fillna("").to_numpy(object), reading_notes, {}


def _select_feature_columns(task: Task, frame: pd.DataFrame) -> list[str]:
    """Columns without a role."""
    columns_with_role = {*task.column_roles, *task.banned}
    return [name for name in frame.columns if name not in columns_with_role]


def _make_banned_findings(task: Task) -> list[Finding]:
    banned_findings = [Finding("banned", "note", reason, column=name) for name, reason in task.banned.items()]
    for name, declared_type in check_column_types(task.types).items():
        if declared_type.kind == "drop":
            banned_findings.append(Finding("banned", "note", "as asked", column=name))
        elif declared_type.kind == "id":
            banned_findings.append(
                Finding("omitted_identifier", "note", OMISSION_MESSAGES["declared_identifier"], column=name)
            )
    return banned_findings


def _make_image_findings(image_notes: Iterable[Finding | str]) -> tuple[Finding, ...]:
    """Findings about images; a text, as a task of another package may give, becomes one without a code of its own."""
    findings = []
    for image_note in image_notes:
        finding = Finding("note", "note", image_note) if isinstance(image_note, str) else image_note
        findings.append(finding)
    return tuple(findings)


def _check_declared_columns(task: Task, frame: pd.DataFrame) -> None:
    """Raise `DataError` for a frame without rows, duplicate names, or declared columns that do not exist."""
    columns = frame.columns
    if frame.empty:
        raise DataError(f"task {task.name!r} has no rows ({len(columns)} columns): expected a table with rows")
    if task.target in (task.text, task.group, task.time, task.split, task.weights, *task.ids):
        raise DataError(f"column {task.target!r} cannot be the target of task {task.name!r} and have another role too")
    if columns.has_duplicates:
        raise DataError(f"task {task.name!r} has two columns named {columns[columns.duplicated(keep=False)][0]!r}")
    declared_columns = dict.fromkeys(task.banned, "banned") | dict.fromkeys(task.types, "typed") | task.column_roles
    for name, column_role in declared_columns.items():
        if name not in columns:
            name_advice = suggest_similar_name(name, list(columns))
            raise DataError(f"no such column {name!r} ({column_role} of task {task.name!r}): {name_advice}")


def fingerprint_table(table: Table) -> str:
    """Hash everything that a score can depend on: features, target, classes, groups, time, test rows, folds, weights.

    Returns
    -------
    str
        SHA-256 as 64 hexadecimal digits, equal on every machine.
    """
    X = table.X
    columns = list(X.columns) if hasattr(X, "columns") else str(X.dtype)
    digest = hashlib.sha256(json.dumps([columns, table.classes, X.shape]).encode())
    for serialized_part in _serialize_features(X):
        digest.update(serialized_part)
    for rows in (table.y, table.groups, table.time, table.test):
        digest.update(b"none" if rows is None else rows.astype("<i8").tobytes())
    if table.folds is not None:
        digest.update(b"folds" + table.folds.astype("<i8").tobytes())
    if table.weights is not None:
        digest.update(b"weights" + table.weights.astype("<f8").tobytes())
    return digest.hexdigest()


def hash_rows(X: Features) -> npt.NDArray[np.uint64]:
    """Hash every row, so that rows with equal features have equal keys.

    -0 equals 0 and missing equals missing; texts that differ only in case or white space are equal, because a copy of a
    row must not be on the other side of a split.

    Returns
    -------
    ndarray of uint64, shape (n,)
    """
    import pandas as pd

    if hasattr(X, "columns"):
        columns = {}
        for name, column in X.items():
            columns[name] = column if column.dtype == "category" else column + 0.0  # -0.0 becomes 0.0
        return np.asarray(pd.util.hash_pandas_object(pd.DataFrame(columns), index=False), dtype=np.uint64)
    hashes = bytearray()
    for row in X:
        row_bytes = _normalize_text(row).encode(errors="surrogatepass") if X.ndim == 1 else row.tobytes()
        hashes += hashlib.blake2b(row_bytes, digest_size=8).digest()
    return np.frombuffer(bytes(hashes), dtype="<u8").astype(np.uint64)


def _normalize_text(text: str) -> str:
    """Normalise a text: lower case, single spaces, no invisible characters, one form of each letter."""
    visible_characters = [
        text_character
        for text_character in unicodedata.normalize("NFKC", text)
        if unicodedata.category(text_character) != "Cf"
    ]
    return " ".join("".join(visible_characters).casefold().split())


def _serialize_features(X: Features) -> list[bytes]:
    """Serialise the features, equal on every machine."""
    if not hasattr(X, "columns"):
        return [X.tobytes() if X.ndim > 1 else json.dumps(X.tolist()).encode()]
    serialized_columns = []
    for _, column in X.items():
        if column.dtype == "category":
            serialized_columns.append(json.dumps(list(column.cat.categories)).encode())
            serialized_columns.append(column.cat.codes.to_numpy("<i4").tobytes())
        else:
            column_numbers = column.to_numpy("<f8") + 0.0  # -0.0 becomes 0.0
            serialized_columns.append(
                np.where(np.isnan(column_numbers), np.nan, column_numbers).tobytes()
            )  # one of the many NaN there are
    return serialized_columns
