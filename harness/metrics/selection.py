"""Metrics of a selection of rows, declared for `scores.csv` and detailed tables: F2, recall at a precision, the first tenth, KS."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.metrics import influence
from harness.metrics.metric import Metric, Predictions

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    Counts = npt.NDArray[np.int64]
    Matrix = npt.NDArray[np.floating] | npt.NDArray[np.int64]

RECALL_BETA = 2.0
LEAST_PRECISION = 0.5
FIRST_SHARE = 0.10


def f2_score(confusion: Matrix) -> float:
    """Compute the F score in which recall counts twice as much as precision; with several classes the mean over them."""
    import numpy as np

    true_positives, predicted_counts, true_counts = np.diagonal(confusion), confusion.sum(axis=0), confusion.sum(axis=1)
    beta_squared = RECALL_BETA**2
    undefined_recalls = np.full(len(true_positives), np.nan)
    scores = np.divide(
        (1 + beta_squared) * true_positives,
        predicted_counts + beta_squared * true_counts,
        out=undefined_recalls,
        where=true_counts > 0,
    )
    return float(scores[1] if len(scores) == 2 else scores.mean())


def recall_at_precision(least: float) -> Callable[[Predictions], float]:
    """Make the metric of the highest recall at any threshold with at least this precision; 0 where there is none."""

    def compute(p: Predictions) -> float:
        if not p.binary or not (p.y == 1).any():
            return math.nan
        hit_counts, predicted_counts = p.steps(1)
        is_precise_enough = hit_counts / predicted_counts >= least
        return float((hit_counts[is_precise_enough] / hit_counts[-1]).max(initial=0.0))

    return compute


def precision_at_share(share: float) -> Callable[[Predictions], float]:
    """Make the metric of the precision among the share of rows with the highest probabilities, rounded up to whole rows.

    Rows of the probability at which the share ends are interchangeable: the mean over random selections among them is taken.
    """

    def compute(p: Predictions) -> float:
        import numpy as np

        if not p.binary or not (p.y == 1).any():
            return math.nan
        hit_counts, predicted_counts = p.steps(1)
        selected_rows = max(1, math.ceil(share * len(p.y)))
        return float(np.interp(selected_rows, np.append(0, predicted_counts), np.append(0, hit_counts)) / selected_rows)

    return compute


def ks_statistic(p: Predictions) -> float:
    """Compute the Kolmogorov–Smirnov distance between the probabilities of the positive and of the negative rows.

    With several classes it is the mean over them, each against the rest.
    """
    import numpy as np

    distances = []
    for class_label in (1,) if p.binary else range(p.proba.shape[1]):
        hit_counts, predicted_counts = p.steps(class_label)
        false_alarms = predicted_counts - hit_counts
        if 0 in (hit_counts[-1], false_alarms[-1]):
            return math.nan
        distances.append(float(np.abs(hit_counts / hit_counts[-1] - false_alarms / false_alarms[-1]).max()))
    return float(np.mean(distances))


def _f2_score(p: Predictions) -> float:
    return f2_score(p.confusion)


METRICS = (
    Metric(
        name="f2",
        compute=_f2_score,
        metric_type="decision",
        label="F2",
        influence=influence.influence_of_counts(f2_score),
        is_detail=True,
        description="harmonic mean of precision and recall in which recall counts twice as much (several classes: mean over them)",
    ),
    Metric(
        name="recall_at_precision",
        compute=recall_at_precision(LEAST_PRECISION),
        metric_type="ranking",
        label="Recall at precision 0.5",
        binary_only=True,
        is_detail=True,
        description="the highest recall at any threshold where at least half of the rows predicted positive are",
    ),
    Metric(
        name="precision_at_10",
        compute=precision_at_share(FIRST_SHARE),
        metric_type="ranking",
        label="Precision@10 %",
        binary_only=True,
        is_detail=True,
        description="the share of positives among the tenth of rows ranked first",
    ),
    Metric(
        name="ks",
        compute=ks_statistic,
        metric_type="ranking",
        label="KS",
        is_detail=True,
        description="Kolmogorov–Smirnov statistic: largest gap between the shares of positive and negative rows above a threshold",
    ),
)
