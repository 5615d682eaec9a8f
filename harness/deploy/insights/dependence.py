"""Partial dependence: how the mean predicted probability changes with the value of one column.

The column is set to one value in all rows and the predictions are averaged (Friedman, Greedy function approximation, 2001).
It is measured on test rows of each outer fold by the model of that fold, so that an interval over folds says how far
another sample of rows could move the curve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.deploy.insights.shapley import PredictProba, format_feature_value
from harness.deploy.schema import Feature
from harness.evaluation.corrected_t import Estimate
from harness.registry.task import Features, take
from harness.report.render.cells import format_share

MAX_CURVE_ROWS = 500  #: test rows of a fold over which partial dependence is averaged
MAX_LEVELS = 12
MIN_EDGES = 4  #: distinct deciles below which the ends of the range are added
SMALL_TURN = 0.1  #: share of the swing up to which steps against the direction of a curve are not described
NO_DIRECTION = "the folds differ too much to say"
NO_CURVE = "–"

#: A fold's model, its test rows and their classes (n,), 0..k-1.
EvaluatedFold: TypeAlias = tuple[PredictProba, Features, npt.NDArray[np.int64]]
#: One number per fold, n_test/n_train → their mean and interval: `harness.evaluation.corrected_t.estimate_mean_with_interval`.
IntervalEstimator: TypeAlias = Callable[[Sequence[float], float], Estimate]


@dataclass(frozen=True)
class CurvePoint:
    """A value of a column, and the mean probability of the positive class with it."""

    number: float | None  #: None for a category
    value_text: str
    mean: float
    ci_half_width: float


@dataclass(frozen=True)
class PartialDependence:
    """Partial dependence of one column; `swing` is the difference of its highest and lowest point, averaged over folds."""

    points: tuple[CurvePoint, ...]
    swing: float
    swing_ci_half_width: float
    lowest: int
    highest: int

    @property
    def swing_margin(self) -> float:
        """Half the width of the swing's interval, 0 if there is none."""
        return float(np.nan_to_num(self.swing_ci_half_width))


def measure_dependence(
    folds: Sequence[EvaluatedFold], feature: Feature, variance_ratio: float, interval: IntervalEstimator
) -> PartialDependence | None:
    """Measure the partial dependence of two-class models on one column.

    Parameters
    ----------
    folds : sequence of EvaluatedFold
        Model and test rows of each outer fold.
    feature : Feature
        The column.
    variance_ratio : float
        Passed to `interval` in place of n_test/n_train. A curve depends on the model more than on the test rows, so its
        interval is that of the grouped jackknife.
    interval : IntervalEstimator
        Computes the mean and the interval over folds.

    Returns
    -------
    PartialDependence or None
        None if the column has only one value.

    References
    ----------
    Friedman (2001), Greedy function approximation: a gradient boosting machine.
    Tukey (1958), Bias and confidence in not quite large samples.
    """
    grid_values = dependence_grid_values(feature)
    if len(grid_values) < 2:
        return None
    means = np.array([_mean_probability_at_values(fold, feature, grid_values) for fold in folds])  # (folds, values)
    points = []
    for grid_value, fold_means in zip(grid_values, means.T.tolist(), strict=True):
        grid_number = None if isinstance(grid_value, str) else float(grid_value)
        mean_estimate = interval(fold_means, variance_ratio)
        value_text = format_feature_value(feature, grid_value)
        points.append(
            CurvePoint(grid_number, value_text, float(mean_estimate.mean), float(mean_estimate.ci_half_width))
        )
    swing_estimate = interval(dependence_swing_per_fold(means), variance_ratio)
    average_probabilities = means.mean(axis=0)
    lowest_point, highest_point = int(average_probabilities.argmin()), int(average_probabilities.argmax())
    return PartialDependence(
        tuple(points), float(swing_estimate.mean), float(swing_estimate.ci_half_width), lowest_point, highest_point
    )


def dependence_grid_values(feature: Feature) -> list[Any]:
    """Return the values at which a column is evaluated: its deciles (with its ends, if these are few) or most frequent levels."""
    if feature.kind == "category":
        return list(feature.levels[:MAX_LEVELS])
    edges = set(feature.edges)
    if len(feature.edges) < MIN_EDGES:
        edges.update(range_end for range_end in (feature.low, feature.high) if range_end is not None)
    return sorted(edges)


def dependence_swing_per_fold(means: npt.NDArray[np.float64]) -> list[float]:
    """Return the difference of the highest and the lowest point in each fold; the two points are chosen on the other folds.

    If they were chosen on all folds, the largest of several differences would be above 0 for a column without effect.

    Parameters
    ----------
    means : (folds, values) array of float
        Mean probabilities.
    """
    if len(means) < 2:
        return np.ptp(means, axis=1).tolist()  # type: ignore[no-any-return]
    fold_swings = []
    for index, fold_means in enumerate(means):
        other_folds = np.delete(means, index, axis=0).mean(axis=0)
        fold_swings.append(float(fold_means[other_folds.argmax()] - fold_means[other_folds.argmin()]))
    return fold_swings


def sample_rows(
    X: Features, y: npt.NDArray[np.int64], max_rows: int, seed: int
) -> tuple[Features, npt.NDArray[np.int64]]:
    """Draw at most `max_rows` rows without replacement, in their order."""
    if len(y) <= max_rows:
        return X, y
    rows = np.sort(np.random.default_rng(seed).choice(len(y), max_rows, replace=False))
    return take(X, rows), y[rows]


def describe_dependence(curve: PartialDependence | None) -> str:
    """Describe in words how the mean probability changes with a column; changes within the interval are not described.

    Parameters
    ----------
    curve : PartialDependence or None
        None for a column whose dependence was not measured.

    Returns
    -------
    str
        Markdown; `NO_CURVE` or `NO_DIRECTION` if there is nothing to describe.
    """
    if curve is None:
        return NO_CURVE
    if not curve.swing - curve.swing_margin > 0:
        return NO_DIRECTION
    high_point, low_point = curve.points[curve.highest], curve.points[curve.lowest]
    if high_point.number is None:
        highest_text = f"{high_point.value_text} ({format_share(high_point.mean)})"
        lowest_text = f"{low_point.value_text} ({format_share(low_point.mean)})"
        return f"highest with {highest_text}, lowest with {lowest_text}"
    return _describe_numeric_curve(curve, high_point, low_point)


def _describe_numeric_curve(curve: PartialDependence, high_point: CurvePoint, low_point: CurvePoint) -> str:
    """Describe a curve over numbers or dates, where one end, or both, can be between the highest and the lowest point."""
    first, last = curve.points[0], curve.points[-1]
    small_rise = max(0.25 * curve.swing, curve.swing_margin)
    ends = f"from {format_share(first.mean)} at {first.value_text} to {format_share(last.mean)} at {last.value_text}"
    if high_point.mean - max(first.mean, last.mean) > small_rise:
        return f"highest in between, {format_share(high_point.mean)} at {high_point.value_text} ({ends})"
    if min(first.mean, last.mean) - low_point.mean > small_rise:
        return f"lowest in between, {format_share(low_point.mean)} at {low_point.value_text} ({ends})"
    if abs(last.mean - first.mean) <= small_rise:
        return f"up and down, from {format_share(low_point.mean)} to {format_share(high_point.mean)}"
    direction_verb = "rises" if last.mean > first.mean else "falls"
    turning_point = _largest_curve_reversal(curve)
    if turning_point is None:
        return f"{direction_verb} {ends}"
    return f"{direction_verb} on the whole, {ends}, but is {format_share(turning_point.mean)} at {turning_point.value_text}"


def _largest_curve_reversal(curve: PartialDependence) -> CurvePoint | None:
    """Point at the end of the largest step against the direction of a curve; None where all are small beside its swing."""
    curve_direction = 1 if curve.points[-1].mean > curve.points[0].mean else -1
    extreme_mean, largest_reversal, turning_point = -np.inf, SMALL_TURN * curve.swing, None
    for point in curve.points:
        extreme_mean = max(extreme_mean, curve_direction * point.mean)
        if extreme_mean - curve_direction * point.mean > largest_reversal:
            largest_reversal, turning_point = extreme_mean - curve_direction * point.mean, point
    return turning_point


def _mean_probability_at_values(
    fold: EvaluatedFold, feature: Feature, grid_values: Sequence[Any]
) -> npt.NDArray[np.float64]:
    """Mean probability of the positive class over a fold's rows, with the column at each value of the grid."""
    predict_proba, X, y = fold
    X, _ = sample_rows(X, y, MAX_CURVE_ROWS, 0)
    repeated_rows = X.iloc[np.tile(np.arange(len(X)), len(grid_values))].reset_index(drop=True)
    grid_codes = np.repeat(np.arange(len(grid_values)), len(X))
    if feature.kind == "category":
        repeated_rows[feature.name] = pd.Categorical.from_codes(
            grid_codes, categories=pd.Index(grid_values, dtype="str")
        )
    else:
        repeated_rows[feature.name] = np.asarray(grid_values, dtype=np.float64)[grid_codes]
    proba = np.asarray(predict_proba(repeated_rows), dtype=np.float64)[:, 1]
    return np.asarray(proba.reshape(len(grid_values), len(X)).mean(axis=1))
