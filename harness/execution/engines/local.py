"""Worker processes under watch: one thread each, wall-clock and memory limits, clean kill."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import IO, Any, Literal

from harness.errors import EvenhandError
from harness.execution.cell import Cell
from harness.execution.plan import Request
from harness.store.record import Record
from harness.store.store import Store

#: Two processes of one thread beat one of two, and two of two threads are slower than either.
ONE_THREAD = {
    **dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
        "1",
    ),
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_DETERMINISTIC_OPS": "1",
    "PYTHONHASHSEED": "0",
}
#: What a child process needs so that neither it nor what it starts imports a file from the current folder.
SAFE_PATH = {"PYTHONSAFEPATH": "1"}
#: So many cells ahead are looked through for one that suits a worker.
MOST_SPLITS = 20
#: How often limits are looked at, in seconds.
GLANCE = 0.25
#: A worker that has grown beyond this share of the memory limit after a cell makes room for a fresh one.
TIRED = 0.5

Stop = Literal["no", "after this", "now"]


@dataclass(frozen=True)
class Limits:
    """What one cell may use: wall-clock seconds, resident memory of its process tree in MB."""

    seconds: float
    memory_mb: int


@dataclass(frozen=True)
class Event:
    """Something that happened to a cell: it was started, or it has a record now."""

    cell: Cell
    record: Record | None = None


@dataclass(frozen=True)
class RunCallbacks:
    """How a run is watched: who is told what happens, and who says when to stop."""

    tell: Callable[[Event], None]
    stop: Callable[[], Stop]


class Worker:
    """One worker process and the cell it is at."""

    def __init__(self, request: Request, store: Store) -> None:
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as the worker
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.execution.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=os.environ | ONE_THREAD | SAFE_PATH,
            start_new_session=True,  # Ctrl-C is ours to handle, and a kill reaches whatever the cell started
        )
        assert self.process.stdout is not None  # noqa: S101 -- it was opened as a pipe
        self.out = self.process.stdout
        self.cell: Cell | None = None
        self.places: set[tuple[str, int, int]] = set()  #: tasks and splits of its cells
        self.started = 0.0
        self.peak_mb = 0.0
        self._send({"request": request.as_dict(), "out": str(store.folder)})

    def begin(self, cell: Cell, fingerprint: str) -> None:
        """Hand over a cell."""
        self.cell, self.started, self.peak_mb = cell, time.monotonic(), 0.0
        self.places.add(cell.split_key)
        self._send({"cell": asdict(cell), "fingerprint": fingerprint})

    def answer(self) -> dict[str, Any] | None:
        """The answer that has arrived; None where the process has ended instead."""
        line = self.out.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def memory_mb(self) -> float:
        """Resident memory of the process and its children."""
        import psutil

        try:
            root = psutil.Process(self.process.pid)
            used = sum(process.memory_info().rss for process in [root, *root.children(recursive=True)]) / 1e6
        except psutil.NoSuchProcess:
            return 0.0
        self.peak_mb = max(self.peak_mb, used)
        return used

    def obituary(self) -> str:
        """Why the process ended, as far as can be told."""
        code = self.process.wait()
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip().splitlines()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"the process ended with {how}" + (f": {said[-1][:300]}" if said else "")

    def end(self) -> None:
        """Kill the process and whatever it started."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            self.process.poll()
        self.process.wait()
        for stream in (self.process.stdin, self.out, self.errors):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:  # what was still to be sent has nobody to read it
                    continue

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None  # noqa: S101 -- it was opened as a pipe
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:  # the process is gone: reading its answer will say so
            return


def run_cells(
    request: Request,
    store: Store,
    cells: Sequence[tuple[Cell, str]],
    jobs: int,
    limits: Limits,
    watch: RunCallbacks,
) -> None:
    """Do the cells (each with the fingerprint of its rows) in `jobs` processes; results do not depend on how many.

    A cell over its limits, or whose process dies, gets a record that says so. Raises `EvenhandError` where a worker
    cannot store or cannot read its data: what is stored stays, and the run can be continued.
    """
    pool = _Pool(request, store, limits, watch)
    waiting = list(reversed(cells))
    try:
        while True:
            stop = watch.stop()
            if stop != "no":
                waiting.clear()
            if stop == "now" or not (waiting or pool.busy):
                return
            pool.hand_out(waiting, jobs)
            pool.collect()
            pool.enforce()
    finally:
        pool.close()


class _Pool:
    """The workers of a run."""

    def __init__(self, request: Request, store: Store, limits: Limits, watch: RunCallbacks) -> None:
        self.request, self.store, self.limits, self.watch = request, store, limits, watch
        self.workers: list[Worker] = []
        self.selector = selectors.DefaultSelector()

    @property
    def busy(self) -> list[Worker]:
        """Workers that are at a cell."""
        return [worker for worker in self.workers if worker.cell]

    def hand_out(self, waiting: list[tuple[Cell, str]], jobs: int) -> None:
        """Give every idle worker a cell, and hire as many workers as are allowed and useful."""
        while waiting and len(self.workers) < min(jobs, len(self.busy) + len(waiting)):
            worker = Worker(self.request, self.store)
            self.workers.append(worker)
            self.selector.register(worker.out, selectors.EVENT_READ, worker)
        for worker in self.workers:
            if worker.cell is None and waiting:
                cell, fingerprint = waiting.pop(self._best_for(worker, waiting))
                worker.begin(cell, fingerprint)
                self.watch.tell(Event(cell))

    def _best_for(self, worker: Worker, waiting: list[tuple[Cell, str]]) -> int:
        """Where the cell stands that a worker should do next.

        Of the next task, family and strategy it takes a split that it was at before, for which it holds what was
        computed, else one that no other worker was at. Results do not depend on it.
        """
        first, last = waiting[-1][0], len(waiting) - 1
        kind = (first.task, first.family, first.strategy)
        alike = [
            at
            for at in range(last, max(-1, last - MOST_SPLITS), -1)
            if (waiting[at][0].task, waiting[at][0].family, waiting[at][0].strategy) == kind
        ]
        others = set().union(*(other.places for other in self.workers if other is not worker))
        known = [at for at in alike if waiting[at][0].split_key in worker.places]
        free = [at for at in alike if waiting[at][0].split_key not in others]
        return next(iter([*known, *free, *alike]))

    def collect(self) -> None:
        """Take the answers that have come within a glance."""
        for ready, _ in self.selector.select(GLANCE):
            if not self._settle(ready.data):
                self._dismiss(ready.data)

    def enforce(self) -> None:
        """End the cells that are over their limits."""
        for worker in self.busy:
            if broken := _over(worker, self.limits):
                self._dismiss(worker)
                self._store_loss(worker, *broken)

    def close(self) -> None:
        """End every worker, whatever it is at."""
        for worker in list(self.workers):
            self._dismiss(worker)
        self.selector.close()

    def _settle(self, worker: Worker) -> bool:
        """Take a worker's answer; returns whether the worker can go on."""
        answer, cell = worker.answer(), worker.cell
        if answer is None:
            if cell is None:
                raise EvenhandError(f"a worker could not start: {worker.obituary()}")
            self._store_loss(worker, "failed", worker.obituary())
            return False
        if "error" in answer:
            raise EvenhandError(answer["error"])
        assert cell is not None  # noqa: S101 -- nobody answers without having been asked
        record = self.store.record(cell.id)
        assert record is not None  # noqa: S101 -- the worker answers after it has written
        self.watch.tell(Event(cell, record))
        worker.cell = None
        return worker.memory_mb() < self.limits.memory_mb * TIRED

    def _dismiss(self, worker: Worker) -> None:
        self.selector.unregister(worker.out)
        self.workers.remove(worker)
        worker.end()

    def _store_loss(self, worker: Worker, status: Literal["timeout", "memory", "failed"], reason: str) -> None:
        assert worker.cell is not None  # noqa: S101 -- only a worker at a cell can lose one
        written = self.store.record(worker.cell.id)
        if written is not None and written.key == worker.cell.key and written.status == "ok":
            self.watch.tell(Event(worker.cell, written))  # it was done before the process was lost
            return
        seconds = time.monotonic() - worker.started
        record = worker.cell.record(status=status, reason=reason, seconds=seconds, peak_mb=worker.peak_mb)
        self.watch.tell(Event(worker.cell, self.store.write_cell(record, None)))


def _over(worker: Worker, limits: Limits) -> tuple[Literal["timeout", "memory"], str] | None:
    used = worker.memory_mb()
    if used > limits.memory_mb:
        return "memory", f"used {used:.0f} MB, more than the {limits.memory_mb} MB it may"
    if time.monotonic() - worker.started > limits.seconds:
        return "timeout", f"took longer than {limits.seconds:g} s"
    return None
