"""The metrics that ship with the package: declarations, discovered by type.

With two classes, 1 is the positive one; with more, `precision`, `recall` and `f1` are unweighted means over the classes and
the ranking metrics unweighted means of one class against the rest. The precision of a class that no row was predicted as is
0; the recall of a class without rows is not defined: NaN.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.metrics.metric import Metric, Predictions

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    Counts = npt.NDArray[np.int64]
    OneVsRestScore = Callable[[Counts, Counts], float]

ECE_BINS = 15  # as in Guo et al. (2017)
LIFT_SHARE = 0.10
#: Log loss has no bounds: the span taken for it is that between a certain prediction and a probability of 1 in 100.
LOG_LOSS_SPAN = math.log(100)


def class_report(confusion: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float64], ...]:
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


def _accuracy(p: Predictions) -> float:
    return float(p.confusion.trace() / p.confusion.sum())


def _balanced_accuracy(p: Predictions) -> float:
    return float(class_report(p.confusion)[1].mean())


def _g_mean(p: Predictions) -> float:
    recall = class_report(p.confusion)[1]
    return float(recall.prod() ** (1 / len(recall)))


def _class_metric(column: int, negative: bool) -> Callable[[Predictions], float]:
    """A column of `class_report`: that of the positive or negative class, or the mean over several classes."""

    def compute(p: Predictions) -> float:
        by_class = class_report(p.confusion)[column]
        if p.binary:
            return float(by_class[0 if negative else 1])
        return math.nan if negative else float(by_class.mean())

    return compute


def _mcc(p: Predictions) -> float:
    confusion = p.confusion.astype(float)
    total, hits = confusion.sum(), confusion.trace()
    predicted, true = confusion.sum(axis=0), confusion.sum(axis=1)
    variance = (total**2 - predicted @ predicted) * (total**2 - true @ true)
    return float((hits * total - predicted @ true) / math.sqrt(variance)) if variance > 0 else 0.0


def _expected_cost(p: Predictions) -> float:
    import numpy as np

    if p.costs is None:
        return math.nan
    return float((p.confusion * np.asarray(p.costs)).sum() / p.confusion.sum())


def _one_vs_rest(score: OneVsRestScore) -> Callable[[Predictions], float]:
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


def _log_loss(p: Predictions) -> float:
    import numpy as np

    minimum = float(np.finfo(np.float32).eps)  # probabilities are stored as float32
    proba = np.clip(p.proba.astype(float), minimum, 1 - minimum)
    proba /= proba.sum(axis=1, keepdims=True)
    return float(-np.log(proba[np.arange(len(p.y)), p.y]).mean())


def _brier(p: Predictions) -> float:
    import numpy as np

    if p.binary:
        return float(((p.proba[:, 1].astype(float) - p.y) ** 2).mean())
    truth = np.eye(p.proba.shape[1])[p.y]
    return float(((p.proba - truth) ** 2).sum(axis=1).mean())


def _ece(p: Predictions) -> float:
    import numpy as np

    if p.binary:
        predicted, observed = p.proba[:, 1].astype(float), p.y == 1
    else:
        predicted, observed = p.proba.max(axis=1).astype(float), p.proba.argmax(axis=1) == p.y
    bins = np.minimum((predicted * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.bincount(bins, weights=predicted - observed, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(p.y))


def _lift_at_10(p: Predictions) -> float:
    import numpy as np

    if not p.binary or not (p.y == 1).any():
        return math.nan
    score, positive = p.proba[:, 1], p.y == 1
    n_selected = max(1, math.ceil(LIFT_SHARE * len(score)))
    cut = np.partition(score, len(score) - n_selected)[len(score) - n_selected]
    above, tied = score > cut, score == cut
    # Rows at the cut are interchangeable: count the positives among them in a random selection, on average.
    hits = positive[above].sum() + (n_selected - above.sum()) * positive[tied].mean()
    return float(hits / n_selected / positive.mean())


METRICS = (
    Metric(
        name="accuracy",
        compute=_accuracy,
        metric_type="decision",
        over_rows=True,
        label="Accuracy",
        description="share of rows decided correctly; always deciding for the larger class already looks good",
    ),
    Metric(
        name="balanced_accuracy",
        compute=_balanced_accuracy,
        metric_type="decision",
        label="Bal. acc.",
        description="balanced accuracy: mean of the recalls of all classes; 0.5 is chance with two",
    ),
    Metric(
        name="precision",
        compute=_class_metric(0, negative=False),
        metric_type="decision",
        label="Precision",
        description="of the rows predicted positive, the share that is (several classes: mean over them)",
    ),
    Metric(
        name="recall",
        compute=_class_metric(1, negative=False),
        metric_type="decision",
        label="Recall",
        description="of the positive rows, the share that was found (several classes: mean over them)",
    ),
    Metric(
        name="f1",
        compute=_class_metric(2, negative=False),
        metric_type="decision",
        label="F1",
        description="harmonic mean of precision and recall of the positive class (several classes: mean over them)",
    ),
    Metric(
        name="precision_negative",
        compute=_class_metric(0, negative=True),
        metric_type="decision",
        binary_only=True,
        label="Precision (neg.)",
        description="of the rows predicted negative, the share that is",
    ),
    Metric(
        name="recall_negative",
        compute=_class_metric(1, negative=True),
        metric_type="decision",
        binary_only=True,
        label="Recall (neg.)",
        description="of the negative rows, the share that was left alone; also called specificity",
    ),
    Metric(
        name="f1_negative",
        compute=_class_metric(2, negative=True),
        metric_type="decision",
        binary_only=True,
        label="F1 (neg.)",
        description="harmonic mean of precision and recall of the negative class",
    ),
    Metric(
        name="mcc",
        compute=_mcc,
        metric_type="decision",
        label="MCC",
        description="Matthews correlation of decision and truth: 1 perfect, 0 no better than guessing (Gorodkin 2004)",
    ),
    Metric(
        name="g_mean",
        compute=_g_mean,
        metric_type="decision",
        label="G-mean",
        description="geometric mean of the recalls of all classes: 0 as soon as one class is never found",
    ),
    Metric(
        name="roc_auc",
        compute=_one_vs_rest(_roc_auc),
        metric_type="ranking",
        label="ROC AUC",
        description="area under the ROC curve: how often a positive row is ranked above a negative one; 0.5 is chance",
    ),
    Metric(
        name="average_precision",
        compute=_one_vs_rest(_average_precision),
        metric_type="ranking",
        label="AP",
        description="average precision, area under the precision-recall curve; chance is the share of positive rows",
    ),
    Metric(
        name="log_loss",
        compute=_log_loss,
        metric_type="probability",
        greater_is_better=False,
        span=LOG_LOSS_SPAN,
        label="Log loss",
        description="mean −log of the probability given to what came true; lower is better",
    ),
    Metric(
        name="brier",
        compute=_brier,
        metric_type="probability",
        greater_is_better=False,
        label="Brier",
        description="mean squared error of the probabilities; lower is better (several classes: summed over them)",
    ),
    Metric(
        name="ece",
        compute=_ece,
        metric_type="probability",
        greater_is_better=False,
        label="ECE",
        description=f"expected calibration error: mean gap between probability and frequency in {ECE_BINS} equally wide bins; "
        "lower is better",
    ),
    Metric(
        name="lift_at_10",
        compute=_lift_at_10,
        metric_type="ranking",
        binary_only=True,
        span=1 / LIFT_SHARE,
        label="Lift@10 %",
        description="how many times more positives the tenth of rows ranked first holds than a random tenth",
    ),
    Metric(
        name="expected_cost",
        compute=_expected_cost,
        metric_type="decision",
        greater_is_better=False,
        needs_costs=True,
        over_rows=True,
        label="Cost",
        description="mean cost of a decision under the task's cost matrix; lower is better",
    ),
)
