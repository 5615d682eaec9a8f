"""Curves, reliability and score distributions of one entry, from its predictions, as plain values.

Curves are averaged over the outer splits vertically: at every false positive rate the true positive rate, at every recall
the precision (Fawcett, An introduction to ROC analysis, Pattern Recognition Letters 27, 2006). Precision between two
recalls is that of the next one reached, as in average precision: points on the straight line between them are not
achievable (Davis & Goadrich, The relationship between precision-recall and ROC curves, ICML 2006).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.evaluation.decision_measures import wilson_interval

VERSION = 4  #: of what is computed here: cached values of another version are computed anew
Array: TypeAlias = npt.NDArray[np.float64]
FloatTuple: TypeAlias = tuple[float, ...]
LabeledProba: TypeAlias = tuple[npt.NDArray[np.int64], Array]  #: labels (n,) and probabilities (n, k) of one split
CostRows: TypeAlias = Sequence[Sequence[float]] | None

FALSE_POSITIVE_RATES: Array = np.linspace(0, 1, 51) ** 2  #: finer where good classifiers differ
RECALLS: Array = (1 - np.cos(np.pi * np.linspace(0, 1, 45))) / 2  #: finer at both ends
PREDICTED_SHARES: Array = np.linspace(0, 1, 51)
MAX_LOG_ODDS = 7.0  #: scores beyond 0.0009 and 0.9991 are clipped to these
THRESHOLDS: Array = np.linspace(0, 1, 51)
THRESHOLDS_LOG_ODDS: Array = np.linspace(-MAX_LOG_ODDS, MAX_LOG_ODDS, 43)
EDGES: Array = np.linspace(0, 1, 26)
EDGES_LOG_ODDS: Array = np.linspace(-MAX_LOG_ODDS, MAX_LOG_ODDS, 29)
CONCENTRATION_LIMIT = 0.05  #: where half of the scores are nearer to an end than this, they are shown on log-odds
NORMAL_QUANTILE = 1.959963984540054  #: of 95 % intervals
BINS, MIN_BIN_ROWS = 10, 20


class MeanCurve(NamedTuple):
    """A curve averaged over splits with its standard deviation over them; `spread` is empty where there is one split.

    NaN where fewer than half of the splits have a value.
    """

    x: FloatTuple
    mean: FloatTuple
    spread: FloatTuple


class RankCurves(NamedTuple):
    """How rows of a class are ranked against the others (with several classes the mean over them).

    `prevalence` is the share of the class; `splits` counts those that had rows of the class and others: only these are used.
    """

    roc: MeanCurve  #: true by false positive rate
    precision: MeanCurve  #: precision by recall
    gain: MeanCurve  #: true positive rate by the share of rows predicted positive
    roc_auc: float
    average_precision: float
    prevalence: float
    splits: int


class ThresholdCurves(NamedTuple):
    """Precision, recall, F1 and cost by threshold; `cost` is per row, None where the task has no costs."""

    precision: MeanCurve
    recall: MeanCurve
    f1: MeanCurve
    cost: MeanCurve | None


class ScoreHistogram(NamedTuple):
    """How many scores lie between two edges, by group."""

    edges: FloatTuple
    counts: tuple[tuple[int, ...], ...]


class CalibrationBin(NamedTuple):
    """Rows of similar scores: mean score, observed frequency with its Wilson interval of 95 %, number of rows."""

    predicted: float
    observed: float
    low: float
    high: float
    rows: int


class Diagnosis(NamedTuple):
    """Everything that figures show of the predictions of one entry.

    With two classes a score is the probability of the positive class, and the groups of the histograms are the classes.
    With several it is the probability of the predicted class, and the groups are the rows predicted wrongly and rightly;
    there is no threshold to sweep. `predicted` and `observed` are the mean score and the observed frequency.
    """

    splits: int
    rows: int
    repeats: int
    rank_curves: RankCurves | None  #: None where no split has rows on both sides
    classes: tuple[RankCurves | None, ...]  #: with several classes each against the rest
    bins: tuple[CalibrationBin, ...]
    predicted: float
    observed: float
    sweep: ThresholdCurves | None
    sweep_log_odds: ThresholdCurves | None  #: its thresholds are log-odds
    scores: ScoreHistogram
    log_odds: ScoreHistogram
    concentrated: bool  #: whether most scores lie so near an end that only log-odds show them


def diagnose_predictions(splits: Sequence[LabeledProba], repeats: int, costs: CostRows) -> Diagnosis:
    """Compute everything that is shown of an entry from its predictions.

    Parameters
    ----------
    splits : sequence of tuple of ndarray
        Labels (n,) and probabilities (n, k) of each split.
    repeats : int
        How many times the splits contain each row: intervals are those of the distinct rows.
    costs : sequence of sequence of float or None
        ``costs[true][predicted]``.

    Returns
    -------
    Diagnosis
        Plain values, rounded to six decimals.
    """
    labels = np.concatenate([y for y, _ in splits])
    proba = np.concatenate([split_proba for _, split_proba in splits])
    binary = proba.shape[1] == 2
    if binary:
        score, positive = np.clip(proba[:, 1], 0, 1), labels == 1
        overall, by_class = _class_rank_curves_by_split(splits, 1), []
        sweep = _compute_threshold_curves(splits, THRESHOLDS, costs)
        sweep_log_odds = _convert_thresholds_to_log_odds(
            _compute_threshold_curves(splits, expit(THRESHOLDS_LOG_ODDS), costs)
        )
    else:
        score, positive = np.clip(proba.max(axis=1), 0, 1), labels == proba.argmax(axis=1)
        by_class = [_class_rank_curves_by_split(splits, label) for label in range(proba.shape[1])]
        overall, sweep, sweep_log_odds = (
            [_average_over_classes(curves) for curves in zip(*by_class, strict=True)],
            None,
            None,
        )
    prevalence = float((labels == 1).mean()) if binary else 1 / proba.shape[1]
    return Diagnosis(
        splits=len(splits),
        rows=len(labels),
        repeats=repeats,
        rank_curves=_average_curves_over_splits(overall, prevalence),
        classes=tuple(
            _average_curves_over_splits(curves, float((labels == label).mean()))
            for label, curves in enumerate(by_class)
        ),
        bins=reliability_bins(positive, score, repeats),
        predicted=_round_number(score.mean()),
        observed=_round_number(positive.mean()),
        sweep=sweep,
        sweep_log_odds=sweep_log_odds,
        scores=_score_histogram(EDGES, score, positive),
        log_odds=_score_histogram(EDGES_LOG_ODDS, clipped_logit(score), positive),
        concentrated=bool(min(np.median(score), 1 - np.median(score)) < CONCENTRATION_LIMIT),
    )


def reliability_bins(positive: npt.NDArray[np.bool_], score: Array, repeats: int = 1) -> tuple[CalibrationBin, ...]:
    """Bin scores by quantiles, and compare their means with observed frequencies.

    The bins are those of scikit-learn's `calibration_curve`, which does not return how many rows are in each.

    Parameters
    ----------
    positive : ndarray of bool of shape (n,)
        Whether the predicted event occurred.
    score : ndarray of shape (n,)
        Its predicted probability.
    repeats : int, default=1
        How many times each row occurs: Wilson's intervals are those of the distinct rows.

    Returns
    -------
    tuple of CalibrationBin
        At most `BINS`, fewer where there are few rows; without empty bins.

    References
    ----------
    Wilson (1927), Probable Inference, the Law of Succession, and Statistical Inference, JASA 22.
    """
    n_bins = max(1, min(BINS, len(score) // (MIN_BIN_ROWS * repeats)))
    inner = np.percentile(score, np.linspace(0, 1, n_bins + 1) * 100)[1:-1]  # bit for bit those of calibration_curve
    positions = np.searchsorted(inner, score)
    counts = np.bincount(positions, minlength=n_bins)
    score_sums = np.bincount(positions, weights=score, minlength=n_bins)
    positive_sums = np.bincount(positions, weights=positive, minlength=n_bins)
    bins = []
    for position in np.flatnonzero(counts):
        rows = counts[position]
        mean, share = score_sums[position] / rows, positive_sums[position] / rows
        distinct = max(round(rows / repeats), 1)
        interval = wilson_interval(round(share * distinct) / distinct, distinct, NORMAL_QUANTILE)
        low, high = map(_round_number, interval)
        bins.append(
            CalibrationBin(
                predicted=_round_number(mean), observed=_round_number(share), low=low, high=high, rows=int(rows)
            )
        )
    return tuple(bins)


def clipped_logit(score: Array) -> Array:
    """Compute log-odds, clipped at ± `MAX_LOG_ODDS`."""
    end = expit(np.array(MAX_LOG_ODDS))
    clipped = np.clip(score, 1 - end, end)
    return np.clip(np.log(clipped / (1 - clipped)), -MAX_LOG_ODDS, MAX_LOG_ODDS)


def expit(log_odds: Array) -> Array:
    """Compute the score of log-odds."""
    return 1 / (1 + np.exp(-log_odds))


class _SplitCurves(NamedTuple):
    """The curves of a class in one split, at the fixed x values of this module, and the areas below the first two."""

    roc: Array
    precision: Array
    gain: Array
    roc_auc: float
    average_precision: float


def _class_rank_curves_by_split(splits: Sequence[LabeledProba], label: int) -> list[_SplitCurves | None]:
    """The curves of one class against the others in every split; None where the rows are all on one side."""
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    curves: list[_SplitCurves | None] = []
    for y, proba in splits:
        positive, score = y == label, proba[:, label]
        if positive.all() or not positive.any():
            curves.append(None)
            continue
        false_positive_rate, true_positive_rate, _ = roc_curve(positive, score, drop_intermediate=False)
        precision, recall, _ = precision_recall_curve(positive, score)
        precision, recall = precision[-2::-1], recall[-2::-1]  # from the highest threshold on, without the added end
        predicted = positive.mean() * true_positive_rate + (1 - positive.mean()) * false_positive_rate
        # Of a vertical step np.interp takes the upper end.
        roc = np.interp(FALSE_POSITIVE_RATES, false_positive_rate, true_positive_rate)
        gain = np.interp(PREDICTED_SHARES, predicted, true_positive_rate)
        areas = float(roc_auc_score(positive, score)), float(average_precision_score(positive, score))
        curves.append(_SplitCurves(roc, precision[np.searchsorted(recall, RECALLS - 1e-9)], gain, *areas))
    return curves


def _average_over_classes(curves: Iterable[_SplitCurves | None]) -> _SplitCurves | None:
    """The mean over classes in one split; those without rows on both sides are left out."""
    known = list(filter(None, curves))
    return _SplitCurves(*(np.mean(parts, axis=0) for parts in zip(*known, strict=True))) if known else None


def _average_curves_over_splits(curves: Iterable[_SplitCurves | None], prevalence: float) -> RankCurves | None:
    """The mean over the splits."""
    known = list(filter(None, curves))
    if not known:
        return None
    roc, precision, gain, roc_auc, average_precision = zip(*known, strict=True)
    return RankCurves(
        roc=mean_curve(FALSE_POSITIVE_RATES, roc),
        precision=mean_curve(RECALLS, precision),
        gain=mean_curve(PREDICTED_SHARES, gain),
        roc_auc=_round_number(np.mean(roc_auc)),
        average_precision=_round_number(np.mean(average_precision)),
        prevalence=_round_number(prevalence),
        splits=len(known),
    )


def mean_curve(x: Array, curves: Sequence[Array]) -> MeanCurve:
    """Average the curves of splits.

    Parameters
    ----------
    x : ndarray of shape (m,)
        Where the curves are known.
    curves : sequence of ndarray of shape (m,)
        One per split; NaN where it has no value.

    Returns
    -------
    MeanCurve
        Mean and standard deviation at every x.
    """
    table = np.array(curves, dtype=float)
    known = (~np.isnan(table)).sum(axis=0)
    sums = np.nansum(table, axis=0)
    sufficient = 2 * known >= len(table)
    mean = np.divide(sums, known, out=np.full(len(x), np.nan), where=sufficient & (known > 0))
    if len(table) == 1:
        return MeanCurve(_round_array(x), _round_array(mean), ())
    squares = np.nansum((table - mean) ** 2, axis=0)
    variance = np.divide(squares, known - 1, out=np.full(len(x), np.nan), where=sufficient & (known > 1))
    return MeanCurve(_round_array(x), _round_array(mean), _round_array(np.sqrt(variance)))


def _compute_threshold_curves(
    splits: Sequence[LabeledProba], thresholds: Array, costs: CostRows
) -> ThresholdCurves | None:
    """Precision, recall, F1 and cost where rows are predicted positive from each of these thresholds on."""
    curves = []
    for y, proba in splits:
        if 0 < y.sum() < len(y):
            curves.append(_decision_curves(*_confusion_counts(y, proba[:, 1], thresholds), costs))
    if not curves:
        return None
    precision, recall, f1, cost = (mean_curve(thresholds, by_split) for by_split in zip(*curves, strict=True))
    return ThresholdCurves(precision, recall, f1, cost if costs else None)


def _confusion_counts(y: npt.NDArray[np.int64], score: Array, thresholds: Array) -> tuple[Array, Array, Array, Array]:
    """True negatives, false positives, false negatives and true positives at each threshold."""
    from sklearn.metrics import confusion_matrix_at_thresholds

    *counts, falling = confusion_matrix_at_thresholds(y, score)  # thresholds fall, the first predicts none positive
    last = np.searchsorted(-falling, -thresholds, side="right") - 1
    if_none_positive = ((y == 0).sum(), 0, y.sum(), 0)
    pairs = zip(if_none_positive, counts, strict=True)
    tn, fp, fn, tp = (np.where(last < 0, none, count[np.maximum(last, 0)]) for none, count in pairs)
    return tn, fp, fn, tp


def _decision_curves(tn: Array, fp: Array, fn: Array, tp: Array, costs: CostRows) -> tuple[Array, Array, Array, Array]:
    """Precision, recall, F1 and cost per row at each threshold."""
    precision = np.divide(tp, tp + fp, out=np.full(len(tp), np.nan), where=tp + fp > 0)
    (cost_tn, cost_fp), (cost_fn, cost_tp) = costs or ((0.0, 0.0), (0.0, 0.0))
    cost = (cost_tn * tn + cost_fp * fp + cost_fn * fn + cost_tp * tp) / (tn + fp + fn + tp)
    return precision, tp / (tp + fn), 2 * tp / (2 * tp + fp + fn), cost


def _convert_thresholds_to_log_odds(sweep: ThresholdCurves | None) -> ThresholdCurves | None:
    """The same curves by the log-odds of the threshold."""
    if sweep is None:
        return None
    x = _round_array(THRESHOLDS_LOG_ODDS)
    return ThresholdCurves(*(curve and curve._replace(x=x) for curve in sweep))  # type: ignore[arg-type]  # only cost is None


def _score_histogram(edges: Array, score: Array, group: npt.NDArray[np.bool_]) -> ScoreHistogram:
    counts = (np.histogram(score[group == is_in], edges)[0].tolist() for is_in in (False, True))
    return ScoreHistogram(_round_array(edges), tuple(map(tuple, counts)))


def _round_number(number: Any) -> float:
    return round(float(number), 6)


def _round_array(numbers: Array) -> FloatTuple:
    return tuple(map(_round_number, numbers))
