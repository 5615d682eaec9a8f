"""The time of a whole run, divided between its cells: equally among the strategies of a family, tables included.

Which cells are begun, and how long each may take, is decided before the first one starts. Every cell of a family gets the same
time, so that its strategies are compared at equal effort; that time is stored with the run and stays the same when the run is
continued.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.api.run_plan import CellForecast, format_duration
from harness.execution.cell import Cell
from harness.store.record import Record

#: The share of the budget that is reserved for tables and figures, and its limits in seconds.
REPORT_SHARE, MIN_REPORT_SECONDS, MAX_REPORT_SECONDS = 0.1, 14.0, 60.0
#: Budgets shorter than twice the reserve keep this share of them for the tables.
LARGEST_REPORT_SHARE = 0.4
#: The share of the time of all workers that is planned for cells: workers start, and the last cells do not end together.
PLANNED_SHARE = 0.8
#: A family with a strategy is only begun where a cell can have about three trials: so many times the seconds of the first one.
FEW_TRIALS = 2.5
#: A cell gets at most so many times the seconds that all of its trials are expected to take.
SLACK = 1.5
#: Seconds that a cell takes besides its fits, and the smallest time that a cell can be given.
CELL_OVERHEAD = 0.5
#: Families with strategies without time that are named.
MAX_NAMED = 8


@dataclass(frozen=True)
class TimeBudget:
    """The seconds that a run may take from `started`, by `time.monotonic`."""

    seconds: float
    started: float

    @property
    def deadline(self) -> float:
        """When everything has to be finished."""
        return self.started + self.seconds

    @property
    def report_seconds(self) -> float:
        """What is reserved for tables and figures."""
        reserved = min(max(REPORT_SHARE * self.seconds, MIN_REPORT_SECONDS), MAX_REPORT_SECONDS)
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

    cell_seconds: Mapping[str, float] = field(default_factory=dict)  #: family → seconds of each of its cells
    cells: tuple[Cell, ...] = ()  #: the cells that are begun, in their order
    omitted: tuple[Cell, ...] = ()  #: cells for which there is no time

    def as_dict(self) -> dict[str, float]:
        """Plain values for `run.json`."""
        return {family: round(seconds, 2) for family, seconds in self.cell_seconds.items()}


def divide_time(
    pending: Sequence[Cell],
    forecast: CellForecast,
    worker_seconds: float,
    stored: Mapping[str, float],
    *,
    begins: bool = True,
) -> TimeShares:
    """Divide the time of the workers between the families, and choose the cells for which it suffices.

    Families with a strategy are chosen in the order of the cells, as long as there is time for about three trials in each of
    their cells; without a strategy a family is chosen where there is time for its default. The rest of the time goes to all
    chosen families in proportion, up to what all of their trials take.

    Parameters
    ----------
    pending : sequence of Cell
        The cells to be executed, in their order.
    forecast : CellForecast
        What they are expected to take.
    worker_seconds : float
        Seconds of all workers together.
    stored : mapping of str to float
        Family → seconds of its cells, as an earlier part of the run has decided.
    begins : bool, default True
        Whether the first family is chosen in any case.

    Returns
    -------
    TimeShares
        Seconds by family, and the cells that are begun.
    """
    blocks: dict[tuple[str, str, str, int], list[Cell]] = {}
    for cell in pending:
        blocks.setdefault((cell.task, cell.family, cell.strategy, cell.repeat), []).append(cell)
    seconds: dict[str, float] = {}
    cells: list[Cell] = []
    omitted: list[Cell] = []
    used = 0.0
    for block in blocks.values():
        family, first = block[0].family, forecast.first_trial_seconds[block[0].id] + CELL_OVERHEAD
        few = min(FEW_TRIALS * first, forecast.seconds[block[0].id] + CELL_OVERHEAD)
        needed = stored.get(family, max(few, seconds.get(family, 0.0)))
        if used + len(block) * needed > worker_seconds and family not in seconds:
            needed = stored.get(family, first)
        if used + len(block) * needed > worker_seconds and (cells or not begins):
            omitted += block
            continue
        used += len(block) * needed
        seconds[family] = needed
        cells += block
    return TimeShares(_extend_shares(seconds, cells, forecast, worker_seconds, stored), tuple(cells), tuple(omitted))


def _extend_shares(
    seconds: Mapping[str, float],
    cells: Sequence[Cell],
    forecast: CellForecast,
    worker_seconds: float,
    stored: Mapping[str, float],
) -> dict[str, float]:
    """Multiply the seconds of all families whose time is not stored by the largest factor that the time allows."""
    largest: dict[str, float] = {}
    for cell in cells:
        full = SLACK * (forecast.seconds[cell.id] + CELL_OVERHEAD)
        largest[cell.family] = max(full, largest.get(cell.family, 0.0), seconds[cell.family])

    def extend(factor: float) -> dict[str, float]:
        extended = {}
        for family, needed in seconds.items():
            extended[family] = stored.get(family, min(factor * needed, largest[family]))
        return extended

    low, high = 1.0, 1000.0
    for _ in range(40):
        factor = (low + high) / 2
        shares = extend(factor)
        if sum(min(shares[cell.family], forecast.seconds[cell.id] + CELL_OVERHEAD) for cell in cells) <= worker_seconds:
            low = factor
        else:
            high = factor
    return extend(low)


def describe_shares(shares: TimeShares, budget: TimeBudget) -> list[str]:
    """Say how the time is divided and what there is no time for; at most two lines."""
    parts = []
    for family, seconds in shares.cell_seconds.items():
        parts.append(f"{family} {format_duration(seconds)}")
    text = f"budget {format_duration(budget.seconds)}, of which {format_duration(budget.report_seconds)} for the tables"
    lines = [f"{text}; a cell may take, with every strategy of its family: {', '.join(parts)}"]
    if shares.omitted:
        blocks = list(dict.fromkeys(f"{cell.family} × {cell.strategy}" for cell in shares.omitted))
        named_blocks = blocks[:MAX_NAMED]
        if len(blocks) > MAX_NAMED:
            named_blocks.append("…")
        lines.append(f"no time for {len(shares.omitted)} cells: {', '.join(named_blocks)}")
    return lines


def find_unequal_families(
    finished: Sequence[Record], pending: Sequence[Cell], stored: Mapping[str, float]
) -> list[str]:
    """Name the families of which some cells were executed without the time limit that the others get."""
    earlier = {record.family for record in finished if record.status == "ok" and record.family not in stored}
    return sorted(earlier & {cell.family for cell in pending})


def merge_budget(
    stored: Mapping[str, Any], budget: TimeBudget | None, shares: TimeShares, unequal: Sequence[str]
) -> dict[str, Any]:
    """What `run.json` says about the time of a run: seconds of all its parts, those of cells by family, unequal families."""
    seconds = list(stored.get("seconds", []))
    if budget is not None:
        seconds.append(budget.seconds)
    families = dict.fromkeys([*stored.get("unequal_families", []), *unequal])
    return {
        "seconds": seconds,
        "cell_seconds": {**stored.get("cell_seconds", {}), **shares.as_dict()},
        "unequal_families": list(families),
    }
