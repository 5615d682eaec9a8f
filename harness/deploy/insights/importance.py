"""What the model goes by: how much worse it gets without a column, and how its answer moves with it.

Both are measured on rows that the models at hand had not learnt from, one model per outer fold, so that an interval over
folds says how far another sample of rows could move them.

How much worse: permutation importance (Breiman, Random forests, 2001), the loss of a metric when a column's values are
shuffled among the rows. Columns that say the same stand in for each other, so those that go together are also shuffled
together. How it moves: partial dependence (Friedman, Greedy function approximation, 2001), the mean probability when a
column is set to one value in all rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.deploy.insights.column_groups import groups_of
from harness.deploy.insights.markdown import percent
from harness.deploy.insights.shapley import Predict, written
from harness.deploy.markdown import text
from harness.metrics.metric import Metric, Predictions
from harness.registry.task import Features, take
from harness.seeding import seed_of

if TYPE_CHECKING:
    from harness.deploy.schema import Feature, Schema


REPEATS = 5  #: times that a column is shuffled in each fold
MOST_ROWS = 4000  #: test rows of a fold that are shuffled; more make it slower and hardly surer
CURVE_ROWS = 500  #: test rows of a fold over which partial dependence is a mean
CURVES = 12  #: columns of which partial dependence is measured, the most important ones
MOST_LEVELS = 12
FEW = 4  #: deciles that differ, below which the ends of the range are looked at too

#: A fold's model, its test rows and their classes (n,), 0..k-1.
Fold: TypeAlias = tuple[Predict, Features, npt.NDArray[np.int64]]


class Estimated(Protocol):
    """A mean over folds and half the width of its 95 % interval, NaN where there is none."""

    @property
    def mean(self) -> float: ...  # noqa: D102
    @property
    def half(self) -> float: ...  # noqa: D102


#: One figure per fold, n_test/n_train → its mean and interval: `harness.evaluation.significance.estimate`.
Interval: TypeAlias = Callable[[Sequence[float], float], Estimated]


@dataclass(frozen=True)
class Point:
    """One value of a column and the mean probability of the positive class with it; `half` as in `Estimated`.

    `at` is the number, None of a category; `shown` is how the value is written.
    """

    at: float | None
    shown: str
    mean: float
    half: float


@dataclass(frozen=True)
class Curve:
    """Partial dependence of one column; `swing` is what lies between its highest and its lowest point, fold by fold."""

    points: tuple[Point, ...]
    swing: float
    swing_half: float
    lowest: int
    highest: int


@dataclass(frozen=True)
class Driver:
    """A column, or several that go together: what the metric loses without it (or them), and its curve where measured."""

    columns: tuple[str, ...]
    loss: float
    half: float
    curve: Curve | None = None

    @property
    def clear(self) -> bool:
        """Whether the interval lies above 0."""
        return self.loss - self.half > 0


@dataclass(frozen=True)
class Drivers:
    """Every column by what is lost without it, greatest first; `together` the groups of columns that say much the same."""

    metric: str  #: its name
    label: str
    score: float  #: mean of the metric over folds, nothing shuffled
    folds: int
    rows: int  #: test rows in all
    columns: tuple[Driver, ...]
    together: tuple[Driver, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values for `drivers.json`; what is not a number is None."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def measure(
    folds: Sequence[Fold], schema: Schema, metric: Metric, ratio: float, interval: Interval, seed: int
) -> Drivers:
    """Measure the drivers of a table's models, one per outer fold.

    `metric` is computed from classes and probabilities (decisions at 0.5, no costs). `ratio` is n_test/n_train of the
    folds, for `interval`. Curves are those of the positive class of two; of several classes there are none.
    """
    names = [one.name for one in schema.features]
    groups = groups_of([X for _, X, _ in folds])
    asked = [(name,) for name in names] + groups
    scores, losses = [], []
    for number, (predict, every, classes) in enumerate(folds):
        X, y = _some(every, classes, MOST_ROWS, seed_of(seed, "drivers rows", number))
        before = metric.compute(Predictions(y, predict(X)))
        scores.append(before)
        losses.append(_losses((predict, X, y), metric, before, asked, seed_of(seed, "shuffled", number)))
    worth = np.array(losses) * (1 if metric.greater_is_better else -1)
    found = [Driver(one, *_of(interval(worth[:, j].tolist(), ratio))) for j, one in enumerate(asked)]
    columns = sorted(found[: len(names)], key=lambda one: -one.loss)
    if len(schema.classes) == 2:
        # Two of these models share all training rows but those of their test parts, so that they agree on what is chance in
        # the shared ones. Only the jackknife knows how far other rows would move them: of k equal folds (k - 1)² / k times s².
        shared = max(0.0, 1 / ratio - 1)
        columns = [
            Driver(one.columns, one.loss, one.half, _curve(folds, schema, one.columns[0], shared, interval))
            if place < CURVES
            else one
            for place, one in enumerate(columns)
        ]
    together = sorted(found[len(names) :], key=lambda one: -one.loss)
    rows = sum(len(y) for _, _, y in folds)
    at_half = " at 0.5" if metric.metric_type == "decision" and len(schema.classes) == 2 else ""
    return Drivers(
        metric.name,
        f"{metric.label or metric.name}{at_half}",
        float(np.mean(scores)),
        len(folds),
        rows,
        tuple(columns),
        tuple(together),
    )


def read_drivers(plain: dict[str, Any]) -> Drivers:
    """Drivers from what `as_json` wrote; raises `KeyError` or `TypeError` where it is not that."""

    def driver(one: dict[str, Any]) -> Driver:
        curve = one["curve"]
        return Driver(
            tuple(one["columns"]),
            _number(one["loss"]),
            _number(one["half"]),
            curve
            and Curve(
                tuple(Point(p["at"], p["shown"], _number(p["mean"]), _number(p["half"])) for p in curve["points"]),
                _number(curve["swing"]),
                _number(curve["swing_half"]),
                curve["lowest"],
                curve["highest"],
            ),
        )

    columns, together = ([driver(one) for one in plain[name]] for name in ("columns", "together"))
    return Drivers(
        metric=plain["metric"],
        label=plain["label"],
        score=_number(plain["score"]),
        folds=plain["folds"],
        rows=plain["rows"],
        columns=tuple(columns),
        together=tuple(together),
    )


def _losses(fold: Fold, metric: Metric, before: float, asked: Sequence[tuple[str, ...]], seed: int) -> list[float]:
    """What the metric falls by when columns are shuffled, the mean of several times, all predicted at once."""
    predict, X, y = fold
    rng, rows = np.random.default_rng(seed), np.arange(len(y))
    shuffles = [rng.permutation(rows) for _ in range(REPEATS)]  # the same for every column: noise that cancels
    mixed, plain = np.concatenate(shuffles), np.tile(rows, REPEATS)
    many = X.iloc[plain].reset_index(drop=True)
    losses = []
    for names in asked:
        for name in names:
            many[name] = X[name].array.take(mixed)
        proba = np.split(np.asarray(predict(many)), REPEATS)
        losses.append(float(np.mean([before - metric.compute(Predictions(y, one)) for one in proba])))
        for name in names:
            many[name] = X[name].array.take(plain)
    return losses


def _curve(folds: Sequence[Fold], schema: Schema, name: str, shared: float, interval: Interval) -> Curve | None:
    """Partial dependence over the deciles or levels of a column; None where it has one value only.

    `shared` stands for `ratio` in intervals: those of the grouped jackknife (Tukey 1958), as a curve is one of the model
    more than of the test rows.
    """
    feature = next(one for one in schema.features if one.name == name)
    values = grid(feature)
    if len(values) < 2:
        return None
    means = np.array([_means(fold, feature, values) for fold in folds])  # (folds, values)
    points = []
    for j, value in enumerate(values):
        mean, half = _of(interval(means[:, j].tolist(), shared))
        at = None if isinstance(value, str) else float(value)
        points.append(Point(at, written(feature, value), mean, half))
    lowest, highest = int(means.mean(axis=0).argmin()), int(means.mean(axis=0).argmax())
    swing = _of(interval(_swings(means), shared))
    return Curve(tuple(points), *swing, lowest, highest)


def _swings(means: npt.NDArray[np.float64]) -> list[float]:
    """What lies between the highest and the lowest value in each fold, these two being chosen on the other folds.

    Chosen on all of them, the largest of several differences would be above 0 where there is none.
    """
    if len(means) < 2:
        return [float(own.max() - own.min()) for own in means]
    others = [np.delete(means, at, axis=0).mean(axis=0) for at in range(len(means))]
    return [float(own[other.argmax()] - own[other.argmin()]) for own, other in zip(means, others, strict=True)]


def grid(feature: Feature) -> list[Any]:
    """The values at which a column is looked at: its deciles (and ends, where these are few), or its commonest levels."""
    if feature.kind == "category":
        return list(feature.levels[:MOST_LEVELS])
    ends = (feature.low, *feature.edges, feature.high) if len(feature.edges) < FEW else feature.edges
    return sorted({value for value in ends if value is not None})


def _means(fold: Fold, feature: Feature, values: Sequence[Any]) -> npt.NDArray[np.float64]:
    """The mean probability of the positive class over a fold's rows, with the column at each value in turn."""
    import pandas as pd

    predict, X, y = fold
    X, _ = _some(X, y, CURVE_ROWS, 0)
    many = X.iloc[np.tile(np.arange(len(X)), len(values))].reset_index(drop=True)
    every = np.repeat(np.arange(len(values)), len(X))
    if feature.kind == "category":
        many[feature.name] = pd.Categorical.from_codes(every, categories=pd.Index(values, dtype="str"))
    else:
        many[feature.name] = np.asarray(values, dtype=np.float64)[every]
    proba = np.asarray(predict(many), dtype=np.float64)[:, 1]
    means: npt.NDArray[np.float64] = proba.reshape(len(values), len(X)).mean(axis=1)
    return means


def _some(X: Features, y: npt.NDArray[np.int64], most: int, seed: int) -> tuple[Features, npt.NDArray[np.int64]]:
    """At most so many rows, drawn without replacement."""
    if len(y) <= most:
        return X, y
    rows = np.sort(np.random.default_rng(seed).choice(len(y), most, replace=False))
    return take(X, rows), y[rows]


def _of(estimated: Estimated) -> tuple[float, float]:
    return float(estimated.mean), float(estimated.half)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


UNCLEAR = "the folds differ too much to say"


def shape(driver: Driver) -> str:
    """How the mean probability moves with a column; what is smaller than the interval of the swing is not told."""
    curve = driver.curve
    if curve is None:
        return "–"
    if not curve.swing - (0 if math.isnan(curve.swing_half) else curve.swing_half) > 0:
        return UNCLEAR
    return _of_levels(curve) if curve.points[0].at is None else _of_numbers(curve)


def _of_levels(curve: Curve) -> str:
    high, low = curve.points[curve.highest], curve.points[curve.lowest]
    return (
        f"highest with {text(high.shown)} ({percent(high.mean)}), lowest with {text(low.shown)} ({percent(low.mean)})"
    )


def _of_numbers(curve: Curve) -> str:
    """Rises or falls; or up to a point and then back by more than chance allows."""
    means = [point.mean for point in curve.points]
    small = max(0.25 * curve.swing, 0.0 if math.isnan(curve.swing_half) else curve.swing_half)
    first, last = curve.points[0], curve.points[-1]
    up, down = curve.points[curve.highest], curve.points[curve.lowest]
    ends = f"from {percent(first.mean)} at {first.shown} to {percent(last.mean)} at {last.shown}"
    if up.mean - max(means[0], means[-1]) > small:
        return f"highest in between, {percent(up.mean)} at {up.shown} ({ends})"
    if min(means[0], means[-1]) - down.mean > small:
        return f"lowest in between, {percent(down.mean)} at {down.shown} ({ends})"
    if abs(means[-1] - means[0]) <= small:
        return f"up and down, from {percent(down.mean)} to {percent(up.mean)}"
    return f"{'rises' if means[-1] > means[0] else 'falls'} {ends}"
