"""Batching: requests that arrive while the model works are predicted together.

One thread uses the model. While it works, requests wait in a queue; when it is free, it takes all of them, up to a number
of rows. A request never waits for others to arrive: a single one is predicted at once.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.deploy.bundle import Bundle
from harness.deploy.predict import read_rows
from harness.deploy.serve.requests import ParsedRows, RequestError
from harness.deploy.validate import UnusualValue
from harness.registry.task import Features

MAX_BATCH_ROWS = 10_000
MAX_QUEUED_ROWS = 100_000  #: beyond it requests are refused
CHUNK_ROWS = 256  #: rows of an explanation predicted at once; requests that arrive meanwhile wait no longer than that


@dataclass(frozen=True)
class BatchAnswer:
    """Predictions for the rows of one request."""

    proba: npt.NDArray[np.float64]  #: (n, k)
    decided: npt.NDArray[np.int64]  #: class indices (n,)
    flags: dict[int, list[UnusualValue]]  #: row → its unusual values


@dataclass(frozen=True)
class PendingRequest:
    """A request in the queue, and the future that receives its answer."""

    rows: ParsedRows
    answer: asyncio.Future[BatchAnswer]


@dataclass
class Batcher:
    """The queue in front of the model.

    Parameters
    ----------
    bundle : Bundle
        Predicts the rows.
    on_batch : callable
        Receives the features of each batch, in the model's thread, after the answers are sent.
    combine : bool, default True
        Whether waiting requests are predicted together; False is for measurements.
    """

    bundle: Bundle
    on_batch: Callable[[Features], None] = lambda _X: None
    combine: bool = True
    worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "model"))
    queue: deque[PendingRequest] = field(default_factory=deque)
    queued_rows: int = 0
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def predict_request(self, rows: ParsedRows) -> BatchAnswer:
        """Predict the rows of one request.

        Parameters
        ----------
        rows : ParsedRows
            The rows.

        Returns
        -------
        BatchAnswer
            Their predictions.

        Raises
        ------
        InvalidRowsError
            If a value does not fit the bundle's schema.
        RequestError
            If too many rows are queued.
        """
        if self.queue and self.queued_rows + rows.count > MAX_QUEUED_ROWS:
            raise RequestError(503, "too many rows are in line: try again in a second")
        pending = PendingRequest(rows, asyncio.get_running_loop().create_future())
        self.queue.append(pending)
        self.queued_rows += rows.count
        self._arrived.set()
        return await pending.answer

    def predict_in_chunks(self, X: Features) -> npt.NDArray[np.float64]:
        """Predict probabilities (n, k) of many rows from another thread; requests are predicted between the chunks."""
        row_chunks = [X[first_row : first_row + CHUNK_ROWS] for first_row in range(0, len(X), CHUNK_ROWS)]
        return np.concatenate(
            [self.worker.submit(self.bundle.predict_proba, row_chunk).result() for row_chunk in row_chunks]
        )

    @contextmanager
    def run_until_exit(self) -> Iterator[None]:
        """Answer requests until the block ends."""
        task = asyncio.get_running_loop().create_task(self._answer_batches())
        try:
            yield
        finally:
            task.cancel()
            self.worker.shutdown(wait=False, cancel_futures=True)

    async def _answer_batches(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            batch = self._next_batch()
            if not self.queue:
                self._arrived.clear()
            requests = [pending.rows for pending in batch]
            answers, features = await loop.run_in_executor(self.worker, answer_requests, self.bundle, requests)
            for pending, answer in zip(batch, answers, strict=True):
                if pending.answer.done():  # the client has disconnected, or the request timed out
                    continue
                if isinstance(answer, BatchAnswer):
                    pending.answer.set_result(answer)
                else:
                    pending.answer.set_exception(answer)
            for X in features:
                self.worker.submit(self.on_batch, X)

    def _next_batch(self) -> list[PendingRequest]:
        """Take the first request of the queue, and those behind it that fit into the batch."""
        batch: list[PendingRequest] = []
        row_count = 0
        while self.queue:
            fits_in_batch = self.combine and row_count + self.queue[0].rows.count <= MAX_BATCH_ROWS
            if batch and not fits_in_batch:
                break
            pending_request = self.queue.popleft()
            self.queued_rows -= pending_request.rows.count
            if not pending_request.answer.done():
                batch.append(pending_request)
                row_count += pending_request.rows.count
        return batch


def answer_requests(
    bundle: Bundle, requests: Sequence[ParsedRows]
) -> tuple[list[BatchAnswer | Exception], list[Features]]:
    """Predict several requests together; if that fails, each on its own, so that invalid rows affect only their own request.

    Parameters
    ----------
    bundle : Bundle
        Predicts the rows.
    requests : sequence of ParsedRows
        The rows of each request.

    Returns
    -------
    answers : list of BatchAnswer or Exception
        One per request.
    features : list of features
        The features that were predicted.
    """
    if not requests:
        return [], []
    try:
        batch_answer, X = _predict_batch_rows(bundle, _concatenate_request_rows(requests))
    except Exception as error:  # noqa: BLE001 -- every error is passed on to the request that caused it
        if len(requests) == 1:
            return [error], []
        single_answers, features = zip(*(answer_requests(bundle, [request]) for request in requests), strict=True)
        return list(itertools.chain(*single_answers)), list(itertools.chain(*features))
    return _split_answer_by_request(batch_answer, list(map(attrgetter("count"), requests))), [X]


def _predict_batch_rows(bundle: Bundle, rows: ParsedRows) -> tuple[BatchAnswer, Features]:
    checked_inputs = read_rows(bundle.schema, rows.columns)
    proba = bundle.predict_proba(checked_inputs.X)
    unusual_by_row: dict[int, list[UnusualValue]] = {}
    for unusual_value in checked_inputs.flags:
        unusual_by_row.setdefault(unusual_value.row, []).append(unusual_value)
    return BatchAnswer(proba, bundle.choose_classes(proba), unusual_by_row), checked_inputs.X


def _concatenate_request_rows(requests: Sequence[ParsedRows]) -> ParsedRows:
    if len(requests) == 1:
        return requests[0]
    columns: dict[str, list[Any]] = {name: [] for name in requests[0].columns}
    for request in requests:
        for name, cells in columns.items():
            cells.extend(request.columns[name])
    return ParsedRows(columns, sum(map(attrgetter("count"), requests)))


def _split_answer_by_request(batch_answer: BatchAnswer, counts: Sequence[int]) -> list[BatchAnswer | Exception]:
    """Divide the answer of concatenated requests by their numbers of rows."""
    request_answers: list[BatchAnswer | Exception] = []
    first_row = 0
    for count in counts:
        rows = range(first_row, first_row + count)
        unusual_by_row = {}
        for row in rows:
            if row in batch_answer.flags:
                unusual_by_row[row - first_row] = [
                    unusual_value._replace(row=row - first_row) for unusual_value in batch_answer.flags[row]
                ]
        request_answers.append(
            BatchAnswer(
                batch_answer.proba[first_row : rows.stop], batch_answer.decided[first_row : rows.stop], unusual_by_row
            )
        )
        first_row = rows.stop
    return request_answers
