"""The metrics that ship with the package: declarations, discovered by type.

With two classes, 1 is the positive one; with more, `precision`, `recall` and `f1` are unweighted means over the classes and
the ranking metrics unweighted means of one class against the rest. The precision of a class that no row was predicted as is
0; the recall of a class without rows is not defined: NaN.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from harness.metrics import influence
from harness.metrics.metric import Metric, MetricType, Predictions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt

    Counts = npt.NDArray[np.int64]
    Matrix = npt.NDArray[np.floating] | npt.NDArray[np.int64]
    CountScore = Callable[[Matrix], float]
    OneVsRestScore = Callable[[Counts, Counts], float]
    Score = Callable[[Predictions], float]
    RowLosses = Callable[[Predictions], npt.NDArray[np.float64]]

ECE_BINS = 15  # as in Guo et al. (2017)
LIFT_SHARE = 0.10
#: Log loss has no bounds: the span taken for it is that between a certain prediction and a probability of 1 in 100.
LOG_LOSS_SPAN = math.log(100)


def class_report(confusion: Matrix) -> tuple[npt.NDArray[np.float64], ...]:
    """Compute precision, recall and F1 of every class.

    Parameters
    ----------
    confusion : ndarray of shape (k, k)
        Counts; rows are the truth, columns the predictions.

    Returns
    -------
    precision, recall, f1 : ndarray of shape (k,)
        Recall and F1 are NaN for a class without rows.
    """
    import numpy as np

    true_positives, predicted_counts, true_counts = np.diagonal(confusion), confusion.sum(axis=0), confusion.sum(axis=1)
    class_exists = true_counts > 0
    precision = np.divide(
        true_positives, predicted_counts, out=np.zeros(len(true_positives)), where=predicted_counts > 0
    )
    recall = np.divide(true_positives, true_counts, out=np.full(len(true_positives), np.nan), where=class_exists)
    f1 = np.divide(
        2 * true_positives, predicted_counts + true_counts, out=np.full(len(true_positives), np.nan), where=class_exists
    )
    return precision, recall, f1


def decompose_brier_score(
    y: npt.NDArray[np.int64], proba: npt.NDArray[np.floating], labels: Sequence[int]
) -> tuple[float, float]:
    """Compute miscalibration and discrimination in the Brier score, by an isotonic regression; over several classes their sums.

    Parameters
    ----------
    y : ndarray of shape (n,)
        True classes, 0 to k - 1.
    proba : ndarray of shape (n, k)
        Probabilities.
    labels : sequence of int
        The classes that are summed over: the positive one where there are two.

    Returns
    -------
    miscalibration, discrimination : float
        The score is the first minus the second plus the uncertainty of the labels.
    """
    import numpy as np
    from sklearn.isotonic import isotonic_regression

    miscalibration = discrimination = 0.0
    for class_label in labels:
        forecast_proba, observed_labels = proba[:, class_label].astype(float), (y == class_label).astype(float)
        _, positions, level_counts = np.unique(forecast_proba, return_inverse=True, return_counts=True)
        observed_shares = np.bincount(positions, weights=observed_labels) / level_counts
        calibrated_proba = isotonic_regression(observed_shares, sample_weight=level_counts)[positions]
        calibrated_loss = float(((calibrated_proba - observed_labels) ** 2).mean())
        miscalibration += float(((forecast_proba - observed_labels) ** 2).mean()) - calibrated_loss
        discrimination += float(((observed_labels.mean() - observed_labels) ** 2).mean()) - calibrated_loss
    return miscalibration, discrimination


def _accuracy_score(confusion: Matrix) -> float:
    return float(confusion.trace() / confusion.sum())


def _balanced_accuracy(confusion: Matrix) -> float:
    return float(class_report(confusion)[1].mean())


def _g_mean(confusion: Matrix) -> float:
    recall = class_report(confusion)[1]
    return float(recall.prod() ** (1 / len(recall)))


def _class_report_metric(report_column: int, of_negative_class: bool) -> CountScore:
    """A column of `class_report`: that of the positive or negative class, or the mean over several classes."""

    def compute(confusion: Matrix) -> float:
        scores_by_class = class_report(confusion)[report_column]
        if len(confusion) == 2:
            return float(scores_by_class[0 if of_negative_class else 1])
        return math.nan if of_negative_class else float(scores_by_class.mean())

    return compute


def _matthews_correlation(confusion: Matrix) -> float:
    confusion = confusion.astype(float)
    total_rows, correct_rows = confusion.sum(), confusion.trace()
    predicted_counts, true_counts = confusion.sum(axis=0), confusion.sum(axis=1)
    variance = (total_rows**2 - predicted_counts @ predicted_counts) * (total_rows**2 - true_counts @ true_counts)
    return (
        float((correct_rows * total_rows - predicted_counts @ true_counts) / math.sqrt(variance))
        if variance > 0
        else 0.0
    )


def _expected_cost(p: Predictions) -> float:
    import numpy as np

    if p.costs is None:
        return math.nan
    return float((p.confusion * np.asarray(p.costs)).sum() / p.confusion.sum())


def decision_costs(p: Predictions) -> npt.NDArray[np.float64]:
    """Look up the cost of the decision for every row, (n,); NaN without a cost matrix."""
    import numpy as np

    if p.costs is None:
        return np.full(len(p.y), np.nan)
    return np.asarray(p.costs, dtype=float)[p.y, p.labels]


def _average_one_vs_rest(one_vs_rest_score: OneVsRestScore) -> Score:
    """The score of the positive class, or the mean over several classes; NaN where a class has no rows or all of them."""

    def compute(p: Predictions) -> float:
        import numpy as np

        scores = []
        for class_label in (1,) if p.binary else range(p.proba.shape[1]):
            hit_counts, predicted_counts = p.steps(class_label)
            if hit_counts[-1] in (0, predicted_counts[-1]):
                return math.nan
            scores.append(one_vs_rest_score(hit_counts, predicted_counts))
        return float(np.mean(scores))

    return compute


def _roc_auc(hit_counts: Counts, predicted_counts: Counts) -> float:
    """The area of scikit-learn bit for bit, without its checks, which take ten times as long."""
    import numpy as np

    false_alarms = predicted_counts - hit_counts
    is_corner = np.ones(len(hit_counts), dtype=bool)
    if len(hit_counts) > 2:
        is_corner[1:-1] = (np.diff(false_alarms, 2) != 0) | (np.diff(hit_counts, 2) != 0)
    true_positives, false_positives = np.append(0.0, hit_counts[is_corner]), np.append(0.0, false_alarms[is_corner])
    return float(np.trapezoid(true_positives / true_positives[-1], false_positives / false_positives[-1]))


def _average_precision(hit_counts: Counts, predicted_counts: Counts) -> float:
    """The score of scikit-learn bit for bit, without its checks: every trial computes it on every fold."""
    import numpy as np

    precisions = (hit_counts / predicted_counts)[::-1]
    recalls = np.zeros(len(hit_counts) + 1)  # from all rows down to none
    np.divide(hit_counts[::-1], hit_counts[-1], out=recalls[:-1])
    return float(-np.sum((recalls[1:] - recalls[:-1]) * precisions))


def log_losses(p: Predictions) -> npt.NDArray[np.float64]:
    """Compute the log loss of every row, (n,)."""
    import numpy as np

    lowest_probability = float(np.finfo(np.float32).eps)  # probabilities are stored as float32
    clipped_proba = np.clip(p.proba.astype(float), lowest_probability, 1 - lowest_probability)
    return np.asarray(-np.log(clipped_proba[np.arange(len(p.y)), p.y] / clipped_proba.sum(axis=1)))


def squared_errors(p: Predictions) -> npt.NDArray[np.float64]:
    """Compute the Brier score of every row, (n,)."""
    import numpy as np

    if p.binary:
        return np.asarray((p.proba[:, 1].astype(float) - p.y) ** 2)
    return np.asarray(((p.proba - np.eye(p.proba.shape[1])[p.y]) ** 2).sum(axis=1))


def _expected_calibration_error(p: Predictions) -> float:
    import numpy as np

    if p.binary:
        predicted_proba, is_positive = p.proba[:, 1].astype(float), p.y == 1
    else:
        predicted_proba, is_positive = p.proba.max(axis=1).astype(float), p.proba.argmax(axis=1) == p.y
    bins = np.minimum((predicted_proba * ECE_BINS).astype(int), ECE_BINS - 1)
    weights = 1.0 if p.weights is None else p.weights
    bin_gaps = np.bincount(bins, weights=(predicted_proba - is_positive) * weights, minlength=ECE_BINS)
    return float(np.abs(bin_gaps).sum() / p.total_weight)


def _lift_at_10(p: Predictions) -> float:
    import numpy as np

    if not p.binary or not (p.y == 1).any():
        return math.nan
    if p.weights is not None:
        return _weighted_lift(p)
    positive_scores, is_positive = p.proba[:, 1], p.y == 1
    n_selected = max(1, math.ceil(LIFT_SHARE * len(positive_scores)))
    score_cut = np.partition(positive_scores, len(positive_scores) - n_selected)[len(positive_scores) - n_selected]
    is_above_cut, is_tied = positive_scores > score_cut, positive_scores == score_cut
    # Rows at the cut are interchangeable: count the positives among them in a random selection, on average.
    found_positives = is_positive[is_above_cut].sum() + (n_selected - is_above_cut.sum()) * is_positive[is_tied].mean()
    return float(found_positives / n_selected / is_positive.mean())


def _weighted_lift(p: Predictions) -> float:
    """The lift of the tenth of the weight that is ranked first."""
    import numpy as np

    hits, rows = p.steps(1)
    selected = LIFT_SHARE * rows[-1]
    # Within rows of one probability the positives are spread evenly, as in `_lift_at_10`.
    found = float(np.interp(selected, np.append(0.0, rows), np.append(0.0, hits)))
    return found / float(selected) / float(hits[-1] / rows[-1])


#: The sentences about the metrics in the glossary of the report, by name.
GLOSSARY = {
    "accuracy": "share of rows decided correctly; always deciding for the larger class already looks good",
    "balanced_accuracy": "balanced accuracy: mean of the recalls of all classes; 0.5 is chance with two",
    "precision": "of the rows predicted positive, the share that is (several classes: mean over them)",
    "recall": "of the positive rows, the share that was found (several classes: mean over them)",
    "f1": "harmonic mean of precision and recall of the positive class (several classes: mean over them)",
    "precision_negative": "of the rows predicted negative, the share that is",
    "recall_negative": "of the negative rows, the share that was left alone; also called specificity",
    "f1_negative": "harmonic mean of precision and recall of the negative class",
    "mcc": "Matthews correlation of decision and truth: 1 perfect, 0 no better than guessing (Gorodkin 2004)",
    "g_mean": "geometric mean of the recalls of all classes: 0 as soon as one class is never found",
    "roc_auc": "area under the ROC curve: how often a positive row is ranked above a negative one; 0.5 is chance",
    "average_precision": "average precision, area under the precision-recall curve; chance is the share of positive rows",
    "log_loss": "mean −log of the probability given to what came true; lower is better",
    "brier": "mean squared error of the probabilities; lower is better (several classes: summed over them)",
    "ece": f"expected calibration error: mean gap between probability and frequency in {ECE_BINS} equally wide bins; lower is better",
    "lift_at_10": "how many times more positives the tenth of rows ranked first holds than a random tenth",
    "expected_cost": "mean cost of a decision under the task's cost matrix; lower is better",
}


def _declare_metric(
    metric_type: MetricType, name: str, metric_label: str, compute_score: Score, **options: Any
) -> Metric:
    """A metric with its sentence in the glossary; `options` are other fields of `Metric`."""
    sentence = GLOSSARY[name]
    return Metric(
        name=name, compute=compute_score, metric_type=metric_type, label=metric_label, description=sentence, **options
    )


def _declare_confusion_metric(name: str, metric_label: str, count_score: CountScore, **options: Any) -> Metric:
    """A metric of decisions that is computed from the confusion matrix alone."""

    def compute(p: Predictions) -> float:
        return count_score(p.confusion)

    return _declare_metric(
        "decision", name, metric_label, compute, influence=influence.influence_of_counts(count_score), **options
    )


def _declare_ranking_metric(
    name: str, metric_label: str, one_vs_rest_score: OneVsRestScore, row_influence: influence.OneVsRestInfluence
) -> Metric:
    """A metric of one class against the rest; `row_influence` are its influence values."""
    return _declare_metric(
        "ranking",
        name,
        metric_label,
        _average_one_vs_rest(one_vs_rest_score),
        influence=influence.influence_of_ranking(row_influence),
        steps_score=one_vs_rest_score,
    )


def _declare_loss_metric(name: str, metric_label: str, row_losses: RowLosses, loss_span: float = 1.0) -> Metric:
    """The mean of a loss of probabilities over the rows."""

    def compute(p: Predictions) -> float:
        return p.mean(row_losses(p))

    rows = influence.influence_of_mean(row_losses)
    return _declare_metric(
        "probability", name, metric_label, compute, greater_is_better=False, span=loss_span, influence=rows
    )


COST_OPTIONS = {
    "greater_is_better": False,
    "needs_costs": True,
    "over_rows": True,
    "influence": influence.influence_of_mean(decision_costs),
}
METRICS = (
    _declare_confusion_metric("accuracy", "Accuracy", _accuracy_score, over_rows=True),
    _declare_confusion_metric("balanced_accuracy", "Bal. acc.", _balanced_accuracy),
    _declare_confusion_metric("precision", "Precision", _class_report_metric(0, of_negative_class=False)),
    _declare_confusion_metric("recall", "Recall", _class_report_metric(1, of_negative_class=False)),
    _declare_confusion_metric("f1", "F1", _class_report_metric(2, of_negative_class=False)),
    _declare_confusion_metric(
        "precision_negative", "Precision (neg.)", _class_report_metric(0, of_negative_class=True), binary_only=True
    ),
    _declare_confusion_metric(
        "recall_negative", "Recall (neg.)", _class_report_metric(1, of_negative_class=True), binary_only=True
    ),
    _declare_confusion_metric(
        "f1_negative", "F1 (neg.)", _class_report_metric(2, of_negative_class=True), binary_only=True
    ),
    _declare_confusion_metric("mcc", "MCC", _matthews_correlation),
    _declare_confusion_metric("g_mean", "G-mean", _g_mean),
    _declare_ranking_metric("roc_auc", "ROC AUC", _roc_auc, influence.roc_auc_influence),
    _declare_ranking_metric("average_precision", "AP", _average_precision, influence.average_precision_influence),
    _declare_loss_metric("log_loss", "Log loss", log_losses, loss_span=LOG_LOSS_SPAN),
    _declare_loss_metric("brier", "Brier", squared_errors),
    _declare_metric("probability", "ece", "ECE", _expected_calibration_error, greater_is_better=False),
    _declare_metric("ranking", "lift_at_10", "Lift@10 %", _lift_at_10, binary_only=True, span=1 / LIFT_SHARE),
    _declare_metric("decision", "expected_cost", "Cost", _expected_cost, **COST_OPTIONS),
)
