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
    level_codes = {name: _level_codes(X[name]) for name in names if X[name].dtype == "category"}
    group = dict(zip(names, names, strict=True))  # column → first column of its group
    for column_1, column_2 in itertools.combinations(names, 2):
        if (
            group[column_1] != group[column_2]
            and _association_of_columns(column_1, column_2, ranks, level_codes) >= MIN_ASSOCIATION
        ):
            merged_group = group[column_2]
            for name in names:
                if group[name] == merged_group:
                    group[name] = group[column_1]
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(group[name], []).append(name)
    return [tuple(columns) for columns in members.values() if len(columns) > 1]


def _association_of_columns(
    column_1: str,
    column_2: str,
    ranks: dict[str, npt.NDArray[np.float64]],
    level_codes: dict[str, npt.NDArray[np.int64]],
) -> float:
    if column_1 in level_codes and column_2 in level_codes:
        return _cramers_v(level_codes[column_1], level_codes[column_2])
    if column_1 in level_codes:
        return _correlation_ratio(level_codes[column_1], ranks[column_2])
    if column_2 in level_codes:
        return _correlation_ratio(level_codes[column_2], ranks[column_1])
    scale = float(ranks[column_1].std() * ranks[column_2].std())
    if not scale:
        return 0.0
    return abs(float(np.mean(ranks[column_1] * ranks[column_2])) / scale)


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


def _correlation_ratio(level_codes: npt.NDArray[np.int64], ranks: npt.NDArray[np.float64]) -> float:
    """Square root of the share of a number's variance that lies between the levels of a category."""
    total_square_sum = float((ranks**2).sum())
    if not total_square_sum:
        return 0.0
    rank_sums, counts = np.bincount(level_codes, weights=ranks), np.bincount(level_codes)
    return float(np.sqrt((rank_sums**2 / counts).sum() / total_square_sum))


def _cramers_v(first_codes: npt.NDArray[np.int64], second_codes: npt.NDArray[np.int64]) -> float:
    """Cramér's V, corrected for the bias that grows with the number of levels."""
    r, k, n = int(first_codes.max()) + 1, int(second_codes.max()) + 1, len(first_codes)
    if min(r, k) < 2 or n < 2:
        return 0.0
    counts = np.bincount(first_codes * k + second_codes, minlength=r * k).reshape(r, k)
    expected_counts = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / n
    phi_squared = max(
        0.0, float(((counts - expected_counts) ** 2 / expected_counts).sum()) / n - (r - 1) * (k - 1) / (n - 1)
    )
    rows, columns = r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)
    return float(np.sqrt(phi_squared / max(1e-12, min(rows - 1, columns - 1))))


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
    column_groups = [(name,) for name in features] + groups
    scores, losses = [], []
    for fold_number, (predict_proba, X, y) in enumerate(folds):
        sample, classes = dependence.sample_rows(X, y, MAX_ROWS, seed_of(seed, "drivers rows", fold_number))
        scores.append(metric.compute(Predictions(classes, predict_proba(sample))))
        shuffle_seed = seed_of(seed, "shuffled", fold_number)
        losses.append(permutation_losses(predict_proba, sample, classes, metric, column_groups, shuffle_seed))
    signed_losses = np.array(losses) * (1 if metric.greater_is_better else -1)
    importances = []
    for columns, fold_losses in zip(column_groups, signed_losses.T.tolist(), strict=True):
        loss = interval(fold_losses, ratio)
        importances.append(ColumnImportance(columns, float(loss.mean), float(loss.ci_half_width)))
    ranked_importances = sorted(importances[: len(features)], key=_largest_loss_first_key)
    if len(schema.classes) == 2:
        # The models of two folds share all training rows but those of the two test parts, so they agree on chance patterns of
        # the shared rows. The grouped jackknife accounts for that: its variance for k equal folds is (k - 1)² / k times s².
        jackknife_ratio = max(0.0, 1 / ratio - 1)
        for index, column in enumerate(ranked_importances[:MAX_CURVES]):
            curve = dependence.measure_dependence(folds, features[column.columns[0]], jackknife_ratio, interval)
            ranked_importances[index] = ColumnImportance(column.columns, column.loss, column.ci_half_width, curve)
    label = metric.label or metric.name
    if metric.metric_type == "decision" and len(schema.classes) == 2:
        label += " at 0.5"
    return Importances(
        metric=metric.name,
        label=label,
        score=float(np.mean(scores)),
        folds=len(folds),
        rows=sum(len(y) for _, _, y in folds),
        columns=tuple(ranked_importances),
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
    grouped_columns = {name for group in importances.groups for name in group.columns}
    single_columns = [column for column in importances.columns if column.columns[0] not in grouped_columns]
    return sorted([*single_columns, *importances.groups], key=_largest_loss_first_key)


def _largest_loss_first_key(importance: ColumnImportance) -> float:
    return -importance.loss


def _to_json(node: Any) -> Any:
    """Rename the keys of nested dictionaries, and replace NaN by None."""
    if isinstance(node, dict):
        return {JSON_KEYS.get(key, key): _to_json(child_node) for key, child_node in node.items()}
    if isinstance(node, (list, tuple)):
        return list(map(_to_json, node))
    return None if isinstance(node, float) and math.isnan(node) else node


def _importance_from_json(json_fields: dict[str, Any]) -> ColumnImportance:
    curve = json_fields["curve"]
    if curve is not None:
        curve = PartialDependence(
            tuple(map(_curve_point_from_json, curve["points"])),
            _nan_if_none(curve["swing"]),
            _nan_if_none(curve["swing_half"]),
            curve["lowest"],
            curve["highest"],
        )
    return ColumnImportance(
        tuple(json_fields["columns"]), _nan_if_none(json_fields["loss"]), _nan_if_none(json_fields["half"]), curve
    )


def _curve_point_from_json(json_fields: dict[str, Any]) -> dependence.CurvePoint:
    return dependence.CurvePoint(
        json_fields["at"], json_fields["shown"], _nan_if_none(json_fields["mean"]), _nan_if_none(json_fields["half"])
    )


def _nan_if_none(optional_number: float | None) -> float:
    return math.nan if optional_number is None else float(optional_number)
