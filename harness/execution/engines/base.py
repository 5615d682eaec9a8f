"""What an engine is: it takes cells, has them executed within limits, and reports a finished record of each."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from harness.execution.cell import Cell
from harness.execution.plan import RunRequest
from harness.store.record import Record
from harness.store.store import Store

#: Engine → the module that implements it and holds it as `ENGINE`; it is imported when it is used.
ENGINES = {"local": "harness.execution.engines.local"}
DEFAULT_ENGINE = "local"

#: Whether a run is to stop, and whether the cells under way are finished first.
StopRequest: TypeAlias = Literal["no", "after this", "now"]


@dataclass(frozen=True)
class CellJob:
    """A cell to be executed, with the fingerprint of the rows that it was planned for."""

    cell: Cell
    fingerprint: str
    seconds: float | None = None  #: its budget, where it is not that of the protocol
    trials: int | None = None  #: its trials, where they are fewer than those of the protocol
    expected_seconds: float = 0.0  #: what it is expected to take; it is not begun where that is too late


@dataclass(frozen=True)
class Limits:
    """What one cell may use: wall-clock seconds, resident memory of its process tree in MB."""

    seconds: float
    memory_mb: int


@dataclass(frozen=True)
class CellEvent:
    """A change of a cell: it was started (no record) or it has a record."""

    cell: Cell
    record: Record | None = None


def no_deadline() -> float:
    """The time at which a run without a limit has to end."""
    return math.inf


def no_further_jobs() -> Sequence[CellJob]:
    """The further cells of a run whose cells are all known when it starts."""
    return ()


def no_seconds() -> float:
    """What was not measured."""
    return 0.0


@dataclass(frozen=True)
class RunCallbacks:
    """The connection between an engine and its caller: `on_event` is called with every event, the others often."""

    on_event: Callable[[CellEvent], None]
    stop_request: Callable[[], StopRequest]
    #: By `time.monotonic`; cells under way are ended then, without a record.
    deadline: Callable[[], float] = no_deadline
    further_jobs: Callable[[], Sequence[CellJob]] = no_further_jobs  #: asked for whenever no cell waits
    table_seconds: Callable[[], float] = no_seconds  #: what it has taken to write tables while the run goes on


class Engine(Protocol):
    """Executes cells; the stored bytes do not depend on which engine does it, nor on the number of workers."""

    def run(
        self,
        request: RunRequest,
        store: Store,
        jobs: Sequence[CellJob],
        workers: int,
        limits: Limits,
        callbacks: RunCallbacks,
    ) -> None:
        """Execute cells until all are finished or a stop is requested.

        A cell that exceeds its limits, or whose worker is lost, gets a record that says so.

        Parameters
        ----------
        request : RunRequest
            What the run was asked for; workers load tasks and declarations from it.
        store : Store
            Where records and predictions are written.
        jobs : sequence of CellJob
            The cells, in the order in which they should be started.
        workers : int
            The number of cells executed at the same time.
        limits : Limits
            What one cell may use.
        callbacks : RunCallbacks
            Notified of every started and every finished cell; asked whether to stop.

        Raises
        ------
        EvenhandError
            Where a worker cannot start, cannot read its data or cannot store: what is stored stays, and the run can be
            continued.
        """


def load_engine(name: str = DEFAULT_ENGINE) -> Engine:
    """Import an engine by its name in `ENGINES`."""
    engine: Engine = importlib.import_module(ENGINES[name]).ENGINE
    return engine
