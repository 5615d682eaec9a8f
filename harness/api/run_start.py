"""The state of a run when it starts, and the further cells that are begun where time is left of its budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.api.run_plan import CellForecast, correct_forecast
from harness.api.time_budget import TimeBudget, TimeShares, divide_time, merge_budget
from harness.execution.cell import Cell
from harness.execution.engines.base import CellEvent, CellJob, RunCallbacks
from harness.execution.plan import Plan
from harness.metrics.metric import Metric
from harness.store.record import Record
from harness.store.store import Store


@dataclass(frozen=True)
class RunStart:
    """The state of a run when it starts, or when further cells are begun."""

    plan: Plan
    pending: tuple[Cell, ...]  #: cells to execute
    finished: tuple[Record, ...]  #: records that are kept
    objectives: Mapping[str, Metric]  #: task → the metric that is optimised
    outdated: int = 0  #: cells with a record under another key, which are executed again
    forecast: CellForecast = field(default_factory=CellForecast)
    shares: TimeShares = field(default_factory=TimeShares)  #: of the time of the whole run, where that is limited
    budget: TimeBudget | None = None
    loading_seconds: float = 0.0  #: to read the tables, as every worker does
    continues: bool = False  #: whether cells of the same run are being executed already


def make_jobs(start: RunStart) -> list[CellJob]:
    """Make the jobs of the pending cells for an engine, with their limits of time and trials."""
    fingerprints = {loaded.task.name: loaded.fingerprint for loaded in start.plan.tasks}
    cell_jobs = []
    for cell in start.pending:
        seconds, trials = start.shares.cell_seconds.get(cell.family), start.shares.trials.get(cell.family)
        expected = start.forecast.limited_seconds(cell.id)
        cell_jobs.append(CellJob(cell, fingerprints[cell.task], seconds, trials, expected))
    return cell_jobs


def start_with_shares(start: RunStart, shares: TimeShares) -> RunStart:
    """The start of a run with those cells for which there is time."""
    expected = {}
    for cell in shares.cells:
        cell_seconds = start.forecast.seconds_of_trials(cell.id, shares.trials.get(cell.family))
        expected[cell.id] = min(cell_seconds, shares.cell_seconds.get(cell.family, cell_seconds))
    forecast = replace(start.forecast, expected_seconds=expected)
    return replace(start, pending=shares.cells, forecast=forecast, shares=shares)


class FurtherCells:
    """Divides the time that is left whenever no cell of a run with a budget waits, by what the finished cells have taken.

    Parameters
    ----------
    store : Store
        The run.
    start : RunStart
        Its start, with a budget.
    callbacks : RunCallbacks
        The callbacks of its caller.
    on_start : callable
        Receives the start of every batch of further cells.
    """

    def __init__(
        self, store: Store, start: RunStart, callbacks: RunCallbacks, on_start: Callable[[RunStart], RunCallbacks]
    ) -> None:
        assert start.budget is not None  # noqa: S101 -- without a budget all cells are begun
        self.store, self.start, self.callbacks, self.on_start = store, start, callbacks, on_start
        self.budget, self.forecast = start.budget, start.forecast
        self.running: dict[str, float] = {}  #: cell id → when it is expected to be finished, by `time.monotonic`
        self.records: list[Record] = []  #: of the cells that were finished
        self.considered = 0  #: records when further cells were last sought

    def add_callbacks(self) -> RunCallbacks:
        """The callbacks of the caller, with those that an engine needs under a budget."""
        return replace(self.callbacks, on_event=self.on_event, deadline=self.deadline, further_jobs=self.next_jobs)

    def on_event(self, event: CellEvent) -> None:
        """Count an event and pass it on."""
        if event.record is None:
            self.running[event.cell.id] = time.monotonic() + self.start.forecast.limited_seconds(event.cell.id)
        else:
            self.running.pop(event.cell.id, None)
            self.records.append(event.record)
        self.callbacks.on_event(event)

    def deadline(self) -> float:
        """When the cells have to be finished, by what it has taken to write tables so far."""
        self.budget = replace(self.budget, table_seconds=self.callbacks.table_seconds())
        return self.budget.cell_deadline

    def next_jobs(self) -> Sequence[CellJob]:
        """The cells for which there is time besides those that are being executed; they were left out so far."""
        if len(self.records) == self.considered or not self.start.shares.omitted:
            return ()
        self.considered = len(self.records)
        forecast = correct_forecast(self.forecast, self.records, self.start.shares.omitted)
        worker_seconds = self.budget.worker_seconds(forecast.jobs, 0.0)
        for end in self.running.values():
            worker_seconds -= max(0.0, end - time.monotonic())
        description = self.store.read_run()
        earlier = description["budget"]
        stored = TimeShares.from_description(earlier)
        shares = divide_time(self.start.shares.omitted, forecast, worker_seconds, stored, begins=False)
        if not shares.cells:
            return ()
        self.store.write_run({**description, "budget": merge_budget(earlier, None, shares, ())})
        further = start_with_shares(replace(self.start, forecast=forecast, budget=self.budget, continues=True), shares)
        self.on_start(further)
        # All cells are compared with the first forecast: its ratio to what they have taken corrects that of further ones.
        expected = start_with_shares(replace(self.start, forecast=self.forecast), shares).forecast.expected_seconds
        self.forecast = replace(self.forecast, expected_seconds={**self.forecast.expected_seconds, **expected})
        self.start = further
        return make_jobs(further)
