"""Values of metrics computed from predictions, cached under `<run>/derived/` so that each is computed once.

One file serves a whole run. Its keys are what a value depends on: the hash of the predictions, the stage, the calibration
(for an ensemble those of its members), the costs where the task has some and, for decisions, the threshold. Under each are
`<metric>@<version>` and the confusion matrix, or a calibrator's threshold and an ensemble's weights. If the file is deleted or
damaged, its content is computed again.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.errors import EvenhandError, failure
from harness.metrics.metric import DEFAULT_CUT, CostMatrix, Metric, Predictions
from harness.store.files import write_atomic
from harness.store.record import Record, StoredPredictions
from harness.store.store import Store

MetricCache: TypeAlias = dict[str, dict[str, Any]]
PredictionReader: TypeAlias = Callable[[Record], StoredPredictions]
LabelsAndProba: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float64] | None]

CONFUSION_COLUMN = "confusion"
DEFAULT_THRESHOLD, TUNED_THRESHOLD = "half", "tuned"  #: the kinds of threshold, as they are written to tables


class MetricError(EvenhandError):
    """A metric that raised an error: it has no value for these predictions."""


@dataclass(frozen=True)
class MetricValues:
    """The metrics of one set of predictions at one threshold, and counts (k, k), truth × prediction.

    The value of a metric that raised an error is NaN; `metric_failures` has the message by the name of the metric.
    """

    threshold: float | None
    values: Mapping[str, float]
    confusion: npt.NDArray[Any]
    metric_failures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ScoredPredictions:
    """Predictions of test rows: the key of their cached values, a label for messages, the thresholds by kind.

    `load` returns the labels (n,) and probabilities (n, k); it is called only where a value is missing.
    """

    key: str
    label: str
    thresholds: Mapping[str, float | None]
    costs: CostMatrix
    load: Callable[[], LabelsAndProba]


@dataclass(frozen=True)
class MetricRequest:
    """The metrics to compute by the name of their cached values: those of probabilities, and those of decisions."""

    probability_metrics: dict[str, Metric]
    decision_metrics: dict[str, Metric]

    @classmethod
    def from_metrics(cls, metrics: Mapping[str, Metric]) -> MetricRequest:
        """Sort metrics by type; the version is part of the name, so that values of another version are not used."""
        probability_metrics: dict[str, Metric] = {}
        decision_metrics: dict[str, Metric] = {}
        for metric in metrics.values():
            metrics_of_type = decision_metrics if metric.metric_type == "decision" else probability_metrics
            metrics_of_type[f"{metric.name}@{metric.version}"] = metric
        return cls(probability_metrics, decision_metrics)


def score_cell_entries(
    record: Record, classes: int, costs: CostMatrix, read: PredictionReader, request: MetricRequest, cached: MetricCache
) -> tuple[dict[tuple[str, str], MetricValues], MetricCache]:
    """Score the entries of a cell.

    Parameters
    ----------
    record : Record
        The cell.
    classes : int
        Number of classes.
    costs : tuple of tuple of float or None
        ``costs[true][predicted]``.
    read : callable
        Reads the predictions of a record; called only where a value is missing.
    request : MetricRequest
        The metrics.
    cached : dict
        Values that were computed earlier.

    Returns
    -------
    dict, dict
        The values by stage and kind of threshold, and the part of the cache that holds them.

    Raises
    ------
    StoreError
        If predictions do not match the checksum of their record.
    """
    used_cache = MetricCache()
    metric_values: dict[tuple[str, str], MetricValues] = {}
    for entry_outcome in record.outcomes:

        def load_predictions(stage: str = entry_outcome.stage) -> LabelsAndProba:
            stored_predictions = read(record)
            return stored_predictions.test_y, stored_predictions.test[stage], stored_predictions.test_weights

        key = f"{record.predictions_sha256}/{entry_outcome.stage}"
        thresholds = thresholds_by_kind(classes, entry_outcome.threshold)
        predictions = ScoredPredictions(key, cell_label(record), thresholds, costs, load_predictions)
        values_by_kind, rows = score_predictions(predictions, request, cached)
        for threshold_kind, threshold_values in values_by_kind.items():
            metric_values[entry_outcome.stage, threshold_kind] = threshold_values
        used_cache |= rows
    return metric_values, used_cache


def score_predictions(
    scored: ScoredPredictions, request: MetricRequest, cached: MetricCache
) -> tuple[dict[str, MetricValues], MetricCache]:
    """Score one set of predictions; a metric that fails has no value there, and is not cached.

    Parameters
    ----------
    scored : ScoredPredictions
        The predictions. What their `load` raises is not caught.
    request : MetricRequest
        The metrics.
    cached : dict
        Values that were computed earlier.

    Returns
    -------
    dict, dict
        The values by kind of threshold, and the part of the cache that holds them.
    """
    load = cache(scored.load)

    def predictions_at_threshold(threshold: float | None) -> Predictions:
        y, proba, weights = load()
        return Predictions(y, proba, threshold, scored.costs, weights)

    key = f"{scored.key}/{scored.costs}" if scored.costs else scored.key
    metrics = request.probability_metrics
    cached_values, undefined_values = _compute_absent_values(
        cached.get(key, {}), metrics, scored.label, partial(predictions_at_threshold, None)
    )
    used_cache, values_by_kind = {key: cached_values}, {}
    probability_values = {metric.name: cached_values.get(column, math.nan) for column, metric in metrics.items()}
    for threshold_kind, threshold in scored.thresholds.items():
        key = f"{scored.key}/{threshold}/{scored.costs or ''}"
        metrics = request.decision_metrics
        cached_values, metric_failures = _compute_absent_decisions(
            cached.get(key, {}), metrics, scored.label, partial(predictions_at_threshold, threshold)
        )
        used_cache[key] = cached_values
        decision_values = {metric.name: cached_values.get(column, math.nan) for column, metric in metrics.items()}
        confusion = _restore_counts(cached_values[CONFUSION_COLUMN])
        all_values = probability_values | decision_values
        values_by_kind[threshold_kind] = MetricValues(
            threshold, all_values, confusion, undefined_values | metric_failures
        )
    return values_by_kind, used_cache


def cell_label(record: Record) -> str:
    """Format task, family and strategy of a cell for messages."""
    return f"{record.task}/{record.family}/{record.strategy}"


def thresholds_by_kind(classes: int, tuned: float | None) -> dict[str, float | None]:
    """List the thresholds of predictions by kind; with several classes only the most probable one is predicted.

    There is no tuned threshold where `tuned` is None.
    """
    if classes != 2:
        return {DEFAULT_THRESHOLD: None}
    if tuned is None:
        return {DEFAULT_THRESHOLD: DEFAULT_CUT}
    return {DEFAULT_THRESHOLD: DEFAULT_CUT, TUNED_THRESHOLD: tuned}


def read_cache(store: Store, name: str = "metrics") -> MetricCache:
    """Read a cache; empty where the file does not exist or does not match its checksum."""
    try:
        digest, _, cache_body = _cache_file(store, name).read_bytes().partition(b"\n")
    except OSError:
        return {}
    cached_values: MetricCache = json.loads(cache_body) if digest == _cache_body_digest(cache_body) else {}
    return cached_values


def write_cache(store: Store, cached: MetricCache, name: str = "metrics") -> None:
    """Write a cache, below a line with its checksum."""
    cache_body = json.dumps(cached, separators=(",", ":")).encode()
    write_atomic(_cache_file(store, name), _cache_body_digest(cache_body) + b"\n" + cache_body)


def _restore_counts(confusion: Any) -> npt.NDArray[Any]:
    """A confusion matrix: whole numbers, unless rows have weights that are none."""
    counts: npt.NDArray[Any] = np.asarray(confusion)
    whole: npt.NDArray[Any] = np.rint(counts)
    if (whole == counts).all():
        return whole.astype(np.int64)
    return counts


def _compute_absent_values(
    cached_values: dict[str, Any],
    metrics: Mapping[str, Metric],
    prediction_label: str,
    load_predictions: Callable[[], Predictions],
) -> tuple[dict[str, Any], dict[str, str]]:
    """Compute the values that a cached row lacks.

    Returns the row without values of metrics or versions that are not requested, and the messages of the metrics that
    failed, which have no value in it.
    """
    if cached_values.keys() == metrics.keys():
        return cached_values, {}
    if cached_values.keys() >= metrics.keys():
        return {column: cached_values[column] for column in metrics}, {}
    scored_rows = load_predictions()
    completed_values: dict[str, Any] = {}
    metric_failures: dict[str, str] = {}
    for column, metric in metrics.items():
        if column in cached_values:
            completed_values[column] = cached_values[column]
            continue
        try:
            completed_values[column] = compute_metric(metric, scored_rows, prediction_label)
        except MetricError as error:
            metric_failures[metric.name] = str(error)
    return completed_values, metric_failures


def _compute_absent_decisions(
    cached_values: dict[str, Any],
    metrics: Mapping[str, Metric],
    prediction_label: str,
    load_predictions: Callable[[], Predictions],
) -> tuple[dict[str, Any], dict[str, str]]:
    """The same with the confusion matrix."""
    if CONFUSION_COLUMN in cached_values and cached_values.keys() - {CONFUSION_COLUMN} == metrics.keys():
        return cached_values, {}
    load_predictions = cache(load_predictions)
    confusion_counts = cached_values.get(CONFUSION_COLUMN) or load_predictions().confusion.tolist()
    values_of_metrics = {
        column: metric_value for column, metric_value in cached_values.items() if column != CONFUSION_COLUMN
    }
    completed_values, metric_failures = _compute_absent_values(
        values_of_metrics, metrics, prediction_label, load_predictions
    )
    return completed_values | {CONFUSION_COLUMN: confusion_counts}, metric_failures


def compute_metric(metric: Metric, predictions: Predictions, label: str) -> float:
    """Compute a metric.

    Parameters
    ----------
    metric : Metric
        The metric.
    predictions : Predictions
        What it is computed from.
    label : str
        Names the predictions in the message of an error.

    Returns
    -------
    float
        NaN where the metric does not apply.

    Raises
    ------
    MetricError
        If the metric fails.
    """
    if (metric.binary_only and not predictions.binary) or (metric.needs_costs and predictions.costs is None):
        return float("nan")
    try:
        return float(metric.compute(predictions))
    except Exception as error:  # the metric of a plug-in is foreign code: its error is shown to the user in one line
        raise MetricError(f"metric {metric.name!r} fails on {label}: {failure(error)}") from error


def _cache_body_digest(cache_body: bytes) -> bytes:
    return hashlib.sha256(cache_body).hexdigest().encode()


def _cache_file(store: Store, cache_name: str) -> Path:
    return store.folder / "derived" / cache_name
