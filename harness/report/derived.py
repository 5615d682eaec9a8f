"""Figures computed from predictions, kept under `<run>/derived/` so that each is computed once.

One file serves a whole run. Its keys are what a figure depends on: the hash of the predictions, the stage and, for
decisions, the threshold and the costs; below each stand `<metric>@<version>` and the confusion matrix. Deleting the
file, or breaking it, costs the time to compute it again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.declare.metric import Metric, Predictions
from harness.errors import EvenhandError
from harness.store.record import Outcome, Record
from harness.store.store import Store, write_atomic

Costs: TypeAlias = tuple[tuple[float, ...], ...] | None
Kept: TypeAlias = dict[str, dict[str, Any]]

CONFUSION = "confusion"
HALF, TUNED = "half", "tuned"


@dataclass(frozen=True)
class Figures:
    """What one entry scored in one cell at one threshold: a value per metric, and counts (k, k), truth × decision."""

    threshold: float | None
    values: Mapping[str, float]
    confusion: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Views:
    """Whose figures are asked for: a cell, its number of classes, its costs."""

    record: Record
    classes: int
    costs: Costs


def derive(
    store: Store, views: Views, metrics: Mapping[str, Metric], kept: Kept
) -> tuple[dict[tuple[str, str], Figures], Kept]:
    """The figures of a cell by stage and threshold kind, and the part of `kept` that it needed, completed.

    Predictions are read only where a figure is missing. Raises `StoreError` where they are not what the record vouches
    for, `EvenhandError` where a metric fails on them.
    """
    read = cache(lambda: store.predictions(views.record))
    used: Kept = {}
    figures = {}
    for outcome in views.record.outcomes:
        for kind, threshold in thresholds(outcome, views.classes).items():

            def predictions(stage: str = outcome.stage, threshold: float | None = threshold) -> Predictions:
                return Predictions(read().test_y, read().test[stage], threshold, views.costs)

            whole = f"{views.record.predictions_sha256}/{outcome.stage}"
            decided = f"{whole}/{threshold}/{views.costs or ''}"
            if whole not in used:
                ranked = [metric for metric in metrics.values() if metric.face != "decision"]
                used[whole] = _completed(kept.get(whole, {}), ranked, views.record, predictions)
            decisive = [metric for metric in metrics.values() if metric.face == "decision"]
            used[decided] = _completed(kept.get(decided, {}), decisive, views.record, predictions, with_confusion=True)
            figures[outcome.stage, kind] = _figures(threshold, used[whole] | used[decided], metrics)
    return figures, used


def thresholds(outcome: Outcome, classes: int) -> dict[str, float | None]:
    """The decision thresholds of an outcome by kind; with several classes there is only "the most probable"."""
    if classes != 2:
        return {HALF: None}
    halves: dict[str, float | None] = {HALF: 0.5}
    return halves if outcome.threshold is None else halves | {TUNED: outcome.threshold}


def read_kept(store: Store, name: str = "metrics") -> Kept:
    """What was kept before under this name; nothing where the file is not there or is not as it was written."""
    try:
        digest, _, body = _file(store, name).read_bytes().partition(b"\n")
    except OSError:
        return {}
    kept: Kept = json.loads(body) if digest == _digest(body) else {}
    return kept


def write_kept(store: Store, kept: Kept, name: str = "metrics") -> None:
    """Keep these figures for the next time, below a line that vouches for them."""
    body = json.dumps(kept, separators=(",", ":")).encode()
    write_atomic(_file(store, name), _digest(body) + b"\n" + body)


def _completed(
    row: dict[str, Any],
    metrics: list[Metric],
    record: Record,
    predictions: Callable[[], Predictions],
    *,
    with_confusion: bool = False,
) -> dict[str, Any]:
    """The row with what it lacked; figures of metrics or versions that nobody asks for any more fall out."""
    missing = [m for m in metrics if _column(m) not in row]
    if not missing and (CONFUSION in row or not with_confusion):
        return {name: row[name] for name in [*map(_column, metrics), *([CONFUSION] if with_confusion else [])]}
    seen = predictions()
    fresh = {_column(m): _compute(m, seen, record) for m in missing}
    known = {_column(m): fresh.get(_column(m), row.get(_column(m))) for m in metrics}
    return known | ({CONFUSION: seen.confusion.tolist()} if with_confusion else {})


def _compute(metric: Metric, predictions: Predictions, record: Record) -> float:
    if (metric.binary_only and not predictions.binary) or (metric.needs_costs and predictions.costs is None):
        return float("nan")
    try:
        return float(metric.compute(predictions))
    except (
        Exception
    ) as error:  # a plugin's metric is foreign code: whatever it raises is the user's to read, in one line
        where = f"{record.task}/{record.family}/{record.strategy}"
        raise EvenhandError(f"metric {metric.name!r} fails on {where}: {type(error).__name__}: {error}") from error


def _figures(threshold: float | None, row: dict[str, Any], metrics: Mapping[str, Metric]) -> Figures:
    values = {name: row[_column(metric)] for name, metric in metrics.items()}
    return Figures(threshold, values, np.asarray(row[CONFUSION], dtype=np.int64))


def _column(metric: Metric) -> str:
    return f"{metric.name}@{metric.version}"


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def _file(store: Store, name: str) -> Path:
    return store.folder / "derived" / name
