"""What a run shows while it goes on: a live view on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, TextIO

from harness.api.benchmark import Start
from harness.execution.engines.base import Event, RunCallbacks, StopRequest
from harness.store.record import Record

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live


class Progress:
    """Counts of a run under way: cells by status, trials, the best inner score per task, time left."""

    def __init__(self, start: Start) -> None:
        self.total = len(start.left)
        self.objectives = start.objectives
        self.running: dict[str, str] = {}
        self.statuses = Counter[str]()
        self.standing = Counter(record.status for record in start.standing)
        self.trials = 0
        self.begun = time.monotonic()
        self.spent: dict[str, list[float]] = {}
        self.waiting = Counter(cell.family for cell in start.left)
        self.scores: dict[str, dict[str, list[float]]] = {}
        for record in start.standing:
            self._score(record)

    def take(self, event: Event) -> None:
        """Count what happened."""
        if event.record is None:
            self.running[event.cell.id] = event.cell.name
            return
        record = event.record
        self.running.pop(event.cell.id, None)
        self.statuses[record.status] += 1
        self.trials += record.trials + record.failed_trials
        self.spent.setdefault(record.family, []).append(record.seconds)
        self.waiting[record.family] -= 1
        self._score(record)

    @property
    def done(self) -> int:
        """Cells that have a record since the run was started."""
        return sum(self.statuses.values())

    @property
    def elapsed(self) -> float:
        """Seconds since the run was started."""
        return time.monotonic() - self.begun

    def seconds_left(self) -> float | None:
        """What the cells still to do will take at the pace of their families; None before anything is known."""
        if not self.done:
            return None
        every = [seconds for one in self.spent.values() for seconds in one]
        known = {family: sum(one) / len(one) for family, one in self.spent.items()}
        work = sum(n * known.get(family, sum(every) / len(every)) for family, n in self.waiting.items())
        return work * self.elapsed / max(sum(every), 1e-9)

    def best(self, task: str) -> tuple[str, float] | None:
        """The family/strategy with the best mean inner score on a task so far."""
        means = {entry: sum(scores) / len(scores) for entry, scores in self.scores.get(task, {}).items()}
        choose = max if self.objectives[task].greater_is_better else min
        return choose(means.items(), key=lambda item: item[1]) if means else None

    def _score(self, record: Record) -> None:
        for outcome in record.outcomes:
            if outcome.stage == "tuned":
                entry = f"{record.family}/{record.strategy}"
                self.scores.setdefault(record.task, {}).setdefault(entry, []).append(outcome.inner_score)

    def line(self) -> str:
        """Where the run stands, in one line."""
        left = self.seconds_left()
        ahead = "starting" if left is None else f"about {duration(left)} left" if left else "done"
        bad = ", ".join(f"{n} {status}" for status, n in self.statuses.items() if status != "ok")
        return (
            f"{self.done}/{self.total} cells" + (f" ({bad})" if bad else "") + f", {len(self.running)} running, "
            f"{self.trials / max(self.elapsed, 1e-9):.1f} trials/s, " + ahead
        )


class Interrupts:
    """Ctrl-C once: finish what is in flight. Twice, or SIGTERM: stop at once."""

    def __init__(self) -> None:
        self.stop: StopRequest = "no"

    @contextmanager
    def caught(self, say: Callable[[str], None]) -> Iterator[None]:
        """Count signals instead of being ended by them."""

        def handle(number: int, _frame: FrameType | None) -> None:
            if number == signal.SIGINT and self.stop == "no":
                self.stop = "after this"
                say("stopping: what is in flight is finished (Ctrl-C again stops at once)")
            else:
                self.stop = "now"

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def shown(interrupts: Interrupts, *, quiet: bool) -> Iterator[Callable[[Start], RunCallbacks]]:
    """Show a run until it ends; gives what `benchmark` calls when the run begins."""
    view: _View = _View() if quiet else _Live() if sys.stderr.isatty() else _Lines(sys.stderr)
    with interrupts.caught(view.say):
        try:
            yield lambda start: RunCallbacks(view.begin(start), lambda: interrupts.stop)
        finally:
            view.close()


@contextmanager
def rows_read(*, quiet: bool) -> Iterator[Callable[[int, float], None]]:
    """Show how far a file has been read; gives what is called with rows done and the share of the file, 0 to 1."""
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
        told = [0]

        def line(rows: int, share: float) -> None:
            if (tenths := int(share * 10)) > told[0] and share < 1:
                told[0] = tenths
                sys.stderr.write(f"{rows:,} rows, {share:.0%}\n")

        yield line


class _View:
    """Shows nothing."""

    progress: Progress

    def begin(self, start: Start) -> Callable[[Event], None]:
        self.progress = Progress(start)
        self.opened(start)
        return self.happened

    def happened(self, event: Event) -> None:
        self.progress.take(event)

    def opened(self, start: Start) -> None:
        """Say what there is to do."""

    def say(self, text: str) -> None:
        """Show a sentence."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class _Lines(_View):
    """A line for each finished cell; silent once nobody reads them any more."""

    def __init__(self, stream: TextIO) -> None:
        self.stream: TextIO | None = stream

    def opened(self, start: Start) -> None:
        self.say(opening(start))

    def happened(self, event: Event) -> None:
        super().happened(event)
        if (record := event.record) is not None:
            scores = [outcome.inner_score for outcome in record.outcomes if outcome.stage == "tuned"]
            what = f"inner {scores[0]:.3f}" if scores else record.reason
            self.say(f"{event.cell.name}  {record.status}  {what}  {record.seconds:.1f} s  [{self.progress.line()}]")

    def say(self, text: str) -> None:
        if self.stream is None:
            return
        try:
            self.stream.write(text + "\n")
            self.stream.flush()
        except OSError:  # a closed pipe must not cost the cells in flight, nor the tables
            self.stream = None


class _Live(_View):
    """A view that redraws itself."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)
        self.live: Live | None = None

    def opened(self, start: Start) -> None:
        from rich.live import Live

        self.say(opening(start))
        if start.left:
            self.live = Live(console=self.console, refresh_per_second=4, get_renderable=self._draw)
            self.live.start()

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        if self.live is not None:
            self.live.stop()

    def _draw(self) -> RenderableType:
        from rich.console import Group
        from rich.progress import BarColumn, Progress, TaskProgressColumn
        from rich.table import Table
        from rich.text import Text

        progress = self.progress
        bar = Progress(BarColumn(60), TaskProgressColumn())
        bar.add_task("", total=max(progress.total, 1), completed=progress.done)
        table = Table("task", "best so far (inner score)", box=None, pad_edge=False)
        for task in progress.scores:
            if best := progress.best(task):
                table.add_row(Text(task), Text(f"{best[0]}  {best[1]:.3f}"))
        lines = [bar.get_renderable(), Text(progress.line())]
        if progress.running:
            running = "running: " + ", ".join(progress.running.values())
            lines.append(Text(running, style="dim", overflow="ellipsis", no_wrap=True))
        return Group(*lines, table)


def opening(start: Start) -> str:
    """What a run has before it, in a few lines."""
    tasks = [one.task.name for one in start.plan.tasks]
    skipped = "".join(f"\nskipped: {one['name']}: {one['reason']}" for one in start.plan.skipped)
    notes = [f"{tasks[0]}: {note}" for note in start.plan.tasks[0].table.notes] if len(tasks) == 1 else []
    notes += [
        f"warning: {task}: {finding.message}"
        for task, findings in start.plan.findings.items()
        for finding in findings
        if finding.severity == "warning"
    ]
    already = Counter(record.status for record in start.standing)
    stand = ", ".join(f"{n} {status}" for status, n in already.items())
    outdated = ""
    if start.outdated:
        cells = "1 stored cell is" if start.outdated == 1 else f"{start.outdated:,} stored cells are"
        outdated = f"\n{cells} done again: their data, their declarations or evenhand have changed since"
    return (
        f"{len(tasks)} task{'s' * (len(tasks) > 1)} ({', '.join(tasks)}), {len(start.plan.cells)} cells, {len(start.left)} to do"
        + (f"; stored already: {stand}" if stand else "")
        + outdated
        + skipped
        + "".join("\n" + note for note in notes)
    )


def duration(seconds: float) -> str:
    """A length of time as people say it: 45 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
