"""Splits are evaluated one after another, or, where it pays, by several processes: what comes of it is the same."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from harness.declare.metric import Metric
from harness.report.scoring.derived import Asked, Kept
from harness.report.scoring.evaluate import Evaluated, Split, evaluate
from harness.store.record import Record, StoredPredictions
from harness.store.store import Store

PAYS = 60  #: cells to be read, from which on processes gain more than they cost
MOST = 4  #: each holds the predictions of one split in memory


def evaluate_all(store: Store, splits: Sequence[Split], metrics: Mapping[str, Metric], kept: Kept) -> list[Evaluated]:
    """Every split evaluated, in the order given."""
    asked = Asked.of(metrics)
    found = [_from_kept(split, asked, kept) for split in splits]
    left = [at for at, one in enumerate(found) if one is None]

    def work(at: int) -> Evaluated:
        return evaluate(splits[at], store.predictions, asked, kept)

    done = dict(zip(left, _each(work, left, sum(len(splits[at].records) for at in left)), strict=True))
    return [done[at] if one is None else one for at, one in enumerate(found)]


def _from_kept(split: Split, asked: Asked, kept: Kept) -> Evaluated | None:
    """A split of which everything is kept, else None."""

    def refuse(record: Record) -> StoredPredictions:
        raise LookupError(record.id)

    try:
        return evaluate(split, refuse, asked, kept)
    except LookupError:
        return None


def _each(work: Callable[[int], Evaluated], left: list[int], cells: int) -> list[Evaluated]:
    processes = min(_cores(), MOST, len(left)) if cells >= PAYS else 1
    if processes > 1:
        try:
            with ProcessPoolExecutor(processes, get_context("fork"), initializer=_take, initargs=(work,)) as pool:
                return list(pool.map(_do, left))
        except BrokenProcessPool:  # one was killed, for memory most likely: alone there is room
            return [work(at) for at in left]
    return [work(at) for at in left]


def _cores() -> int:
    """How many processes may share the work: one where forking is not safe, as metrics cannot be sent elsewhere."""
    if not sys.platform.startswith("linux") or threading.active_count() > 1:
        return 1
    return len(os.sched_getaffinity(0))


_taken: list[Callable[[int], Evaluated]] = []  #: what a process was made for; a fork hands it over as it is


def _take(work: Callable[[int], Evaluated]) -> None:
    _taken.append(work)


def _do(at: int) -> Evaluated:
    return _taken[-1](at)
