"""Figures computed from predictions, kept under `<run>/derived/` so that each is computed once.

One file serves a whole run. Its keys are what a figure depends on: the hash of the predictions, the stage, the calibration
(for an ensemble those of its members), the costs where the task has some and, for decisions, the threshold; below each stand
`<metric>@<version>` and the confusion matrix, or what a calibrator's threshold and an ensemble's weights are. Deleting the
file, or breaking it, costs the time to compute it again.
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
from harness.metrics.metric import Metric, Predictions
from harness.store.record import EntryResult, Record, StoredPredictions
from harness.store.files import write_atomic
from harness.store.store import Store

Costs: TypeAlias = tuple[tuple[float, ...], ...] | None
MetricCache: TypeAlias = dict[str, dict[str, Any]]

CONFUSION = "confusion"
DEFAULT_THRESHOLD, TUNED_THRESHOLD = "half", "tuned"


@dataclass(frozen=True)
class Figures:
    """What one entry scored in one cell at one threshold: a value per metric, and counts (k, k), truth × decision.

    The value of a metric that raised an error is NaN; `metric_failures` has the message by the name of the metric.
    """

    threshold: float | None
    values: Mapping[str, float]
    confusion: npt.NDArray[np.int64]
    metric_failures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Views:
    """Whose figures are asked for: a cell, its number of classes, its costs."""

    record: Record
    classes: int
    costs: Costs


@dataclass(frozen=True)
class ScoredPredictions:
    """What was said of test rows: the key under which its figures are kept, who said it, and the thresholds by kind.

    `seen` gives the labels (n,) and probabilities (n, k); it is called only where a figure is missing.
    """

    key: str
    who: str
    thresholds: Mapping[str, float | None]
    costs: Costs
    seen: Callable[[], tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]


@dataclass(frozen=True)
class MetricRequest:
    """The metrics that are asked for by the name under which they are kept: those of probabilities, those of decisions."""

    whole: dict[str, Metric]
    decisive: dict[str, Metric]

    @classmethod
    def of(cls, metrics: Mapping[str, Metric]) -> MetricRequest:
        """Metrics by name, sorted by what they look at; figures of another version are not those asked for."""
        columns = {f"{metric.name}@{metric.version}": metric for metric in metrics.values()}
        decisive = {column for column, metric in columns.items() if metric.metric_type == "decision"}
        return cls(
            {column: metric for column, metric in columns.items() if column not in decisive},
            {column: metric for column, metric in columns.items() if column in decisive},
        )


def derive(
    views: Views, read: Callable[[Record], StoredPredictions], asked: MetricRequest, kept: MetricCache
) -> tuple[dict[tuple[str, str], Figures], MetricCache]:
    """The figures of a cell by stage and threshold kind, and the part of `kept` that it needed, completed.

    Predictions are read only where a figure is missing. Raises `StoreError` where they are not what the record vouches
    for.
    """
    record, used = views.record, MetricCache()
    figures: dict[tuple[str, str], Figures] = {}
    for outcome in record.outcomes:

        def seen(stage: str = outcome.stage) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
            found = read(record)
            return found.test_y, found.test[stage]

        key = f"{record.predictions_sha256}/{outcome.stage}"
        said = ScoredPredictions(key, called(record), thresholds(outcome, views.classes), views.costs, seen)
        found, parts = judge(said, asked, kept)
        figures |= {(outcome.stage, kind): one for kind, one in found.items()}
        used |= parts
    return figures, used


def judge(said: ScoredPredictions, asked: MetricRequest, kept: MetricCache) -> tuple[dict[str, Figures], MetricCache]:
    """The figures of one set of probabilities by threshold kind, and the part of `kept` that they needed, completed.

    A metric that fails on them has no value there, and nothing is kept of it. Raises whatever `said.seen` raises.
    """
    seen = cache(said.seen)

    def predictions(threshold: float | None) -> Predictions:
        return Predictions(*seen(), threshold, said.costs)

    of_all = f"{said.key}/{said.costs}" if said.costs else said.key
    whole, undefined = _completed(kept.get(of_all, {}), asked.whole, said.who, partial(predictions, None))
    used, figures = {of_all: whole}, {}
    values = {metric.name: whole.get(column, math.nan) for column, metric in asked.whole.items()}
    for kind, threshold in said.thresholds.items():
        key = f"{said.key}/{threshold}/{said.costs or ''}"
        row, failures = _decided(kept.get(key, {}), asked.decisive, said.who, partial(predictions, threshold))
        decisions = {metric.name: row.get(column, math.nan) for column, metric in asked.decisive.items()}
        used[key] = row
        confusion = np.asarray(row[CONFUSION], dtype=np.int64)
        figures[kind] = Figures(threshold, values | decisions, confusion, undefined | failures)
    return figures, used


def called(record: Record) -> str:
    """How a cell's family and strategy are named in messages."""
    return f"{record.task}/{record.family}/{record.strategy}"


def thresholds(outcome: EntryResult, classes: int) -> dict[str, float | None]:
    """The decision thresholds of an outcome by kind; with several classes there is only "the most probable"."""
    if classes != 2:
        return {DEFAULT_THRESHOLD: None}
    halves: dict[str, float | None] = {DEFAULT_THRESHOLD: 0.5}
    return halves if outcome.threshold is None else halves | {TUNED_THRESHOLD: outcome.threshold}


def read_kept(store: Store, name: str = "metrics") -> MetricCache:
    """What was kept before under this name; nothing where the file is not there or is not as it was written."""
    try:
        digest, _, body = _file(store, name).read_bytes().partition(b"\n")
    except OSError:
        return {}
    kept: MetricCache = json.loads(body) if digest == _digest(body) else {}
    return kept


def write_kept(store: Store, kept: MetricCache, name: str = "metrics") -> None:
    """Keep these figures for the next time, below a line that vouches for them."""
    body = json.dumps(kept, separators=(",", ":")).encode()
    write_atomic(_file(store, name), _digest(body) + b"\n" + body)


def _completed(
    row: dict[str, Any], asked: Mapping[str, Metric], who: str, predictions: Callable[[], Predictions]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The row with what it lacked, and the messages of the metrics that failed, which stay missing in it.

    Figures of metrics or versions that nobody asks for any more fall out.
    """
    if row.keys() == asked.keys():
        return row, {}
    if row.keys() >= asked.keys():
        return {column: row[column] for column in asked}, {}
    scored_rows = predictions()
    completed: dict[str, Any] = {}
    failures: dict[str, str] = {}
    for column, metric in asked.items():
        if column in row:
            completed[column] = row[column]
            continue
        try:
            completed[column] = compute_metric(metric, scored_rows, who)
        except MetricError as error:
            failures[metric.name] = str(error)
    return completed, failures


def _decided(
    row: dict[str, Any], asked: Mapping[str, Metric], who: str, predictions: Callable[[], Predictions]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The same with the confusion matrix."""
    if CONFUSION in row and row.keys() - {CONFUSION} == asked.keys():
        return row, {}
    predictions = cache(predictions)
    counts = row.get(CONFUSION) or predictions().confusion.tolist()
    figures = {column: value for column, value in row.items() if column != CONFUSION}
    completed, failures = _completed(figures, asked, who, predictions)
    return completed | {CONFUSION: counts}, failures


class MetricError(EvenhandError):
    """A metric that raised an error: it has no value for these predictions."""


def compute_metric(metric: Metric, predictions: Predictions, who: str) -> float:
    """The value of a metric, NaN where it does not apply; raises `MetricError` where it fails."""
    if (metric.binary_only and not predictions.binary) or (metric.needs_costs and predictions.costs is None):
        return float("nan")
    try:
        return float(metric.compute(predictions))
    except (
        Exception
    ) as error:  # a plugin's metric is foreign code: whatever it raises is the user's to read, in one line
        raise MetricError(f"metric {metric.name!r} fails on {who}: {failure(error)}") from error


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def _file(store: Store, name: str) -> Path:
    return store.folder / "derived" / name
