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

    hits, predicted, true = np.diagonal(confusion), confusion.sum(axis=0), confusion.sum(axis=1)
    exists = true > 0
    precision = np.divide(hits, predicted, out=np.zeros(len(hits)), where=predicted > 0)
    recall = np.divide(hits, true, out=np.full(len(hits), np.nan), where=exists)
    f1 = np.divide(2 * hits, predicted + true, out=np.full(len(hits), np.nan), where=exists)
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
    for label in labels:
        forecast, observed = proba[:, label].astype(float), (y == label).astype(float)
        _, positions, counts = np.unique(forecast, return_inverse=True, return_counts=True)
        shares = np.bincount(positions, weights=observed) / counts
        calibrated = isotonic_regression(shares, sample_weight=counts)[positions]
        calibrated_loss = float(((calibrated - observed) ** 2).mean())
        miscalibration += float(((forecast - observed) ** 2).mean()) - calibrated_loss
        discrimination += float(((observed.mean() - observed) ** 2).mean()) - calibrated_loss
    return miscalibration, discrimination


def _accuracy_score(confusion: Matrix) -> float:
    return float(confusion.trace() / confusion.sum())


def _balanced_accuracy(confusion: Matrix) -> float:
    return float(class_report(confusion)[1].mean())


def _g_mean(confusion: Matrix) -> float:
    recall = class_report(confusion)[1]
    return float(recall.prod() ** (1 / len(recall)))


def _class_report_metric(column: int, negative: bool) -> CountScore:
    """A column of `class_report`: that of the positive or negative class, or the mean over several classes."""

    def compute(confusion: Matrix) -> float:
        by_class = class_report(confusion)[column]
        if len(confusion) == 2:
            return float(by_class[0 if negative else 1])
        return math.nan if negative else float(by_class.mean())

    return compute


def _matthews_correlation(confusion: Matrix) -> float:
    confusion = confusion.astype(float)
    total, hits = confusion.sum(), confusion.trace()
    predicted, true = confusion.sum(axis=0), confusion.sum(axis=1)
    variance = (total**2 - predicted @ predicted) * (total**2 - true @ true)
    return float((hits * total - predicted @ true) / math.sqrt(variance)) if variance > 0 else 0.0


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


def _average_one_vs_rest(score: OneVsRestScore) -> Score:
    """The score of the positive class, or the mean over several classes; NaN where a class has no rows or all of them."""

    def compute(p: Predictions) -> float:
        import numpy as np

        scores = []
        for label in (1,) if p.binary else range(p.proba.shape[1]):
            hits, predicted = p.steps(label)
            if hits[-1] in (0, predicted[-1]):
                return math.nan
            scores.append(score(hits, predicted))
        return float(np.mean(scores))

    return compute


def _roc_auc(hits: Counts, predicted: Counts) -> float:
    """The area of scikit-learn bit for bit, without its checks, which take ten times as long."""
    import numpy as np

    misses = predicted - hits
    corners = np.ones(len(hits), dtype=bool)
    if len(hits) > 2:
        corners[1:-1] = (np.diff(misses, 2) != 0) | (np.diff(hits, 2) != 0)
    true_positives, false_positives = np.append(0.0, hits[corners]), np.append(0.0, misses[corners])
    return float(np.trapezoid(true_positives / true_positives[-1], false_positives / false_positives[-1]))


def _average_precision(hits: Counts, predicted: Counts) -> float:
    """The score of scikit-learn bit for bit, without its checks: every trial computes it on every fold."""
    import numpy as np

    hits, predicted = hits[::-1], predicted[::-1]
    recall_steps = np.diff(np.append(hits / hits[0], 0.0))  # from all rows down to none
    return float(-np.sum(recall_steps * (hits / predicted)))


def log_losses(p: Predictions) -> npt.NDArray[np.float64]:
    """Compute the log loss of every row, (n,)."""
    import numpy as np

    minimum = float(np.finfo(np.float32).eps)  # probabilities are stored as float32
    proba = np.clip(p.proba.astype(float), minimum, 1 - minimum)
    return np.asarray(-np.log(proba[np.arange(len(p.y)), p.y] / proba.sum(axis=1)))


def squared_errors(p: Predictions) -> npt.NDArray[np.float64]:
    """Compute the Brier score of every row, (n,)."""
    import numpy as np

    if p.binary:
        return np.asarray((p.proba[:, 1].astype(float) - p.y) ** 2)
    return np.asarray(((p.proba - np.eye(p.proba.shape[1])[p.y]) ** 2).sum(axis=1))


def _expected_calibration_error(p: Predictions) -> float:
    import numpy as np

    if p.binary:
        predicted, observed = p.proba[:, 1].astype(float), p.y == 1
    else:
        predicted, observed = p.proba.max(axis=1).astype(float), p.proba.argmax(axis=1) == p.y
    bins = np.minimum((predicted * ECE_BINS).astype(int), ECE_BINS - 1)
    weights = 1.0 if p.weights is None else p.weights
    gaps = np.bincount(bins, weights=(predicted - observed) * weights, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / p.total_weight)


def _lift_at_10(p: Predictions) -> float:
    import numpy as np

    if not p.binary or not (p.y == 1).any():
        return math.nan
    if p.weights is not None:
        return _weighted_lift(p)
    score, positive = p.proba[:, 1], p.y == 1
    n_selected = max(1, math.ceil(LIFT_SHARE * len(score)))
    cut = np.partition(score, len(score) - n_selected)[len(score) - n_selected]
    above, tied = score > cut, score == cut
    # Rows at the cut are interchangeable: count the positives among them in a random selection, on average.
    hits = positive[above].sum() + (n_selected - above.sum()) * positive[tied].mean()
    return float(hits / n_selected / positive.mean())


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


def _declare_metric(metric_type: MetricType, name: str, label: str, compute: Score, **options: Any) -> Metric:
    """A metric with its sentence in the glossary; `options` are other fields of `Metric`."""
    sentence = GLOSSARY[name]
    return Metric(name=name, compute=compute, metric_type=metric_type, label=label, description=sentence, **options)


def _declare_confusion_metric(name: str, label: str, score: CountScore, **options: Any) -> Metric:
    """A metric of decisions that is computed from the confusion matrix alone."""

    def compute(p: Predictions) -> float:
        return score(p.confusion)

    return _declare_metric("decision", name, label, compute, influence=influence.influence_of_counts(score), **options)


def _declare_ranking_metric(name: str, label: str, score: OneVsRestScore, rows: influence.OneVsRestInfluence) -> Metric:
    """A metric of one class against the rest; `rows` are its influence values."""
    return _declare_metric(
        "ranking", name, label, _average_one_vs_rest(score), influence=influence.influence_of_ranking(rows)
    )


def _declare_loss_metric(name: str, label: str, losses: RowLosses, span: float = 1.0) -> Metric:
    """The mean of a loss of probabilities over the rows."""

    def compute(p: Predictions) -> float:
        return p.mean(losses(p))

    rows = influence.influence_of_mean(losses)
    return _declare_metric("probability", name, label, compute, greater_is_better=False, span=span, influence=rows)


COST_OPTIONS = {
    "greater_is_better": False,
    "needs_costs": True,
    "over_rows": True,
    "influence": influence.influence_of_mean(decision_costs),
}
METRICS = (
    _declare_confusion_metric("accuracy", "Accuracy", _accuracy_score, over_rows=True),
    _declare_confusion_metric("balanced_accuracy", "Bal. acc.", _balanced_accuracy),
    _declare_confusion_metric("precision", "Precision", _class_report_metric(0, negative=False)),
    _declare_confusion_metric("recall", "Recall", _class_report_metric(1, negative=False)),
    _declare_confusion_metric("f1", "F1", _class_report_metric(2, negative=False)),
    _declare_confusion_metric(
        "precision_negative", "Precision (neg.)", _class_report_metric(0, negative=True), binary_only=True
    ),
    _declare_confusion_metric(
        "recall_negative", "Recall (neg.)", _class_report_metric(1, negative=True), binary_only=True
    ),
    _declare_confusion_metric("f1_negative", "F1 (neg.)", _class_report_metric(2, negative=True), binary_only=True),
    _declare_confusion_metric("mcc", "MCC", _matthews_correlation),
    _declare_confusion_metric("g_mean", "G-mean", _g_mean),
    _declare_ranking_metric("roc_auc", "ROC AUC", _roc_auc, influence.roc_auc_influence),
    _declare_ranking_metric("average_precision", "AP", _average_precision, influence.average_precision_influence),
    _declare_loss_metric("log_loss", "Log loss", log_losses, span=LOG_LOSS_SPAN),
    _declare_loss_metric("brier", "Brier", squared_errors),
    _declare_metric("probability", "ece", "ECE", _expected_calibration_error, greater_is_better=False),
    _declare_metric("ranking", "lift_at_10", "Lift@10 %", _lift_at_10, binary_only=True, span=1 / LIFT_SHARE),
    _declare_metric("decision", "expected_cost", "Cost", _expected_cost, **COST_OPTIONS),
)
