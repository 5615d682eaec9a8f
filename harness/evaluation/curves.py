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

from harness.evaluation.calibration_bins import CalibrationBin, reliability_bins

VERSION = 5  #: of what is computed here: cached values of another version are computed anew
Array: TypeAlias = npt.NDArray[np.float64]
FloatTuple: TypeAlias = tuple[float, ...]
CostRows: TypeAlias = Sequence[Sequence[float]] | None

FALSE_POSITIVE_RATES: Array = np.linspace(0, 1, 51) ** 2  #: finer where good classifiers differ
RECALLS: Array = (1 - np.cos(np.pi * np.linspace(0, 1, 45))) / 2  #: finer at both ends
PREDICTED_SHARES: Array = np.linspace(0, 1, 51)
MAX_LOG_ODDS = 7.0  #: scores beyond 0.0009 and 0.9991 are clipped to these
THRESHOLDS: Array = np.linspace(0, 1, 51)
THRESHOLDS_LOG_ODDS: Array = np.linspace(-MAX_LOG_ODDS, MAX_LOG_ODDS, 43)
SCORE_BIN_EDGES: Array = np.linspace(0, 1, 26)
EDGES_LOG_ODDS: Array = np.linspace(-MAX_LOG_ODDS, MAX_LOG_ODDS, 29)
CONCENTRATION_LIMIT = 0.05  #: where half of the scores are nearer to an end than this, they are shown on log-odds


class SplitPredictions(NamedTuple):
    """The test rows of one split: labels (n,), probabilities (n, k) and, where rows have them, weights (n,)."""

    y: npt.NDArray[np.int64]
    proba: Array
    weights: Array | None = None

    @property
    def row_weights(self) -> Array:
        """The weights, 1 where rows have none, (n,)."""
        return np.ones(len(self.y)) if self.weights is None else self.weights


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
    """How many scores lie between two edges, by group: sums of weights where rows have them."""

    edges: FloatTuple
    counts: tuple[FloatTuple, ...]


class Diagnosis(NamedTuple):
    """Everything that figures show of the predictions of one entry.

    With two classes a score is the probability of the positive class, and the groups of the histograms are the classes.
    With several it is the probability of the predicted class, and the groups are the rows predicted wrongly and rightly;
    there is no threshold to sweep. `predicted` and `observed` are the mean score and the observed frequency. Where rows have
    weights, all are weighted.
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
    weighted: bool  #: whether rows have weights


def diagnose_predictions(splits: Sequence[SplitPredictions], repeats: int, costs: CostRows) -> Diagnosis:
    """Compute everything that is shown of an entry from its predictions.

    Parameters
    ----------
    splits : sequence of SplitPredictions
        The test rows of each split.
    repeats : int
        How many times the splits contain each row: intervals are those of the distinct rows.
    costs : sequence of sequence of float or None
        ``costs[true][predicted]``.

    Returns
    -------
    Diagnosis
        Plain values, rounded to six decimals.
    """
    labels = np.concatenate([split.y for split in splits])
    proba = np.concatenate([split.proba for split in splits])
    weights = np.concatenate([split.row_weights for split in splits])
    is_binary = proba.shape[1] == 2
    if is_binary:
        positive_scores, is_positive = np.clip(proba[:, 1], 0, 1), labels == 1
        overall_curves, curves_by_class = _class_rank_curves_by_split(splits, 1), []
        threshold_curves = _compute_threshold_curves(splits, THRESHOLDS, costs)
        sweep_log_odds = _convert_thresholds_to_log_odds(
            _compute_threshold_curves(splits, expit(THRESHOLDS_LOG_ODDS), costs)
        )
    else:
        positive_scores, is_positive = np.clip(proba.max(axis=1), 0, 1), labels == proba.argmax(axis=1)
        curves_by_class = [_class_rank_curves_by_split(splits, class_label) for class_label in range(proba.shape[1])]
        overall_curves, threshold_curves, sweep_log_odds = (
            [_average_over_classes(curves) for curves in zip(*curves_by_class, strict=True)],
            None,
            None,
        )
    prevalence = float(np.average(labels == 1, weights=weights)) if is_binary else 1 / proba.shape[1]
    return Diagnosis(
        splits=len(splits),
        rows=len(labels),
        repeats=repeats,
        rank_curves=_average_curves_over_splits(overall_curves, prevalence),
        classes=tuple(
            _average_curves_over_splits(curves, float(np.average(labels == class_label, weights=weights)))
            for class_label, curves in enumerate(curves_by_class)
        ),
        bins=reliability_bins(is_positive, positive_scores, repeats, weights),
        predicted=_round_number(np.average(positive_scores, weights=weights)),
        observed=_round_number(np.average(is_positive, weights=weights)),
        sweep=threshold_curves,
        sweep_log_odds=sweep_log_odds,
        scores=_score_histogram(SCORE_BIN_EDGES, positive_scores, is_positive, weights),
        log_odds=_score_histogram(EDGES_LOG_ODDS, clipped_logit(positive_scores), is_positive, weights),
        concentrated=bool(min(np.median(positive_scores), 1 - np.median(positive_scores)) < CONCENTRATION_LIMIT),
        weighted=any(split.weights is not None for split in splits),
    )


def clipped_logit(score: Array) -> Array:
    """Compute log-odds, clipped at ± `MAX_LOG_ODDS`."""
    highest_score = expit(np.array(MAX_LOG_ODDS))
    clipped_score = np.clip(score, 1 - highest_score, highest_score)
    return np.clip(np.log(clipped_score / (1 - clipped_score)), -MAX_LOG_ODDS, MAX_LOG_ODDS)


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


def _class_rank_curves_by_split(splits: Sequence[SplitPredictions], class_label: int) -> list[_SplitCurves | None]:
    """The curves of one class against the others in every split; None where the rows are all on one side."""
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    curves: list[_SplitCurves | None] = []
    for split in splits:
        is_positive, class_scores, weights = split.y == class_label, split.proba[:, class_label], split.row_weights
        if is_positive.all() or not is_positive.any():
            curves.append(None)
            continue
        false_positive_rate, true_positive_rate, _ = roc_curve(
            is_positive, class_scores, sample_weight=weights, drop_intermediate=False
        )
        precision, recall, _ = precision_recall_curve(is_positive, class_scores, sample_weight=weights)
        precision, recall = precision[-2::-1], recall[-2::-1]  # from the highest threshold on, without the added end
        prevalence = np.average(is_positive, weights=weights)
        predicted_share = prevalence * true_positive_rate + (1 - prevalence) * false_positive_rate
        # Of a vertical step np.interp takes the upper end.
        roc_heights = np.interp(FALSE_POSITIVE_RATES, false_positive_rate, true_positive_rate)
        gain_heights = np.interp(PREDICTED_SHARES, predicted_share, true_positive_rate)
        curve_areas = (
            float(roc_auc_score(is_positive, class_scores, sample_weight=weights)),
            float(average_precision_score(is_positive, class_scores, sample_weight=weights)),
        )
        curves.append(
            _SplitCurves(roc_heights, precision[np.searchsorted(recall, RECALLS - 1e-9)], gain_heights, *curve_areas)
        )
    return curves


def _average_over_classes(curves: Iterable[_SplitCurves | None]) -> _SplitCurves | None:
    """The mean over classes in one split; those without rows on both sides are left out."""
    known_curves = list(filter(None, curves))
    return (
        _SplitCurves(*(np.mean(curve_parts, axis=0) for curve_parts in zip(*known_curves, strict=True)))
        if known_curves
        else None
    )


def _average_curves_over_splits(curves: Iterable[_SplitCurves | None], prevalence: float) -> RankCurves | None:
    """The mean over the splits."""
    known_curves = list(filter(None, curves))
    if not known_curves:
        return None
    roc_curves, precision_curves, gain_curves, roc_auc, average_precision = zip(*known_curves, strict=True)
    return RankCurves(
        roc=mean_curve(FALSE_POSITIVE_RATES, roc_curves),
        precision=mean_curve(RECALLS, precision_curves),
        gain=mean_curve(PREDICTED_SHARES, gain_curves),
        roc_auc=_round_number(np.mean(roc_auc)),
        average_precision=_round_number(np.mean(average_precision)),
        prevalence=_round_number(prevalence),
        splits=len(known_curves),
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
    known_counts = (~np.isnan(table)).sum(axis=0)
    column_sums = np.nansum(table, axis=0)
    has_enough_splits = 2 * known_counts >= len(table)
    mean = np.divide(
        column_sums, known_counts, out=np.full(len(x), np.nan), where=has_enough_splits & (known_counts > 0)
    )
    if len(table) == 1:
        return MeanCurve(_round_array(x), _round_array(mean), ())
    squared_deviations = np.nansum((table - mean) ** 2, axis=0)
    variance = np.divide(
        squared_deviations, known_counts - 1, out=np.full(len(x), np.nan), where=has_enough_splits & (known_counts > 1)
    )
    return MeanCurve(_round_array(x), _round_array(mean), _round_array(np.sqrt(variance)))


def _compute_threshold_curves(
    splits: Sequence[SplitPredictions], thresholds: Array, costs: CostRows
) -> ThresholdCurves | None:
    """Precision, recall, F1 and cost where rows are predicted positive from each of these thresholds on."""
    curves = []
    for split in splits:
        if 0 < split.y.sum() < len(split.y):
            curves.append(_decision_curves(*_confusion_counts(split, thresholds), costs))
    if not curves:
        return None
    precision, recall, f1, cost = (mean_curve(thresholds, by_split) for by_split in zip(*curves, strict=True))
    return ThresholdCurves(precision, recall, f1, cost if costs else None)


def _confusion_counts(split: SplitPredictions, thresholds: Array) -> tuple[Array, Array, Array, Array]:
    """True negatives, false positives, false negatives and true positives at each threshold, or the sums of their weights."""
    from sklearn.metrics import confusion_matrix_at_thresholds

    *threshold_counts, falling_thresholds = confusion_matrix_at_thresholds(
        split.y, split.proba[:, 1], sample_weight=split.row_weights
    )  # thresholds fall, the first predicts none positive
    last_index = np.searchsorted(-falling_thresholds, -thresholds, side="right") - 1
    counts_if_none = (split.row_weights[split.y == 0].sum(), 0, split.row_weights[split.y == 1].sum(), 0)
    count_pairs = zip(counts_if_none, threshold_counts, strict=True)
    tn, fp, fn, tp = (
        np.where(last_index < 0, count_if_none, count[np.maximum(last_index, 0)])
        for count_if_none, count in count_pairs
    )
    return tn, fp, fn, tp


def _decision_curves(tn: Array, fp: Array, fn: Array, tp: Array, costs: CostRows) -> tuple[Array, Array, Array, Array]:
    """Precision, recall, F1 and cost per row at each threshold."""
    precision = np.divide(tp, tp + fp, out=np.full(len(tp), np.nan), where=tp + fp > 0)
    (cost_tn, cost_fp), (cost_fn, cost_tp) = costs or ((0.0, 0.0), (0.0, 0.0))
    cost = (cost_tn * tn + cost_fp * fp + cost_fn * fn + cost_tp * tp) / (tn + fp + fn + tp)
    return precision, tp / (tp + fn), 2 * tp / (2 * tp + fp + fn), cost


def _convert_thresholds_to_log_odds(threshold_curves: ThresholdCurves | None) -> ThresholdCurves | None:
    """The same curves by the log-odds of the threshold."""
    if threshold_curves is None:
        return None
    x = _round_array(THRESHOLDS_LOG_ODDS)
    return ThresholdCurves(*(curve and curve._replace(x=x) for curve in threshold_curves))  # type: ignore[arg-type]  # only cost is None


def _score_histogram(
    bin_edges: Array, positive_scores: Array, in_group: npt.NDArray[np.bool_], weights: Array
) -> ScoreHistogram:
    counts_by_group = []
    for is_in in (False, True):
        members = in_group == is_in
        bin_counts, _ = np.histogram(positive_scores[members], bin_edges, weights=weights[members])
        counts_by_group.append(_round_array(bin_counts))
    return ScoreHistogram(_round_array(bin_edges), tuple(counts_by_group))


def _round_number(unrounded_number: Any) -> float:
    return round(float(unrounded_number), 6)


def _round_array(unrounded_numbers: Array) -> FloatTuple:
    return tuple(map(_round_number, unrounded_numbers))
