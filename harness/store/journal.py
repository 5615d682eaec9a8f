"""The journal of a study on disk: reading its complete records, and repairing it for the process that continues the study."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import StoreError

if TYPE_CHECKING:
    from optuna.storages import JournalStorage


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
    size = 0
    for line in lines:
        record = _parse_record(line)
        if record is None:
            break
        records.append(record)
        size += len(line)
    return JournalContent(records, size, len(lines) - len(records))


def _parse_record(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
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
        for leftover in path.parent.glob(f"{path.name}.lock*"):
            leftover.unlink(missing_ok=True)
        if not path.exists():
            return
        content = path.read_bytes()
        size = parse_journal(content).size
        if size == len(content):
            return
        with path.open("r+b") as file:
            file.truncate(size)
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
        content = parse_journal(path.read_bytes())
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    if content.broken_lines > 1:
        raise StoreError(f"cannot read {path}: line {len(content.records) + 1} is not a record of a study")
    return JournalStorage(ReadOnlyBackend(content.records))
