"""One entry fitted again from its record, and held against what is stored of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.errors import failure
from harness.execution.cell import CellData, CellTrainer
from harness.metrics.metric import Metric, Predictions
from harness.registry.task import take
from harness.search.study import Configuration
from harness.store.record import EntryResult, StoredPredictions

INNER, AT_HALF = "inner score", "at 0.5"  #: names of a figure, and of how decisions are made


@dataclass(frozen=True)
class EntryReplay:
    """One entry as it was stored and as it came again.

    `gaps` are the mean and the largest difference of the probabilities, by `test` and `inner`; NaN in one place only counts
    as 1. `figures` hold name, stored value and value now, None where there is none; `moved` says how many test rows are
    decided otherwise at 0.5 and, with two classes, each at its own threshold. `verdict` is `same` (to the last digit),
    `close` (within the tolerance) or `different`.
    """

    stage: str
    trial: int
    gaps: Mapping[str, tuple[float, float]]
    figures: tuple[tuple[str, float | None, float | None], ...]
    moved: Mapping[str, int]
    rows: int
    verdict: str
    reason: str = ""  #: why it could not be fitted again


def refit_entry(
    learner: CellTrainer, material: CellData, outcome: EntryResult, stored: StoredPredictions, tolerance: float
) -> EntryReplay:
    """Compute an entry's inner probabilities again, fit it to all training rows, predict the test rows, and compare.

    To the last digit where `tolerance` is 0. Elsewhere the mean difference of the probabilities, the inner score and the
    objective on the test rows (at 0.5 where it is one of decisions) must be within it: a single row, or another figure of
    decisions, may move by more.
    """
    stage = outcome.stage
    try:
        inner = learner.score_inner(outcome.params, outcome.trial)
        found = Configuration(outcome.trial, outcome.params, inner.score, inner.proba)
        now, proba = learner.refit(stage, found, take(material.table.X, material.fold.test))
    except Exception as error:  # noqa: BLE001 -- whatever a fit raises is what there is to say of it
        return EntryReplay(stage, outcome.trial, {}, (), {}, len(stored.test_y), "different", failure(error))
    gaps = {"test": _gap(stored.test[stage], proba), "inner": _gap(stored.inner[stage], inner.proba)}
    before = _views(stored, stored.test[stage], outcome.threshold, material)
    after = _views(stored, proba, now.threshold, material)
    figures = [
        (INNER, outcome.inner_score, now.inner_score),
        ("threshold", outcome.threshold, now.threshold),
        *(
            (f"{name}, training rows", value, now.train_scores.get(name))
            for name, value in outcome.train_scores.items()
        ),
        *_figures(before, after, material.metrics.values()),
    ]
    moved = {where: int((old.labels != after[where].labels).sum()) for where, old in before.items()}
    exact = not any(largest for _, largest in gaps.values()) and all(a == b for _, a, b in figures)
    near = tolerance and _all_near(gaps, figures, material.objective, tolerance)
    verdict = "same" if exact else "close" if near else "different"
    return EntryReplay(stage, outcome.trial, gaps, tuple(figures), moved, len(stored.test_y), verdict)


def _views(
    stored: StoredPredictions, proba: npt.NDArray[np.float32], threshold: float | None, material: CellData
) -> dict[str, Predictions]:
    """The test predictions as they are decided upon: at 0.5 and at the entry's threshold, or by the largest probability."""
    costs = material.recipe.costs
    if threshold is None:
        return {"": Predictions(stored.test_y, proba, 0.5, costs)}
    return {
        AT_HALF: Predictions(stored.test_y, proba, 0.5, costs),
        "at the threshold": Predictions(stored.test_y, proba, threshold, costs),
    }


def _figures(
    before: Mapping[str, Predictions], after: Mapping[str, Predictions], metrics: Iterable[Metric]
) -> Iterator[tuple[str, float | None, float | None]]:
    """Every metric that is defined, then and now; those of decisions once per threshold."""
    for metric in metrics:
        for where in before if metric.metric_type == "decision" else list(before)[:1]:
            if (value := _value(metric, before[where])) is not None:
                name = f"{metric.name} {where}".rstrip() if metric.metric_type == "decision" else metric.name
                yield name, value, _value(metric, after[where])


def _gap(before: npt.NDArray[np.float32], now: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Mean and largest difference of probabilities; a row that only one of them predicted differs by 1."""
    if before.shape != now.shape:
        return 1.0, 1.0
    one_only = np.isnan(before) != np.isnan(now)
    difference = np.abs(np.nan_to_num(before.astype(float)) - np.nan_to_num(now.astype(float)))
    difference[one_only] = 1.0
    return (float(difference.mean()), float(difference.max())) if difference.size else (0.0, 0.0)


def _all_near(
    gaps: Mapping[str, tuple[float, float]],
    figures: Iterable[tuple[str, float | None, float | None]],
    objective: Metric,
    tolerance: float,
) -> bool:
    """Whether mean probabilities, the inner score and the objective on the test rows came again within the tolerance."""
    asked = (
        INNER,
        objective.name,
        f"{objective.name} {AT_HALF}",
    )  # the last of decisions, as the search looked at them
    scores = [(before, now) for name, before, now in figures if name in asked]
    return all(mean <= tolerance for mean, _ in gaps.values()) and all(_near(a, b, tolerance) for a, b in scores)


def _near(one: float | None, other: float | None, tolerance: float) -> bool:
    return one is not None and other is not None and abs(one - other) <= tolerance


def _value(metric: Metric, predictions: Predictions) -> float | None:
    """A metric of some predictions; None where it is not defined for them."""
    if (metric.binary_only and not predictions.binary) or (metric.needs_costs and predictions.costs is None):
        return None
    value = float(metric.compute(predictions))
    return None if np.isnan(value) else value
