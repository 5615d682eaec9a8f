"""One outer split: figures of all that is stored of it, of its recalibrated probabilities and of its ensembles.

What is fitted here is fitted on inner out-of-fold rows, and is chosen and scored on rows that it was not fitted on; test
rows are only predicted. What comes of it is kept beside the figures, so that a second report fits and reads nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from harness.errors import StoreError
from harness.evaluation.ensembles import KINDS, Combination, combine
from harness.evaluation.metric_cache import (
    DEFAULT_THRESHOLD,
    TUNED_THRESHOLD,
    Costs,
    Figures,
    MetricCache,
    MetricError,
    MetricRequest,
    ScoredPredictions,
    Views,
    called,
    compute_metric,
    derive,
    judge,
)
from harness.metrics.calibration import (
    FITTED,
    PARTS,
    PRIOR,
    Calibrator,
    calibrator_of,
    enough,
    parts_of,
    threshold_after,
)
from harness.metrics.logits import Labels, Proba
from harness.metrics.metric import Metric, Predictions
from harness.metrics.threshold import HALF as AT_HALF
from harness.metrics.threshold import best_threshold
from harness.processes import map_in_forks
from harness.seeding import seed_of
from harness.store.record import EntryResult, Record, StoredPredictions
from harness.store.store import Store

View: TypeAlias = tuple[str, str, str]  #: cell id, stage of its predictions, threshold kind
Read: TypeAlias = Callable[[Record], StoredPredictions]

BASELINE = "majority"  #: says the same of every row: there is nothing in it to recalibrate or to combine
RECALIBRATED = ("tuned",)  #: stages that are
VERSION = 1  #: of how calibrators and ensembles are made: raised, they are made anew
ENSEMBLE_PARTS = 3


@dataclass(frozen=True)
class Split:
    """An outer split of a task with the records of its cells, and what is known of the task."""

    task: str
    repeat: int
    fold: int
    records: tuple[Record, ...]
    classes: int
    costs: Costs
    objective: Metric
    correctable: frozenset[str]  #: strategies that only change how common classes are

    @property
    def name(self) -> str:
        """What stands for a cell's id where several cells made the predictions."""
        return f"{self.task}/r{self.repeat}f{self.fold}"

    def seed(self, purpose: str) -> int:
        """The seed of what is drawn for this split; neither family nor strategy enters it."""
        return seed_of(self.task, self.repeat, self.fold, purpose)


class Combined(NamedTuple):
    """An ensemble of one split: its kind, the weight of each member by cell id, its score on inner rows, its view's stage."""

    kind: str
    weights: Mapping[str, float]
    inner: float

    @property
    def stage(self) -> str:
        """What stands for a stage in its view."""
        return f"ensembled/{self.kind}"


@dataclass(frozen=True)
class SplitScores:
    """The figures of a split by view, its ensembles, the cells whose predictions cannot be read, and what is to be kept.

    `uncombined` says why ensembles could not be made that otherwise would be; it is empty where nothing went wrong.
    """

    figures: dict[View, Figures] = field(default_factory=dict)
    combined: tuple[Combined, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)
    used: MetricCache = field(default_factory=dict)
    uncombined: str = ""


def evaluate(split: Split, read: Read, asked: MetricRequest, kept: MetricCache) -> SplitScores:
    """Everything of a split; predictions are read, and anything fitted, only where something is not kept.

    A metric that fails has no value there. Ensembles cannot be made where the objective fails.
    """
    found, whole, read = SplitScores(), [], _once(read, split.classes)
    for record in split.records:
        try:
            figures, used = derive(Views(record, split.classes, split.costs), read, asked, kept)
            for stage, said, parts in _recalibrated(split, record, read, kept):
                judged, more = judge(said, asked, kept)
                figures |= {(stage, kind): one for kind, one in judged.items()}
                used |= parts | more
        except StoreError as error:
            found.failed[record.id] = str(error)
            continue
        whole.append(record)
        found.used.update(used)
        found.figures.update({(record.id, stage, kind): one for (stage, kind), one in figures.items()})
    combined, uncombined = [], ""
    try:
        for one, said, parts in _combined(split, whole, read, kept):
            judged, more = judge(said, asked, kept)
            found.figures.update({(split.name, one.stage, kind): figures for kind, figures in judged.items()})
            found.used.update(parts | more)
            combined.append(one)
    except (
        StoreError,
        MetricError,
    ) as error:  # predictions went away after their figures were kept; the objective failed
        uncombined = str(error)
    return SplitScores(found.figures, tuple(combined), found.failed, found.used, uncombined)


def _once(read: Read, classes: int) -> Read:
    """Reads every cell once; raises `StoreError` where its probabilities are of another number of classes."""
    found: dict[str, StoredPredictions] = {}

    def remembered(record: Record) -> StoredPredictions:
        if record.id not in found:
            stored = read(record)
            told = {proba.shape[1] for said in (stored.test, stored.inner) for proba in said.values()}
            if told - {classes}:
                raise StoreError(
                    f"predictions of {record.name} are of {max(told - {classes})} classes, not of {classes}"
                )
            found[record.id] = stored
        return found[record.id]

    return remembered


def _recalibrated(
    split: Split, record: Record, read: Read, kept: MetricCache
) -> Iterator[tuple[str, ScoredPredictions, MetricCache]]:
    """What a cell's recalibrated probabilities say, by `<stage>/<calibration>`, with what is kept of the fits."""
    if record.family == BASELINE:
        return
    names = (*FITTED, PRIOR) if record.strategy in split.correctable else FITTED
    for outcome in record.outcomes:
        for name in names if outcome.stage in RECALIBRATED else ():
            found = _one_recalibrated(split, record, outcome, name, read, kept)
            if found:
                yield f"{outcome.stage}/{name}", *found


def _one_recalibrated(
    split: Split, record: Record, outcome: EntryResult, name: str, read: Read, kept: MetricCache
) -> tuple[ScoredPredictions, MetricCache] | None:
    def inner() -> tuple[Proba, Labels]:
        stored = read(record)
        rows = ~np.isnan(stored.inner[outcome.stage]).any(axis=1)
        return stored.inner[outcome.stage][rows], stored.train_y[rows]

    def fit(proba: Proba, y: Labels) -> Calibrator:
        found = calibrator_of(name, proba, y, outcome.counts_before, outcome.counts_after)
        assert found is not None  # noqa: S101 -- none is no recalibration
        return found

    def seen() -> tuple[Labels, Any]:
        stored = read(record)
        return stored.test_y, fit(*inner())(stored.test[outcome.stage]).astype(np.float32)

    def fitted() -> dict[str, Any]:
        """Whether there are rows enough, and the threshold chosen on rows that the calibrator was not fitted on."""
        proba, y = inner()
        if not enough(y, split.classes, PARTS):
            return {"enough": False, "threshold": None}
        if split.classes > 2:
            return {"enough": True, "threshold": None}
        return {"enough": True, "threshold": threshold_after(fit, proba, y, split.seed("recalibrate"), split.costs)}

    priors = f"/{outcome.counts_before}/{outcome.counts_after}" if name == PRIOR else ""
    key = f"{record.predictions_sha256}/{outcome.stage}/{name}@{VERSION}{priors}"
    fitting = f"{key}/fit/{split.costs or ''}"
    row = kept.get(fitting) or fitted()
    if not row["enough"]:
        return None
    kinds = (
        {DEFAULT_THRESHOLD: AT_HALF, TUNED_THRESHOLD: row["threshold"]}
        if split.classes == 2
        else {DEFAULT_THRESHOLD: None}
    )
    return ScoredPredictions(key, called(record), kinds, split.costs, seen), {fitting: row}


def _combined(
    split: Split, records: list[Record], read: Read, kept: MetricCache
) -> Iterator[tuple[Combined, ScoredPredictions, MetricCache]]:
    """The ensembles of a split's tuned entries, with what is kept of them.

    What Optuna searched itself is left out, as where an entry is chosen: its strategies are there in their own right.
    """
    candidates = [r for r in records if r.family != BASELINE and r.strategy != "searched" and _tuned(r)]
    if len(candidates) < 2:
        return
    pooled = cache(lambda: _Pooled.of(candidates, read))
    made_of = [(r.family, r.strategy, r.predictions_sha256) for r in candidates]
    of = (made_of, f"{split.objective.name}@{split.objective.version}", split.costs, split.classes)
    digest = hashlib.sha256(repr(of).encode()).hexdigest()
    for kind in KINDS:
        key = f"ensemble/{digest}/{kind}@{VERSION}"
        row = kept.get(f"{key}/fit") or pooled().fitted(split, kind)
        if not row["weights"]:
            continue
        yield _one_combined(split, kind, row, key, pooled)


def _one_combined(
    split: Split, kind: str, row: dict[str, Any], key: str, pooled: Callable[[], _Pooled]
) -> tuple[Combined, ScoredPredictions, MetricCache]:
    combination = Combination(kind, np.array([*row["weights"].values()]), np.array(row["shifts"]))

    def seen() -> tuple[Labels, Any]:
        found = pooled()
        return found.test_y, combination(found.test).astype(np.float32)

    kinds = (
        {DEFAULT_THRESHOLD: AT_HALF, TUNED_THRESHOLD: row["threshold"]}
        if split.classes == 2
        else {DEFAULT_THRESHOLD: None}
    )
    inner = math.nan if row["inner"] is None else row["inner"]
    said = ScoredPredictions(key, f"{split.task}/{kind}/ensembled", kinds, split.costs, seen)
    return Combined(kind, row["weights"], inner), said, {f"{key}/fit": row}


def _tuned(record: Record) -> bool:
    return any(outcome.stage == "tuned" for outcome in record.outcomes)


@dataclass(frozen=True)
class _Pooled:
    """The members of a split that were scored on the same rows: cell ids, what they say (M, n, k) and the labels."""

    ids: tuple[str, ...]
    inner: Proba
    y: Labels
    test: Proba
    test_y: Labels

    @staticmethod
    def of(records: list[Record], read: Read) -> _Pooled:
        """Members with the commonest rows and labels, of equals the first; others cannot be weighed together with them."""
        stored = {record.id: read(record) for record in records}
        known = {at: ~np.isnan(one.inner["tuned"]).any(axis=1) for at, one in stored.items()}
        marks = {
            at: (*(rows.tobytes() for rows in (one.train_rows, one.train_y, one.test_rows, one.test_y)), known[at].tobytes())
            for at, one in stored.items()
        }  # fmt: skip
        common = Counter(marks.values()).most_common(1)[0][0]
        ids = [at for at, mark in marks.items() if mark == common]
        rows, first = known[ids[0]], stored[ids[0]]
        return _Pooled(
            tuple(ids),
            np.stack([stored[at].inner["tuned"][rows] for at in ids]),
            first.train_y[rows],
            np.stack([stored[at].test["tuned"] for at in ids]),
            first.test_y,
        )

    def fitted(self, split: Split, kind: str) -> dict[str, Any]:
        """Weights from all rows; the inner score and the threshold from parts of the rows that the weights did not see.

        No weights where fewer than two members or too few rows of a class are left.
        """
        if len(self.ids) < 2 or not enough(self.y, split.classes, ENSEMBLE_PARTS):
            return {"weights": {}, "shifts": [], "inner": None, "threshold": None}

        def predictions(y: Labels, proba: Proba) -> Predictions:
            return Predictions(y, proba.astype(np.float32), AT_HALF, split.costs)

        def score(y: Labels, proba: Proba) -> float:
            value = compute_metric(split.objective, predictions(y, proba), f"{split.name}/{kind}")
            return value if split.objective.greater_is_better else -value

        parts = parts_of(self.y, ENSEMBLE_PARTS, split.seed("ensemble"))
        unseen = np.empty(self.inner.shape[1:], dtype=np.float32)
        for part in range(ENSEMBLE_PARTS):
            out = parts == part
            unseen[out] = combine(kind, self.inner[:, ~out], self.y[~out], score)(self.inner[:, out])
        whole = combine(kind, self.inner, self.y, score)
        inner = [
            compute_metric(split.objective, predictions(self.y[parts == p], unseen[parts == p]), f"{split.name}/{kind}")
            for p in range(ENSEMBLE_PARTS)
        ]
        binary = split.classes == 2
        return {
            "weights": dict(zip(self.ids, whole.weights.tolist(), strict=True)),
            "shifts": whole.shifts.tolist(),
            "inner": float(np.mean(inner)) if np.isfinite(inner).all() else None,
            "threshold": best_threshold(self.y, unseen, split.costs) if binary else None,
        }


PAYS = 60  #: cells to be read, from which on processes gain more than they cost
MOST = 4  #: each holds the predictions of one split in memory


def evaluate_all(
    store: Store, splits: Sequence[Split], metrics: Mapping[str, Metric], kept: MetricCache
) -> list[SplitScores]:
    """Every split evaluated, in the order given."""
    asked = MetricRequest.of(metrics)
    found = [_from_kept(split, asked, kept) for split in splits]
    left = [at for at, one in enumerate(found) if one is None]

    def work(at: int) -> SplitScores:
        return evaluate(splits[at], store.predictions, asked, kept)

    cells = sum(len(splits[at].records) for at in left)
    done = dict(zip(left, map_in_forks(work, left, MOST if cells >= PAYS else 1), strict=True))
    return [done[at] if one is None else one for at, one in enumerate(found)]


def _from_kept(split: Split, asked: MetricRequest, kept: MetricCache) -> SplitScores | None:
    """A split of which everything is kept, else None."""

    def refuse(record: Record) -> StoredPredictions:
        raise LookupError(record.id)

    try:
        return evaluate(split, refuse, asked, kept)
    except LookupError:
        return None
