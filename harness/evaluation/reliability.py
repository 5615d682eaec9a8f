"""How reliable a ranking is: the optimism of inner scores, and the probability that an entry is the best.

Optimism compares inner scores with scores on test rows. P(best) is estimated by a bootstrap (Efron 1979) of the rows within
every outer split's test rows, class by class, so that a resample has as many rows of each class as there were; all entries
are scored on the same resampled rows. The fitted models are kept: what other training rows would have changed is not included.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.errors import StoreError
from harness.evaluation.corrected_t import Estimate
from harness.evaluation.metric_cache import MetricCache, read_cache, write_cache
from harness.evaluation.ranking import BASELINE, RankedEntry, Ranking, paired_estimate
from harness.evaluation.scores import STAGES, Entry, ScoreRows, Scores, entry_statuses
from harness.metrics.classification import log_losses, squared_errors
from harness.metrics.metric import Metric, Predictions
from harness.seeding import seed_of
from harness.store.record import Record
from harness.store.store import Store


@dataclass(frozen=True)
class EntryOptimism:
    """One entry: its number of trials, its mean inner and outer score, and by how much the inner one was too good.

    `gap` is positive where the inner score was too good, whether greater or less is better.
    """

    entry: Entry
    name: str
    trials: float
    inner: float
    outer: float
    gap: Estimate


@dataclass(frozen=True)
class SelectionOptimism:
    """What choosing by inner scores adds to them, on average over the pairs of family and strategy that have both stages.

    `default` is the gap of configurations that were not chosen, `tuned` that of the searches' choices, `difference` is
    tuned − default.
    """

    pairs: int
    trials: float
    default: Estimate
    tuned: Estimate
    difference: Estimate


def entry_optimism(scores: Scores, ranking: Ranking) -> list[EntryOptimism]:
    """Compare inner with outer scores of the entries that have both in all splits, best first, without the baseline."""
    entries = []
    for ranked in ranking.entries:
        rows = ranked.rows
        if ranked.complete and ranked.entry.family != BASELINE and not math.isnan(rows.mean("inner")):
            gap = paired_estimate(scores, ranking.task, ranking.metric, optimism_gaps(ranking, rows), rows)
            trials, inner, outer = map(rows.mean, ("trials", "inner", ranking.metric.name))
            entries.append(EntryOptimism(ranked.entry, ranked.name, trials, inner, outer, gap))
    return entries


def selection_optimism(scores: Scores, ranking: Ranking) -> SelectionOptimism | None:
    """Estimate what the search adds to inner scores by choosing the best of them.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    ranking : Ranking
        The ranking of one task.

    Returns
    -------
    SelectionOptimism or None
        None where no pair of family and strategy has both stages in all splits that count.
    """
    splits = next((ranked.rows.splits for ranked in ranking.entries if ranked.complete), ())
    gaps, pairs = [], []
    for entry in entry_statuses(scores, ranking.task):
        if entry.stage != "tuned" or entry.family == BASELINE:
            continue
        default = scores.rows_of(ranking.task, entry._replace(stage="default"), ranking.threshold_kind)
        tuned = scores.rows_of(ranking.task, entry, ranking.threshold_kind)
        if not splits or not default.splits == tuned.splits == splits or max(tuned["trials"]) <= 1:
            continue
        stage_gaps = optimism_gaps(ranking, default), optimism_gaps(ranking, tuned)
        if not np.isnan(stage_gaps).any():
            gaps.append(stage_gaps)
            pairs.append(tuned)
    if not pairs:
        return None
    default_gap, tuned_gap = np.mean(gaps, axis=0)
    trials = float(np.mean([rows.mean("trials") for rows in pairs]))
    estimates = []
    for gap in (default_gap, tuned_gap, tuned_gap - default_gap):
        estimates.append(paired_estimate(scores, ranking.task, ranking.metric, gap, pairs[0]))
    return SelectionOptimism(len(pairs), trials, *estimates)


def optimism_gaps(ranking: Ranking, rows: ScoreRows) -> npt.NDArray[np.float64]:
    """Compute inner minus outer score per split, signed so that positive is too good."""
    return (rows["inner"] - rows[ranking.metric.name]) * ranking.metric.sign


RESAMPLES = 200
MAX_ENTRIES = 20  #: that are resampled, from the first rank down
BATCH_SIZE = 4_000_000  #: counts that are in memory at the same time
VERSION = 1  #: of how rows are drawn and wins counted: cached values of another version are computed anew
CACHE_NAME = "stability"

Counts: TypeAlias = npt.NDArray[np.int32]  #: (resamples, rows): how often a resample has a row; int32 is summed fastest
ResampleScores: TypeAlias = npt.NDArray[np.float64]  #: (resamples,)
Positive: TypeAlias = npt.NDArray[np.bool_]  #: (rows,)
Proba: TypeAlias = npt.NDArray[np.floating]
AboveCounter: TypeAlias = Callable[[Proba, Literal["left", "right"]], Counts]
ResampleMetric: TypeAlias = Callable[[Predictions, Counts], ResampleScores]


@dataclass(frozen=True)
class BestProbabilities:
    """The share of resamples in which each entry was first, in the order of their ranks; shared ones count in parts.

    `n_omitted` entries, all with lower ranks, were not resampled.
    """

    task: str
    entries: tuple[Entry, ...]
    shares: tuple[float, ...]
    n_omitted: int


def best_probabilities(store: Store, scores: Scores, rankings: tuple[Ranking, ...]) -> dict[str, BestProbabilities]:
    """Estimate the probability of being the best for the entries of every task; cached under `derived/`.

    Parameters
    ----------
    store : Store
        The run folder.
    scores : Scores
        The scores of the run.
    rankings : tuple of Ranking
        The rankings of its tasks.

    Returns
    -------
    dict of str to BestProbabilities
        By task; without tasks that have fewer than two entries with stored predictions.

    References
    ----------
    Efron (1979), Bootstrap Methods: Another Look at the Jackknife, Annals of Statistics 7.
    """
    cached, used = read_cache(store, CACHE_NAME), MetricCache()
    records = {cell.record.id: cell.record for cell in scores.cells if cell.record}
    probabilities = {}
    for ranking in rankings:
        candidates = [ranked for ranked in ranking.entries if _has_predictions(ranked, records)]
        entries = candidates[:MAX_ENTRIES]
        if len(entries) < 2:
            continue
        key = _cache_key(scores, ranking, entries, records)
        try:
            used[key] = cached.get(key) or {"shares": _best_shares(store, scores, ranking, entries).tolist()}
        except StoreError:  # predictions were deleted since they were scored
            continue
        names, shares = tuple(ranked.entry for ranked in entries), tuple(used[key]["shares"])
        probabilities[ranking.task] = BestProbabilities(ranking.task, names, shares, len(candidates) - len(entries))
    if used != cached:
        write_cache(store, used, CACHE_NAME)
    return probabilities


def draw_resamples(y: npt.NDArray[np.int64], times: int, seed: int) -> Counts:
    """Draw stratified bootstrap samples.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Labels.
    times : int
        Number of samples.
    seed : int
        Of the drawing.

    Returns
    -------
    ndarray of shape (times, n)
        How often each row is in each sample.
    """
    rng, counts = np.random.default_rng(seed), np.zeros((times, len(y)), dtype=np.int32)
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        drawn = rng.integers(0, len(rows), (times, len(rows))) + len(rows) * np.arange(times)[:, None]
        counts[:, rows] = np.bincount(drawn.ravel(), minlength=times * len(rows)).reshape(times, len(rows))
    return counts


def bootstrap_scores(metric: Metric, predictions: Predictions, counts: Counts) -> ResampleScores:
    """Compute a metric on every resample: on all at once for the usual metrics, one by one for any other."""
    compute = VECTORIZED.get(f"{metric.name}@{metric.version}", _one_by_one(metric))
    size = max(1, BATCH_SIZE // max(1, len(predictions.y)))
    batches = (counts[start : start + size] for start in range(0, len(counts), size))
    return np.concatenate([compute(predictions, batch) for batch in batches])


def _has_predictions(ranked: RankedEntry, records: dict[str, Record]) -> bool:
    """Whether an entry, the majority baseline like any other, has a rank and stored test predictions."""
    known = ranked.entry.stage in STAGES[:2] and ranked.rank is not None
    return known and all(cell_id in records for cell_id, *_ in ranked.rows.score_keys)


def _cache_key(scores: Scores, ranking: Ranking, entries: Sequence[RankedEntry], records: dict[str, Record]) -> str:
    """A hash of everything that the shares depend on."""
    metric, costs = ranking.metric, scores.run["tasks"][ranking.task].get("costs")
    parts: list[object] = [(VERSION, RESAMPLES, ranking.task, metric.name, metric.version, costs)]
    for ranked in entries:
        thresholds = ranked.rows["threshold"].tolist() if metric.metric_type == "decision" else []
        hashes = [records[cell_id].predictions_sha256 for cell_id, *_ in ranked.rows.score_keys]
        parts.append((ranked.entry.stage, ranked.rows.splits, hashes, thresholds))
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _best_shares(store: Store, scores: Scores, ranking: Ranking, entries: Sequence[RankedEntry]) -> ResampleScores:
    records = {cell.record.id: cell.record for cell in scores.cells if cell.record}
    costs = scores.run["tasks"][ranking.task].get("costs")
    totals = np.zeros((len(entries), RESAMPLES))
    for position, split in enumerate(entries[0].rows.splits):
        read = cache(lambda cell_id: store.predictions(records[cell_id]))  # default and tuned entries share a cell
        y = read(entries[0].rows.score_keys[position][0]).test_y
        counts = draw_resamples(y, RESAMPLES, seed_of("P(best)", ranking.task, *split))
        for row, ranked in enumerate(entries):
            cell_id, stage, _ = key = ranked.rows.score_keys[position]
            stored, threshold = read(cell_id), scores.metric_values[key].threshold
            predictions = Predictions(stored.test_y, stored.test[stage], threshold, costs)
            totals[row] += bootstrap_scores(ranking.metric, predictions, counts)
    if not ranking.metric.greater_is_better:
        totals = -totals
    first = totals == totals.max(axis=0)
    return np.asarray((first / first.sum(axis=0)).mean(axis=1))


def _one_by_one(metric: Metric) -> ResampleMetric:
    def compute(predictions: Predictions, counts: Counts) -> ResampleScores:
        scores = []
        for row_counts in counts:
            rows = np.repeat(np.arange(len(predictions.y)), row_counts)
            y, proba = predictions.y[rows], predictions.proba[rows]
            scores.append(metric.compute(Predictions(y, proba, predictions.threshold, predictions.costs)))
        return np.array(scores, dtype=float)

    return compute


def _labels(predictions: Predictions) -> Sequence[int]:
    """The positive class, or all classes where there are several."""
    return (1,) if predictions.binary else range(predictions.proba.shape[1])


def _one_vs_rest(score: Callable[[Positive, Proba, Counts], ResampleScores]) -> ResampleMetric:
    """The score of the positive class, or the mean over the classes, each against the rest."""

    def compute(predictions: Predictions, counts: Counts) -> ResampleScores:
        y, proba = predictions.y, predictions.proba
        scores = [score(y == label, proba[:, label], counts) for label in _labels(predictions)]
        return np.asarray(np.mean(scores, axis=0))

    return compute


def _average_precision(positive: Positive, proba: Proba, counts: Counts) -> ResampleScores:
    negated, positive_counts = _sorted_rows(positive, proba, counts)
    ends = np.searchsorted(negated, negated, "right")  # rows of one score are predicted positive together
    true_positives = np.asarray(np.cumsum(positive_counts, axis=1, dtype=np.int32)[:, ends - 1])
    false_positives = _negatives_above(positive, proba, counts)(negated, "right")
    weighted_precision = positive_counts * true_positives / np.maximum(true_positives + false_positives, 1)
    return np.asarray(weighted_precision.sum(axis=1) / positive_counts.sum(axis=1))


def _roc_auc(positive: Positive, proba: Proba, counts: Counts) -> ResampleScores:
    negated, positive_counts = _sorted_rows(positive, proba, counts)
    above = _negatives_above(positive, proba, counts)
    misranked = (above(negated, "left") + above(negated, "right")) / 2  # rows of one score count half
    pairs = positive_counts.sum(axis=1) * counts[:, ~positive].sum(axis=1)
    return np.asarray(1 - (positive_counts * misranked).sum(axis=1) / pairs)


def _sorted_rows(chosen: Positive, proba: Proba, counts: Counts) -> tuple[Proba, Counts]:
    """The negated scores of the chosen rows in rising order, and their counts in every resample in that order."""
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(-proba[rows], kind="stable")]
    return -proba[rows], counts[:, rows]


def _negatives_above(positive: Positive, proba: Proba, counts: Counts) -> AboveCounter:
    """A function that counts the negative rows with higher (`left`), or not lower (`right`), scores than negated scores."""
    negated, negative_counts = _sorted_rows(~positive, proba, counts)
    sums = np.cumsum(np.pad(negative_counts, ((0, 0), (1, 0))), axis=1, dtype=np.int32)
    return lambda scores, side: sums[:, np.searchsorted(negated, scores, side)]


def _mean_loss(losses: Callable[[Predictions], npt.NDArray[np.float64]]) -> ResampleMetric:
    return lambda predictions, counts: np.asarray(counts @ losses(predictions) / counts.sum(axis=1))


def _is_correct(predictions: Predictions) -> npt.NDArray[np.float64]:
    return np.asarray(predictions.labels == predictions.y, dtype=float)


def _f1(predictions: Predictions, counts: Counts) -> ResampleScores:
    """F1 of the positive class, or the mean over the classes."""
    scores = []
    for label in _labels(predictions):
        true, predicted = (predictions.y == label).astype(float), (predictions.labels == label).astype(float)
        scores.append(2 * (counts @ (true * predicted)) / (counts @ (true + predicted)))
    return np.asarray(np.mean(scores, axis=0))


#: By name and version: another version of a metric is computed one by one until it is added here.
VECTORIZED: dict[str, ResampleMetric] = {
    "average_precision@1": _one_vs_rest(_average_precision),
    "roc_auc@1": _one_vs_rest(_roc_auc),
    "log_loss@1": _mean_loss(log_losses),
    "brier@1": _mean_loss(squared_errors),
    "accuracy@1": _mean_loss(_is_correct),
    "f1@1": _f1,
}
