"""Permutation importance of columns and groups of columns, with the partial dependence of the most important ones.

Importance is the loss of a metric when the values of a column are shuffled among the rows (Breiman, Random forests, 2001).
Associated columns can substitute for each other, so groups of them are also shuffled together. Everything is measured on
test rows of each outer fold by the model of that fold, so that an interval over folds says how far another sample of rows
could move the loss.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.deploy.insights import dependence
from harness.deploy.insights.dependence import EvaluatedFold, IntervalEstimator, PartialDependence
from harness.deploy.schema import Schema
from harness.metrics.metric import Metric, Predictions
from harness.metrics.permutation import permutation_losses
from harness.registry.task import Features
from harness.seeding import seed_of

MIN_ASSOCIATION = 0.8  #: absolute rank correlation, Cramér's V or correlation ratio from which columns are grouped
MAX_GROUPING_ROWS = 4000


def find_associated_columns(frames: Sequence[Features]) -> list[tuple[str, ...]]:
    """Find groups of two or more strongly associated columns.

    Two numbers are compared by Spearman's rank correlation, two categories by Cramér's V with Bergsma's correction, a
    number and a category by the correlation ratio of ranks. Groups are connected components: columns that are linked by
    other columns are in one group.

    Parameters
    ----------
    frames : sequence of DataFrame
        Rows with equal columns; the first 4,000 are used.

    Returns
    -------
    list of tuple of str
        The groups, and the names in each, in the order of the columns.

    References
    ----------
    Spearman (1904), The proof and measurement of association between two things.
    Bergsma (2013), A bias-correction for Cramér's V and Tschuprow's T.
    """
    X = pd.concat(list(frames), ignore_index=True).iloc[:MAX_GROUPING_ROWS]
    names = list(X.columns)
    ranks = {name: _centred_ranks(X[name]) for name in names}
    codes = {name: _level_codes(X[name]) for name in names if X[name].dtype == "category"}
    group = dict(zip(names, names, strict=True))  # column → first column of its group
    for first, second in itertools.combinations(names, 2):
        if group[first] != group[second] and _association_of_columns(first, second, ranks, codes) >= MIN_ASSOCIATION:
            merged = group[second]
            for name in names:
                if group[name] == merged:
                    group[name] = group[first]
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(group[name], []).append(name)
    return [tuple(columns) for columns in members.values() if len(columns) > 1]


def _association_of_columns(
    first: str, second: str, ranks: dict[str, npt.NDArray[np.float64]], codes: dict[str, npt.NDArray[np.int64]]
) -> float:
    if first in codes and second in codes:
        return _cramers_v(codes[first], codes[second])
    if first in codes:
        return _correlation_ratio(codes[first], ranks[second])
    if second in codes:
        return _correlation_ratio(codes[second], ranks[first])
    scale = float(ranks[first].std() * ranks[second].std())
    if not scale:
        return 0.0
    return abs(float(np.mean(ranks[first] * ranks[second])) / scale)


def _centred_ranks(column: pd.Series) -> npt.NDArray[np.float64]:
    """Ranks minus their mean, missing values at 0; zeros for a category."""
    if column.dtype == "category":
        return np.zeros(len(column))
    ranks = column.rank().to_numpy(np.float64)
    if np.isfinite(ranks).any():
        ranks = ranks - np.nanmean(ranks)
    return np.asarray(np.nan_to_num(ranks, nan=0.0), dtype=np.float64)


def _level_codes(column: pd.Series) -> npt.NDArray[np.int64]:
    return np.unique(column.cat.codes.to_numpy(np.int64), return_inverse=True)[1]


def _correlation_ratio(codes: npt.NDArray[np.int64], ranks: npt.NDArray[np.float64]) -> float:
    """Square root of the share of a number's variance that lies between the levels of a category."""
    total = float((ranks**2).sum())
    if not total:
        return 0.0
    sums, counts = np.bincount(codes, weights=ranks), np.bincount(codes)
    return float(np.sqrt((sums**2 / counts).sum() / total))


def _cramers_v(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> float:
    """Cramér's V, corrected for the bias that grows with the number of levels."""
    r, k, n = int(first.max()) + 1, int(second.max()) + 1, len(first)
    if min(r, k) < 2 or n < 2:
        return 0.0
    counts = np.bincount(first * k + second, minlength=r * k).reshape(r, k)
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / n
    phi = max(0.0, float(((counts - expected) ** 2 / expected).sum()) / n - (r - 1) * (k - 1) / (n - 1))
    rows, columns = r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)
    return float(np.sqrt(phi / max(1e-12, min(rows - 1, columns - 1))))


MAX_ROWS = 4000  #: test rows of a fold that are shuffled; more are slower and hardly more accurate
MAX_CURVES = 12  #: most important columns whose partial dependence is measured
#: Field → key in `drivers.json`, if it is another one: keys are those of the first version of the format.
JSON_KEYS = {
    "ci_half_width": "half",
    "swing_ci_half_width": "swing_half",
    "number": "at",
    "value_text": "shown",
    "groups": "together",
}


@dataclass(frozen=True)
class ColumnImportance:
    """A column, or a group of associated columns: the loss of the metric without it, and its partial dependence."""

    columns: tuple[str, ...]
    loss: float
    ci_half_width: float  #: NaN if there is no interval
    curve: PartialDependence | None = None  #: None if it was not measured

    @property
    def is_significant(self) -> bool:
        """Whether the 95 % interval of the loss lies above 0."""
        return self.loss - self.ci_half_width > 0


@dataclass(frozen=True)
class Importances:
    """Importances of all columns and of the groups of associated columns, each with the largest loss first."""

    metric: str  #: name of the metric
    label: str
    score: float  #: mean of the metric over folds, nothing shuffled
    folds: int
    rows: int  #: test rows of all folds
    columns: tuple[ColumnImportance, ...]
    groups: tuple[ColumnImportance, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain values for `drivers.json`; NaN becomes None."""
        return dict(_to_json(asdict(self)))


def measure_importances(
    folds: Sequence[EvaluatedFold], schema: Schema, metric: Metric, ratio: float, interval: IntervalEstimator, seed: int
) -> Importances:
    """Measure permutation importances and partial dependence of a table's models, one model per outer fold.

    Parameters
    ----------
    folds : sequence of EvaluatedFold
        Model, test rows and classes of each outer fold.
    schema : Schema
        Columns and classes. Partial dependence is measured for two classes only.
    metric : Metric
        Computed from classes and probabilities, decisions at 0.5; it must not need costs.
    ratio : float
        n_test/n_train of the folds, for `interval`.
    interval : IntervalEstimator
        Computes the mean and the interval over folds.
    seed : int
        Seed of sampling and shuffling.

    Returns
    -------
    Importances
        Of every column and every group of associated columns.

    References
    ----------
    Breiman (2001), Random forests.
    """
    features = {feature.name: feature for feature in schema.features}
    groups = find_associated_columns([X for _, X, _ in folds])
    units = [(name,) for name in features] + groups
    scores, losses = [], []
    for number, (predict_proba, X, y) in enumerate(folds):
        sample, classes = dependence.sample_rows(X, y, MAX_ROWS, seed_of(seed, "drivers rows", number))
        scores.append(metric.compute(Predictions(classes, predict_proba(sample))))
        shuffle_seed = seed_of(seed, "shuffled", number)
        losses.append(permutation_losses(predict_proba, sample, classes, metric, units, shuffle_seed))
    signed = np.array(losses) * (1 if metric.greater_is_better else -1)
    importances = []
    for columns, fold_losses in zip(units, signed.T.tolist(), strict=True):
        loss = interval(fold_losses, ratio)
        importances.append(ColumnImportance(columns, float(loss.mean), float(loss.ci_half_width)))
    ranked = sorted(importances[: len(features)], key=_largest_loss_first_key)
    if len(schema.classes) == 2:
        # The models of two folds share all training rows but those of the two test parts, so they agree on chance patterns of
        # the shared rows. The grouped jackknife accounts for that: its variance for k equal folds is (k - 1)² / k times s².
        jackknife_ratio = max(0.0, 1 / ratio - 1)
        for index, column in enumerate(ranked[:MAX_CURVES]):
            curve = dependence.measure_dependence(folds, features[column.columns[0]], jackknife_ratio, interval)
            ranked[index] = ColumnImportance(column.columns, column.loss, column.ci_half_width, curve)
    label = metric.label or metric.name
    if metric.metric_type == "decision" and len(schema.classes) == 2:
        label += " at 0.5"
    return Importances(
        metric=metric.name,
        label=label,
        score=float(np.mean(scores)),
        folds=len(folds),
        rows=sum(len(y) for _, _, y in folds),
        columns=tuple(ranked),
        groups=tuple(sorted(importances[len(features) :], key=_largest_loss_first_key)),
    )


def importances_from_json(plain: dict[str, Any]) -> Importances:
    """Restore importances from what `Importances.as_json` returned.

    Parameters
    ----------
    plain : dict
        Contents of `drivers.json`.

    Returns
    -------
    Importances
        Equal to the ones that were written.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the contents have another form.
    """
    return Importances(
        metric=plain["metric"],
        label=plain["label"],
        score=_nan_if_none(plain["score"]),
        folds=plain["folds"],
        rows=plain["rows"],
        columns=tuple(map(_importance_from_json, plain["columns"])),
        groups=tuple(map(_importance_from_json, plain["together"])),
    )


def rank_groups_and_columns(importances: Importances) -> list[ColumnImportance]:
    """Return the groups and the columns that are in no group, largest loss first."""
    grouped = {name for group in importances.groups for name in group.columns}
    single = [column for column in importances.columns if column.columns[0] not in grouped]
    return sorted([*single, *importances.groups], key=_largest_loss_first_key)


def _largest_loss_first_key(importance: ColumnImportance) -> float:
    return -importance.loss


def _to_json(node: Any) -> Any:
    """Rename the keys of nested dictionaries, and replace NaN by None."""
    if isinstance(node, dict):
        return {JSON_KEYS.get(key, key): _to_json(child) for key, child in node.items()}
    if isinstance(node, (list, tuple)):
        return list(map(_to_json, node))
    return None if isinstance(node, float) and math.isnan(node) else node


def _importance_from_json(plain: dict[str, Any]) -> ColumnImportance:
    curve = plain["curve"]
    if curve is not None:
        curve = PartialDependence(
            tuple(map(_curve_point_from_json, curve["points"])),
            _nan_if_none(curve["swing"]),
            _nan_if_none(curve["swing_half"]),
            curve["lowest"],
            curve["highest"],
        )
    return ColumnImportance(tuple(plain["columns"]), _nan_if_none(plain["loss"]), _nan_if_none(plain["half"]), curve)


def _curve_point_from_json(plain: dict[str, Any]) -> dependence.CurvePoint:
    return dependence.CurvePoint(plain["at"], plain["shown"], _nan_if_none(plain["mean"]), _nan_if_none(plain["half"]))


def _nan_if_none(number: float | None) -> float:
    return math.nan if number is None else float(number)
