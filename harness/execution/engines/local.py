"""The engine of one machine: supervised worker processes of one thread each, wall-clock and memory limits, clean kill."""

from __future__ import annotations

import selectors
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

from harness.errors import EvenhandError
from harness.execution.cell import Cell
from harness.execution.engines.base import CellEvent, CellJob, Limits, RunCallbacks
from harness.execution.plan import RunRequest
from harness.processes import ChildProcess
from harness.store.store import Store

#: So many of the next cells are searched for one that suits a worker.
LOOKAHEAD_JOBS = 20
#: Seconds between two checks of the limits.
POLL_SECONDS = 0.25
#: A worker whose memory exceeds this share of the limit after a cell is replaced by a new one.
RECYCLE_MEMORY_SHARE = 0.5
#: Status of a cell whose worker was lost → its code.
LOSS_CODES = {"timeout": "time_limit", "memory": "memory_limit", "failed": "process_ended"}


class Worker:
    """A worker process and the cell that it executes."""

    def __init__(self, request: RunRequest, store: Store) -> None:
        self.process = ChildProcess("harness.execution.worker")
        self.cell: Cell | None = None
        self.split_keys: set[tuple[str, int, int]] = set()  #: tasks and splits of its cells
        self.started = 0.0
        self.process.send({"request": request.as_dict(), "out": str(store.folder)})

    def start_cell(self, job: CellJob) -> None:
        """Send the worker a cell to execute."""
        self.cell, self.started, self.process.peak_mb = job.cell, time.monotonic(), 0.0
        self.split_keys.add(job.cell.split_key)
        message = {"cell": asdict(job.cell), "fingerprint": job.fingerprint}
        self.process.send({**message, "seconds": job.seconds, "trials": job.trials})


class LocalEngine:
    """Executes cells in child processes of this one; see `Engine`."""

    def run(
        self,
        request: RunRequest,
        store: Store,
        jobs: Sequence[CellJob],
        workers: int,
        limits: Limits,
        callbacks: RunCallbacks,
    ) -> None:
        """Execute cells in `workers` processes until all are finished or a stop is requested."""
        worker_pool = _WorkerPool(request, store, limits, callbacks)
        pending_jobs = list(reversed(jobs))
        try:
            while True:
                stop_request = callbacks.stop_request()
                seconds_left = callbacks.deadline() - time.monotonic()
                if stop_request != "no":
                    pending_jobs.clear()
                else:
                    pending_jobs = _jobs_in_time(pending_jobs, seconds_left)
                    pending_jobs = pending_jobs or list(reversed(callbacks.further_jobs()))
                if stop_request == "now" or seconds_left <= 0 or not (pending_jobs or worker_pool.busy_workers):
                    return
                worker_pool.assign_cells(pending_jobs, workers)
                worker_pool.collect_answers()
                worker_pool.enforce_limits()
        finally:
            worker_pool.close()


def _jobs_in_time(jobs: Sequence[CellJob], seconds_left: float) -> list[CellJob]:
    """The cells that are expected to be finished in time."""
    return [job for job in jobs if job.expected_seconds <= seconds_left]


class _WorkerPool:
    """The workers of a run."""

    def __init__(self, request: RunRequest, store: Store, limits: Limits, callbacks: RunCallbacks) -> None:
        self.request, self.store, self.limits, self.callbacks = request, store, limits, callbacks
        self.workers: list[Worker] = []
        self.selector = selectors.DefaultSelector()

    @property
    def busy_workers(self) -> list[Worker]:
        """Workers that execute a cell."""
        return [worker for worker in self.workers if worker.cell]

    def assign_cells(self, pending: list[CellJob], max_workers: int) -> None:
        """Start as many workers as are allowed and useful, and give every idle one a cell."""
        while pending and len(self.workers) < min(max_workers, len(self.busy_workers) + len(pending)):
            worker = Worker(self.request, self.store)
            self.workers.append(worker)
            self.selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
        for worker in self.workers:
            if worker.cell is None and pending:
                next_job = pending.pop(self._best_next_job(worker, pending))
                worker.start_cell(next_job)
                self.callbacks.on_event(CellEvent(next_job.cell))

    def _best_next_job(self, worker: Worker, pending_jobs: list[CellJob]) -> int:
        """Index of the pending cell that a worker should execute next; results do not depend on it.

        Among the cells of the next task, family and strategy, those of a split that the worker has had before come first,
        because it holds what was computed of these rows; then those that no other worker has had.
        """
        first_cell = pending_jobs[-1].cell
        other_keys: set[tuple[str, int, int]] = set()
        for other_worker in self.workers:
            if other_worker is not worker:
                other_keys |= other_worker.split_keys
        known_jobs, free_jobs, similar_jobs = [], [], []
        for index in range(len(pending_jobs) - 1, max(-1, len(pending_jobs) - 1 - LOOKAHEAD_JOBS), -1):
            cell = pending_jobs[index].cell
            if (cell.task, cell.family, cell.strategy) != (first_cell.task, first_cell.family, first_cell.strategy):
                continue
            similar_jobs.append(index)
            if cell.split_key in worker.split_keys:
                known_jobs.append(index)
            if cell.split_key not in other_keys:
                free_jobs.append(index)
        return [*known_jobs, *free_jobs, *similar_jobs][0]

    def collect_answers(self) -> None:
        """Take the answers that arrive before the next check of the limits."""
        for key, _ in self.selector.select(POLL_SECONDS):
            if not self._finish_cell(key.data):
                self._remove_worker(key.data)

    def enforce_limits(self) -> None:
        """Kill the workers whose cells exceed their limits."""
        for worker in self.busy_workers:
            used_memory_mb, engine_limits = worker.process.memory_mb(), self.limits
            if used_memory_mb > engine_limits.memory_mb:
                self._remove_worker(worker)
                reason = f"used {used_memory_mb:.0f} MB, more than the {engine_limits.memory_mb} MB it may"
                self._store_lost_cell(worker, "memory", reason)
            elif time.monotonic() - worker.started > engine_limits.seconds:
                self._remove_worker(worker)
                self._store_lost_cell(worker, "timeout", f"took longer than {engine_limits.seconds:g} s")

    def close(self) -> None:
        """Kill every worker."""
        for worker in list(self.workers):
            self._remove_worker(worker)
        self.selector.close()

    def _finish_cell(self, worker: Worker) -> bool:
        """Take a worker's answer; returns whether the worker can go on."""
        worker_answer, cell = worker.process.receive(), worker.cell
        if worker_answer is None:
            if cell is None:
                raise EvenhandError(f"a worker could not start: the process ended with {worker.process.exit_reason()}")
            self._store_lost_cell(worker, "failed", f"the process ended with {worker.process.exit_reason()}")
            return False
        if "error" in worker_answer:
            raise EvenhandError(worker_answer["error"])
        assert cell is not None  # noqa: S101 -- a worker answers nothing but cells
        record = self.store.read_record(cell.id)
        assert record is not None  # noqa: S101 -- the worker answers after it has written
        self.callbacks.on_event(CellEvent(cell, record))
        worker.cell = None
        return worker.process.memory_mb() < self.limits.memory_mb * RECYCLE_MEMORY_SHARE

    def _remove_worker(self, worker: Worker) -> None:
        self.selector.unregister(worker.process.stdout)
        self.workers.remove(worker)
        worker.process.kill()

    def _store_lost_cell(self, worker: Worker, status: Literal["timeout", "memory", "failed"], reason: str) -> None:
        """Store the record of a cell whose worker was lost, unless the worker had finished it."""
        cell = worker.cell
        assert cell is not None  # noqa: S101 -- only a worker that executes a cell can lose one
        record = self.store.read_record(cell.id)
        if record is None or record.key != cell.key or record.status != "ok":
            seconds = time.monotonic() - worker.started
            loss_code, peak_mb = LOSS_CODES[status], worker.process.peak_mb
            record = cell.make_record(status=status, code=loss_code, reason=reason, seconds=seconds, peak_mb=peak_mb)
            record = self.store.write_cell(record, None)
        self.callbacks.on_event(CellEvent(cell, record))


ENGINE = LocalEngine()
