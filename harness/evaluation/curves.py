"""Predictions of one entry → what the pictures of a task show of it, as plain values.

Curves are averaged over the outer splits vertically: at every share of false alarms the share that was found, at every
recall the precision (Fawcett, An introduction to ROC analysis, Pattern Recognition Letters 27, 2006). Precision between
two recalls is that of the next one reached, as in average precision: the straight line between them could not be had
(Davis & Goadrich, The relationship between precision-recall and ROC curves, ICML 2006).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

VERSION = 3  #: of what is computed here: figures of another one are computed anew
Array: TypeAlias = npt.NDArray[np.float64]
Values: TypeAlias = tuple[float, ...]
Seen: TypeAlias = tuple[npt.NDArray[np.int64], Array]  #: truth (n,) and probabilities (n, k) of one split

FALSE_ALARMS: Array = np.linspace(0, 1, 51) ** 2  #: finer where good classifiers differ
RECALLS: Array = (1 - np.cos(np.pi * np.linspace(0, 1, 45))) / 2  #: finer at both ends
CALLED: Array = np.linspace(0, 1, 51)
FARTHEST = 7.0  #: log-odds: scores beyond 0.0009 and 0.9991 count as these
THRESHOLDS: Array = np.linspace(0, 1, 51)
THRESHOLDS_LOG_ODDS: Array = np.linspace(-FARTHEST, FARTHEST, 43)
EDGES: Array = np.linspace(0, 1, 26)
EDGES_LOG_ODDS: Array = np.linspace(-FARTHEST, FARTHEST, 29)
HEAVY = 0.05  #: where half of the scores are nearer to an end than this, they are shown on log-odds
BINS, FEWEST_IN_BIN = 10, 20


class Band(NamedTuple):
    """A curve averaged over splits with its standard deviation over them; `spread` is empty where there is one split.

    NaN where fewer than half of the splits have a value.
    """

    x: Values
    mean: Values
    spread: Values


class Ranks(NamedTuple):
    """How rows of a class are ranked against the others (of several classes: the mean over them).

    `prevalence` is the share of the class, `splits` how many had rows of the class and others: only those count.
    """

    roc: Band  #: share found by share of false alarms
    precision: Band  #: precision by recall
    gain: Band  #: share found by share of rows called
    roc_auc: float
    average_precision: float
    prevalence: float
    splits: int


class Sweep(NamedTuple):
    """What deciding at each threshold brings; `cost` is per row, None where the task has no costs."""

    precision: Band
    recall: Band
    f1: Band
    cost: Band | None


class Histogram(NamedTuple):
    """How many scores lie between two edges, by group."""

    edges: Values
    counts: tuple[tuple[int, ...], ...]


class Bin(NamedTuple):
    """Rows of like scores: their mean score, the share that was so with its Wilson interval of 95 %, how many rows."""

    said: float
    was: float
    low: float
    high: float
    rows: int


class Diagnosis(NamedTuple):
    """What the predictions of one entry show.

    With two classes a score is the probability of the positive class, and the groups of the histograms are the classes.
    With several it is the probability of the class that was called, and the groups are the rows called wrongly and
    rightly; there is no threshold to sweep. `said` and `was` are the mean score and the share that was so.
    """

    splits: int
    rows: int
    repeats: int
    ranks: Ranks | None  #: None where no split has rows on both sides
    classes: tuple[Ranks | None, ...]  #: of several classes each against the rest
    bins: tuple[Bin, ...]
    said: float
    was: float
    sweep: Sweep | None
    sweep_log_odds: Sweep | None  #: its thresholds are log-odds
    scores: Histogram
    log_odds: Histogram
    heavy: bool  #: whether most scores lie so near an end that only log-odds show them


def diagnose(splits: Sequence[Seen], repeats: int, costs: Sequence[Sequence[float]] | None) -> Diagnosis:
    """Everything that is shown of an entry, from its truth and probabilities in each split.

    `repeats` says how often the splits hold each row: intervals are as wide as distinct rows make them.
    """
    k = splits[0][1].shape[1]
    true = np.concatenate([y for y, _ in splits])
    proba = np.concatenate([proba for _, proba in splits])
    called = proba.argmax(axis=1)
    score = np.clip(proba[:, 1] if k == 2 else proba.max(axis=1), 0, 1)
    so = (true == 1) if k == 2 else (true == called)
    curves = {(at, c): _ranked(y == c, proba[:, c]) for at, (y, proba) in enumerate(splits) for c in range(k)}
    ranks = [_ranks([curves[at, c] for at in range(len(splits))], float((true == c).mean())) for c in range(k)]
    sweeps = [_sweep(splits, at, costs) if k == 2 else None for at in (THRESHOLDS, expit(THRESHOLDS_LOG_ODDS))]
    return Diagnosis(
        splits=len(splits),
        rows=len(true),
        repeats=repeats,
        ranks=ranks[1]
        if k == 2
        else _ranks([_mean(curves[at, c] for c in range(k)) for at in range(len(splits))], 1 / k),
        classes=() if k == 2 else tuple(ranks),
        bins=reliability(so, score, repeats),
        said=_round(score.mean()),
        was=_round(so.mean()),
        sweep=sweeps[0],
        sweep_log_odds=sweeps[1] and _on_log_odds(sweeps[1]),
        scores=_histogram(EDGES, score, so),
        log_odds=_histogram(EDGES_LOG_ODDS, logit(score), so),
        heavy=bool(min(np.median(score), 1 - np.median(score)) < HEAVY),
    )


def reliability(so: npt.NDArray[np.bool_], score: Array, repeats: int = 1) -> tuple[Bin, ...]:
    """Quantile bins of the scores, fewer where rows are few, with Wilson's intervals (1927) for distinct rows.

    Those of scikit-learn's `calibration_curve`, which does not tell how many rows are in each.
    """
    from scipy.stats import binomtest

    n = max(1, min(BINS, len(score) // (FEWEST_IN_BIN * repeats)))
    inner = np.percentile(score, np.linspace(0, 1, n + 1) * 100)[1:-1]  # to the last digit those of calibration_curve
    of = np.searchsorted(inner, score)
    rows = np.bincount(of, minlength=n)
    sums = np.bincount(of, weights=score, minlength=n), np.bincount(of, weights=so, minlength=n)
    found = []
    for many, mean, share in (
        (many, said / many, was / many) for many, said, was in zip(rows, *sums, strict=True) if many
    ):
        distinct = max(round(many / repeats), 1)
        wide = binomtest(round(share * distinct), distinct).proportion_ci(method="wilson")
        found.append(Bin(_round(mean), _round(share), _round(wide.low), _round(wide.high), int(many)))
    return tuple(found)


def logit(score: Array) -> Array:
    """Log-odds, cut at FARTHEST on both sides."""
    end = expit(np.array(FARTHEST))
    inside = np.clip(score, 1 - end, end)
    return np.clip(np.log(inside / (1 - inside)), -FARTHEST, FARTHEST)


def expit(odds: Array) -> Array:
    """The score of these log-odds."""
    return 1 / (1 + np.exp(-odds))


class _Ranked(NamedTuple):
    """The curves of a class in one split, at FALSE_ALARMS, RECALLS and CALLED, and the areas below the first two."""

    roc: Array
    precision: Array
    gain: Array
    roc_auc: float
    average_precision: float


def _ranked(truth: npt.NDArray[np.bool_], score: Array) -> _Ranked | None:
    """The curves of one class against the others; None where the rows are all on one side."""
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    if truth.all() or not truth.any():
        return None
    alarms, found, _ = roc_curve(truth, score, drop_intermediate=False)
    precision, recall, _ = precision_recall_curve(truth, score)
    precision, recall = precision[-2::-1], recall[-2::-1]  # from the highest threshold on, without the added end
    called = truth.mean() * found + (1 - truth.mean()) * alarms
    return _Ranked(
        np.interp(FALSE_ALARMS, alarms, found),  # of a vertical step it takes the upper end
        precision[np.searchsorted(recall, RECALLS - 1e-9)],
        np.interp(CALLED, called, found),
        float(roc_auc_score(truth, score)),
        float(average_precision_score(truth, score)),
    )


def _mean(ranked: Iterable[_Ranked | None]) -> _Ranked | None:
    """The mean over classes in one split; those that cannot be ranked there are left out."""
    known = [one for one in ranked if one]
    return _Ranked(*(np.mean(parts, axis=0) for parts in zip(*known, strict=True))) if known else None


def _ranks(splits: Sequence[_Ranked | None], prevalence: float) -> Ranks | None:
    known = [one for one in splits if one]
    if not known:
        return None
    return Ranks(
        roc=band(FALSE_ALARMS, [one.roc for one in known]),
        precision=band(RECALLS, [one.precision for one in known]),
        gain=band(CALLED, [one.gain for one in known]),
        roc_auc=_round(np.mean([one.roc_auc for one in known])),
        average_precision=_round(np.mean([one.average_precision for one in known])),
        prevalence=_round(prevalence),
        splits=len(known),
    )


def band(x: Array, curves: Sequence[Array]) -> Band:
    """The mean of the splits' curves and their standard deviation, at every x."""
    table = np.array(curves, dtype=float)
    known = (~np.isnan(table)).sum(axis=0)
    sums = np.nansum(table, axis=0)
    shown = 2 * known >= len(table)
    mean = np.divide(sums, known, out=np.full(len(x), np.nan), where=shown & (known > 0))
    if len(table) == 1:
        return Band(_rounded(x), _rounded(mean), ())
    squares = np.nansum((table - mean) ** 2, axis=0)
    spread = np.sqrt(np.divide(squares, known - 1, out=np.full(len(x), np.nan), where=shown & (known > 1)))
    return Band(_rounded(x), _rounded(mean), _rounded(spread))


def _sweep(splits: Sequence[Seen], at: Array, costs: Sequence[Sequence[float]] | None) -> Sweep | None:
    """Precision, recall, F1 and cost where a row is called positive from each of these thresholds on."""
    counts = [_counts(y, proba[:, 1], at) for y, proba in splits if 0 < y.sum() < len(y)]
    if not counts:
        return None
    figures = [_decided(*one, costs) for one in counts]
    precision, recall, f1, cost = (band(at, curves) for curves in zip(*figures, strict=True))
    return Sweep(precision, recall, f1, cost if costs else None)


def _counts(y: npt.NDArray[np.int64], score: Array, at: Array) -> tuple[Array, Array, Array, Array]:
    """True negatives, false positives, false negatives and true positives at each threshold."""
    from sklearn.metrics import confusion_matrix_at_thresholds

    *counts, thresholds = confusion_matrix_at_thresholds(y, score)  # thresholds fall, the first calls nothing positive
    last = np.searchsorted(-thresholds, -at, side="right") - 1
    tn, fp, fn, tp = (one[np.maximum(last, 0)] for one in counts)
    none = last < 0
    return (
        np.where(none, (y == 0).sum(), tn),
        np.where(none, 0, fp),
        np.where(none, y.sum(), fn),
        np.where(none, 0, tp),
    )


def _decided(
    tn: Array, fp: Array, fn: Array, tp: Array, costs: Sequence[Sequence[float]] | None
) -> tuple[Array, Array, Array, Array]:
    precision = np.divide(tp, tp + fp, out=np.full(len(tp), np.nan), where=tp + fp > 0)
    (a, b), (c, d) = costs or ((0.0, 0.0), (0.0, 0.0))
    return (
        precision,
        tp / (tp + fn),
        2 * tp / (2 * tp + fp + fn),
        (a * tn + b * fp + c * fn + d * tp) / (tn + fp + fn + tp),
    )


def _on_log_odds(sweep: Sweep) -> Sweep:
    x = _rounded(THRESHOLDS_LOG_ODDS)
    cost = sweep.cost and sweep.cost._replace(x=x)
    return Sweep(sweep.precision._replace(x=x), sweep.recall._replace(x=x), sweep.f1._replace(x=x), cost)


def _histogram(edges: Array, score: Array, so: npt.NDArray[np.bool_]) -> Histogram:
    counts = (np.histogram(score[so == group], edges)[0] for group in (False, True))
    return Histogram(_rounded(edges), tuple(tuple(map(int, one)) for one in counts))


def _round(value: Any) -> float:
    return round(float(value), 6)


def _rounded(values: Array) -> Values:
    return tuple(_round(value) for value in values)
