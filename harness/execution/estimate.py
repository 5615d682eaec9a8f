"""What the cells of a run will take, from a few timed fits on part of the rows, and the order that follows from it.

The fits are made in a child process with one thread, as those of cells are. They draw from seeds of their own and are not
stored, so that no number of the run depends on them.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from harness.data.splits import Fold
from harness.execution.cell import Cell, CellData
from harness.execution.plan import RunRequest
from harness.execution.trainer import CellTrainer
from harness.execution.worker import WorkerContext
from harness.processes import ChildProcess, ParentConnection
from harness.registry.registry import Registry
from harness.registry.space import Choice, Float, Integer, defaults, fill
from harness.seeding import seed_of

#: Family → seconds of one default fit on 4,000 rows with 30 columns, measured on one core; used until something is measured.
#: Only the ratios matter.
TYPICAL_SECONDS = {
    "majority": 0.001,
    "naive_bayes": 0.01,
    "multinomial_naive_bayes": 0.01,
    "logistic_regression": 0.03,
    "linear_svm": 0.05,
    "nearest_neighbors": 0.05,
    "lightgbm": 0.06,
    "xgb": 0.08,
    "gradient_boosting": 0.12,
    "extra_trees": 0.3,
    "dense_network": 0.3,
    "catboost": 0.3,
    "classic_gradient_boosting": 0.5,
    "random_forest": 0.6,
    "ebm": 10.0,
}
#: The same for families that are not listed, as those of plug-ins.
UNKNOWN_SECONDS, UNKNOWN_NETWORK_SECONDS = 0.2, 5.0
#: The strategy that every family is executed with first.
FIRST_STRATEGY = "none"
#: Training rows of the timed fits: the first warm up imports, from the others the time for more rows is extrapolated.
WARM_UP_ROWS, FEW_ROWS = 200, 1000
#: Of these, the largest number is used for which there is time: similar numbers of rows multiply the noise of their times.
MANY_ROWS = (12_000, 3000)
#: Seconds after which no further fit is begun, and seconds after which the child is ended.
SOFT_SECONDS, HARD_SECONDS = 7.0, 10.0
#: The time of a fit grows at least with this share of the number of rows: that of a network, which may stop early on few rows,
#: says little about many.
SMALLEST_GROWTH = 0.5
#: Rows up to this multiple of the training rows are timed.
FULL_SAMPLE = 1.5
#: A larger fit is left out where it is expected to take more than this share of the time.
LARGEST_SHARE = 0.6
#: The time of a fit grows at most with this power of the number of rows, and where two similar numbers of rows were timed, so
#: that noise in their times would be multiplied, with a smaller one.
LARGEST_EXPONENT, NOISY_EXPONENT, SIMILAR_ROWS = 2.0, 1.2, 4.0
#: The memory that timed fits have added counts at most so many times for all rows: much of it is for libraries.
LARGEST_MEMORY_FACTOR = 3.0


class TrialTimes(NamedTuple):
    """Seconds of the trials of one family and strategy on an outer training part: the default configuration, then others."""

    first: float
    other: float

    def cell_seconds(self, trials: int, inner_folds: int) -> float:
        """Seconds of a cell: its trials and two refits, each of which takes as long as the fits of `inner_folds - 1` folds."""
        searched = self.first + (trials - 1) * self.other
        refits = self.first / (inner_folds - 1)
        if trials > 1:
            refits += self.other / (inner_folds - 1)
        return searched + refits


@dataclass(frozen=True)
class RunEstimate:
    """Estimated times and memory of a run."""

    times: Mapping[tuple[str, str, str], TrialTimes] = field(default_factory=dict)  #: by task, family and strategy
    memory_mb: float = 0.0  #: of one worker; 0 where it was not measured
    rows: int = 0  #: training rows of the largest timed fits
    combinations: int = 0  #: families with strategies that were timed
    seconds: float = 0.0  #: what the measurement took

    def trial_times(self, task: str, family: str, strategy: str) -> TrialTimes | None:
        """The times of a family with a strategy; where it was not timed, by the ratio of its strategy in other families."""
        if (times := self.times.get((task, family, strategy))) is not None:
            return times
        first = self.times.get((task, family, FIRST_STRATEGY))
        if first is None:
            return None
        ratio = self._strategy_ratio(task, strategy)
        return TrialTimes(first.first * ratio, first.other * ratio)

    def _strategy_ratio(self, task: str, strategy: str) -> float:
        """How many times as long trials with a strategy take as those without; of `searched`, the mean of all."""
        ratios = []
        for (timed_task, family, timed_strategy), times in self.times.items():
            first = self.times.get((timed_task, family, FIRST_STRATEGY))
            if timed_task == task and first is not None and strategy in (timed_strategy, "searched"):
                ratios.append(times.other / max(first.other, 1e-9))
        if not ratios:
            return 1.0
        return float(np.exp(np.mean(np.log(np.maximum(ratios, 1e-3)))))


def measure_estimate(
    request: RunRequest, cells: Sequence[Cell], seconds_by_family: Mapping[str, float], seconds: float = SOFT_SECONDS
) -> RunEstimate:
    """Time a few fits of every task, family and strategy in a child process.

    Parameters
    ----------
    request : RunRequest
        What the run was asked for.
    cells : sequence of Cell
        The cells whose time is to be estimated; the first one of each task, family and strategy is used.
    seconds_by_family : mapping of str to float
        What families typically cost: cheap ones are timed first.
    seconds : float, optional
        Seconds after which no further fit is begun.

    Returns
    -------
    RunEstimate
        What could be measured in that time; nothing where the child process failed.
    """
    started = time.monotonic()
    combinations: dict[tuple[str, str, str], Cell] = {}
    for cell in cells:
        combinations.setdefault((cell.task, cell.family, cell.strategy), cell)

    def position(cell: Cell) -> tuple[bool, float]:
        return cell.strategy != FIRST_STRATEGY, seconds_by_family.get(cell.family, 1.0)

    ordered = []
    for cell in sorted(combinations.values(), key=position):
        if cell.strategy != "searched":
            ordered.append(asdict(cell))
    cpu_times: dict[tuple[str, str, str], TrialTimes] = {}
    memory_mb, rows, load = 0.0, 0, 1.0
    with ChildProcess("harness.execution.estimate") as child:
        child.send({"request": request.as_dict(), "cells": ordered, "seconds": seconds})
        while (message := child.receive()) is not None:
            cpu_times[tuple(message["combination"])] = TrialTimes(*message["times"])
            memory_mb, rows, load = message["memory_mb"], max(rows, message["rows"]), message["load"]
    times = {}
    for combination, cpu in cpu_times.items():
        times[combination] = TrialTimes(cpu.first * load, cpu.other * load)
    return RunEstimate(times, memory_mb, rows, len(times), time.monotonic() - started)


class _Sample:
    """Timed trials of one cell on part of its outer training rows."""

    def __init__(self, cell: Cell, cell_data: CellData, rows: int) -> None:
        train = cell_data.fold.train
        if rows < len(train):
            train = train[:rows] if cell_data.table.time is not None else _draw_rows(cell, cell_data, rows)
        fold = Fold(cell_data.fold.repeat, cell_data.fold.fold, train, cell_data.fold.test)
        sample = CellData(
            cell_data.table, cell_data.splitter, fold, cell_data.spec, cell_data.protocol, cell_data.metrics
        )
        self.rows = len(train)
        self.space = cell_data.spec.space
        self.seed = seed_of(cell.seed, "estimate")
        self.trainer = CellTrainer(cell, sample.separate_training_data())

    def default_seconds(self) -> float:
        """Seconds of a trial of the default configuration, with all that is computed once per cell."""
        return _timed(lambda: self.trainer.score_inner(defaults(self.space), 0))

    def random_seconds(self) -> float:
        """Seconds of a trial of a random configuration."""
        generator = np.random.default_rng(self.seed)
        params = fill(self.space, lambda _name, parameter: _draw(parameter, generator))
        return _timed(lambda: self.trainer.score_inner(params, 1))


def _draw_rows(cell: Cell, cell_data: CellData, rows: int) -> Any:
    """A random part of the training rows with the classes in their proportions, at least ten rows of each class."""
    train = cell_data.fold.train
    generator = np.random.default_rng(seed_of(cell_data.protocol.seed, cell.task, "estimate"))
    y = cell_data.table.y[train]
    chosen = []
    for label in np.unique(y):
        members = train[y == label]
        size = min(len(members), max(10, round(rows * len(members) / len(train))))
        chosen.append(generator.choice(members, size, replace=False))
    return np.sort(np.concatenate(chosen))


def _draw(parameter: Float | Integer | Choice, generator: np.random.Generator) -> Any:
    """A value in the middle half of a range, where most trials of a search are; any option of a choice."""
    if isinstance(parameter, Choice):
        return parameter.options[int(generator.integers(len(parameter.options)))]
    share = generator.uniform(0.25, 0.75)
    if parameter.log:
        drawn = float(parameter.low * (parameter.high / parameter.low) ** share)
    else:
        drawn = float(parameter.low + (parameter.high - parameter.low) * share)
    return round(drawn) if isinstance(parameter, Integer) else drawn


def _timed(work: Callable[[], Any]) -> float:
    """CPU seconds: other processes disturb these less than wall-clock seconds."""
    started = time.process_time()
    work()
    return time.process_time() - started


def extrapolate_seconds(few: tuple[int, float], many: tuple[int, float], rows: int) -> float:
    """Estimate the seconds for a number of rows from those for two smaller numbers.

    Parameters
    ----------
    few, many : tuple of int and float
        Rows and seconds.
    rows : int
        The number of rows to estimate for.

    Returns
    -------
    float
        On the line through both where it rises from a positive start, else by their power of the number of rows.
    """
    (few_rows, few_seconds), (many_rows, many_seconds) = few, many
    if rows <= many_rows or few_rows >= many_rows:
        return many_seconds * rows / many_rows
    slope = max((many_seconds - few_seconds) / (many_rows - few_rows), SMALLEST_GROWTH * many_seconds / many_rows)
    start = many_seconds - slope * many_rows
    if start >= 0:
        return start + slope * rows
    exponent = min(np.log(many_seconds / max(few_seconds, 1e-9)) / np.log(many_rows / few_rows), LARGEST_EXPONENT)
    if many_rows / few_rows < SIMILAR_ROWS:
        exponent = min(exponent, NOISY_EXPONENT)
    return float(many_seconds * (rows / many_rows) ** exponent)


class _Measurement(NamedTuple):
    """The trial times of a cell, scaled to all rows of its training part, and the rows of the largest timed fit."""

    times: TrialTimes
    rows: int
    few_seconds: float  #: of the default configuration on `FEW_ROWS` rows


class _Measurements:
    """Times the trials of cells, those without a strategy on two sizes and the others in relation to them."""

    def __init__(self, context: WorkerContext, seconds: float) -> None:
        self.context, self.deadline = context, time.monotonic() + seconds
        self.wall_started, self.cpu_started = time.monotonic(), time.process_time()
        self.first: dict[tuple[str, str], _Measurement] = {}  #: of a task and family without a strategy

    @property
    def seconds_left(self) -> float:
        """Seconds in which fits may be begun."""
        return self.deadline - time.monotonic()

    @property
    def load(self) -> float:
        """Wall-clock seconds per CPU second so far: above 1 where other processes use the same cores."""
        wall = time.monotonic() - self.wall_started
        return max(1.0, wall / max(time.process_time() - self.cpu_started, 1e-9))

    def measure(self, cell: Cell) -> tuple[_Measurement, int]:
        """Time the trials of a cell; returns also the number of its training rows."""
        loaded = self.context.loaded_task(cell.task)
        cell_data = self.context.cell_data_for_fold(cell, loaded.outer_fold_of_cell(cell))
        total = len(cell_data.fold.train)
        first = self.first.get((cell.task, cell.family))
        if first is None:
            _Sample(cell, cell_data, WARM_UP_ROWS).default_seconds()
        few = _Sample(cell, cell_data, FEW_ROWS)
        few_seconds, random_seconds = few.default_seconds(), few.random_seconds()
        largest, largest_seconds = few, few_seconds
        if first is None:
            for rows in MANY_ROWS:
                expected = few_seconds * rows / FEW_ROWS
                if total > FEW_ROWS and rows < FULL_SAMPLE * total and expected < LARGEST_SHARE * self.seconds_left:
                    largest = _Sample(cell, cell_data, rows)
                    largest_seconds = largest.default_seconds()
                    break
        seconds = extrapolate_seconds((few.rows, few_seconds), (largest.rows, largest_seconds), total)
        if first is not None:
            seconds = first.times.first * few_seconds / max(first.few_seconds, 1e-9)
        times = TrialTimes(seconds, seconds * random_seconds / max(few_seconds, 1e-9))
        measured = _Measurement(times, largest.rows, few_seconds)
        self.first.setdefault((cell.task, cell.family), measured)
        return measured, total


def typical_seconds(registry: Registry, families: Iterable[str]) -> dict[str, float]:
    """Look up what one fit of each family typically takes, in seconds.

    Parameters
    ----------
    registry : Registry
        All declarations.
    families : iterable of str
        Names of families.

    Returns
    -------
    dict
        Family → seconds.
    """
    seconds = {}
    for name in families:
        unknown = UNKNOWN_SECONDS
        if registry.family(name).network:
            unknown = UNKNOWN_NETWORK_SECONDS
        seconds[name] = TYPICAL_SECONDS.get(name, unknown)
    return seconds


def order_cells(cells: Sequence[Cell], seconds_by_family: Mapping[str, float]) -> list[Cell]:
    """Sort cells so that the first results come early and cover every family.

    The first repeat comes before the others. In each repeat every family is executed with its first strategy on all folds,
    the cheapest family first; then the other strategies one after another, task by task. Cells of one task, family and
    strategy stay together.

    Parameters
    ----------
    cells : sequence of Cell
        The cells.
    seconds_by_family : mapping of str to float
        What families cost, in any unit.

    Returns
    -------
    list of Cell
        The same cells.
    """
    tasks = {name: index for index, name in enumerate(dict.fromkeys(cell.task for cell in cells))}
    strategies = {FIRST_STRATEGY: 0}
    for cell in cells:
        strategies.setdefault(cell.strategy, len(strategies))
    first_strategies: dict[str, str] = {}
    for cell in cells:
        current = first_strategies.setdefault(cell.family, cell.strategy)
        if strategies[cell.strategy] < strategies[current]:
            first_strategies[cell.family] = cell.strategy

    def position(cell: Cell) -> tuple[float | str, ...]:
        is_later_strategy = cell.strategy != first_strategies[cell.family]
        strategy_rank = 0
        if is_later_strategy:
            strategy_rank = strategies[cell.strategy]
        cost = seconds_by_family.get(cell.family, UNKNOWN_SECONDS)
        return cell.repeat, is_later_strategy, tasks[cell.task], strategy_rank, cost, cell.family, cell.fold

    return sorted(cells, key=position)


def main() -> None:
    """Answer with one message per measured cell; ends with the last one."""
    import psutil

    parent = ParentConnection()
    question = parent.receive()
    timer = threading.Timer(question["seconds"] + HARD_SECONDS - SOFT_SECONDS, os._exit, (0,))
    timer.daemon = True
    timer.start()
    process, base_mb = psutil.Process(), 0.0
    context = WorkerContext(RunRequest.from_dict(question["request"]))
    for name in dict.fromkeys(fields["task"] for fields in question["cells"]):
        context.loaded_task(name)
    measurements = _Measurements(context, question["seconds"])
    for fields in question["cells"]:
        cell = Cell(**fields)
        if measurements.seconds_left <= 0:
            break
        try:
            measured, rows = measurements.measure(cell)
        except Exception:  # noqa: BLE001, S112 -- the cell itself will say what is wrong
            continue
        used_mb = process.memory_info().rss / 1e6
        base_mb = base_mb or used_mb
        memory_mb = base_mb + (used_mb - base_mb) * min(rows / max(measured.rows, 1), LARGEST_MEMORY_FACTOR)
        message = {"combination": (cell.task, cell.family, cell.strategy), "times": measured.times}
        parent.send(message | {"rows": measured.rows, "memory_mb": memory_mb, "load": measurements.load})
    os._exit(0)  # native threads that still run must not delay the end


if __name__ == "__main__":
    main()
