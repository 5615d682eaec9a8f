"""A benchmark from start to tables: progress, interrupts, the run itself, its report; and the replay of a cell in words."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from harness.api.benchmark import benchmark, preview_run
from harness.api.interrupts import InterruptHandler, write_line_to_stderr
from harness.api.progress import show_run_progress
from harness.api.refresh import TableRefresh
from harness.api.time_budget import TimeBudget
from harness.errors import DataError, EvenhandError
from harness.execution.engines.base import Limits
from harness.execution.plan import BASELINE, RunRequest
from harness.execution.replay import CellReplay, ReplayRequest
from harness.execution.replay_entry import EntryReplay
from harness.metrics.metric import Metric
from harness.metrics.threshold import ThresholdGoal
from harness.processes import run_in_subprocess, usable_cores
from harness.registry.registry import Registry
from harness.report.content import ReportColumn, ReportTable
from harness.report.render.cells import MISSING_DASH
from harness.report.render.markdown import format_count
from harness.report.render.terminal import render_terminal_table
from harness.store.store import Store

#: The share of the machine's memory that all cells at once may use.
MEMORY_SHARE = 0.85
#: Seconds of a budget that are left for the end of the process.
CLOSING_SECONDS = 1.0
#: A cell may take this many seconds, or this multiple of its budget if that is more.
CELL_SECONDS, CELL_BUDGETS = 3600.0, 10.0
VERDICTS = {
    "same": "confirmed: equal to the last digit",
    "close": "confirmed within the tolerance",
    "different": "NOT confirmed",
}


@dataclass(frozen=True, kw_only=True)
class ExecutionOptions:
    """How a benchmark is executed; none of it changes a number."""

    command: str  #: the command line or the call, stored with the run
    jobs: int | None = None  #: cells at once; None: the number of cores
    retry: tuple[str, ...] = ()  #: statuses of cells to execute again
    tensorboard: bool = False  #: also write TensorBoard logs
    quiet: bool = False  #: show no progress
    verbose: bool = False  #: describe a plan in full
    report: bool = True  #: write tables, figures and the page
    importance: bool = True  #: measure the importance of columns for the recommended entries
    goals: tuple[ThresholdGoal, ...] = ()  #: for which the report chooses thresholds, stored with the run
    rope: float | None = None  #: region of practical equivalence of the objective, stored with the run
    prefer: str | None = None  #: what the recommendation prefers, stored with the run
    strict: bool = False  #: stop where the inspection of the user's own data has errors
    budget: float | None = None  #: seconds of the whole run, tables included
    started: float = field(default_factory=time.monotonic)  #: when the budget began, by `time.monotonic`
    in_python: bool = False  #: print no summary, and leave Ctrl-C to the calling program


def run_and_report(request: RunRequest, registry: Registry, store: Store, options: ExecutionOptions) -> bool:
    """Execute or continue a run and write its report.

    Parameters
    ----------
    request : RunRequest
        Tasks, families, strategies and protocol.
    registry : Registry
        All declarations.
    store : Store
        The folder of the run.
    options : ExecutionOptions
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
    from harness.api.tensorboard import require_tensorboard
    from harness.evaluation.preferences import store_preferences

    if options.tensorboard:
        require_tensorboard()
    job_count = count_jobs(options)
    _print_data_inspection(request, store, options)
    budget = None
    if options.budget is not None:
        budget = TimeBudget(options.budget, options.started)
    interrupt_handler = InterruptHandler(handles_signals=not options.in_python)
    refresh = TableRefresh(store, request, enabled=options.report)
    refresh.started = options.started
    with show_run_progress(interrupt_handler, refresh, quiet=options.quiet) as on_start:
        benchmark(
            request,
            registry,
            store,
            command=options.command,
            jobs=job_count,
            limits=limit_cell_resources(job_count, request.protocol.budget),
            retry=options.retry,
            goals=options.goals,
            measure=not options.quiet,
            budget=budget,
            on_start=on_start,
        )
    store_preferences(store, options.rope, options.prefer)
    if options.report and interrupt_handler.stop != "now":
        interrupt_handler.writes_tables = True
        with contextlib.suppress(*interrupt_handler.exceptions), interrupt_handler.catch_signals(write_line_to_stderr):
            if budget is not None:
                write_tables_in_time(store, refresh, budget, quiet=options.quiet or options.in_python)
                _say_what_a_budget_omits(store, options)
            else:
                _write_all_tables(request, registry, store, options, interrupt_handler)
    if interrupt_handler.stop != "no":
        sys.stderr.write("stopped: the same command continues\n")
        return False
    return True


def _write_all_tables(
    request: RunRequest, registry: Registry, store: Store, options: ExecutionOptions, interrupts: InterruptHandler
) -> None:
    """Measure importances unless the run was stopped, and write the report.

    Raises
    ------
    KeyboardInterrupt
        Where the run is stopped at once; every file is either the earlier or the new one.
    """
    from harness.api.tensorboard import write_tensorboard_logs

    quiet = options.quiet or options.in_python
    if options.importance and interrupts.stop == "no":
        measure_run_importances(request, registry, store, quiet=quiet)
    write_run_report(store, registry.metrics, quiet=quiet)
    if options.tensorboard:
        write_tensorboard_logs(store)


def count_jobs(options: ExecutionOptions) -> int:
    """The number of cells that are executed at once; raises `EvenhandError` where it is not positive."""
    if options.jobs is not None and options.jobs < 1:
        option = "jobs" if options.in_python else "--jobs"
        raise EvenhandError(f"{option} must be at least 1, but got {options.jobs}")
    return options.jobs or usable_cores()


def print_plan(request: RunRequest, registry: Registry, store: Store, options: ExecutionOptions) -> None:
    """Print what `run_and_report` would do; nothing is written and no cell is executed."""
    text = preview_run(request, registry, store, count_jobs(options), verbose=options.verbose)
    sys.stdout.write(text + "\n")


def write_tables_in_time(store: Store, refresh: TableRefresh, budget: TimeBudget, *, quiet: bool) -> None:
    """Write the tables first and the figures in the time that is left; what is not written is said."""
    deadline = budget.deadline - CLOSING_SECONDS
    summary = refresh.write_until(deadline, full=False)
    notes = []
    if summary is None:
        notes.append(f"the time was over before the tables were written: evenhand report {store.folder}")
    elif refresh.write_until(deadline, full=True) is None:
        notes.append(f"the time was over before all figures were drawn: evenhand report {store.folder}")
    if missing := count_missing_cells(store):
        notes.append(
            f"{missing} cells were not begun or not finished in time: the same command, with a budget for them, continues"
        )
    if quiet:
        return
    with contextlib.suppress(BrokenPipeError):
        lines = [*filter(None, [summary]), *notes, str(store.folder / "report.html")]
        sys.stdout.write("\n\n".join(lines) + "\n")
        sys.stdout.flush()


def _say_what_a_budget_omits(store: Store, options: ExecutionOptions) -> None:
    """Say that importances and logs, which were asked for, are not made under a budget."""
    if options.importance and not options.quiet:
        write_line_to_stderr("under a budget, the importance of columns is not measured")
    if options.tensorboard:
        write_line_to_stderr(f"under a budget, no logs are written: evenhand tensorboard {store.folder} writes them")


def count_missing_cells(store: Store) -> int:
    """Count the planned cells without a record."""
    missing = 0
    for cell in store.read_run()["cells"]:
        missing += store.read_record(cell["id"]) is None
    return missing


def measure_run_importances(request: RunRequest, registry: Registry, store: Store, *, quiet: bool) -> None:
    """Measure the importance of columns for the recommended entry of every task of tables.

    A refit that fails costs the importances and nothing else; the reason is written to the standard error.
    """
    from harness.evaluation.decision import recommend_entry
    from harness.evaluation.ranking import rank_entries
    from harness.evaluation.score_collection import collect_scores
    from harness.execution.importances import measure_absent_importances

    scores = collect_scores(store, registry.metrics)
    entries = {}
    for task in scores.run["tasks"]:
        recommended_entry = recommend_entry(scores, rank_entries(scores, task)).entry
        if recommended_entry is not None and request.task(registry, task).modality == "tabular":
            entries[task] = recommended_entry.entry[:3]

    def show_progress_message(text: str) -> None:
        if not quiet:
            with contextlib.suppress(BrokenPipeError):
                sys.stderr.write(f"{text}\n")

    try:
        measure_absent_importances(request, store, entries, show_progress_message)
    except EvenhandError as error:
        sys.stderr.write(f"the importance of columns could not be measured: {error}\n")


def _has_no_time_for_inspection(request: RunRequest, options: ExecutionOptions) -> bool:
    """Whether the file is so large that its inspection would take much of the budget; says so."""
    if options.budget is None or request.own is None:
        return False
    path = Path(request.own.path)
    if not TimeBudget(options.budget, options.started).is_short_for(path):
        return False
    if not options.quiet:
        write_line_to_stderr(f"no time for the inspection of the rows: evenhand inspect {path.name} shows it")
    return True


def _print_data_inspection(request: RunRequest, store: Store, options: ExecutionOptions) -> None:
    """Print the summary of the inspection of the user's own data, unless a stored run is continued.

    Raises
    ------
    DataError
        If `options.strict` and the inspection has errors; the data cannot be read.
    """
    from harness.inspection.inspector import inspect_rows
    from harness.report.inspection import join_finding_messages, summarize_inspection

    is_silent = options.quiet or store.run_file.exists() or _has_no_time_for_inspection(request, options)
    if request.own is None or (is_silent and not options.strict):
        return
    task = request.own.task()
    data_inspection = inspect_rows(task, task.load(request.data_folder), request.protocol)
    if not is_silent:
        lines = summarize_inspection(data_inspection)
        with contextlib.suppress(BrokenPipeError):  # a reader that has ended costs the summary, not the run
            sys.stderr.write("\n".join(lines) + "\n")
    if options.strict and (errors := data_inspection.of_severity("error")):
        option = "strict=True" if options.in_python else "--strict"
        raise DataError(f"{join_finding_messages(errors)} (this run stops on errors: {option})")


def baseline_only_reason(store: Store) -> str:
    """Say why no entry but the baseline has a score; empty where another one has."""
    records, _ = store.read_readable_records()
    other_records = [record for record in records if record.family != BASELINE]
    if not other_records or any(record.status == "ok" for record in other_records):
        return ""
    reasons = dict.fromkeys(f"{record.status}: {record.reason}" for record in other_records)
    return f"only the baseline could be run: {'; '.join(list(reasons)[:3])}"


def write_run_report(
    store: Store, metrics: Mapping[str, Metric], *, quiet: bool, goals: Sequence[ThresholdGoal] = ()
) -> Path:
    """Write the report of a run and, unless `quiet`, print its summary; return the path of the page."""
    from harness.report.write import write_report

    files = write_report(store, metrics, goals)
    if not quiet:
        with contextlib.suppress(BrokenPipeError):  # the tables are written even if the reader of the pipe has ended
            paths = (files.markdown, files.details, files.csv, files.scores, files.page)
            sys.stdout.write(f"{files.summary}\n\n" + "".join(f"{path}\n" for path in paths))
            sys.stdout.flush()
    return files.page


def limit_cell_resources(jobs: int, budget: float | None) -> Limits:
    """Limit what one cell may use: seconds, and its share of the memory where `jobs` cells run at once."""
    import psutil

    memory_mb = psutil.virtual_memory().total / 1e6 * MEMORY_SHARE / jobs
    return Limits(max(CELL_SECONDS, CELL_BUDGETS * (budget or 0)), int(memory_mb))


def replay_cell_in_subprocess(request: ReplayRequest) -> CellReplay:
    """Fit a cell again as a worker does, with one thread; raises `EvenhandError` where that is not possible."""
    response = run_in_subprocess("harness.execution.replay", asdict(request), f"fitted {request.cell} again")
    return CellReplay.from_dict(response)


def describe_replay(replayed: CellReplay) -> str:
    """Describe what has changed since the record was made, and the stored and the new scores of every entry."""
    lines = [f"{replayed.name} ({replayed.cell})", ""]
    lines += [f"differs: {difference}" for difference in replayed.differences]
    if replayed.obstacle:
        lines.append(f"NOT confirmed: {replayed.obstacle}")
        return "\n".join(lines)
    lines.append(f"tolerance {replayed.tolerance:g}: {replayed.reason}")
    stages_by_trial: dict[int, str] = {}  # trial → the stage under which it was described
    for entry in replayed.entries:
        lines.append("")
        if entry.trial in stages_by_trial:
            lines.append(f"{entry.stage}: the same configuration as {stages_by_trial[entry.trial]}")
        else:
            stages_by_trial[entry.trial] = entry.stage
            lines.append(_describe_replayed_entry(entry))
    return "\n".join(lines)


def _describe_replayed_entry(entry: EntryReplay) -> str:
    title = f"{entry.stage} (trial {entry.trial})"
    if entry.reason:
        return f"{title}: {VERDICTS['different']}: it cannot be fitted again: {entry.reason}"
    rows = []
    for part_name, (mean, largest_difference) in entry.probability_differences.items():
        rows.append((f"probabilities, {part_name} rows", "", "", f"mean {mean:.3g}, largest {largest_difference:.3g}"))
    for name, stored_score, refitted_score in entry.metric_values:
        if stored_score is not None or refitted_score is not None:
            rows.append(
                (
                    name,
                    _format_score(stored_score),
                    _format_score(refitted_score),
                    _format_score_difference(stored_score, refitted_score),
                )
            )
    columns = (
        ReportColumn(""),
        ReportColumn("stored", "number"),
        ReportColumn("again", "number"),
        ReportColumn("difference"),
    )
    table = render_terminal_table(ReportTable(columns, tuple(rows)))
    counts = []
    for threshold, count in entry.changed_decisions.items():
        counts.append(f"{format_count(count, 'row')} {threshold}".rstrip())
    decisions_text = f"decided otherwise, of {entry.rows:,} test rows: {', '.join(counts)}"
    return f"{title}: {VERDICTS[entry.verdict]}\n\n{table}\n\n{decisions_text}"


def _format_score_difference(stored_score: float | None, refitted_score: float | None) -> str:
    if stored_score == refitted_score:
        return "0"
    if stored_score is None or refitted_score is None:
        return MISSING_DASH
    return f"{refitted_score - stored_score:+.3g}"


def _format_score(score: float | None) -> str:
    return MISSING_DASH if score is None else f"{score:.6g}"
