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
from harness.store.record import Record
from harness.store.files import write_atomic
from harness.store.store import Store

Curves = Mapping[str, npt.NDArray[Any]]

#: Of which rows a curve speaks; what speaks of neither stands with training.
PARTS = ("train", "validation")
ONCE = ("epoch", "seed")  #: no curves, one figure a fit


def require_tensorboard() -> None:
    """Raise `Unavailable` with the command that installs TensorBoard, where it is not there."""
    if find_spec("tensorboard") is None:
        raise Unavailable("TensorBoard is not installed: pip install 'evenhand[tensorboard]'")


def write_logs(store: Store) -> Path:
    """Make the logs of every entry's final fits, unless they are there; returns their folder, `derived/tensorboard/` of the run.

    They lie under `<task>/<family>/<strategy>/r0f0/<stage>/{train,validation}`. Raises `Unavailable` without TensorBoard,
    `StoreError` where the folder is no run or cannot be read or written.
    """
    require_tensorboard()
    folder = store.folder / "derived" / "tensorboard"
    planned = {(cell["id"], cell["key"]) for cell in store.read_run()["cells"]}
    records = [one for one in store.records() if (one.id, one.key) in planned and one.history_sha256]
    wanted = {record.id: record.history_sha256 for record in records}
    if _made_from(folder) != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        for record in records:
            _write_cell(store, record, folder)
        write_atomic(folder / "made.json", json.dumps(wanted, indent=1).encode())
    return folder


def tensorboard(store: Store, port: int) -> None:
    """Serve TensorBoard over a run on 127.0.0.1 until interrupted.

    Raises `Unavailable` where it is not installed, `EvenhandError` where there is nothing to show or no port.
    """
    folder = write_logs(store)
    if not _made_from(folder):
        raise EvenhandError(f"{store.folder} has no training curves: no network has been trained in it yet")
    # TensorBoard's own switch for reading logs without TensorFlow, which takes seconds to import and half a gigabyte.
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
    from tensorboard import default, program
    from tensorboard.program import TensorBoardServerException

    board = program.TensorBoard(default.get_plugins())
    # Without its fast loader, which would be a process of its own.
    board.configure((None, "--logdir", str(folder), "--host", "127.0.0.1", "--port", str(port), "--load_fast", "false"))
    try:
        url = board.launch()
    except TensorBoardServerException as error:
        raise EvenhandError(f"cannot listen on 127.0.0.1:{port}: {error}: choose another --port") from error
    sys.stdout.write(f"training curves of {store.folder}: {url} (Ctrl-C ends it)\n")
    sys.stdout.flush()
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return


def _made_from(folder: Path) -> dict[str, str]:
    """The curves from which the logs were made, by cell; nothing where that is not known."""
    try:
        found = json.loads((folder / "made.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_cell(store: Store, record: Record, folder: Path) -> None:
    curves = store.curves(record)
    cell = (record.task, record.family, record.strategy, f"r{record.repeat}f{record.fold}")
    # The curves' own time, so that what is drawn by wall clock is the time of training; it ended when they were stored.
    ended = (store.cell_folder(record.id) / "history.npz").stat().st_mtime
    for fit in dict.fromkeys(name.rpartition("/")[0] for name in curves if name.startswith("final_")):
        own = {name.rpartition("/")[2]: curve for name, curve in curves.items() if name.rpartition("/")[0] == fit}
        stage, _, place = fit.removeprefix("final_").partition("/")
        where = folder.joinpath(*map(_safe, (*cell, stage, *place.split("/")[1:])))
        for part in PARTS:
            if tags := dict(_tags(own, part)):
                write_atomic(where / part / "events.out.tfevents.0.evenhand", _events(tags, _times(own, ended)))


def _safe(name: str) -> str:
    """A name as that of one folder, whatever it is."""
    return quote(name, safe=" ,()+").replace("..", "%2E%2E")


def _tags(curves: Curves, part: str) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """The curves of a part by their tag: `train_loss` and `validation_loss` are `loss`, so that they share a chart."""
    for name, curve in curves.items():
        of, _, tag = name.partition("_")
        if of == part:
            yield tag, curve
        elif part == "train" and of not in PARTS and name not in ONCE:
            yield name, curve


def _times(curves: Curves, ended: float) -> npt.NDArray[np.float64]:
    """When each epoch ended, in seconds since 1970."""
    seconds = np.asarray(curves.get("seconds", np.zeros(0)), dtype=np.float64)
    return np.asarray(ended - seconds.sum() + seconds.cumsum())


def _events(tags: Curves, times: npt.NDArray[np.float64]) -> bytes:
    """An event file of scalars, one step an epoch, counted from 1."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    file = io.BytesIO()
    writer = RecordWriter(file)
    began = float(times[0]) if len(times) else 0.0
    writer.write(Event(wall_time=began, file_version="brain.Event:2").SerializeToString())
    for epoch in range(max(len(curve) for curve in tags.values())):
        values = [Summary.Value(tag=tag, simple_value=float(c[epoch])) for tag, c in tags.items() if epoch < len(c)]
        when = float(times[epoch]) if epoch < len(times) else began
        writer.write(Event(wall_time=when, step=epoch + 1, summary=Summary(value=values)).SerializeToString())
    return file.getvalue()
