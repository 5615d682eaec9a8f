"""Which test rows two entries decide otherwise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.evaluation.metric_cache import DEFAULT_THRESHOLD
from harness.evaluation.paired_comparison import Pair, Seen, SplitAt
from harness.metrics.metric import Predictions


@dataclass(frozen=True)
class Changed:
    """A test row that the two decide otherwise: its position in the task's table, encoded classes, and the probabilities.

    Those are of the positive class where there are two, else of the true one.
    """

    split: SplitAt
    row: int
    truth: int
    a: int
    b: int
    proba_a: float
    proba_b: float


@dataclass(frozen=True)
class Sides:
    """How the rows of one class were decided: right by both, by one alone, by neither; `apart` are decided differently."""

    truth: int
    rows: int
    both: int
    only_a: int
    only_b: int
    neither: int
    apart: int


def changed(pair: Pair, kind: str) -> list[Changed]:
    """The rows whose decision differs at a threshold kind, by how far their probabilities are apart."""
    found = []
    for split, (one, other) in pair.seen.items():
        mine, theirs = _decided(one, kind), _decided(other, kind)
        shown = np.where(one.proba.shape[1] == 2, 1, one.y)
        for at in np.flatnonzero(mine != theirs):
            probabilities = float(one.proba[at, shown[at]]), float(other.proba[at, shown[at]])
            found.append(
                Changed(split, int(one.rows[at]), int(one.y[at]), int(mine[at]), int(theirs[at]), *probabilities)
            )
    return sorted(found, key=lambda row: (-abs(row.proba_a - row.proba_b), row.split, row.row))


def sides(pair: Pair, kind: str) -> list[Sides]:
    """How many rows of each class are decided rightly by whom, over all splits."""
    truth = np.concatenate([one.y for one, _ in pair.seen.values()])
    mine = np.concatenate([_decided(one, kind) for one, _ in pair.seen.values()])
    theirs = np.concatenate([_decided(other, kind) for _, other in pair.seen.values()])
    found = []
    for one in range(len(pair.a.scores.classes(pair.a.task))):
        here = truth == one
        a, b = mine[here] == one, theirs[here] == one
        counts = [int(which.sum()) for which in (a & b, a & ~b, ~a & b, ~a & ~b, mine[here] != theirs[here])]
        found.append(Sides(one, int(here.sum()), *counts))
    return found


def _decided(seen: Seen, kind: str) -> npt.NDArray[np.int64]:
    return Predictions(seen.y, seen.proba, 0.5 if kind == DEFAULT_THRESHOLD else seen.threshold).labels
