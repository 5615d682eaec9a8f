"""The training curves of a run for TensorBoard: logs made from what is stored, and the page that shows them."""

from __future__ import annotations

import io
import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from harness.errors import EvenhandError, Unavailable
from harness.store.files import write_atomic
from harness.store.record import Record
from harness.store.store import Store

Curves = Mapping[str, npt.NDArray[Any]]

#: The rows that a curve is computed on; a curve of neither belongs to training.
PARTS = ("train", "validation")
#: Scalars of a fit, which are no curves.
SCALARS = ("epoch", "seed")
EVENT_FILE = "events.out.tfevents.0.evenhand"


def require_tensorboard() -> None:
    """Raise `Unavailable` with the command that installs TensorBoard, where it is not installed."""
    if find_spec("tensorboard") is None:
        raise Unavailable("TensorBoard is not installed: pip install 'evenhand[tensorboard]'")


def write_tensorboard_logs(store: Store) -> Path:
    """Write the logs of every entry's final fits, unless they are up to date.

    They are written under `<task>/<family>/<strategy>/r0f0/<stage>/{train,validation}`.

    Parameters
    ----------
    store : Store
        The folder of the run.

    Returns
    -------
    Path
        The folder of the logs, `derived/tensorboard/` of the run.

    Raises
    ------
    Unavailable
        If TensorBoard is not installed.
    StoreError
        If the folder is no run, or cannot be read or written.
    """
    require_tensorboard()
    folder = store.folder / "derived" / "tensorboard"
    planned_cells = {(cell["id"], cell["key"]) for cell in store.read_run()["cells"]}
    records = []
    for record in store.read_every_record():
        if (record.id, record.key) in planned_cells and record.history_sha256:
            records.append(record)
    history_digests = {record.id: record.history_sha256 for record in records}
    if _read_logged_curve_digests(folder) != history_digests:
        shutil.rmtree(folder, ignore_errors=True)
        for record in records:
            _write_cell_events(store, record, folder)
        write_atomic(folder / "made.json", json.dumps(history_digests, indent=1).encode())
    return folder


def serve_tensorboard(store: Store, port: int) -> None:
    """Serve TensorBoard over a run on 127.0.0.1 until interrupted.

    Raises
    ------
    Unavailable
        If TensorBoard is not installed.
    EvenhandError
        If the run has no training curves, or the port cannot be opened.
    """
    folder = write_tensorboard_logs(store)
    if not _read_logged_curve_digests(folder):
        raise EvenhandError(f"{store.folder} has no training curves: no network has been trained in it yet")
    # TensorBoard's own switch for reading logs without TensorFlow, which takes seconds to import and half a gigabyte.
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
    from tensorboard import default, program
    from tensorboard.program import TensorBoardServerException

    server = program.TensorBoard(default.get_plugins())
    # Without its fast loader, which would be a process of its own.
    address = ("--host", "127.0.0.1", "--port", str(port))
    server.configure((None, "--logdir", str(folder), *address, "--load_fast", "false"))
    try:
        url = server.launch()
    except TensorBoardServerException as error:
        raise EvenhandError(f"cannot listen on 127.0.0.1:{port}: {error}: choose another --port") from error
    sys.stdout.write(f"training curves of {store.folder}: {url} (Ctrl-C ends it)\n")
    sys.stdout.flush()
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return


def _read_logged_curve_digests(folder: Path) -> dict[str, str]:
    """Read from which curves the logs were made, by cell; empty where that is not known."""
    try:
        history_digests = json.loads((folder / "made.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return history_digests if isinstance(history_digests, dict) else {}


def _write_cell_events(store: Store, record: Record, folder: Path) -> None:
    """Write an event file per fit and part of a cell."""
    curves = store.read_curves(record)
    cell = (record.task, record.family, record.strategy, f"r{record.repeat}f{record.fold}")
    # The wall-clock times of the logs are those of training, which ended when the curves were stored.
    end_seconds = (store.cell_folder(record.id) / "history.npz").stat().st_mtime
    curves_by_fit: dict[str, dict[str, npt.NDArray[Any]]] = {}
    for name, curve in curves.items():
        fit_name, _, curve_name = name.rpartition("/")
        if name.startswith("final_"):
            curves_by_fit.setdefault(fit_name, {})[curve_name] = curve
    for fit_name, fit_curves in curves_by_fit.items():
        entry_stage, _, position = fit_name.removeprefix("final_").partition("/")
        fit_folder = folder.joinpath(*map(_quote_as_folder_name, (*cell, entry_stage, *position.split("/")[1:])))
        for part_name in PARTS:
            curves_by_tag = dict(_curves_by_tag(fit_curves, part_name))
            if curves_by_tag:
                write_atomic(
                    fit_folder / part_name / EVENT_FILE,
                    _make_event_file(curves_by_tag, _epoch_times(fit_curves, end_seconds)),
                )


def _quote_as_folder_name(name: str) -> str:
    """Quote a name of unknown origin as the name of one folder."""
    return quote(name, safe=" ,()+").replace("..", "%2E%2E")


def _curves_by_tag(curves: Curves, part_name: str) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Name the curves of a part by their tag: `train_loss` and `validation_loss` are `loss`, to share a chart."""
    for name, curve in curves.items():
        prefix, _, curve_tag = name.partition("_")
        if prefix == part_name:
            yield curve_tag, curve
        elif part_name == "train" and prefix not in PARTS and name not in SCALARS:
            yield name, curve


def _epoch_times(curves: Curves, end_seconds: float) -> npt.NDArray[np.float64]:
    """Compute when each epoch ended, in seconds since 1970."""
    seconds = np.asarray(curves.get("seconds", np.zeros(0)), dtype=np.float64)
    return np.asarray(end_seconds - seconds.sum() + seconds.cumsum())


def _make_event_file(curves_by_tag: Curves, epoch_times: npt.NDArray[np.float64]) -> bytes:
    """Make an event file of scalars, one step per epoch, counted from 1."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    file = io.BytesIO()
    record_writer = RecordWriter(file)
    start_seconds = float(epoch_times[0]) if len(epoch_times) else 0.0
    record_writer.write(Event(wall_time=start_seconds, file_version="brain.Event:2").SerializeToString())
    for epoch in range(max(map(len, curves_by_tag.values()))):
        summary_values = []
        for curve_tag, curve in curves_by_tag.items():
            if epoch < len(curve):
                summary_values.append(Summary.Value(tag=curve_tag, simple_value=float(curve[epoch])))
        time_of_epoch = float(epoch_times[epoch]) if epoch < len(epoch_times) else start_seconds
        epoch_event = Event(wall_time=time_of_epoch, step=epoch + 1, summary=Summary(value=summary_values))
        record_writer.write(epoch_event.SerializeToString())
    return file.getvalue()
