"""A run folder: atomic writes, reading, resume.

    run.json                                            what was requested, on which data, with which versions
    cells/<cell id>/record.json  predictions.npz  history.npz  study.journal
    cells/<cell id>/search.npz  curves/                 of a search under way
    derived/                                            can be deleted and comes back
    data/                                               rows of a data frame that was given to the Python API

A record is written after its predictions and training curves and holds their SHA-256: a record on disk is a finished cell.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from harness.errors import StoreError
from harness.store import files
from harness.store.record import SCHEMA, Record, StoredPredictions, describe_incomplete_run

Content = TypeVar("Content")

FRAME_FOLDER = "data"  #: folder of a run with the rows of data frames


class Store:
    """One run folder.

    Parameters
    ----------
    folder : Path
        The folder; it is made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def run_file(self) -> Path:
        """`run.json`."""
        return self.folder / "run.json"

    def cell_folder(self, cell_id: str) -> Path:
        """The folder of one cell."""
        return self.folder / "cells" / cell_id

    def journal_path(self, cell_id: str) -> Path:
        """The Optuna journal of one cell."""
        return self.cell_folder(cell_id) / "study.journal"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for writing, and delete the files that killed processes have not finished.

        Raises
        ------
        StoreError
            If another run holds the folder.
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
                    f"{self.folder} is being written by another run: wait for it, or use another folder (--out, in Python: out=)"
                ) from error
            files.remove_partial_files(self.folder)
            yield

    def write_run(self, description: dict[str, Any]) -> None:
        """Store the description of the run."""
        files.write_atomic(self.run_file, files.json_to_bytes({"schema": SCHEMA, **description}))

    def read_run(self) -> dict[str, Any]:
        """Read the description of the run.

        Raises
        ------
        StoreError
            If there is none, it cannot be understood, or a newer version wrote it.
        """
        if not self.run_file.exists():
            raise StoreError(
                f"{self.folder} is not a run folder: it has no run.json (evenhand run --out {self.folder} makes one)"
            )
        run_description = files.read_json(self.run_file)
        schema = run_description.get("schema", 0)
        if not isinstance(schema, int):
            schema_problem = f"its schema is {schema!r}"
        elif schema > SCHEMA:
            raise StoreError(
                f"{self.run_file} has schema {schema}, this version reads up to {SCHEMA}: upgrade evenhand"
            )
        else:
            schema_problem = describe_incomplete_run(run_description)
        if schema_problem:
            raise StoreError(
                f"cannot read {self.run_file}: {schema_problem}: restore it, or run again into another folder"
            )
        return run_description

    def write_cell(self, record: Record, predictions: StoredPredictions | None) -> Record:
        """Store a cell: predictions and training curves first, then the record.

        Parameters
        ----------
        record : Record
            The record, without checksums.
        predictions : StoredPredictions or None
            The predictions of its entries; None where there are none.

        Returns
        -------
        Record
            The record with the checksums of the files that belong to it.
        """
        folder = self.cell_folder(record.id)
        if predictions is not None:
            predictions_content = files.predictions_to_bytes(predictions)
            files.write_atomic(folder / "predictions.npz", predictions_content)
            record = replace(
                record,
                predictions_sha256=hashlib.sha256(predictions_content).hexdigest(),
                history_sha256=self._merge_training_curves(folder),
            )
        files.write_atomic(folder / "record.json", files.json_to_bytes(record.as_dict()))
        if predictions is not None:  # only an unfinished search needs these
            (folder / "search.npz").unlink(missing_ok=True)
            shutil.rmtree(folder / "curves", ignore_errors=True)
        return record

    def _merge_training_curves(self, folder: Path) -> str:
        """Merge the curves of all trials and refits into `history.npz`; returns its SHA-256, nothing where there are none."""
        merged_curves = {}
        for path in sorted((folder / "curves").glob("*.npz")):
            for name, curve in files.curves_from_bytes(path.read_bytes()).items():
                merged_curves[f"{path.stem}/{name}"] = curve
        if not merged_curves:
            (folder / "history.npz").unlink(missing_ok=True)  # of a record that was discarded
            return ""
        curves_content = files.curves_to_bytes(merged_curves)
        files.write_atomic(folder / "history.npz", curves_content)
        return hashlib.sha256(curves_content).hexdigest()

    def read_record(self, cell_id: str) -> Record | None:
        """The record of a cell, None where the cell was never finished; raises `StoreError` where it cannot be read."""
        path = self.cell_folder(cell_id) / "record.json"
        try:
            return Record.from_dict(files.read_json(path))
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        except (TypeError, ValueError, AttributeError) as error:
            raise StoreError(
                f"cannot read {path}: it is not a record ({error}): delete its folder and run again"
            ) from error

    def read_every_record(self) -> list[Record]:
        """Every stored record, by task, family, strategy, repeat and fold; raises `StoreError` where one cannot be read."""
        records, unreadable_reasons = self.read_readable_records()
        if unreadable_reasons:
            raise StoreError(next(iter(unreadable_reasons.values())))
        return records

    def read_readable_records(self) -> tuple[list[Record], dict[str, str]]:
        """Read all records that can be read.

        A record whose predictions do not exist counts as unreadable.

        Returns
        -------
        records : list of Record
            In the order of `read_every_record`.
        unreadable : dict
            Cell id → why its record cannot be read.
        """
        records, unreadable_reasons = [], {}
        for cell_id in self._stored_cell_ids():
            predictions_file = self.cell_folder(cell_id) / "predictions.npz"
            try:
                record = self.read_record(cell_id)
                if record is not None and record.predictions_sha256:
                    predictions_file.stat()
            except StoreError as error:
                unreadable_reasons[cell_id] = str(error)
            except OSError as error:
                unreadable_reasons[cell_id] = f"cannot read {predictions_file}: {error.strerror or error}"
            else:
                if record is not None:
                    records.append(record)
        return sorted(records, key=lambda r: (r.task, r.family, r.strategy, r.repeat, r.fold)), unreadable_reasons

    def _stored_cell_ids(self) -> list[str]:
        """The ids of the cells that have a folder."""
        try:
            names = [path.name for path in (self.folder / "cells").iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"cannot read {self.folder / 'cells'}: {error.strerror or error}") from error
        return sorted(name for name in names if not name.startswith("."))

    def read_predictions(self, record: Record, *, inner: bool = True) -> StoredPredictions:
        """Read the predictions of a cell, those of inner rows only where they are needed.

        Raises
        ------
        StoreError
            If they do not match the record or cannot be read.
        """
        stages = [entry.stage for entry in record.outcomes]
        return self._read_archive(
            record,
            "predictions.npz",
            record.predictions_sha256,
            lambda content: files.predictions_from_bytes(content, stages, inner=inner),
        )

    def read_curves(self, record: Record) -> dict[str, npt.NDArray[Any]]:
        """Read the training curves of a cell's networks.

        Returns
        -------
        dict
            Curves by `<trial or refit>/<fold>/<curve>`, empty where there are none: `trial_3/inner_0/train_loss`, one number
            per epoch, `final_tuned/outer/validation_loss` and so on; `epoch` (the one whose weights the network has, from
            1) and `seed` hold one number.

        Raises
        ------
        StoreError
            If the file does not match the record or cannot be read.
        """
        if not record.history_sha256:
            return {}
        return self._read_archive(record, "history.npz", record.history_sha256, files.curves_from_bytes)

    def _read_archive(
        self, record: Record, archive_name: str, sha256: str, parse_archive: Callable[[bytes], Content]
    ) -> Content:
        """Read a file of a cell; raises `StoreError` where it does not match the record or cannot be read."""
        path = self.cell_folder(record.id) / archive_name
        archive_content = files.read_file_with_checksum(path, sha256)
        try:
            return parse_archive(archive_content)
        except files.ARCHIVE_ERRORS as error:
            message = " ".join(str(error).split())
            raise StoreError(
                f"cannot read {path}, of {record.name}: {message}: delete its folder and run again"
            ) from error

    def discard_cell(self, cell_id: str) -> None:
        """Delete a cell whose declaration or data have changed, its study included."""
        shutil.rmtree(self.cell_folder(cell_id), ignore_errors=True)

    def keep_or_delete_study(self, cell_id: str, key: str) -> None:
        """Keep the study of a cell that was begun under this key, and delete one of another key: its trials are outdated.

        What a killed process left is removed: the lock of the journal, and a trial that is not complete.
        """
        key_file, journal_path = self.cell_folder(cell_id) / "key", self.journal_path(cell_id)
        if journal_path.exists() and (not key_file.exists() or key_file.read_text(encoding="utf-8") != key):
            self.discard_cell(cell_id)
        files.repair_journal(journal_path)
        if not key_file.exists():
            files.write_atomic(key_file, key.encode())

    def write_search_cache(self, cell_id: str, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Store the out-of-fold probabilities of a search under way."""
        files.write_atomic(self.cell_folder(cell_id) / "search.npz", files.arrays_to_bytes(arrays))

    def read_search_cache(self, cell_id: str) -> dict[str, npt.NDArray[Any]]:
        """Read what `write_search_cache` stored last; empty where there is nothing."""
        path = self.cell_folder(cell_id) / "search.npz"
        if not path.exists():
            return {}
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)

    def write_curves(self, cell_id: str, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Store the training curves of one trial or refit; `write_cell` merges them.

        Parameters
        ----------
        cell_id : str
            The cell.
        name : str
            ``trial_3`` or ``final_tuned``.
        arrays : mapping
            One-dimensional arrays by `<fold>/<curve>`; they are rounded to the precision of float32, integers are not.
        """
        curves = dict(arrays)
        for curve_name, curve_array in arrays.items():
            if curve_array.dtype.kind == "f":
                curves[curve_name] = curve_array.astype(np.float32)
        files.write_atomic(self.cell_folder(cell_id) / "curves" / f"{name}.npz", files.curves_to_bytes(curves))
