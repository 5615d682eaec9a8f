"""Tables of a run while it goes on: a child process writes them again after the first complete family, then ever more rarely."""

from __future__ import annotations

import select
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api.run_plan import format_duration
from harness.errors import EvenhandError
from harness.execution.engines.base import CellEvent
from harness.execution.plan import BASELINE, RunRequest
from harness.processes import ChildProcess, ProgressCallback, answer_parent_question, receive_child_answer

if TYPE_CHECKING:
    from harness.execution.cell import Cell
    from harness.store.store import Store

#: Tables are not written again before this many seconds, and this many times as long as it took to write them.
MIN_PAUSE_SECONDS, PAUSES = 15.0, 25.0
#: The first tables are written after this many seconds: shorter runs have theirs at the end.
FIRST_SECONDS = 8.0
#: Each pause is so many times as long as the one before.
PAUSE_GROWTH = 1.5


class TableRefresh:
    """Has the tables of a run written while its cells are executed; the run itself is not held up.

    Parameters
    ----------
    store : Store
        The run.
    request : RunRequest
        Names the plug-ins and holds the declarations of the calling program, which may have metrics.
    enabled : bool, default True
        False writes nothing.
    """

    def __init__(self, store: Store, request: RunRequest, *, enabled: bool = True) -> None:
        self.enabled = enabled
        self.store = store
        self.question = {
            "folder": str(store.folder),
            "plugins": list(request.plugins),
            "declarations": request.pickled_declarations,
        }
        self.show: Callable[[str], None] = lambda _text: None
        self.started = time.monotonic()
        self.child: ChildProcess | None = None
        self.child_started, self.next_start, self.pause = 0.0, 0.0, MIN_PAUSE_SECONDS
        self.refreshes = 0
        self.last_seconds = 0.0  #: what writing the tables took
        self.has_news = False
        self.open_blocks = Counter[tuple[str, str, str]]()  #: first repeat: unfinished cells by task, family, strategy
        self.complete_families: set[str] = set()

    def open(self, pending: Sequence[Cell], show: Callable[[str], None]) -> None:
        """Begin with the cells that are to be executed, and with a function that shows a text to the user."""
        self.show = show
        self.next_start = max(self.next_start, time.monotonic() + FIRST_SECONDS)
        for cell in pending:
            if cell.repeat == 0:
                self.open_blocks[cell.task, cell.family, cell.strategy] += 1

    def update(self, event: CellEvent) -> None:
        """Take an event of the run."""
        record = event.record
        if record is None:
            return
        block = (record.task, record.family, record.strategy)
        if record.repeat == 0:
            self.open_blocks[block] -= 1
        if record.family != BASELINE and record.status == "ok":
            self.has_news = True
            if not self.open_blocks[block]:
                self.complete_families.add(record.family)

    def poll(self) -> None:
        """Start to write the tables where it is time, and show them where they are written."""
        if self.child is not None:
            if select.select([self.child.stdout], [], [], 0)[0]:
                self._finish(self.child)
            return
        if self.enabled and self.has_news and self.complete_families and time.monotonic() >= self.next_start:
            self.has_news = False
            self.child_started = time.monotonic()
            self.child = ChildProcess("harness.api.refresh")
            self.child.send(self.question)

    def close(self) -> None:
        """End a child that still writes; every file is whole, because files are replaced as a whole."""
        if self.child is not None:
            self.child.kill()
            self.child = None

    def _finish(self, child: ChildProcess) -> None:
        answer = child.receive() or {}
        self.close()
        now = time.monotonic()
        self.last_seconds = now - self.child_started
        self.pause = max(self.pause * PAUSE_GROWTH, PAUSES * self.last_seconds)
        self.next_start = now + self.pause
        if "answer" not in answer:  # the tables at the end say what is wrong
            return
        self.refreshes += 1
        after = f"tables after {format_duration(now - self.started)}"
        text = f"{after}: {answer['answer']['line']}"
        if self.refreshes == 1:
            text = f"{text}\n\n{answer['answer']['summary']}\n\n{self.store.folder}/report.html is written again as cells finish"
        self.show(text)

    def write_until(self, deadline: float, *, full: bool) -> str | None:
        """Write the tables in a child that is killed at a deadline.

        Parameters
        ----------
        deadline : float
            By `time.monotonic`.
        full : bool
            Whether the figures are drawn too.

        Returns
        -------
        str or None
            The summary; None where the time did not suffice.

        Raises
        ------
        EvenhandError
            Where the tables cannot be written.
        """
        with ChildProcess("harness.api.refresh") as child:
            child.send({**self.question, "full": full})
            seconds = max(0.0, deadline - time.monotonic())
            if not select.select([child.stdout], [], [], seconds)[0]:
                return None
            answer = receive_child_answer(child, f"wrote the tables of {self.store.folder}")
        return str(answer["summary"])


@dataclass(frozen=True)
class PreliminaryTables:
    """What the tables of an unfinished run say: in a line and at length."""

    line: str
    summary: str


def _answer(question: dict[str, Any], _show: ProgressCallback) -> dict[str, Any]:
    from harness.registry.registry import load_registry
    from harness.registry.user_declarations import unpickle_declarations
    from harness.report.write import write_preliminary_report, write_report
    from harness.store.store import Store

    write = write_preliminary_report
    if question.get("full"):
        write = write_report
    declarations = unpickle_declarations(question["declarations"])
    registry = load_registry(question["plugins"]).with_declarations(declarations, "this program")
    try:
        files = write(Store(Path(question["folder"])), registry.metrics)
    except OSError as error:
        raise EvenhandError(str(error)) from error
    return asdict(PreliminaryTables(files.headline, files.summary))


if __name__ == "__main__":
    answer_parent_question(_answer)
