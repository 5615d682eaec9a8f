"""The metrics there are: declarations, found by type.

Conventions, the same for all: of two classes, 1 is the positive one; with more, `precision`, `recall` and `f1`
are unweighted means over the classes and the ranking metrics unweighted means of one class against the rest. Where no
row was decided for a class its precision counts as 0; where none truly is of it, its recall is not defined: NaN.
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
    OneAgainstRest = Callable[[Counts, Counts], float]

ECE_BINS = 15  # as many as Guo et al. (2017) use
LIFT_SHARE = 0.10
ONE_IN = 100  # of log loss, which has no bounds, one row is taken to be worth going from certain to one in so many


def class_report(confusion: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float64], ...]:
    """Precision, recall and F1 of every class, each of shape (k,), from a confusion matrix (k, k) of counts."""
    import numpy as np

    hits, decided, true = np.diagonal(confusion), confusion.sum(axis=0), confusion.sum(axis=1)
    exists = true > 0
    precision = np.divide(hits, decided, out=np.zeros(len(hits)), where=decided > 0)
    recall = np.divide(hits, true, out=np.full(len(hits), np.nan), where=exists)
    f1 = np.divide(2 * hits, decided + true, out=np.full(len(hits), np.nan), where=exists)
    return precision, recall, f1


def _accuracy(p: Predictions) -> float:
    return float(p.confusion.trace() / p.confusion.sum())


def _balanced_accuracy(p: Predictions) -> float:
    return float(class_report(p.confusion)[1].mean())


def _g_mean(p: Predictions) -> float:
    recall = class_report(p.confusion)[1]
    return float(recall.prod() ** (1 / len(recall)))


def _of_class(figure: int, negative: bool) -> Callable[[Predictions], float]:
    def compute(p: Predictions) -> float:
        per_class = class_report(p.confusion)[figure]
        if p.binary:
            return float(per_class[0 if negative else 1])
        return math.nan if negative else float(per_class.mean())

    return compute


def _mcc(p: Predictions) -> float:
    confusion = p.confusion.astype(float)
    total, hits = confusion.sum(), confusion.trace()
    decided, true = confusion.sum(axis=0), confusion.sum(axis=1)
    spread = (total**2 - decided @ decided) * (total**2 - true @ true)
    return float((hits * total - decided @ true) / math.sqrt(spread)) if spread > 0 else 0.0


def _expected_cost(p: Predictions) -> float:
    import numpy as np

    return float((p.confusion * np.asarray(p.costs)).sum() / p.confusion.sum()) if p.costs is not None else math.nan


def _against_rest(score: OneAgainstRest) -> Callable[[Predictions], float]:
    def compute(p: Predictions) -> float:
        import numpy as np

        classes = (1,) if p.binary else range(p.proba.shape[1])
        steps = [p.steps(one) for one in classes]
        if any(hits[-1] in (0, called[-1]) for hits, called in steps):
            return math.nan
        return float(np.mean([score(*one) for one in steps]))

    return compute


def _area(hits: Counts, called: Counts) -> float:
    """scikit-learn's figure to the bit, without its checks, which take ten times as long."""
    import numpy as np

    false = called - hits
    corners = np.ones(len(hits), dtype=bool)
    if len(hits) > 2:
        corners[1:-1] = (np.diff(false, 2) != 0) | (np.diff(hits, 2) != 0)
    found, alarms = np.append(0.0, hits[corners]), np.append(0.0, false[corners])
    return float(np.trapezoid(found / found[-1], alarms / alarms[-1]))


def _average_precision(hits: Counts, called: Counts) -> float:
    """scikit-learn's figure to the bit, without its checks: every trial asks for it on every fold."""
    import numpy as np

    hits, called = hits[::-1], called[::-1]
    lost = np.diff(np.append(hits / hits[0], 0.0))  # recall, from all rows down to none
    return float(-np.sum(lost * (hits / called)))


def _log_loss(p: Predictions) -> float:
    import numpy as np

    least = float(np.finfo(np.float32).eps)  # probabilities are stored as float32
    proba = np.clip(p.proba.astype(float), least, 1 - least)
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
        said, came = p.proba[:, 1].astype(float), p.y == 1
    else:
        said, came = p.proba.max(axis=1).astype(float), p.proba.argmax(axis=1) == p.y
    bins = np.minimum((said * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.bincount(bins, weights=said - came, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(p.y))


def _lift_at_10(p: Predictions) -> float:
    import numpy as np

    if not p.binary or not (p.y == 1).any():
        return math.nan
    score, positive = p.proba[:, 1], p.y == 1
    take = max(1, math.ceil(LIFT_SHARE * len(score)))
    cut = np.partition(score, len(score) - take)[len(score) - take]
    above, level = score > cut, score == cut
    # Rows at the cut are interchangeable: count what a random pick among them finds on average.
    found = positive[above].sum() + (take - above.sum()) * positive[level].mean()
    return float(found / take / positive.mean())


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
        compute=_of_class(0, negative=False),
        metric_type="decision",
        label="Precision",
        description="of the rows called positive, the share that is (several classes: mean over them)",
    ),
    Metric(
        name="recall",
        compute=_of_class(1, negative=False),
        metric_type="decision",
        label="Recall",
        description="of the positive rows, the share that was found (several classes: mean over them)",
    ),
    Metric(
        name="f1",
        compute=_of_class(2, negative=False),
        metric_type="decision",
        label="F1",
        description="harmonic mean of precision and recall of the positive class (several classes: mean over them)",
    ),
    Metric(
        name="precision_negative",
        compute=_of_class(0, negative=True),
        metric_type="decision",
        binary_only=True,
        label="Precision (neg.)",
        description="of the rows called negative, the share that is",
    ),
    Metric(
        name="recall_negative",
        compute=_of_class(1, negative=True),
        metric_type="decision",
        binary_only=True,
        label="Recall (neg.)",
        description="of the negative rows, the share that was left alone; also called specificity",
    ),
    Metric(
        name="f1_negative",
        compute=_of_class(2, negative=True),
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
        compute=_against_rest(_area),
        metric_type="ranking",
        label="ROC AUC",
        description="area under the ROC curve: how often a positive row is ranked above a negative one; 0.5 is chance",
    ),
    Metric(
        name="average_precision",
        compute=_against_rest(_average_precision),
        metric_type="ranking",
        label="AP",
        description="average precision, area under the precision-recall curve; chance is the share of positive rows",
    ),
    Metric(
        name="log_loss",
        compute=_log_loss,
        metric_type="probability",
        greater_is_better=False,
        span=math.log(ONE_IN),
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
