"""Files of a run folder: atomic writes, checked reads, archives of predictions and training curves, journals of studies."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import struct
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from harness.errors import StoreError
from harness.store.record import StoredPredictions

if TYPE_CHECKING:
    from optuna.storages import JournalStorage

#: What reading an archive of arrays raises where its content is not what it should be.
ARCHIVE_ERRORS = (
    ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError, OSError, RuntimeError, struct.error, BadZipFile,
    zlib.error,
)  # fmt: skip
#: A file that is being written, with the number of the process that writes it.
PARTIAL_FILE = re.compile(r"\..+\.(\d+)(?:-\d+)?\.part")  #: with the ids of process and thread


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that it holds either its old content or all of the new one: temporary file, fsync, rename.

    Parameters
    ----------
    path : Path
        The file; its folder is made where it does not exist.
    content : bytes
        The new content.

    Raises
    ------
    StoreError
        If the file cannot be written (disk full, no permission, a device); nothing of the new content is kept then.
    """
    # Two threads may start a run with the same rows in one folder.
    temporary_path = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.part")
    try:
        if path.exists() and not path.is_file():  # a rename would replace a device such as /dev/null by a file
            raise StoreError(f"cannot write {path}: it is no file that can be replaced")
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary_path.replace(path)
    except OSError as error:
        with suppress(OSError):  # where the folder cannot be opened, there is nothing to delete
            temporary_path.unlink()
        raise StoreError(f"cannot write {path}: {error.strerror or error}: what was stored before is kept") from error


def remove_file(path: Path) -> None:
    """Delete a file that an earlier report wrote, if it exists; a folder of that name is not ours and is kept.

    Raises
    ------
    StoreError
        If the file cannot be deleted.
    """
    try:
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot delete {path}: {error.strerror or error}") from error


def remove_partial_files(folder: Path) -> None:
    """Delete the files below a folder that killed processes have not finished; those of running processes are kept."""
    for path in folder.rglob(".*.part"):
        partial_file_match = PARTIAL_FILE.fullmatch(path.name)
        if partial_file_match and not _is_process_running(int(partial_file_match[1])):
            remove_file(path)


def _is_process_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True  # of another user
    return True


def read_file_with_checksum(path: Path, sha256: str) -> bytes:
    """The content of a file; raises `StoreError` where its checksum is not that of its record."""
    try:
        file_content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    if hashlib.sha256(file_content).hexdigest() != sha256:
        raise StoreError(
            f"{path} does not match the checksum of its record (SHA-256 differs): delete its folder and run again"
        )
    return file_content


def json_to_bytes(content: dict[str, Any]) -> bytes:
    """An object as readable JSON."""
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; raises `StoreError` where there is none."""
    try:
        json_content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read {path}: {error}: restore it, or delete it and run again") from error
    if not isinstance(json_content, dict):
        raise StoreError(f"cannot read {path}: expected an object, found {type(json_content).__name__}")
    return json_content


#: Arrays of predictions of a table whose rows have weights.
ROW_WEIGHTS = ("test_weights", "train_weights")


class InvalidArraysError(ValueError):
    """Arrays that could be read but cannot be what a cell predicted."""


def predictions_to_bytes(predictions: StoredPredictions) -> bytes:
    """Predictions as bytes, the same for the same predictions."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "test_rows": predictions.test_rows.astype(np.int32),
        "test_y": predictions.test_y.astype(np.int16),
        "train_rows": predictions.train_rows.astype(np.int32),
        "train_y": predictions.train_y.astype(np.int16),
    }
    test_blocks = predictions.test_blocks
    if test_blocks is not None and len(np.unique(test_blocks)) < len(test_blocks):
        arrays["test_blocks"] = test_blocks.astype(np.int32)
    for name in ROW_WEIGHTS:
        weights = getattr(predictions, name)
        if weights is not None:
            arrays[name] = weights.astype(np.float64)
    for stage, proba in predictions.test.items():
        arrays[f"test_{stage}"] = proba
    for stage, proba in predictions.inner.items():
        arrays[f"inner_{stage}"] = proba
    return arrays_to_bytes(arrays)


def predictions_from_bytes(content: bytes, stages: Sequence[str], *, inner: bool = True) -> StoredPredictions:
    """Predictions from what `predictions_to_bytes` returned; raises one of `ARCHIVE_ERRORS` where the content is something else.

    Without `inner` there are no probabilities of training rows, which are four times as many as the test rows of five folds.
    """
    inner_stages = list(stages) if inner else []
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        weights = {name: arrays[name] for name in ROW_WEIGHTS if name in arrays}
        predictions = StoredPredictions(
            test_rows=arrays["test_rows"].astype(np.int64),
            test_y=arrays["test_y"].astype(np.int64),
            train_rows=arrays["train_rows"].astype(np.int64),
            train_y=arrays["train_y"].astype(np.int64),
            test={stage: arrays[f"test_{stage}"] for stage in stages},
            inner={stage: arrays[f"inner_{stage}"] for stage in inner_stages},
            test_blocks=arrays["test_blocks"].astype(np.int64) if "test_blocks" in arrays else None,
            **weights,
        )
    _check_prediction_part(predictions.test, predictions.test_y, predictions.test_rows)
    _check_prediction_part(predictions.inner, predictions.train_y, predictions.train_rows, missing_allowed=True)
    return predictions


def _check_prediction_part(
    proba_by_stage: Mapping[str, npt.NDArray[Any]],
    part_labels: npt.NDArray[Any],
    part_rows: npt.NDArray[Any],
    *,
    missing_allowed: bool = False,
) -> None:
    """Raise `InvalidArraysError` where probabilities, labels and rows cannot belong together; inner rows may be NaN."""
    if part_labels.ndim != 1 or part_labels.shape != part_rows.shape:
        raise InvalidArraysError("its rows and labels do not belong together")
    for stage, proba in proba_by_stage.items():
        if proba.dtype.kind != "f" or proba.ndim != 2 or len(proba) != len(part_labels):
            raise InvalidArraysError(
                f"the probabilities of {stage} are {proba.dtype} of shape {proba.shape}, for {len(part_labels):,} rows"
            )
        if len(part_labels) and not 0 <= part_labels.min() <= part_labels.max() < proba.shape[1]:
            raise InvalidArraysError(f"its labels are not those of {proba.shape[1]} classes")
        is_predicted = ~np.isnan(proba).all(axis=1) if missing_allowed else np.ones(len(part_labels), dtype=bool)
        if not np.isfinite(proba[is_predicted]).all():
            raise InvalidArraysError(f"the probabilities of {stage} are not all numbers")


def arrays_to_bytes(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Arrays by name as bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # its stub takes the next argument for a keyword
    return buffer.getvalue()


def curves_to_bytes(curves: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Curves by name as bytes: joined into one array, which takes a third of the space of a member for each.

    They are also read twenty times as fast.
    """
    arrays = list(map(np.atleast_1d, curves.values()))
    return arrays_to_bytes(
        {
            "names": np.array(list(curves), dtype=np.str_),
            "lengths": np.array(list(map(len, arrays)), dtype=np.int64),
            "values": np.concatenate([np.zeros(0), *arrays], dtype=np.float64),
        }
    )


def curves_from_bytes(content: bytes) -> dict[str, npt.NDArray[Any]]:
    """Curves by name from what `curves_to_bytes` returned; raises one of `ARCHIVE_ERRORS` where the content is something else."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        names, curve_ends = arrays["names"].tolist(), arrays["lengths"].cumsum()
        return dict(zip(names, np.split(arrays["values"], curve_ends[:-1]), strict=True))


@dataclass(frozen=True)
class JournalContent:
    """The records with which a journal begins, and how much of the file they are.

    `size` is the number of bytes up to the first line that is not a record, `broken_lines` the number of lines from there
    on: 0 for an intact journal, 1 where the last write was cut short.
    """

    records: list[dict[str, Any]]
    size: int
    broken_lines: int


def parse_journal(content: bytes) -> JournalContent:
    """Read records up to the first line that is not one: a JSON object that ends with a newline."""
    lines = io.BytesIO(content).readlines()  # as Optuna divides them: at newlines only
    records: list[dict[str, Any]] = []
    complete_size = 0
    for line in lines:
        record = _parse_record(line)
        if record is None:
            break
        records.append(record)
        complete_size += len(line)
    return JournalContent(records, complete_size, len(lines) - len(records))


def _parse_record(journal_line: bytes) -> dict[str, Any] | None:
    if not journal_line.endswith(b"\n"):
        return None
    try:
        record = json.loads(journal_line)
    except ValueError:  # JSON that was cut, or bytes that are not UTF-8
        return None
    if not isinstance(record, dict):
        return None
    return record


def repair_journal(path: Path) -> None:
    """Prepare a journal for the only process that writes it: delete old locks, cut off what is not a record.

    A full disk or a power cut can leave part of a record (or a block of NUL bytes) at the end of the file, and a killed
    process the lock of Optuna's file backend, for which the next process would wait. The trial whose record is cut off is
    computed again. The caller must hold the lock of the run.

    Raises
    ------
    StoreError
        If the journal cannot be read or written.
    """
    try:
        for leftover_lock in path.parent.glob(f"{path.name}.lock*"):
            leftover_lock.unlink(missing_ok=True)
        if not path.exists():
            return
        journal_content = path.read_bytes()
        complete_size = parse_journal(journal_content).size
        if complete_size == len(journal_content):
            return
        with path.open("r+b") as file:
            file.truncate(complete_size)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(f"cannot repair {path}: {error.strerror or error}") from error


def read_journal(path: Path) -> JournalStorage:
    """Open the studies of a journal for reading; the file and its folder are not changed.

    A last line that is not a record (a write under way, or cut short) is left out.

    Raises
    ------
    StoreError
        If the file cannot be read, or if lines before the last one are not records.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import BaseJournalBackend

    class ReadOnlyBackend(BaseJournalBackend):
        """Records in memory; nothing can be appended."""

        def __init__(self, records: list[dict[str, Any]]) -> None:
            self.records = records

        def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
            """Yield the records from this one on."""
            yield from self.records[log_number_from:]

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            """Refuse to write."""
            raise StoreError(f"{path} was opened for reading: {len(logs)} records cannot be appended")

    try:
        journal_content = parse_journal(path.read_bytes())
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    if journal_content.broken_lines > 1:
        raise StoreError(f"cannot read {path}: line {len(journal_content.records) + 1} is not a record of a study")
    return JournalStorage(ReadOnlyBackend(journal_content.records))
