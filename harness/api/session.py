"""A benchmark from start to tables: progress, interrupts, the run itself, its report."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.api.benchmark import benchmark
from harness.api.progress import Interrupts, show_progress
from harness.errors import EvenhandError
from harness.execution.engines.base import Limits
from harness.execution.plan import Request
from harness.metrics.metric import Metric
from harness.registry.registry import Registry
from harness.store.store import Store

#: The share of the machine's memory that all cells at once may use.
MEMORY_SHARE = 0.85
#: A cell may take this many seconds, or this multiple of its budget if that is more.
CELL_SECONDS, CELL_BUDGETS = 3600.0, 10.0


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """How a benchmark is executed; none of it changes a number."""

    command: str  #: the command line, stored with the run
    jobs: int | None = None  #: cells at once; None: the number of cores
    retry: tuple[str, ...] = ()  #: statuses of cells to execute again
    tensorboard: bool = False  #: also write TensorBoard logs
    quiet: bool = False  #: show no progress


def run_session(request: Request, registry: Registry, store: Store, options: SessionOptions) -> bool:
    """Execute or continue a run and write its report.

    Parameters
    ----------
    request : Request
        Tasks, families, strategies and protocol.
    registry : Registry
        All declarations.
    store : Store
        The folder of the run.
    options : SessionOptions
        Number of workers, statuses to retry, progress.

    Returns
    -------
    bool
        False where the run was interrupted; the same call continues it.

    Raises
    ------
    EvenhandError
        For wrong options, a folder with a run of another protocol, or data that cannot be read.
    """
    from harness.api.tensorboard import require_tensorboard, write_logs

    if options.tensorboard:
        require_tensorboard()
    if options.jobs is not None and options.jobs < 1:
        raise EvenhandError(f"--jobs must be at least 1, but got {options.jobs}")
    jobs = options.jobs or usable_cores()
    interrupts = Interrupts()
    with show_progress(interrupts, quiet=options.quiet) as on_start:
        benchmark(
            request,
            registry,
            store,
            command=options.command,
            jobs=jobs,
            limits=cell_limits(jobs, request.protocol.budget),
            retry=options.retry,
            on_start=on_start,
        )
    if interrupts.stop != "now":
        write_tables(store, registry.metrics, quiet=options.quiet)
        if options.tensorboard:
            write_logs(store)
    if interrupts.stop != "no":
        sys.stderr.write("stopped: the same command continues\n")
        return False
    return True


def write_tables(store: Store, metrics: Mapping[str, Metric], *, quiet: bool) -> Path:
    """Write the report of a run and, unless `quiet`, print its summary; return the path of the page."""
    from harness.report.write import write_report

    files = write_report(store, metrics)
    if not quiet:
        with contextlib.suppress(BrokenPipeError):  # the tables are written even if the reader of the pipe has ended
            sys.stdout.write(f"{files.summary}\n\n{files.markdown}\n{files.csv}\n{files.page}\n")
            sys.stdout.flush()
    return files.page


def cell_limits(jobs: int, budget: float | None) -> Limits:
    """Limit what one cell may use: seconds, and its share of the memory where `jobs` cells run at once."""
    import psutil

    memory_mb = psutil.virtual_memory().total / 1e6 * MEMORY_SHARE / jobs
    return Limits(max(CELL_SECONDS, CELL_BUDGETS * (budget or 0)), int(memory_mb))


def usable_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
