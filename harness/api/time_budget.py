"""The time of a whole run, divided between its cells: equal trials, every family before any second strategy, tables included.

Which cells are begun, and with how many trials, is decided before the first one starts, and again for the time that is left
whenever these are finished. Every cell of a family gets the same number of trials, so that its strategies are compared at equal
effort; families that are begun together get the same number, too. The numbers are stored with the run and stay the same when it
is continued.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.api.run_plan import CellForecast, format_duration
from harness.execution.cell import Cell
from harness.execution.plan import BASELINE
from harness.store.record import Record

#: The share of the budget that is reserved for tables and figures, and its limits in seconds, until tables were written.
REPORT_SHARE, MIN_REPORT_SECONDS, MAX_REPORT_SECONDS = 0.1, 14.0, 60.0
#: Once tables were written while the run goes on: so many times their seconds, and those of drawing the figures.
TABLES_FACTOR, FIGURE_SECONDS = 1.3, 6.0
#: Budgets of so many seconds keep the full reserve in any case: importances and logs are measured in what is left of it.
ROOMY_SECONDS = 300.0
#: Short budgets keep at most this share of them for the tables.
LARGEST_REPORT_SHARE = 0.4
#: The share of the time of all workers that is planned for cells: the last ones do not end together.
PLANNED_SHARE = 0.85
#: Further strategies are only begun where every cell can have so many trials.
FEW_TRIALS = 3
#: A cell may take so many times the seconds that its trials are expected to take, and a second more.
SLACK, SLACK_SECONDS = 1.5, 1.0
#: Bytes of a file per second of a budget that can be inspected and on which fits can be timed beforehand.
BYTES_PER_SECOND = 100_000
#: Families with strategies without time that are named.
MAX_NAMED = 8


@dataclass(frozen=True)
class TimeBudget:
    """The seconds that a run may take from `started`, by `time.monotonic`."""

    seconds: float
    started: float
    table_seconds: float = 0.0  #: what it has taken to write tables while the run goes on; 0 until then

    def is_short_for(self, path: Path) -> bool:
        """Whether a file is so large that inspecting its rows and timing fits on it would take much of the budget."""
        return path.is_file() and path.stat().st_size > BYTES_PER_SECOND * self.seconds

    @property
    def deadline(self) -> float:
        """When everything has to be finished."""
        return self.started + self.seconds

    @property
    def report_seconds(self) -> float:
        """What is reserved for tables and figures."""
        reserved = min(max(REPORT_SHARE * self.seconds, MIN_REPORT_SECONDS), MAX_REPORT_SECONDS)
        if self.table_seconds:
            measured = TABLES_FACTOR * self.table_seconds + FIGURE_SECONDS
            # Of short budgets not more: cells that were planned are finished, and rather figures left out.
            choose = max if self.seconds >= ROOMY_SECONDS else min
            reserved = choose(measured, reserved)
        return min(reserved, LARGEST_REPORT_SHARE * self.seconds)

    @property
    def cell_deadline(self) -> float:
        """When the cells have to be finished."""
        return self.deadline - self.report_seconds

    def worker_seconds(self, jobs: int, start_seconds: float) -> float:
        """Seconds of all workers together that can be planned, which need some to start."""
        seconds = self.cell_deadline - time.monotonic() - start_seconds
        return max(0.0, seconds) * jobs * PLANNED_SHARE


@dataclass(frozen=True)
class TimeShares:
    """How the time of a run is divided."""

    cell_seconds: Mapping[str, float] = field(default_factory=dict)  #: family → seconds that each of its cells may take
    trials: Mapping[str, int] = field(default_factory=dict)  #: family → trials of each of its cells, where not all
    cells: tuple[Cell, ...] = ()  #: the cells that are begun, in their order
    omitted: tuple[Cell, ...] = ()  #: cells for which there is no time

    @classmethod
    def from_description(cls, budget: Mapping[str, Any]) -> TimeShares:
        """What an earlier part of the run has decided, from its `run.json`."""
        return cls(budget.get("cell_seconds", {}), budget.get("trials", {}))

    @property
    def largest_trials(self) -> int | None:
        """The largest number of trials of a family so far, which further families do not exceed; None where it is all."""
        families = self.cell_seconds.keys() - {BASELINE}
        if not families or families - self.trials.keys():
            return None
        return max(self.trials.values())

    def trials_of(self, family: str, common: int | None) -> int | None:
        """The trials of the cells of a family, None for all: those that are stored, or else the common number."""
        if family in self.cell_seconds:
            return self.trials.get(family)
        return common


def divide_time(
    pending: Sequence[Cell], forecast: CellForecast, worker_seconds: float, stored: TimeShares, *, begins: bool = True
) -> TimeShares:
    """Divide the time of the workers between the families, and choose the cells for which it suffices.

    Families are chosen in the order of the cells with their first strategy, where there is time for the default configuration
    in each of their cells. Then the trials of all of them are raised together, up to a few. Further strategies are chosen in
    the order of the cells where there is time for as many trials as the others have; at last all trials are raised together,
    up to those that the run would have without a budget.

    Parameters
    ----------
    pending : sequence of Cell
        The cells to be executed, in their order.
    forecast : CellForecast
        What they are expected to take.
    worker_seconds : float
        Seconds of all workers together.
    stored : TimeShares
        Seconds and trials of families, as an earlier part of the run has decided.
    begins : bool, default True
        Whether the first family is chosen in any case.

    Returns
    -------
    TimeShares
        Seconds and trials by family, and the cells that are begun.
    """
    division = _Division(forecast, worker_seconds, stored)
    common = division.choose_blocks(*_separate_blocks(pending, stored), begins=begins)
    chosen = {cell.id for cell in division.chosen}
    cells: list[Cell] = []
    omitted: list[Cell] = []
    for cell in pending:
        (cells if cell.id in chosen else omitted).append(cell)
    return division.shares(cells, omitted, common)


def _separate_blocks(pending: Sequence[Cell], stored: TimeShares) -> tuple[list[list[Cell]], list[list[Cell]]]:
    """Cells of one task, family, strategy and repeat: the first ones of families that are new on a task, and all others."""
    blocks: dict[tuple[str, str, str, int], list[Cell]] = {}
    for cell in pending:
        blocks.setdefault((cell.task, cell.family, cell.strategy, cell.repeat), []).append(cell)
    first_blocks, further_blocks, begun = [], [], set()
    for (task, family, _, _), block in blocks.items():
        if family in stored.cell_seconds or (task, family) in begun:
            further_blocks.append(block)
        else:
            begun.add((task, family))
            first_blocks.append(block)
    return first_blocks, further_blocks


class _Division:
    """The cells that have been chosen so far, and what they take with a number of trials; None is all of them."""

    def __init__(self, forecast: CellForecast, worker_seconds: float, stored: TimeShares) -> None:
        self.forecast, self.worker_seconds, self.stored = forecast, worker_seconds, stored
        self.chosen: list[Cell] = []

    @property
    def has_baseline_only(self) -> bool:
        """Whether no family but the baseline has been chosen."""
        return all(cell.family == BASELINE for cell in self.chosen)

    def choose_blocks(
        self, first_blocks: Sequence[list[Cell]], further_blocks: Sequence[list[Cell]], *, begins: bool
    ) -> int | None:
        """Choose the cells for which there is time; returns their common number of trials."""
        for block in first_blocks:
            if self.fits(block, 1) or (begins and self.has_baseline_only):
                self.chosen += block
        common = self.largest_trials(FEW_TRIALS)
        if common is None or common >= FEW_TRIALS:
            self.choose_further_blocks(further_blocks, common)
            common = self.largest_trials(None)
        if common is not None and not self.forecast.is_measured:  # typical times are too rough to be used up
            common = max(1, common // 2)
        return common

    def choose_further_blocks(self, blocks: Sequence[list[Cell]], common: int | None) -> None:
        """Choose further strategies and repeats for which there is time with the trials that the others have."""
        for block in blocks:
            if self.fits(block, common):
                self.chosen += block

    def fits(self, block: Iterable[Cell], common: int | None) -> bool:
        """Whether there is time for these cells as well."""
        seconds = 0.0
        for cell in (*self.chosen, *block):
            seconds += self.forecast.seconds_of_trials(cell.id, self.stored.trials_of(cell.family, common))
        return seconds <= self.worker_seconds

    def largest_trials(self, limit: int | None) -> int | None:
        """The largest common number of trials for which there is time, at least 1; None where all of them fit."""
        largest = 1
        for cell in self.chosen:
            largest = max(largest, self.forecast.trials.get(cell.id, 1))
        earlier = self.stored.largest_trials
        if earlier is not None and (limit is None or earlier < limit):
            limit = earlier
        if limit is not None and limit < largest:
            largest = limit
        elif self.fits((), None):
            return None
        common = 1
        while common < largest and self.fits((), common + 1):
            common += 1
        return common

    def shares(self, cells: Sequence[Cell], omitted: Sequence[Cell], common: int | None) -> TimeShares:
        """The seconds and trials of the families of the chosen cells."""
        cell_seconds: dict[str, float] = {}
        trials: dict[str, int] = {}
        for cell in cells:
            number = self.stored.trials_of(cell.family, common)
            allowed = SLACK * self.forecast.seconds_of_trials(cell.id, number) + SLACK_SECONDS
            if cell.family in self.stored.cell_seconds:
                allowed = self.stored.cell_seconds[cell.family]
            cell_seconds[cell.family] = round(max(allowed, cell_seconds.get(cell.family, 0.0)), 2)
            is_limited = number is not None and number < self.forecast.trials.get(cell.id, 1)
            if number is not None and (is_limited or cell.family in self.stored.trials):
                trials[cell.family] = number
        return TimeShares(cell_seconds, trials, tuple(cells), tuple(omitted))


def describe_shares(shares: TimeShares, budget: TimeBudget) -> list[str]:
    """Say how the time is divided and what there is no time for; at most two lines."""
    families_by_trials: dict[str, list[str]] = {}
    for family in shares.cell_seconds:
        if family != BASELINE:
            number = shares.trials.get(family)
            families_by_trials.setdefault(_describe_trials(number), []).append(family)
    parts = []
    for trials, families in families_by_trials.items():
        parts.append(f"{trials} for {', '.join(families)}")
    text = (
        f"budget {format_duration(budget.seconds)}, about {format_duration(budget.report_seconds)} of it for the tables"
    )
    if parts:
        text += f"; in every cell {', '.join(parts)}"
    if shares.trials:
        text += " (equal for all strategies of a family)"
    lines = [text]
    if shares.omitted:
        blocks = list(dict.fromkeys(f"{cell.family} × {cell.strategy}" for cell in shares.omitted))
        named_blocks = blocks[:MAX_NAMED]
        if len(blocks) > MAX_NAMED:
            named_blocks.append(f"{len(blocks) - MAX_NAMED} more")
        lines.append(f"no time so far for {len(shares.omitted)} cells: {', '.join(named_blocks)}")
    return lines


def _describe_trials(number: int | None) -> str:
    if number is None:
        return "all trials"
    if number == 1:
        return "the default configuration alone"
    return f"{number} trials"


def find_unequal_families(
    finished: Sequence[Record], pending: Sequence[Cell], stored: Mapping[str, float]
) -> list[str]:
    """Name the families of which some cells were executed without the time limit that the others get."""
    earlier = {record.family for record in finished if record.status == "ok" and record.family not in stored}
    return sorted(earlier & {cell.family for cell in pending})


def merge_budget(
    stored: Mapping[str, Any], budget: TimeBudget | None, shares: TimeShares, unequal: Sequence[str]
) -> dict[str, Any]:
    """What `run.json` says about the time of a run: seconds of all its parts, limits of cells by family, unequal families."""
    seconds = list(stored.get("seconds", []))
    if budget is not None:
        seconds.append(budget.seconds)
    families = dict.fromkeys([*stored.get("unequal_families", []), *unequal])
    return {
        "seconds": seconds,
        "cell_seconds": {**stored.get("cell_seconds", {}), **shares.cell_seconds},
        "trials": {**stored.get("trials", {}), **shares.trials},
        "unequal_families": list(families),
    }
