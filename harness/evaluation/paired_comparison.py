"""Two entries on the splits that both have: differences of all figures, what they are made of, whose rows are decided how.

Everything is a difference A − B. Where the splits are the same rows for both it is taken split by split, with the corrected
interval of `statistics.estimate`; else there are two means and no test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from harness.evaluation.metric_cache import DEFAULT_THRESHOLD, TUNED_THRESHOLD
from harness.evaluation.ranking import can_test
from harness.evaluation.scores import Entry, ScoreRows, Scores
from harness.evaluation.significance import LEVEL, Estimate, estimate, holm
from harness.metrics.classification import class_report
from harness.metrics.metric import Metric, Predictions
from harness.metrics.threshold import best_threshold
from harness.store.record import Record
from harness.store.store import Store

SplitAt: TypeAlias = tuple[int, int]  #: repeat and fold
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """One of the two: an entry of a task in a run."""

    store: Store
    scores: Scores
    task: str
    entry: Entry

    def rows(self, kind: str) -> ScoreRows:
        """Its figures at one threshold kind."""
        return self.scores.rows_of(self.task, self.entry, kind)

    @property
    def name(self) -> str:
        """Task and entry."""
        return f"{self.task}/{self.entry.name}"


@dataclass(frozen=True)
class Seen:
    """What an entry said about the test rows of one split: positions and labels (n,), probabilities (n, k)."""

    rows: npt.NDArray[np.int64]
    y: npt.NDArray[np.int64]
    proba: npt.NDArray[np.float32]
    threshold: float | None  #: its own, None with several classes


@dataclass(frozen=True)
class Pair:
    """Two sides with the splits that both have, and what is stored of their predictions there.

    `unpaired` says why the splits cannot be compared one by one; it is empty where they can.
    """

    a: Side
    b: Side
    splits: tuple[SplitAt, ...]
    unpaired: str = ""
    seen: dict[SplitAt, tuple[Seen, Seen]] = field(default_factory=dict)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The threshold kinds that both have."""
        return tuple(kind for kind in self.a.scores.kinds(self.a.task) if kind in self.b.scores.kinds(self.b.task))

    def rows(self, side: Side, kind: str) -> ScoreRows:
        """The figures of one side: in the splits that both have, or in all of its own where these are not the same."""
        return side.rows(kind) if self.unpaired else side.rows(kind).at(self.splits)

    @property
    def costs(self) -> tuple[tuple[float, ...], ...] | None:
        """What decisions cost in the first run."""
        return self.a.scores.costs(self.a.task)


@dataclass(frozen=True)
class Difference:
    """One figure of both: means, the difference A − B, and its p value after Holm over all that is shown.

    `better` is 1 where A is better by more than chance explains, −1 where B is, 0 where that is not known.
    """

    name: str
    metric_type: str
    kind: str  #: threshold kind; empty where no threshold enters
    a: float
    b: float
    difference: Estimate
    greater_is_better: bool = True
    adjusted: float = math.nan
    better: int = 0


def make_pair(a: Side, b: Side) -> Pair:
    """Find the splits that two sides share, and read what is stored of their predictions there.

    Probabilities of ensembles and recalibrated entries are made when tables are made and not stored: they have none here.
    """
    rows_a, rows_b = a.rows(DEFAULT_THRESHOLD), b.rows(DEFAULT_THRESHOLD)
    splits = tuple(split for split in rows_a.splits if split in rows_b.splits)
    if unpaired := _why_unpaired(a, b):
        return Pair(a, b, splits, unpaired)
    seen = {}
    for split in splits:
        both = _seen(a, split), _seen(b, split)
        mine, theirs = (
            _test_rows(side, split) if one is None else one.rows for side, one in zip((a, b), both, strict=True)
        )
        if mine is None or theirs is None or not np.array_equal(mine, theirs):
            return Pair(a, b, splits, f"the rows of {a.task} are split otherwise in the second run")
        if both[0] is not None and both[1] is not None:
            seen[split] = both[0], both[1]
    return Pair(a, b, splits, "", seen)


def _why_unpaired(a: Side, b: Side) -> str:
    if a.task != b.task:
        return f"{a.task} and {b.task} are different tasks"
    prints = [side.scores.run["tasks"][side.task]["fingerprint"] for side in (a, b)]
    if prints[0] != prints[1]:
        return f"the data of {a.task} differ between the runs (SHA-256 {prints[0][:12]}… and {prints[1][:12]}…)"
    return ""


def _test_rows(side: Side, split: SplitAt) -> npt.NDArray[np.int64] | None:
    """The test rows of a split, from any cell of the task that has them."""
    for record in _records(side.scores):
        if record.task == side.task and (record.repeat, record.fold) == split and record.outcomes:
            return side.store.predictions(record).test_rows
    return None


def _records(scores: Scores) -> Iterator[Record]:
    return (cell.record for cell in scores.cells if cell.record is not None)


def _seen(side: Side, split: SplitAt) -> Seen | None:
    kind = side.scores.kinds(side.task)[-1]
    rows = side.rows(kind)
    cell_id, stage, _ = rows.views[rows.splits.index(split)]
    record = next((record for record in _records(side.scores) if record.id == cell_id), None)
    if record is None or stage not in {outcome.stage for outcome in record.outcomes}:
        return None
    stored = side.store.predictions(record)
    threshold = float(rows["threshold"][rows.splits.index(split)]) if kind == TUNED_THRESHOLD else None
    return Seen(stored.test_rows, stored.test_y, stored.test[stage], threshold)


def figures(pair: Pair) -> list[Difference]:
    """Every metric that is defined for both, those of decisions at each threshold."""
    found = []
    for metric in pair.a.scores.metrics.values():
        for kind in pair.kinds if metric.metric_type == "decision" else pair.kinds[-1:]:
            sides = [pair.rows(side, kind) for side in (pair.a, pair.b)]
            if not all(map(len, sides)) or any(np.isnan(rows[metric.name]).all() for rows in sides):
                continue
            shown = kind if metric.metric_type == "decision" else ""
            values = sides[0][metric.name], sides[1][metric.name]
            found.append(_difference(pair, metric.label or metric.name, (metric.metric_type, shown), values, metric))
    return found


def reasons(pair: Pair) -> list[Difference]:
    """What a difference of decisions and one of probabilities are made of, where predictions are stored.

    With two classes: what the best of all thresholds would give (as seen on the test rows, so nobody can have it), which
    depends on the ranking alone, and what the threshold that was chosen gives less. They add up to the figure at the tuned
    threshold. Of the Brier score: what is lost by miscalibration and what is gained by telling rows apart, from isotonic
    regression of the truth on the probabilities (Dimitriadis, Gneiting & Jordan 2021, PNAS 118); the score is the first
    minus the second plus what the rows' classes alone decide, which is the same for both.
    """
    if pair.unpaired or len(pair.seen) < len(pair.splits) or not pair.splits:
        return []
    found = []
    if TUNED_THRESHOLD in pair.kinds:
        metric = pair.a.scores.metrics["expected_cost" if pair.costs else "f1"]
        best = _of_each(pair, lambda seen: _at_best(seen, metric, pair))
        got = _of_each(pair, lambda seen: _computed(seen, metric, pair, seen.threshold))
        lost = got[0] - best[0], got[1] - best[1]
        label = metric.label or metric.name
        found.append(_difference(pair, f"{label} at the best of all thresholds", ("ranking", ""), best, metric))
        found.append(
            _difference(pair, f"{label} lost by the threshold chosen", ("decision", TUNED_THRESHOLD), lost, metric)
        )
    brier = pair.a.scores.metrics.get("brier")
    if brier is not None:
        parts = [[_brier_parts(side) for side in pair.seen[split]] for split in pair.splits]
        table = np.array(parts)  # splits × sides × (miscalibration, discrimination)
        for at, name, greater in ((0, "miscalibration", False), (1, "discrimination", True)):
            values = table[:, 0, at], table[:, 1, at]
            as_metric = replace(brier, greater_is_better=greater)
            found.append(_difference(pair, f"Brier: {name}", ("probability", ""), values, as_metric))
    return found


def per_class(pair: Pair, kind: str) -> list[Difference]:
    """Precision and recall of every class; of two classes `figures` has them already."""
    classes = pair.a.scores.classes(pair.a.task)
    if len(classes) < 3 or not all(len(pair.rows(side, kind)) for side in (pair.a, pair.b)):
        return []
    recall = pair.a.scores.metrics["recall"]
    tables = []
    for side in (pair.a, pair.b):
        views = pair.rows(side, kind).views
        tables.append(np.array([class_report(side.scores.figures[view].confusion)[:2] for view in views]))
    return [
        _difference(
            pair,
            f"{name} of {classes[one]}",
            ("decision", kind),
            (tables[0][:, at, one], tables[1][:, at, one]),
            recall,
        )
        for one in range(len(classes))
        for at, name in ((0, "precision"), (1, "recall"))
    ]


def adjusted(differences: list[Difference]) -> list[Difference]:
    """The same with Holm's adjusted p values over all of them, and what these allow to say."""
    values = holm([one.difference.p for one in differences])
    found = []
    for one, p in zip(differences, values, strict=True):
        known = not math.isnan(p) and p < 1 - LEVEL
        sign = 1 if (one.difference.mean > 0) == one.greater_is_better else -1
        found.append(replace(one, adjusted=p, better=sign if known else 0))
    return found


def likeness(pair: Pair) -> float:
    """How alike the two order the test rows: Spearman's rank correlation of the probabilities, mean over classes and splits."""
    from scipy.stats import spearmanr

    found = []
    for one, other in pair.seen.values():
        classes = (1,) if one.proba.shape[1] == 2 else range(one.proba.shape[1])
        for k in classes:
            mine, theirs = one.proba[:, k], other.proba[:, k]
            if np.ptp(mine) and np.ptp(theirs):  # of one value for all there is no order
                found.append(float(spearmanr(mine, theirs).statistic))
    return float(np.mean(found)) if found else math.nan


def _difference(
    pair: Pair, name: str, what: tuple[str, str], values: tuple[Floats, Floats], metric: Metric
) -> Difference:
    """The difference of two columns of figures, one per split, in the order of the pair's splits."""
    rows = pair.rows(pair.b, pair.kinds[-1])
    means = float(values[0].mean()), float(values[1].mean())
    if pair.unpaired:
        found = Estimate(means[0] - means[1], math.nan, math.nan, len(values[0]))
    else:
        scores, task = pair.b.scores, pair.b.task
        grain = scores.grain(task, metric, rows)
        found = estimate(values[0] - values[1], rows.mean("ratio"), claims=can_test(scores, task), grain=grain)
    return Difference(name, *what, *means, found, metric.greater_is_better)


def _of_each(pair: Pair, compute: Callable[[Seen], float]) -> tuple[Floats, Floats]:
    """One figure per split of both sides."""
    both = [pair.seen[split] for split in pair.splits]
    return np.array([compute(one) for one, _ in both]), np.array([compute(other) for _, other in both])


def _at_best(seen: Seen, metric: Metric, pair: Pair) -> float:
    return _computed(seen, metric, pair, best_threshold(seen.y, seen.proba, pair.costs))


def _computed(seen: Seen, metric: Metric, pair: Pair, threshold: float | None) -> float:
    return float(metric.compute(Predictions(seen.y, seen.proba, threshold, pair.costs)))


def _brier_parts(seen: Seen) -> tuple[float, float]:
    """Miscalibration and discrimination in the Brier score of one split; over several classes their sums."""
    from sklearn.isotonic import isotonic_regression

    k = seen.proba.shape[1]
    missed = told = 0.0
    for one in (1,) if k == 2 else range(k):
        said, came = seen.proba[:, one].astype(float), (seen.y == one).astype(float)
        _, at, counts = np.unique(said, return_inverse=True, return_counts=True)
        shares = np.bincount(at, weights=came) / counts
        fitted = isotonic_regression(shares, sample_weight=counts)[at]
        least = float(((fitted - came) ** 2).mean())
        missed += float(((said - came) ** 2).mean()) - least
        told += float(((came.mean() - came) ** 2).mean()) - least
    return missed, told
