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
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import StoreError
from harness.store.record import SCHEMA, Record, StoredPredictions

if TYPE_CHECKING:
    import numpy.typing as npt


#: What a description of a run must have to be read at all, and what that of each of its tasks.
NEEDED = ("name", "command", "protocol", "families", "strategies", "tasks", "cells")
NEEDED_OF_TASKS = ("classes", "fingerprint", "rows", "counts")


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds either what it held or all of it: temporary file, fsync, rename.

    Raises `StoreError` where it cannot (disk full, no permission); nothing is left behind then.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
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
        """Hold the folder for writing; raises `StoreError` while another run does."""
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
            yield

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
        lacking = [name for name in NEEDED if name not in description]
        if lacking or not isinstance(schema, int):
            what = f"it lacks {', '.join(lacking)}" if isinstance(schema, int) else f"its schema is {schema!r}"
            raise StoreError(f"cannot read {self.run_file}: {what}: restore it, or run again into another folder")
        for task, about in description["tasks"].items():
            if lacking := [name for name in NEEDED_OF_TASKS if name not in about]:
                raise StoreError(
                    f"cannot read {self.run_file}: task {task!r} lacks {', '.join(lacking)}: restore it, or run again"
                )
        return description

    def write_cell(self, record: Record, predictions: StoredPredictions | None) -> Record:
        """Store a cell: predictions and training curves first, then the record that vouches for them, which is returned."""
        folder = self.cell_folder(record.id)
        if predictions is not None:
            data = _npz(predictions)
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
            for name, curve in _read_curves(path.read_bytes()).items()
        }
        if not merged:
            (folder / "history.npz").unlink(missing_ok=True)  # of a record that was discarded
            return ""
        data = _save_curves(merged)
        write_atomic(folder / "history.npz", data)
        return hashlib.sha256(data).hexdigest()

    def record(self, cell_id: str) -> Record | None:
        """The record of a cell, None where the cell was never finished."""
        path = self.cell_folder(cell_id) / "record.json"
        if not path.exists():
            return None
        values = _read_json(path)
        try:
            return Record.from_dict(values)
        except (TypeError, ValueError, AttributeError) as error:
            raise StoreError(f"cannot read {path}: it is not a record: delete its folder and run again") from error

    def records(self) -> list[Record]:
        """Every stored record, by task, family, strategy, repeat and fold."""
        found = [
            record
            for path in (self.folder / "cells").glob("*/record.json")
            if (record := self.record(path.parent.name))
        ]
        return sorted(found, key=lambda r: (r.task, r.family, r.strategy, r.repeat, r.fold))

    def predictions(self, record: Record) -> StoredPredictions:
        """The predictions that a record vouches for; raises `StoreError` where they are not those."""
        import numpy as np

        data = _vouched(self.cell_folder(record.id) / "predictions.npz", record.predictions_sha256)
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            stages = [outcome.stage for outcome in record.outcomes]
            return StoredPredictions(
                test_rows=arrays["test_rows"].astype(np.int64),
                test_y=arrays["test_y"].astype(np.int64),
                train_rows=arrays["train_rows"].astype(np.int64),
                train_y=arrays["train_y"].astype(np.int64),
                test={stage: arrays[f"test_{stage}"] for stage in stages},
                inner={stage: arrays[f"inner_{stage}"] for stage in stages},
            )

    def curves(self, record: Record) -> dict[str, npt.NDArray[Any]]:
        """The training curves of a cell's networks by `<trial or refit>/<fold>/<curve>`; nothing where it left none.

        Those are `trial_3/inner_0/train_loss`, one figure per epoch, `final_tuned/outer/validation_loss` and so on; `epoch`
        (the one that was kept, from 1) and `seed` hold one number. Raises `StoreError` where the file is not what the record
        vouches for.
        """
        if not record.history_sha256:
            return {}
        return _read_curves(_vouched(self.cell_folder(record.id) / "history.npz", record.history_sha256))

    def discard_cell(self, cell_id: str) -> None:
        """Forget a cell whose declaration or data have changed, its study included."""
        shutil.rmtree(self.cell_folder(cell_id), ignore_errors=True)

    def keep_study_of(self, cell_id: str, key: str) -> None:
        """Continue a study that was begun under this key; forget one of another key, its trials are of other rows or spaces."""
        marker = self.cell_folder(cell_id) / "key"
        if self.journal(cell_id).exists() and (not marker.exists() or marker.read_text(encoding="utf-8") != key):
            self.discard_cell(cell_id)
        if not marker.exists():
            write_atomic(marker, key.encode())

    def write_search(self, cell_id: str, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Store the out-of-fold probabilities of a search under way."""
        write_atomic(self.cell_folder(cell_id) / "search.npz", _savez(arrays))

    def write_curves(self, cell_id: str, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Store the training curves of one trial (`trial_3`) or refit (`final_tuned`) by `<fold>/<curve>`, one axis each.

        They are kept in float32's precision, whole numbers as they are. `write_cell` brings them together.
        """
        import numpy as np

        curves = {at: one.astype(np.float32) if one.dtype.kind == "f" else one for at, one in arrays.items()}
        write_atomic(self.cell_folder(cell_id) / "curves" / f"{name}.npz", _save_curves(curves))

    def read_search(self, cell_id: str) -> dict[str, npt.NDArray[Any]]:
        """What `write_search` stored last, or nothing."""
        import numpy as np

        path = self.cell_folder(cell_id) / "search.npz"
        if not path.exists():
            return {}
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)


def _npz(predictions: StoredPredictions) -> bytes:
    import numpy as np

    return _savez(
        {
            "test_rows": predictions.test_rows.astype(np.int32),
            "test_y": predictions.test_y.astype(np.int16),
            "train_rows": predictions.train_rows.astype(np.int32),
            "train_y": predictions.train_y.astype(np.int16),
            **{f"test_{stage}": proba for stage, proba in predictions.test.items()},
            **{f"inner_{stage}": proba for stage, proba in predictions.inner.items()},
        }
    )


def _savez(arrays: dict[str, npt.NDArray[Any]]) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # its stub takes the next argument for a keyword
    return buffer.getvalue()


def _save_curves(curves: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """All curves as one: a member of its own for each would be three times as large and twenty times as slow to read."""
    import numpy as np

    arrays = [np.atleast_1d(curve) for curve in curves.values()]
    return _savez(
        {
            "names": np.array(list(curves), dtype=np.str_),
            "lengths": np.array([len(one) for one in arrays], dtype=np.int64),
            "values": np.concatenate([np.zeros(0), *arrays], dtype=np.float64),
        }
    )


def _read_curves(data: bytes) -> dict[str, npt.NDArray[Any]]:
    import numpy as np

    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        names, ends = arrays["names"].tolist(), arrays["lengths"].cumsum()
        return dict(zip(names, np.split(arrays["values"], ends[:-1]), strict=True))


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
