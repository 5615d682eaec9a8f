"""Ctrl-C during a run: what is under way is finished first, and a second one stops at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from harness.execution.engines.base import StopRequest


class InterruptHandler:
    """Handles Ctrl-C: the first finishes the running cells, the second, or SIGTERM, stops at once.

    While tables are written, the first lets them be completed and the second raises `KeyboardInterrupt`.

    Parameters
    ----------
    handles_signals : bool, default True
        False leaves Ctrl-C to the calling program, where it raises `KeyboardInterrupt`.
    """

    def __init__(self, *, handles_signals: bool = True) -> None:
        self.stop: StopRequest = "no"
        self.handles_signals = handles_signals
        self.writes_tables = False
        self.process = os.getpid()

    @property
    def exceptions(self) -> tuple[type[BaseException], ...]:
        """What ends the writing of tables; nothing where Ctrl-C is left to the calling program."""
        return (KeyboardInterrupt,) if self.handles_signals else ()

    @contextmanager
    def catch_signals(self, show: Callable[[str], None]) -> Iterator[None]:
        """Translate signals to `stop` while the context is open."""
        if not self.handles_signals:
            yield
            return

        def handle_signal(number: int, _frame: FrameType | None) -> None:
            if os.getpid() != self.process:  # a fork that evaluates or draws, which ends with this process
                return
            if number == signal.SIGINT and self.stop == "no":
                self.stop = "after this"
                work = "running cells are finished first"
                if self.writes_tables:
                    work = "the tables are completed first"
                show(f"stopping: {work} (Ctrl-C again stops at once)")
            else:
                self.stop = "now"
                if self.writes_tables:
                    raise KeyboardInterrupt

        previous = {number: signal.signal(number, handle_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def write_line_to_stderr(text: str) -> None:
    """Write a sentence; a closed pipe must not cost the tables."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
