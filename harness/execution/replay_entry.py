"""One entry fitted again from its record and compared with what is stored of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from harness.errors import failure
from harness.execution.cell import refit_and_score
from harness.execution.sealed_test import SealedTest
from harness.execution.trainer import CellTrainer, TrainingData
from harness.metrics.metric import Metric, Predictions
from harness.search.study import Configuration
from harness.store.record import EntryResult, StoredPredictions

#: Names in a comparison: the score on inner folds, and decisions at the default threshold.
INNER_SCORE, AT_DEFAULT = "inner score", "at 0.5"
#: Name, stored value and current value, None where it is not defined.
MetricComparison: TypeAlias = tuple[str, float | None, float | None]


@dataclass(frozen=True)
class EntryReplay:
    """One entry as it is stored and as it was computed again.

    `probability_differences` are the mean and the largest difference of the probabilities, by `test` and `inner`; a NaN in one
    of them only counts as 1. `metric_values` hold name, stored value and current value. `changed_decisions` is the number of
    test rows whose predicted class changed at 0.5 and, with two classes, each at its own threshold. `verdict` is `same` (to the
    last digit), `close` (within the tolerance) or `different`.
    """

    stage: str
    trial: int
    probability_differences: Mapping[str, tuple[float, float]]
    metric_values: tuple[MetricComparison, ...]
    changed_decisions: Mapping[str, int]
    rows: int
    verdict: str
    reason: str = ""  #: why it could not be fitted again


def refit_entry(
    trainer: CellTrainer, sealed: SealedTest, entry: EntryResult, stored: StoredPredictions, tolerance: float
) -> EntryReplay:
    """Compute the inner probabilities of an entry again, fit it to all training rows, predict the test rows, and compare.

    Parameters
    ----------
    trainer : CellTrainer
        The training rows of the cell.
    sealed : SealedTest
        Its test rows.
    entry : EntryResult
        The stored entry.
    stored : StoredPredictions
        The stored predictions of the cell.
    tolerance : float
        0 for equality to the last digit. Otherwise the mean difference of the probabilities, the inner score and the objective
        on the test rows (at 0.5 where it is a metric of decisions) must be within it; a single row, or another metric of
        decisions, may differ by more.

    Returns
    -------
    EntryReplay
        The comparison; a fit that fails is `different`, with the reason.
    """
    stage = entry.stage
    try:
        inner = trainer.score_inner(entry.params, entry.trial)
        configuration = Configuration(entry.trial, entry.params, inner.score, inner.proba)
        current, predictions = refit_and_score(trainer, sealed, stage, configuration)
    except Exception as error:  # noqa: BLE001 -- whatever a fit raises is the outcome of the replay
        return EntryReplay(stage, entry.trial, {}, (), {}, len(stored.test_y), "different", failure(error))
    differences = {
        "test": _probability_difference(stored.test[stage], predictions.proba),
        "inner": _probability_difference(stored.inner[stage], inner.proba),
    }
    training = trainer.training
    stored_views = _predictions_by_threshold(stored, stored.test[stage], entry.threshold, training)
    current_views = _predictions_by_threshold(stored, predictions.proba, current.threshold, training)
    comparisons: list[MetricComparison] = [
        (INNER_SCORE, entry.inner_score, current.inner_score),
        ("threshold", entry.threshold, current.threshold),
    ]
    for name, score in entry.train_scores.items():
        comparisons.append((f"{name}, training rows", score, current.train_scores.get(name)))
    comparisons += _compare_metrics(stored_views, current_views, training.metrics.values())
    changed = {view: int((old.labels != current_views[view].labels).sum()) for view, old in stored_views.items()}
    verdict = "different"
    if _are_replays_identical(differences, comparisons):
        verdict = "same"
    elif tolerance and _are_replays_within_tolerance(differences, comparisons, training.objective, tolerance):
        verdict = "close"
    return EntryReplay(stage, entry.trial, differences, tuple(comparisons), changed, len(stored.test_y), verdict)


def _predictions_by_threshold(
    stored: StoredPredictions, proba: npt.NDArray[np.float32], threshold: float | None, training: TrainingData
) -> dict[str, Predictions]:
    """The test predictions with their decisions: at 0.5 and at the entry's threshold, or by the largest probability."""
    costs, weights = training.spec.costs, stored.test_weights
    if threshold is None:
        return {"": Predictions(stored.test_y, proba, 0.5, costs, weights)}
    return {
        AT_DEFAULT: Predictions(stored.test_y, proba, 0.5, costs, weights),
        "at the threshold": Predictions(stored.test_y, proba, threshold, costs, weights),
    }


def _compare_metrics(
    stored: Mapping[str, Predictions], current: Mapping[str, Predictions], metrics: Iterable[Metric]
) -> list[MetricComparison]:
    """Every metric that is defined for the stored predictions; metrics of decisions once per threshold."""
    comparisons: list[MetricComparison] = []
    for metric in metrics:
        views = list(stored) if metric.metric_type == "decision" else list(stored)[:1]
        for view in views:
            stored_score = _score_if_defined(metric, stored[view])
            if stored_score is not None:
                name = f"{metric.name} {view}".rstrip() if metric.metric_type == "decision" else metric.name
                comparisons.append((name, stored_score, _score_if_defined(metric, current[view])))
    return comparisons


def _score_if_defined(metric: Metric, predictions: Predictions) -> float | None:
    """A metric of predictions; None where it is not defined for them."""
    if (metric.binary_only and not predictions.binary) or (metric.needs_costs and predictions.costs is None):
        return None
    score = float(metric.compute(predictions))
    return None if np.isnan(score) else score


def _probability_difference(stored: npt.NDArray[np.float32], current: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Mean and largest difference of probabilities; a row that only one of them predicted differs by 1."""
    if stored.shape != current.shape:
        return 1.0, 1.0
    if not stored.size:
        return 0.0, 0.0
    difference = np.abs(np.nan_to_num(stored.astype(float)) - np.nan_to_num(current.astype(float)))
    difference[np.isnan(stored) != np.isnan(current)] = 1.0
    return float(difference.mean()), float(difference.max())


def _are_replays_identical(
    differences: Mapping[str, tuple[float, float]], comparisons: Iterable[MetricComparison]
) -> bool:
    """Whether probabilities and scores are equal to the last digit."""
    largest = max(difference for _, difference in differences.values())
    return largest == 0 and all(stored == current for _, stored, current in comparisons)


def _are_replays_within_tolerance(
    differences: Mapping[str, tuple[float, float]],
    comparisons: Iterable[MetricComparison],
    objective: Metric,
    tolerance: float,
) -> bool:
    """Whether mean probabilities, the inner score and the objective on the test rows are equal within the tolerance."""
    if any(mean > tolerance for mean, _ in differences.values()):
        return False
    # An objective of decisions is compared at the default threshold, at which the search scored it.
    names = (INNER_SCORE, objective.name, f"{objective.name} {AT_DEFAULT}")
    for name, stored, current in comparisons:
        if name in names and not (stored is not None and current is not None and abs(stored - current) <= tolerance):
            return False  # NaN is near nothing
    return True
