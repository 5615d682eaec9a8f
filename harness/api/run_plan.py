"""The plan of a run before it starts: how long its cells will take, how much memory, in which order, what is left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, median

from harness.execution.cell import Cell
from harness.execution.estimate import (
    FIRST_STRATEGY,
    RunEstimate,
    TrialTimes,
    measure_estimate,
    order_cells,
    typical_seconds,
)
from harness.execution.plan import BASELINE, Plan, RunRequest
from harness.registry.registry import Registry
from harness.store.record import Record

#: Fits are timed where the cells are guessed to take longer than this many seconds of work.
MEASURED_FROM_SECONDS = 30.0
ALL_FAMILIES = "*"
#: Rows that `typical_seconds` are for.
TYPICAL_ROWS = 4000
#: Fits are timed for at most this many tasks: their tables have to be read once more.
MAX_MEASURED_TASKS = 3
#: Seconds that every cell takes besides its fits, and those for every row of the task.
CELL_SECONDS, CELL_SECONDS_PER_ROW = 0.2, 6e-6
#: Seconds until a worker has imported its libraries; those of the tables and figures at the end, roughly.
WORKER_START_SECONDS, REPORT_SECONDS = 4.0, 20.0


@dataclass(frozen=True)
class CellForecast:
    """What the pending cells of a run are expected to take."""

    seconds: Mapping[str, float] = field(default_factory=dict)  #: cell id → seconds
    first_trial_seconds: Mapping[str, float] = field(
        default_factory=dict
    )  #: the same with the default configuration alone
    estimate: RunEstimate = field(default_factory=RunEstimate)
    jobs: int = 1
    trials: Mapping[str, int] = field(default_factory=dict)  #: cell id → the trials that these seconds are of
    expected_seconds: Mapping[str, float] = field(default_factory=dict)  #: where a budget limits them

    @property
    def is_measured(self) -> bool:
        """Whether fits were timed, so that the seconds are more than a guess."""
        return bool(self.estimate.times)

    def seconds_of_trials(self, cell_id: str, trials: int | None) -> float:
        """Seconds of a cell with a number of trials; None is all of them."""
        seconds, all_trials = self.seconds[cell_id], self.trials.get(cell_id, 1)
        if trials is None or trials >= all_trials:
            return seconds
        first = min(self.first_trial_seconds[cell_id], seconds)
        return first + (trials - 1) / (all_trials - 1) * (seconds - first)

    def limited_seconds(self, cell_id: str) -> float:
        """Seconds of a cell, which a budget may limit."""
        return self.expected_seconds.get(cell_id, self.seconds.get(cell_id, 0.0))

    def wall_seconds(self, cells: Iterable[Cell]) -> float:
        """Seconds until these cells are finished, `jobs` of them at a time."""
        pending = list(cells)
        work = sum(self.limited_seconds(cell.id) for cell in pending)
        return WORKER_START_SECONDS + work / max(1, min(self.jobs, len(pending)))


def forecast_cells(
    request: RunRequest,
    registry: Registry,
    plan: Plan,
    pending: Sequence[Cell],
    jobs: int,
    measured_seconds: float,
) -> CellForecast:
    """Forecast what the pending cells of a run will take.

    Parameters
    ----------
    request : RunRequest
        What the run was asked for.
    registry : Registry
        All declarations.
    plan : Plan
        All cells of the run.
    pending : sequence of Cell
        The cells that are to be executed.
    jobs : int
        Cells executed at once.
    measured_seconds : float
        Seconds after which no further fit is timed; none is with 0, nor where the cells will take a moment only.

    Returns
    -------
    CellForecast
        From timed fits, or from typical times.
    """
    typical = typical_seconds(registry, dict.fromkeys(cell.family for cell in plan.cells))
    guess = _guess_seconds(request, registry, plan, pending)
    tasks = {cell.task for cell in pending}
    if not measured_seconds or len(tasks) > MAX_MEASURED_TASKS or sum(guess.seconds.values()) < MEASURED_FROM_SECONDS:
        return replace(guess, jobs=jobs)
    estimate = measure_estimate(request, pending, typical, measured_seconds)
    rows = {loaded.task.name: len(loaded.table.y) for loaded in plan.tasks}
    seconds, first_seconds = {}, {}
    for cell in pending:
        times = estimate.trial_times(cell.task, cell.family, cell.strategy)
        if times is not None:
            overhead = cell_overhead(rows[cell.task])
            first_seconds[cell.id] = overhead + times.cell_seconds(1, request.protocol.inner_folds)
            full = overhead + times.cell_seconds(guess.trials[cell.id], request.protocol.inner_folds)
            seconds[cell.id] = _bound_seconds(request, full)
    _add_typical_seconds(pending, guess, seconds, first_seconds)
    return CellForecast(seconds, first_seconds, estimate, jobs, guess.trials)


def _add_typical_seconds(
    pending: Sequence[Cell], guess: CellForecast, seconds: dict[str, float], first_seconds: dict[str, float]
) -> None:
    """Add the typical seconds of cells that were not timed, multiplied by the median ratio of timed to typical seconds."""
    ratios = []
    for cell in pending:
        if cell.id in seconds and cell.family != BASELINE:
            ratios.append(seconds[cell.id] / max(guess.seconds[cell.id], 1e-9))
    ratio = median(ratios or [1.0])
    for cell in pending:
        seconds.setdefault(cell.id, guess.seconds[cell.id] * ratio)
        first_seconds.setdefault(cell.id, guess.first_trial_seconds[cell.id] * ratio)


def cell_overhead(rows: int) -> float:
    """Seconds that a cell takes besides its fits: rows are copied, predictions scored and stored."""
    return CELL_SECONDS + CELL_SECONDS_PER_ROW * rows


def _guess_seconds(request: RunRequest, registry: Registry, plan: Plan, pending: Sequence[Cell]) -> CellForecast:
    """What cells typically take, by the number of rows."""
    typical = typical_seconds(registry, dict.fromkeys(cell.family for cell in pending))
    rows = {loaded.task.name: len(loaded.table.y) for loaded in plan.tasks}
    inner_folds = request.protocol.inner_folds
    seconds, first_seconds, trials = {}, {}, {}
    for cell in pending:
        trial_seconds = typical[cell.family] * (inner_folds - 1) * rows[cell.task] / TYPICAL_ROWS
        times = TrialTimes(trial_seconds, trial_seconds)
        trials[cell.id] = _trials(request, registry, cell)
        overhead = cell_overhead(rows[cell.task])
        first_seconds[cell.id] = overhead + times.cell_seconds(1, inner_folds)
        seconds[cell.id] = _bound_seconds(request, overhead + times.cell_seconds(trials[cell.id], inner_folds))
    return CellForecast(seconds, first_seconds, trials=trials)


def correct_forecast(forecast: CellForecast, records: Sequence[Record], cells: Sequence[Cell]) -> CellForecast:
    """Correct the forecast of cells by what others have taken: those of the same family, or all.

    Parameters
    ----------
    forecast : CellForecast
        The forecast so far.
    records : sequence of Record
        Cells that were finished since.
    cells : sequence of Cell
        The cells whose forecast is corrected.

    Returns
    -------
    CellForecast
        The forecast of these cells.
    """
    measured: dict[str, float] = {}
    expected: dict[str, float] = {}
    for record in records:
        if record.family == BASELINE:  # most of its time is that of starting the workers
            continue
        for name in (record.family, ALL_FAMILIES):
            measured[name] = measured.get(name, 0.0) + record.seconds
            expected[name] = expected.get(name, 0.0) + forecast.limited_seconds(record.id)
    seconds, first_seconds = {}, {}
    for cell in cells:
        name = cell.family if cell.family in measured else ALL_FAMILIES
        ratio = measured.get(name, 0.0) / max(expected.get(name, 0.0), 1e-9) or 1.0
        seconds[cell.id] = ratio * forecast.seconds[cell.id]
        first_seconds[cell.id] = ratio * forecast.first_trial_seconds[cell.id]
    return CellForecast(seconds, first_seconds, forecast.estimate, forecast.jobs, forecast.trials)


def _trials(request: RunRequest, registry: Registry, cell: Cell) -> int:
    """The number of trials of a cell, as far as trials bound it."""
    family, strategy = registry.family(cell.family), registry.strategy(cell.strategy)
    trials = request.protocol.trials or 20
    if family.trials is not None:
        trials = min(trials, family.trials)
    if not family.space and not strategy.space and strategy.kind != "searched":
        return 1
    return trials


def _bound_seconds(request: RunRequest, seconds: float) -> float:
    budget = request.protocol.budget
    if budget is None:
        return seconds
    if request.protocol.trials is None:
        return budget
    return min(seconds, budget)


def order_pending_cells(registry: Registry, cells: Sequence[Cell], forecast: CellForecast) -> list[Cell]:
    """Sort cells for execution, by the forecast of their families or else by what these typically cost."""
    costs = typical_seconds(registry, dict.fromkeys(cell.family for cell in cells))
    if forecast.is_measured:
        seconds_by_family: dict[str, list[float]] = {}
        for cell in cells:
            if cell.strategy == FIRST_STRATEGY and cell.id in forecast.seconds:
                seconds_by_family.setdefault(cell.family, []).append(forecast.seconds[cell.id])
        if seconds_by_family.keys() == costs.keys():
            costs = {family: fmean(seconds) for family, seconds in seconds_by_family.items()}
    return order_cells(cells, costs)


def plan_lines(plan: Plan, pending: Sequence[Cell], forecast: CellForecast) -> list[str]:
    """Describe the plan in a few lines: length and memory, order, what is left out.

    Parameters
    ----------
    plan : Plan
        All cells of the run.
    pending : sequence of Cell
        The cells to be executed, in their order.
    forecast : CellForecast
        What they are expected to take.

    Returns
    -------
    list of str
        At most four lines; none where nothing is to be executed.
    """
    if not pending:
        return []
    lines = []
    if forecast.is_measured:
        estimate = forecast.estimate
        text = f"plan: about {format_duration(forecast.wall_seconds(pending) + REPORT_SECONDS)} with {forecast.jobs} cells at a time"
        if estimate.memory_mb:
            text += f" and {format_memory(estimate.memory_mb * forecast.jobs)} of memory"
        lines.append(f"{text} (from timed fits on {estimate.rows:,} rows; corrected as cells finish)")
    elif forecast.expected_seconds:
        wall = format_duration(forecast.wall_seconds(pending) + REPORT_SECONDS)
        lines.append(f"plan: about {wall} (from typical times; corrected as cells finish)")
    families = dict.fromkeys(cell.family for cell in pending)
    strategies = dict.fromkeys(cell.strategy for cell in pending)
    text = f"order: {', '.join(families)}"
    if len(strategies) > 1:
        text += f"; each with {next(iter(strategies))} first, then {', '.join(list(strategies)[1:])}"
    lines.append(text)
    omitted = describe_omissions(plan)
    if omitted:
        lines.append("left out: " + "; ".join(omitted))
    return lines


def describe_omissions(plan: Plan) -> list[str]:
    """Say which combinations have cells that cannot be executed, and why."""
    names_by_reason: dict[str, dict[str, None]] = {}
    skipped = {skip["name"] for skip in plan.skipped}
    for cell in plan.cells:
        outcome = plan.settled.get(cell.id)
        if outcome is not None and cell.family not in skipped:
            names_by_reason.setdefault(outcome.reason, {})[f"{cell.family} × {cell.strategy}"] = None
    return [f"{', '.join(names)} ({reason})" for reason, names in names_by_reason.items()]


def describe_plan(
    plan: Plan, pending: Sequence[Cell], finished: int, forecast: CellForecast, *, verbose: bool = False
) -> str:
    """Describe the plan of a run: cells and seconds of every family, the order, what is left out.

    Parameters
    ----------
    plan : Plan
        All cells of the run.
    pending : sequence of Cell
        The cells to be executed, in their order.
    finished : int
        Cells that are stored already or cannot be executed.
    forecast : CellForecast
        What the pending cells are expected to take.
    verbose : bool, default False
        Whether every family is described with every strategy, in the order of execution.

    Returns
    -------
    str
        Lines for the terminal.
    """
    names = ", ".join(loaded.task.name for loaded in plan.tasks)
    splits = ", ".join(dict.fromkeys(f"{len(loaded.folds)} outer splits" for loaded in plan.tasks))
    lines = [f"{names}: {len(plan.cells)} cells ({splits}), {len(pending)} to do, {finished} stored or left out"]
    lines += plan_lines(plan, pending, forecast)
    for skip in plan.skipped:
        lines.append(f"skipped: {skip['name']}: {skip['reason']}")
    if forecast.is_measured and verbose:
        lines += ["", *_block_lines(pending, forecast)]
    elif forecast.is_measured:
        lines += ["", *_family_lines(pending, forecast), "every family with every strategy: --plan --verbose"]
    return "\n".join(lines)


def _family_lines(pending: Sequence[Cell], forecast: CellForecast) -> list[str]:
    """The cells of every family and their seconds, and when every family has been evaluated with its first strategy."""
    cells_by_family: dict[str, list[Cell]] = {}
    for cell in pending:
        cells_by_family.setdefault(cell.family, []).append(cell)
    lines = [f"{'cells':>5}  {'a cell':>8}  {'first':>8}  {'together':>8}  family (first: with {pending[0].strategy})"]
    all_first_cells: list[Cell] = []
    for family, cells in cells_by_family.items():
        first_cells = []
        for cell in cells:
            if (cell.strategy, cell.repeat) == (cells[0].strategy, cells[0].repeat):
                first_cells.append(cell)
        all_first_cells += first_cells
        seconds = [forecast.limited_seconds(cells[0].id)]
        for group in (first_cells, cells):
            seconds.append(sum(forecast.limited_seconds(cell.id) for cell in group) / max(1, forecast.jobs))
        texts = "  ".join(f"{format_duration(length):>8}" for length in seconds)
        lines.append(f"{len(cells):>5}  {texts}  {family}")
    wall = format_duration(forecast.wall_seconds(all_first_cells))
    return [*lines, f"all {len(cells_by_family)} families with {pending[0].strategy}: after about {wall}"]


def _block_lines(pending: Sequence[Cell], forecast: CellForecast) -> list[str]:
    """The cells of every family with every strategy, their seconds, and when every family has been evaluated once."""
    cells_by_block: dict[tuple[str, str, str], list[Cell]] = {}
    first_block = []
    for cell in pending:
        cells_by_block.setdefault((cell.task, cell.family, cell.strategy), []).append(cell)
        if (cell.strategy, cell.repeat) == (pending[0].strategy, pending[0].repeat):
            first_block.append(cell)
    lines = [f"{'cells':>5}  {'a cell':>8}  {'together':>8}  in this order"]
    for (_, family, strategy), cells in cells_by_block.items():
        mean = fmean(map(forecast.limited_seconds, (cell.id for cell in cells)))
        together = format_duration(mean * len(cells) / max(1, forecast.jobs))
        lines.append(f"{len(cells):>5}  {format_duration(mean):>8}  {together:>8}  {family} × {strategy}")
    families = len({cell.family for cell in first_block})
    wall = format_duration(forecast.wall_seconds(first_block))
    return [*lines, "", f"all {families} families with {pending[0].strategy}: after about {wall}"]


def format_duration(seconds: float) -> str:
    """Write a length of time in the unit that suits it: 0.4 s, 45 s, 12 min, 3.4 h."""
    if seconds < 1:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def format_memory(megabytes: float) -> str:
    """Write an amount of memory with two digits: 640 MB, 2.1 GB."""
    if megabytes < 1000:
        return f"{megabytes:.0f} MB"
    return f"{megabytes / 1000:.1f} GB"
