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
    entry_stage = entry.stage
    try:
        inner_result = trainer.score_inner(entry.params, entry.trial)
        stored_configuration = Configuration(entry.trial, entry.params, inner_result.score, inner_result.proba)
        current_result, predictions = refit_and_score(trainer, sealed, entry_stage, stored_configuration)
    except Exception as error:  # noqa: BLE001 -- whatever a fit raises is the outcome of the replay
        return EntryReplay(entry_stage, entry.trial, {}, (), {}, len(stored.test_y), "different", failure(error))
    differences = {
        "test": _probability_difference(stored.test[entry_stage], predictions.proba),
        "inner": _probability_difference(stored.inner[entry_stage], inner_result.proba),
    }
    training_data = trainer.training
    stored_views = _predictions_by_threshold(stored, stored.test[entry_stage], entry.threshold, training_data)
    current_views = _predictions_by_threshold(stored, predictions.proba, current_result.threshold, training_data)
    metric_comparisons: list[MetricComparison] = [
        (INNER_SCORE, entry.inner_score, current_result.inner_score),
        ("threshold", entry.threshold, current_result.threshold),
    ]
    for name, score in entry.train_scores.items():
        metric_comparisons.append((f"{name}, training rows", score, current_result.train_scores.get(name)))
    metric_comparisons += _compare_metrics(stored_views, current_views, training_data.metrics.values())
    changed_rows_by_view = {
        view: int((stored_view.labels != current_views[view].labels).sum())
        for view, stored_view in stored_views.items()
    }
    replay_verdict = "different"
    if _are_replays_identical(differences, metric_comparisons):
        replay_verdict = "same"
    elif tolerance and _are_replays_within_tolerance(
        differences, metric_comparisons, training_data.objective, tolerance
    ):
        replay_verdict = "close"
    return EntryReplay(
        entry_stage,
        entry.trial,
        differences,
        tuple(metric_comparisons),
        changed_rows_by_view,
        len(stored.test_y),
        replay_verdict,
    )


def _predictions_by_threshold(
    stored_predictions: StoredPredictions,
    proba: npt.NDArray[np.float32],
    threshold: float | None,
    training_data: TrainingData,
) -> dict[str, Predictions]:
    """The test predictions with their decisions: at 0.5 and at the entry's threshold, or by the largest probability."""
    costs, weights = training_data.spec.costs, stored_predictions.test_weights
    if threshold is None:
        return {"": Predictions(stored_predictions.test_y, proba, 0.5, costs, weights)}
    return {
        AT_DEFAULT: Predictions(stored_predictions.test_y, proba, 0.5, costs, weights),
        "at the threshold": Predictions(stored_predictions.test_y, proba, threshold, costs, weights),
    }


def _compare_metrics(
    stored_views: Mapping[str, Predictions], current_views: Mapping[str, Predictions], metrics: Iterable[Metric]
) -> list[MetricComparison]:
    """Every metric that is defined for the stored predictions; metrics of decisions once per threshold."""
    metric_comparisons: list[MetricComparison] = []
    for metric in metrics:
        threshold_views = list(stored_views) if metric.metric_type == "decision" else list(stored_views)[:1]
        for threshold_view in threshold_views:
            stored_score = _score_if_defined(metric, stored_views[threshold_view])
            if stored_score is not None:
                name = f"{metric.name} {threshold_view}".rstrip() if metric.metric_type == "decision" else metric.name
                metric_comparisons.append(
                    (name, stored_score, _score_if_defined(metric, current_views[threshold_view]))
                )
    return metric_comparisons


def _score_if_defined(metric: Metric, predictions: Predictions) -> float | None:
    """A metric of predictions; None where it is not defined for them."""
    if (metric.binary_only and not predictions.binary) or (metric.needs_costs and predictions.costs is None):
        return None
    score = float(metric.compute(predictions))
    return None if np.isnan(score) else score


def _probability_difference(
    stored_proba: npt.NDArray[np.float32], current_proba: npt.NDArray[np.float32]
) -> tuple[float, float]:
    """Mean and largest difference of probabilities; a row that only one of them predicted differs by 1."""
    if stored_proba.shape != current_proba.shape:
        return 1.0, 1.0
    if not stored_proba.size:
        return 0.0, 0.0
    difference = np.abs(np.nan_to_num(stored_proba.astype(float)) - np.nan_to_num(current_proba.astype(float)))
    difference[np.isnan(stored_proba) != np.isnan(current_proba)] = 1.0
    return float(difference.mean()), float(difference.max())


def _are_replays_identical(
    differences: Mapping[str, tuple[float, float]], metric_comparisons: Iterable[MetricComparison]
) -> bool:
    """Whether probabilities and scores are equal to the last digit."""
    largest_difference = max(difference for _, difference in differences.values())
    return largest_difference == 0 and all(
        stored_value == current_value for _, stored_value, current_value in metric_comparisons
    )


def _are_replays_within_tolerance(
    differences: Mapping[str, tuple[float, float]],
    metric_comparisons: Iterable[MetricComparison],
    objective: Metric,
    allowed_difference: float,
) -> bool:
    """Whether mean probabilities, the inner score and the objective on the test rows are equal within the tolerance."""
    if any(mean > allowed_difference for mean, _ in differences.values()):
        return False
    # An objective of decisions is compared at the default threshold, at which the search scored it.
    names = (INNER_SCORE, objective.name, f"{objective.name} {AT_DEFAULT}")
    for name, stored_value, current_value in metric_comparisons:
        if name in names and not (
            stored_value is not None
            and current_value is not None
            and abs(stored_value - current_value) <= allowed_difference
        ):
            return False  # NaN is near nothing
    return True
