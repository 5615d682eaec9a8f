"""How often the first place changes hands when the test rows are drawn anew: P(best).

A bootstrap (Efron 1979) of the rows within every outer split's test rows, class by class, so that a resample has as many
rows of each class as there were; all entries are scored on the same resampled rows. Models stay as they were fitted: what
other training rows would have changed is not in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.errors import StoreError
from harness.evaluation.metric_cache import MetricCache, read_kept, write_kept
from harness.evaluation.ranking import RankedEntry, Ranking
from harness.evaluation.scores import STAGES, Entry, Scores
from harness.metrics.metric import Metric, Predictions
from harness.seeding import seed_of
from harness.store.record import Record, StoredPredictions
from harness.store.store import Store

RESAMPLES = 200
MOST = 20  #: entries that are resampled, from the first place down
AT_ONCE = 4_000_000  #: counts that are worked on at the same time
VERSION = 1  #: of how rows are drawn and winners counted: of another one it is done again
KEPT = "stability"

Counts: TypeAlias = npt.NDArray[np.int32]  #: (resamples, rows): how often a resample has a row; summed fastest as such
Figures: TypeAlias = npt.NDArray[np.float64]  #: (resamples,)


@dataclass(frozen=True)
class Stability:
    """The share of resamples in which each entry was first, in the order of their places; shared ones count in parts.

    `left_out` entries, all placed below these, were not resampled.
    """

    task: str
    entries: tuple[Entry, ...]
    shares: tuple[float, ...]
    left_out: int


def stabilities(store: Store, scores: Scores, rankings: tuple[Ranking, ...]) -> dict[str, Stability]:
    """How stable the first place of every task is, where two entries can be compared; kept under `derived/`."""
    kept, used, found = read_kept(store, KEPT), MetricCache(), {}
    records = {cell.record.id: cell.record for cell in scores.cells if cell.record}
    for ranking in rankings:
        own = [place for place in ranking.entries if _resampled(place, records)]
        places = own[:MOST]
        if len(places) < 2:
            continue
        key = _key(scores, ranking, places, records)
        try:
            used[key] = kept.get(key) or {"shares": _shares(store, scores, ranking, places).tolist()}
        except StoreError:  # predictions went away after their figures were kept
            continue
        entries = tuple(place.entry for place in places)
        found[ranking.task] = Stability(ranking.task, entries, tuple(used[key]["shares"]), len(own) - len(places))
    if used != kept:
        write_kept(store, used, KEPT)
    return found


def draw(y: npt.NDArray[np.int64], times: int, seed: int) -> Counts:
    """How often each row (n,) stands in each of so many stratified bootstrap samples."""
    rng, counts = np.random.default_rng(seed), np.zeros((times, len(y)), dtype=np.int32)
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        drawn = rng.integers(0, len(rows), (times, len(rows))) + len(rows) * np.arange(times)[:, None]
        counts[:, rows] = np.bincount(drawn.ravel(), minlength=times * len(rows)).reshape(times, len(rows))
    return counts


def rescored(metric: Metric, seen: Predictions, counts: Counts) -> Figures:
    """The metric on every resample: at once for the usual ones, one by one for any other."""
    quick = QUICK.get(f"{metric.name}@{metric.version}", _one_by_one(metric))
    step = max(1, AT_ONCE // max(1, len(seen.y)))
    return np.concatenate([quick(seen, counts[at : at + step]) for at in range(0, len(counts), step)])


def _resampled(place: RankedEntry, records: dict[str, Record]) -> bool:
    """Whether an entry, the majority row like any other, has a rank and test predictions of its own in its cells."""
    known = place.entry.stage in STAGES[:2] and place.rank is not None
    return known and all(cell in records for cell, *_ in place.rows.views)


def _key(scores: Scores, ranking: Ranking, places: list[RankedEntry], records: dict[str, Record]) -> str:
    """What the shares depend on."""
    metric = ranking.metric
    parts: list[object] = [
        (VERSION, RESAMPLES, ranking.task, metric.name, metric.version, scores.run["tasks"][ranking.task].get("costs"))
    ]
    for place in places:
        thresholds = place.rows["threshold"].tolist() if metric.metric_type == "decision" else []
        hashes = [records[cell].predictions_sha256 for cell, *_ in place.rows.views]
        parts.append((place.entry.stage, place.rows.splits, hashes, thresholds))
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _shares(store: Store, scores: Scores, ranking: Ranking, places: list[RankedEntry]) -> Figures:
    records = {cell.record.id: cell.record for cell in scores.cells if cell.record}
    total = np.zeros((len(places), RESAMPLES))
    for at, split in enumerate(places[0].rows.splits):
        read = cache(lambda cell: store.predictions(records[cell]))  # default and tuned entries share a cell
        counts = draw(read(places[0].rows.views[at][0]).test_y, RESAMPLES, seed_of("P(best)", ranking.task, *split))
        total += [rescored(ranking.metric, seen, counts) for seen in _seen(scores, ranking, places, at, read)]
    if not ranking.metric.greater_is_better:
        total = -total
    first = total == total.max(axis=0)
    shares: Figures = (first / first.sum(axis=0)).mean(axis=1)
    return shares


def _seen(
    scores: Scores, ranking: Ranking, places: list[RankedEntry], at: int, read: Callable[[str], StoredPredictions]
) -> Iterator[Predictions]:
    """What every entry said of the test rows of one split."""
    costs = scores.run["tasks"][ranking.task].get("costs")
    for place in places:
        cell, stage, _ = view = place.rows.views[at]
        said = read(cell)
        yield Predictions(said.test_y, said.test[stage], scores.figures[view].threshold, costs)


def _one_by_one(metric: Metric) -> Callable[[Predictions, Counts], Figures]:
    def compute(seen: Predictions, counts: Counts) -> Figures:
        found = []
        for line in counts:
            rows = np.repeat(np.arange(len(seen.y)), line)
            found.append(metric.compute(Predictions(seen.y[rows], seen.proba[rows], seen.threshold, seen.costs)))
        return np.array(found, dtype=float)

    return compute


def _against_rest(
    score: Callable[[npt.NDArray[np.bool_], npt.NDArray[np.floating], Counts], Figures],
) -> Callable[[Predictions, Counts], Figures]:
    def compute(seen: Predictions, counts: Counts) -> Figures:
        wanted = (1,) if seen.binary else range(seen.proba.shape[1])
        figures = [score(seen.y == one, seen.proba[:, one], counts) for one in wanted]
        return np.asarray(np.mean(figures, axis=0))

    return compute


def _average_precision(truth: npt.NDArray[np.bool_], proba: npt.NDArray[np.floating], counts: Counts) -> Figures:
    wanted, falling, drawn = _positives(truth, proba, counts)
    ends = np.searchsorted(falling, falling, "right")  # rows of one score are called together
    hits, alarms = _up_to(drawn, ends), _negatives(truth, proba, counts)(falling, "right")
    return np.asarray((drawn * hits / np.maximum(hits + alarms, 1)).sum(axis=1) / wanted)


def _area(truth: npt.NDArray[np.bool_], proba: npt.NDArray[np.floating], counts: Counts) -> Figures:
    wanted, falling, drawn = _positives(truth, proba, counts)
    above = _negatives(truth, proba, counts)
    passed = (above(falling, "left") + above(falling, "right")) / 2  # rows of one score count for half above
    return np.asarray(1 - (drawn * passed).sum(axis=1) / (wanted * counts[:, ~truth].sum(axis=1)))


def _positives(
    truth: npt.NDArray[np.bool_], proba: npt.NDArray[np.floating], counts: Counts
) -> tuple[Figures, npt.NDArray[np.floating], Counts]:
    """How many there are in every resample, their scores turned round and rising, and their counts in that order."""
    rows = np.flatnonzero(truth)
    rows = rows[np.argsort(-proba[rows], kind="stable")]
    drawn = counts[:, rows]
    return drawn.sum(axis=1), -proba[rows], drawn


def _negatives(
    truth: npt.NDArray[np.bool_], proba: npt.NDArray[np.floating], counts: Counts
) -> Callable[[npt.NDArray[np.floating], Literal["left", "right"]], Counts]:
    """Gives how many negative rows score above (`left`), or not below (`right`), scores that are turned round."""
    rows = np.flatnonzero(~truth)
    rows = rows[np.argsort(-proba[rows], kind="stable")]
    falling, drawn = -proba[rows], counts[:, rows]
    summed = np.cumsum(np.pad(drawn, ((0, 0), (1, 0))), axis=1, dtype=np.int32)
    return lambda scores, side: summed[:, np.searchsorted(falling, scores, side)]


def _up_to(drawn: Counts, ends: npt.NDArray[np.int64]) -> Counts:
    return np.asarray(np.cumsum(drawn, axis=1, dtype=np.int32)[:, ends - 1])


def _mean_of(losses: Callable[[Predictions], npt.NDArray[np.float64]]) -> Callable[[Predictions, Counts], Figures]:
    return lambda seen, counts: np.asarray(counts @ losses(seen) / counts.sum(axis=1))


def _log_losses(seen: Predictions) -> npt.NDArray[np.float64]:
    least = float(np.finfo(np.float32).eps)
    proba = np.clip(seen.proba.astype(float), least, 1 - least)
    return np.asarray(-np.log(proba[np.arange(len(seen.y)), seen.y] / proba.sum(axis=1)))


def _squares(seen: Predictions) -> npt.NDArray[np.float64]:
    if seen.binary:
        return np.asarray((seen.proba[:, 1].astype(float) - seen.y) ** 2)
    return np.asarray(((seen.proba - np.eye(seen.proba.shape[1])[seen.y]) ** 2).sum(axis=1))


def _f1(seen: Predictions, counts: Counts) -> Figures:
    """Of the positive class, or the mean over the classes."""
    figures = []
    for one in (1,) if seen.binary else range(seen.proba.shape[1]):
        truth, called = (seen.y == one).astype(float), (seen.labels == one).astype(float)
        figures.append(2 * (counts @ (truth * called)) / (counts @ (truth + called)))
    return np.asarray(np.mean(figures, axis=0))


#: By name and version: a metric that has changed is computed one by one until it stands here again.
QUICK: dict[str, Callable[[Predictions, Counts], Figures]] = {
    "average_precision@1": _against_rest(_average_precision),
    "roc_auc@1": _against_rest(_area),
    "log_loss@1": _mean_of(_log_losses),
    "brier@1": _mean_of(_squares),
    "accuracy@1": _mean_of(lambda seen: (seen.labels == seen.y).astype(float)),
    "f1@1": _f1,
}
