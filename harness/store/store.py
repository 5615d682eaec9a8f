"""A run folder: atomic writes, reading, resume.

    run.json                                            what was asked for, on which data, with which versions
    cells/<cell id>/record.json  predictions.npz  history.npz  study.journal
    cells/<cell id>/search.npz  curves/                 of a search under way
    derived/                                            can be deleted and comes back

A record is written after its predictions and training curves and says their SHA-256, so a record on disk is a finished cell.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import StoreError
from harness.store.arrays import BROKEN, pack, read_curves, save, save_curves, unpack
from harness.store.description import incomplete
from harness.store.journal import repair_journal
from harness.store.record import SCHEMA, Record, StoredPredictions

if TYPE_CHECKING:
    import numpy.typing as npt


PART = re.compile(r"\..+\.(\d+)\.part")  #: a file under way, by the process that writes it


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds either what it held or all of it: temporary file, fsync, rename.

    Raises `StoreError` where it cannot (disk full, no permission, a device); nothing is left behind then.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.exists() and not path.is_file():  # a file that takes the place of /dev/null is there to stay
            raise StoreError(f"cannot write {path}: it is no file that can be replaced")
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):  # where the folder itself cannot be had, there is nothing to take away
            temporary.unlink()
        raise StoreError(f"cannot write {path}: {error.strerror or error}: what was stored before is kept") from error


def remove_file(path: Path) -> None:
    """Delete a file that an earlier report wrote, if it is there; a folder of that name is nothing of ours and stays.

    Raises `StoreError` where it cannot.
    """
    try:
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot delete {path}: {error.strerror or error}") from error


class Store:
    """One run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def run_file(self) -> Path:
        """`run.json`."""
        return self.folder / "run.json"

    def cell_folder(self, cell_id: str) -> Path:
        """Where everything of one cell lies."""
        return self.folder / "cells" / cell_id

    def journal(self, cell_id: str) -> Path:
        """The Optuna journal of one cell."""
        return self.cell_folder(cell_id) / "study.journal"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for writing; raises `StoreError` while another run does.

        Files that killed writers left half written are deleted.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / ".lock").open("w")
        except OSError as error:
            raise StoreError(f"cannot write in {self.folder}: {error.strerror or error}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise StoreError(
                    f"{self.folder} is being written by another run: wait for it or use another --out"
                ) from error
            self._clean()
            yield

    def _clean(self) -> None:
        """Delete what is left of writes whose process is gone; a report may be writing at the same time."""
        for path in self.folder.rglob(".*.part"):
            if (named := PART.fullmatch(path.name)) and not _alive(int(named[1])):
                remove_file(path)

    def write_run(self, description: dict[str, Any]) -> None:
        """Store the description of the run."""
        write_atomic(self.run_file, _json({"schema": SCHEMA, **description}))

    def read_run(self) -> dict[str, Any]:
        """The description of the run; raises `StoreError` where there is none or it cannot be understood."""
        if not self.run_file.exists():
            raise StoreError(
                f"{self.folder} is not a run folder: it has no run.json (evenhand run --out {self.folder} makes one)"
            )
        description = _read_json(self.run_file)
        schema = description.get("schema", 0)
        if isinstance(schema, int) and schema > SCHEMA:
            raise StoreError(
                f"{self.run_file} has schema {description['schema']}, this version reads up to {SCHEMA}: upgrade evenhand"
            )
        what = incomplete(description) if isinstance(schema, int) else f"its schema is {schema!r}"
        if what:
            raise StoreError(f"cannot read {self.run_file}: {what}: restore it, or run again into another folder")
        return description

    def write_cell(self, record: Record, predictions: StoredPredictions | None) -> Record:
        """Store a cell: predictions and training curves first, then the record that vouches for them, which is returned."""
        folder = self.cell_folder(record.id)
        if predictions is not None:
            data = pack(predictions)
            write_atomic(folder / "predictions.npz", data)
            record = replace(record, predictions_sha256=hashlib.sha256(data).hexdigest())
            record = replace(record, history_sha256=self._write_history(folder))
        write_atomic(folder / "record.json", _json(record.as_dict()))
        if predictions is not None:  # only an unfinished search needs these
            (folder / "search.npz").unlink(missing_ok=True)
            shutil.rmtree(folder / "curves", ignore_errors=True)
        return record

    def _write_history(self, folder: Path) -> str:
        """Merge the curves of all trials and refits into `history.npz`; returns its SHA-256, nothing where there are none."""
        merged = {
            f"{path.stem}/{name}": curve
            for path in sorted((folder / "curves").glob("*.npz"))
            for name, curve in read_curves(path.read_bytes()).items()
        }
        if not merged:
            (folder / "history.npz").unlink(missing_ok=True)  # of a record that was discarded
            return ""
        data = save_curves(merged)
        write_atomic(folder / "history.npz", data)
        return hashlib.sha256(data).hexdigest()

    def record(self, cell_id: str) -> Record | None:
        """The record of a cell, None where the cell was never finished."""
        path = self.cell_folder(cell_id) / "record.json"
        try:
            values = _read_json(path)
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        try:
            return Record.from_dict(values)
        except (TypeError, ValueError, AttributeError) as error:
            raise StoreError(
                f"cannot read {path}: it is not a record ({error}): delete its folder and run again"
            ) from error

    def records(self) -> list[Record]:
        """Every stored record, by task, family, strategy, repeat and fold; raises `StoreError` where one cannot be read."""
        found, unreadable = self.read_records()
        if unreadable:
            raise StoreError(next(iter(unreadable.values())))
        return found

    def read_records(self) -> tuple[list[Record], dict[str, str]]:
        """The stored records that can be read, in the order of `records`, and by cell id why others cannot.

        A record is of no use where the predictions that it vouches for are not there at all.
        """
        found, unreadable = [], {}
        for cell_id in self._stored():
            try:
                record = self.record(cell_id)
                if record is not None and record.predictions_sha256:
                    _find(self.cell_folder(cell_id) / "predictions.npz")
            except StoreError as error:
                unreadable[cell_id] = str(error)
                continue
            found += [record] if record is not None else []
        return sorted(found, key=lambda r: (r.task, r.family, r.strategy, r.repeat, r.fold)), unreadable

    def _stored(self) -> list[str]:
        """The ids of the cells that have a folder."""
        try:
            return sorted(one.name for one in (self.folder / "cells").iterdir() if not one.name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"cannot read {self.folder / 'cells'}: {error.strerror or error}") from error

    def predictions(self, record: Record) -> StoredPredictions:
        """The predictions that a record vouches for; raises `StoreError` where they are not those, or are none."""
        path = self.cell_folder(record.id) / "predictions.npz"
        data = _vouched(path, record.predictions_sha256)
        try:
            return unpack(data, [outcome.stage for outcome in record.outcomes])
        except BROKEN as error:
            raise _broken(path, record, error) from error

    def curves(self, record: Record) -> dict[str, npt.NDArray[Any]]:
        """The training curves of a cell's networks by `<trial or refit>/<fold>/<curve>`; nothing where it left none.

        Those are `trial_3/inner_0/train_loss`, one figure per epoch, `final_tuned/outer/validation_loss` and so on; `epoch`
        (the one that was kept, from 1) and `seed` hold one number. Raises `StoreError` where the file is not what the record
        vouches for.
        """
        if not record.history_sha256:
            return {}
        path = self.cell_folder(record.id) / "history.npz"
        data = _vouched(path, record.history_sha256)
        try:
            return read_curves(data)
        except BROKEN as error:
            raise _broken(path, record, error) from error

    def discard_cell(self, cell_id: str) -> None:
        """Forget a cell whose declaration or data have changed, its study included."""
        shutil.rmtree(self.cell_folder(cell_id), ignore_errors=True)

    def prepare_study(self, cell_id: str, key: str) -> None:
        """Continue a study that was begun under this key; forget one of another key, its trials are of other rows or spaces.

        What a killed writer left is removed: the lock of a journal, and a record that is not complete.
        """
        marker = self.cell_folder(cell_id) / "key"
        if self.journal(cell_id).exists() and (not marker.exists() or marker.read_text(encoding="utf-8") != key):
            self.discard_cell(cell_id)
        repair_journal(self.journal(cell_id))
        if not marker.exists():
            write_atomic(marker, key.encode())

    def write_search(self, cell_id: str, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Store the out-of-fold probabilities of a search under way."""
        write_atomic(self.cell_folder(cell_id) / "search.npz", save(arrays))

    def write_curves(self, cell_id: str, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Store the training curves of one trial (`trial_3`) or refit (`final_tuned`) by `<fold>/<curve>`, one axis each.

        They are kept in float32's precision, whole numbers as they are. `write_cell` brings them together.
        """
        import numpy as np

        curves = {at: one.astype(np.float32) if one.dtype.kind == "f" else one for at, one in arrays.items()}
        write_atomic(self.cell_folder(cell_id) / "curves" / f"{name}.npz", save_curves(curves))

    def read_search(self, cell_id: str) -> dict[str, npt.NDArray[Any]]:
        """What `write_search` stored last, or nothing."""
        import numpy as np

        path = self.cell_folder(cell_id) / "search.npz"
        if not path.exists():
            return {}
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True  # of somebody else
    return True


def _broken(path: Path, record: Record, error: BaseException) -> StoreError:
    what = " ".join(str(error).split())
    return StoreError(f"cannot read {path}, of {record.name}: {what}: delete its folder and run again")


def _find(path: Path) -> None:
    """Raise `StoreError` where there is no such file."""
    try:
        path.stat()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def _vouched(path: Path, sha256: str) -> bytes:
    """The content of a file, if it is what a record says it is."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise StoreError(
            f"{path} is not what its record vouches for (SHA-256 differs): delete its folder and run again"
        )
    return data


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read {path}: {error}: restore it, or delete it and run again") from error
    if not isinstance(value, dict):
        raise StoreError(f"cannot read {path}: expected an object, found {type(value).__name__}")
    return value
