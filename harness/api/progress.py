"""What a run shows while it goes on: a live view on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import fmean
from typing import TYPE_CHECKING, TextIO

from harness.api.interrupts import InterruptHandler
from harness.api.refresh import TableRefresh
from harness.api.run_plan import format_duration, plan_lines
from harness.api.run_start import RunStart
from harness.api.time_budget import describe_shares
from harness.execution.engines.base import CellEvent, RunCallbacks, StopRequest
from harness.execution.plan import BASELINE
from harness.store.record import Record

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live


class RunProgress:
    """Counts of a run while it goes on: cells by status, trials, the best inner score per task, the time left."""

    def __init__(self, start: RunStart) -> None:
        self.total = len(start.pending)
        self.objectives = start.objectives
        self.running: dict[str, str] = {}  #: id → name of the cells that are being executed
        self.statuses = Counter[str]()
        self.trials = 0
        self.start_time = time.monotonic()
        self.jobs = start.forecast.jobs
        self.expected_seconds = {
            cell.id: start.forecast.limited_seconds(cell.id) for cell in start.pending
        }  #: of the cells that are not finished, by id
        self.families = {cell.id: cell.family for cell in start.pending}
        self.work_by_family: dict[str, tuple[float, float]] = {}  #: seconds of finished cells: measured, expected
        self.scores: dict[str, dict[str, list[float]]] = {}  #: task → family/strategy → inner scores
        for record in start.finished:
            self._add_scores(record)

    def extend(self, start: RunStart) -> None:
        """Add further cells of the same run."""
        self.total += len(start.pending)
        for cell in start.pending:
            self.expected_seconds[cell.id] = start.forecast.limited_seconds(cell.id)
            self.families[cell.id] = cell.family

    def update(self, event: CellEvent) -> None:
        """Count an event."""
        record = event.record
        if record is None:
            self.running[event.cell.id] = event.cell.name
            return
        self.running.pop(event.cell.id, None)
        self.statuses[record.status] += 1
        self.trials += record.trials + record.failed_trials
        measured, expected = self.work_by_family.get(record.family, (0.0, 0.0))
        expected += self.expected_seconds.pop(record.id, 0.0)
        self.work_by_family[record.family] = measured + record.seconds, expected
        self._add_scores(record)

    @property
    def finished_cells(self) -> int:
        """Cells finished since the run was started."""
        return self.statuses.total()

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since the run was started."""
        return time.monotonic() - self.start_time

    def seconds_left(self) -> float | None:
        """Estimate the seconds that the pending cells take; None before the first cell.

        What was expected of a cell is corrected by the ratio of measured to expected seconds of the finished cells of its
        family; where no cell of its family is finished, by that of all.
        """
        if not self.finished_cells:
            return None
        measured, expected = 0.0, 0.0
        for family, (family_measured, family_expected) in self.work_by_family.items():
            if family != BASELINE:  # most of its time is that of starting the workers
                measured, expected = measured + family_measured, expected + family_expected
        if not measured or not expected:
            measured = expected = 1.0
        remaining_seconds = 0.0
        for cell_id, seconds in self.expected_seconds.items():
            family_measured, family_expected = self.work_by_family.get(self.families[cell_id], (measured, expected))
            remaining_seconds += seconds * family_measured / max(family_expected, 1e-9)
        return remaining_seconds / max(1, min(self.jobs, len(self.expected_seconds)))

    def best_combination_of_task(self, task: str) -> tuple[str, float] | None:
        """Find the family/strategy with the best mean inner score on a task so far; None before the first score."""
        means = {entry: fmean(scores) for entry, scores in self.scores.get(task, {}).items()}
        if not means:
            return None
        choose_best = max if self.objectives[task].greater_is_better else min
        entry = choose_best(means, key=lambda name: means[name])
        return entry, means[entry]

    def _add_scores(self, record: Record) -> None:
        for entry_result in record.outcomes:
            if entry_result.stage == "tuned":
                entry = f"{record.family}/{record.strategy}"
                self.scores.setdefault(record.task, {}).setdefault(entry, []).append(entry_result.inner_score)

    def summary_line(self) -> str:
        """Summarise the progress in one line."""
        text = f"{self.finished_cells}/{self.total} cells"
        failure_counts = [f"{count} {status}" for status, count in self.statuses.items() if status != "ok"]
        if failure_counts:
            text += f" ({', '.join(failure_counts)})"
        text += f", {len(self.running)} running, {self.trials / max(self.elapsed_seconds, 1e-9):.1f} trials/s, "
        seconds = self.seconds_left()
        if seconds is None:
            return text + "starting"
        if seconds == 0:
            return text + "done"
        return text + f"about {format_duration(seconds)} left"


@contextmanager
def show_run_progress(
    interrupts: InterruptHandler, refresh: TableRefresh, *, quiet: bool
) -> Iterator[Callable[[RunStart], RunCallbacks]]:
    """Show a run until it ends; gives the `on_start` argument of `benchmark`.

    Parameters
    ----------
    interrupts : InterruptHandler
        Says whether to stop.
    refresh : TableRefresh
        Has tables written while the run goes on.
    quiet : bool
        Whether nothing is shown.
    """
    progress_view = ProgressView()
    if not quiet and is_in_notebook():
        progress_view = NotebookProgressView()
    elif not quiet and sys.stderr.isatty():
        progress_view = LiveProgressView()
    elif not quiet:
        progress_view = LineProgressView(sys.stderr)

    def on_event(event: CellEvent) -> None:
        progress_view.update(event)
        refresh.update(event)

    def stop_request() -> StopRequest:
        refresh.poll()
        return interrupts.stop

    def on_start(start: RunStart) -> RunCallbacks:
        progress_view.open(start)
        refresh.open(start.pending, progress_view.show)
        return RunCallbacks(on_event, stop_request, table_seconds=lambda: refresh.last_seconds)

    with interrupts.catch_signals(progress_view.show):
        try:
            yield on_start
        finally:
            refresh.close()
            progress_view.close()


@contextmanager
def show_reading_progress(*, quiet: bool) -> Iterator[Callable[[int, float], None]]:
    """Show how far a file has been read; gives a function of the rows read and the share of the file, 0 to 1."""
    if quiet:
        yield lambda _rows, _share: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (BarColumn(), TextColumn("{task.percentage:.0f} %, {task.description}"), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("0 rows", total=1.0)
            yield lambda rows, share: bar.update(task, completed=share, description=f"{rows:,} rows")
    else:
        tenths = 0

        def write_line(rows: int, share: float) -> None:
            nonlocal tenths
            if int(share * 10) > tenths and share < 1:
                tenths = int(share * 10)
                sys.stderr.write(f"{rows:,} rows, {share:.0%}\n")

        yield write_line


class ProgressView:
    """Counts the progress of a run and shows nothing; the base of the other views."""

    progress: RunProgress

    def open(self, start: RunStart) -> None:
        """Begin with the state of the run at its start, or add further cells to it."""
        if start.continues:
            self.progress.extend(start)
        else:
            self.progress = RunProgress(start)

    def update(self, event: CellEvent) -> None:
        """Take an event of the run."""
        self.progress.update(event)

    def show(self, text: str) -> None:
        """Show a sentence."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class LineProgressView(ProgressView):
    """Writes a line for each finished cell; ends silently when the stream is closed."""

    def __init__(self, stream: TextIO) -> None:
        self.stream: TextIO | None = stream

    def open(self, start: RunStart) -> None:
        """Write what is to be done."""
        super().open(start)
        self.show(describe_run_start(start))

    def update(self, event: CellEvent) -> None:
        """Write the status and the score of a finished cell."""
        super().update(event)
        record = event.record
        if record is None:
            return
        outcome_text = record.reason
        for entry in record.outcomes:
            if entry.stage == "tuned":
                outcome_text = f"inner {entry.inner_score:.3f}"
        line = f"{event.cell.name}  {record.status}  {outcome_text}  {record.seconds:.1f} s"
        self.show(f"{line}  [{self.progress.summary_line()}]")

    def show(self, text: str) -> None:
        """Write a line, unless the stream was closed."""
        if self.stream is None:
            return
        try:
            self.stream.write(text + "\n")
            self.stream.flush()
        except OSError:  # a closed pipe must not cost the running cells, nor the tables
            self.stream = None


class LiveProgressView(ProgressView):
    """A display on the terminal that is redrawn four times a second."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)
        self.live: Live | None = None

    def open(self, start: RunStart) -> None:
        """Write what is to be done and start the display."""
        from rich.live import Live

        self.close()
        super().open(start)
        self.show(describe_run_start(start))
        if start.pending:
            self.live = Live(console=self.console, refresh_per_second=4, get_renderable=self._redraw)
            self.live.start()

    def show(self, text: str) -> None:
        """Print a sentence above the display."""
        self.console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        """Stop the display."""
        if self.live is not None:
            self.live.stop()

    def _redraw(self) -> RenderableType:
        from rich.console import Group
        from rich.progress import BarColumn, Progress, TaskProgressColumn
        from rich.table import Table
        from rich.text import Text

        run_progress = self.progress
        bar = Progress(BarColumn(60), TaskProgressColumn())
        bar.add_task("", total=max(run_progress.total, 1), completed=run_progress.finished_cells)
        table = Table("task", "best so far (inner score)", box=None, pad_edge=False)
        for task in run_progress.scores:
            best_combination = run_progress.best_combination_of_task(task)
            if best_combination:
                table.add_row(Text(task), Text(f"{best_combination[0]}  {best_combination[1]:.3f}"))
        lines = [bar.get_renderable(), Text(run_progress.summary_line())]
        if run_progress.running:
            running_text = "running: " + ", ".join(run_progress.running.values())
            lines.append(Text(running_text, style="dim", overflow="ellipsis", no_wrap=True))
        return Group(*lines, table)


class NotebookProgressView(ProgressView):
    """One line below the cell of a notebook, which is replaced as the run goes on."""

    def open(self, start: RunStart) -> None:
        """Write what is to be done, and begin the line."""
        from IPython.display import display

        super().open(start)
        self.show(describe_run_start(start))
        self.handle = display({"text/plain": self.progress.summary_line()}, raw=True, display_id=True)

    def update(self, event: CellEvent) -> None:
        """Replace the line."""
        super().update(event)
        running_text = ", ".join(self.progress.running.values())
        self.handle.update({"text/plain": f"{self.progress.summary_line()}\n{running_text}"}, raw=True)

    def show(self, text: str) -> None:
        """Print a sentence."""
        print(text)


def is_in_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    ipython_module = sys.modules.get("IPython")
    ipython_shell = ipython_module.get_ipython() if ipython_module is not None else None
    return ipython_shell is not None and hasattr(ipython_shell, "kernel")


def describe_run_start(start: RunStart) -> str:
    """Describe what a run is about to do: tasks, cells, what is stored already, what is skipped, warnings about data."""
    plan = start.plan
    if start.continues and start.budget is not None:
        return "\n".join(["there is time for further cells", *describe_shares(start.shares, start.budget)])
    names = [loaded_task.task.name for loaded_task in plan.tasks]
    task_noun = "task" if len(names) == 1 else "tasks"
    first_line = f"{len(names)} {task_noun} ({', '.join(names)}), {len(plan.cells)} cells, {len(start.pending)} to do"
    stored_statuses = Counter(record.status for record in start.finished)
    if stored_statuses:
        first_line += "; stored already: " + ", ".join(f"{count} {status}" for status, count in stored_statuses.items())
    lines = [first_line]
    if start.outdated:
        cells = "1 stored cell is" if start.outdated == 1 else f"{start.outdated:,} stored cells are"
        lines.append(f"{cells} done again: their data, their declarations or evenhand have changed since")
    for skipped_declaration in plan.skipped:
        lines.append(f"skipped: {skipped_declaration['name']}: {skipped_declaration['reason']}")
    lines += plan_lines(plan, start.pending, start.forecast)
    if start.budget is not None:
        lines += describe_shares(start.shares, start.budget)
    if len(names) == 1:
        lines += [f"{names[0]}: {finding.note}" for finding in plan.tasks[0].table.notes]
    for task, findings in plan.findings.items():
        for finding in findings:
            if finding.severity == "warning":
                lines.append(f"warning: {task}: {finding.message}")
    return "\n".join(lines)
