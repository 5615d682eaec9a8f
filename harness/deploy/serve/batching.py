"""Requests that arrive together are predicted together.

One thread touches the model. While it works, requests wait in line; when it is free it takes all of them, up to a number
of rows. Nobody waits for company: a lone request goes at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.deploy.serve.requests import Refused, Sent

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from harness.deploy.bundle import Bundle
    from harness.registry.task import Features

MOST_ROWS = 10_000  #: predicted in one go
MOST_WAITING = 100_000  #: rows in line, before requests are turned away
PIECE = 256  #: rows of an explanation predicted in one go: what comes in between waits no longer than that


@dataclass(frozen=True)
class Answer:
    """What a bundle says of the rows of one request; `flags` holds row → [(field, what), …]."""

    proba: npt.NDArray[np.float64]
    decided: npt.NDArray[np.int64]
    flags: dict[int, list[tuple[str, str]]]


@dataclass(frozen=True)
class _Waiting:
    sent: Sent
    answer: asyncio.Future[Answer]


@dataclass
class Batcher:
    """The line before the model. `seen` is shown what rows were answered, in the model's thread, after the answers are out.

    `together=False` predicts each request alone: there to be measured against.
    """

    bundle: Bundle
    seen: Callable[[Features], None] = lambda _X: None
    together: bool = True
    worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "model"))
    line: deque[_Waiting] = field(default_factory=deque)
    rows: int = 0  #: in line
    _some: asyncio.Event = field(default_factory=asyncio.Event)

    async def predict(self, sent: Sent) -> Answer:
        """The answer to one request. Raises `BadRows`, and `Refused` where too many are in line."""
        if self.line and self.rows + sent.count > MOST_WAITING:
            raise Refused(503, "too many rows are in line: try again in a second")
        waiting = _Waiting(sent, asyncio.get_running_loop().create_future())
        self.line.append(waiting)
        self.rows += sent.count
        self._some.set()
        return await waiting.answer

    def predict_piecewise(self, X: Features) -> npt.NDArray[np.float64]:
        """Probabilities of many rows, from another thread, in pieces between which requests have their turn."""
        import numpy as np

        pieces = (X[i : i + PIECE] for i in range(0, len(X), PIECE))
        return np.concatenate([self.worker.submit(self.bundle.predict_proba, piece).result() for piece in pieces])

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Answer what comes, until the block ends."""
        task = asyncio.get_running_loop().create_task(self._work())
        try:
            yield
        finally:
            task.cancel()
            self.worker.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._some.wait()
            taken = self._take()
            if not self.line:
                self._some.clear()
            said, read = await loop.run_in_executor(self.worker, answers, self.bundle, [one.sent for one in taken])
            for one, answer in zip(taken, said, strict=True):
                if one.answer.done():  # the client has gone, or its time was up
                    continue
                if isinstance(answer, Answer):
                    one.answer.set_result(answer)
                else:
                    one.answer.set_exception(answer)
            for X in read:
                self.worker.submit(self.seen, X)

    def _take(self) -> list[_Waiting]:
        """The first in line, and those after it that fit."""
        taken: list[_Waiting] = []
        rows = 0
        while self.line and (not taken or (self.together and rows + self.line[0].sent.count <= MOST_ROWS)):
            one = self.line.popleft()
            self.rows -= one.sent.count
            if not one.answer.done():
                taken.append(one)
                rows += one.sent.count
        return taken


def answers(bundle: Bundle, requests: Sequence[Sent]) -> tuple[list[Answer | Exception], list[Features]]:
    """An answer to each request, or what was wrong with it, and the features that were read.

    Rows that cannot be read spoil only their own request.
    """
    if not requests:
        return [], []
    try:
        whole, X = _answer(bundle, _joined(requests))
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is handed to the one request whose it is
        if len(requests) == 1:
            return [error], []
        alone = [answers(bundle, [request]) for request in requests]
        return [said for one, _ in alone for said in one], [read for _, some in alone for read in some]
    return _parted(whole, [one.count for one in requests]), [X]


def _answer(bundle: Bundle, sent: Sent) -> tuple[Answer, Features]:
    from harness.deploy.input_rows import read_rows

    read = read_rows(bundle.schema, sent.columns)
    proba = bundle.predict_proba(read.X)
    flags: dict[int, list[tuple[str, str]]] = {}
    for row, name, what in read.flags:
        flags.setdefault(row, []).append((name, what))
    return Answer(proba, bundle.decide(proba), flags), read.X


def _joined(requests: Sequence[Sent]) -> Sent:
    if len(requests) == 1:
        return requests[0]
    columns: dict[str, list[Any]] = {name: [] for name in requests[0].columns}
    for request in requests:
        for name, values in columns.items():
            values.extend(request.columns[name])
    return Sent(columns, sum(one.count for one in requests))


def _parted(whole: Answer, counts: Sequence[int]) -> list[Answer | Exception]:
    parts: list[Answer | Exception] = []
    start = 0
    for count in counts:
        rows = slice(start, start + count)
        flags = {row - start: whole.flags[row] for row in range(start, start + count) if row in whole.flags}
        parts.append(Answer(whole.proba[rows], whole.decided[rows], flags))
        start += count
    return parts
