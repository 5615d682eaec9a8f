"""Counterfactuals: the smallest change of actionable columns that would change a row's prediction.

Nearest counterfactuals (Wachter, Mittelstadt & Russell, Counterfactual explanations without opening the black box, 2018)
over one or two actionable columns. Only values that occur are tried, and only combinations of which every pair occurs in
the scored rows, so that no internet service is never combined with a fast line. Counterfactuals describe the model, not
what would happen if somebody made the change.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.deploy.insights.dependence import dependence_grid_values
from harness.deploy.insights.scored_rows import Positions, ScoredRows
from harness.deploy.insights.shapley import format_feature_value
from harness.deploy.schema import Feature
from harness.registry.task import Features

MAX_ROWS = 100  #: rows of the list for which changes are searched
MAX_POOL_ROWS = 20_000  #: scored rows in which combinations of values are counted
MAX_CHANGES = 3000  #: changes tried for one row
MIN_PAIR_ROWS = 3  #: rows in which a pair of values must occur

Change: TypeAlias = tuple[Feature, Any]  #: a column and its new value


@dataclass(frozen=True)
class Counterfactual:
    """A row that is predicted positive, and the nearest change with which it would not be.

    If no change suffices, it is the one with the lowest probability; no changes if none lowers the probability.
    """

    row: int
    probability: float
    new_probability: float
    changes: tuple[tuple[str, str, str], ...]  #: column, value, new value
    sufficient: bool = False


@dataclass(frozen=True)
class FrequentChange:
    """A change that was found for several rows, and their mean probability without and with it."""

    changes: tuple[str, ...]
    rows: int
    probability: float
    new_probability: float


@dataclass(frozen=True)
class _CooccurringValues:
    """Which binned values occur together: (actionable column, other column) → (bins, bins); and the bin of each row."""

    occur: dict[tuple[str, str], npt.NDArray[np.bool_]]
    bins: dict[str, Positions]

    def do_values_cooccur(self, row: int, change: Sequence[Change]) -> bool:
        """Whether every changed value occurs together with every other value of the row."""
        new_bins = {feature.name: _bin_number_of_value(feature, value) for feature, value in change}
        for name, new_bin in new_bins.items():
            for other, row_bins in self.bins.items():
                if other != name and not self.occur[name, other][new_bin, new_bins.get(other, row_bins[row])]:
                    return False
        return True


def group_counterfactuals_by_change(counterfactuals: Sequence[Counterfactual]) -> list[FrequentChange]:
    """Group counterfactuals by their change, the most frequent change first."""
    groups: dict[tuple[str, ...], list[Counterfactual]] = {}
    for counterfactual in counterfactuals:
        changes = tuple(f"{column} = {new}" for column, _, new in counterfactual.changes)
        groups.setdefault(changes, []).append(counterfactual)
    frequent = []
    for changes, rows in groups.items():
        probability = float(np.mean([row.probability for row in rows]))
        new_probability = float(np.mean([row.new_probability for row in rows]))
        frequent.append(FrequentChange(changes, len(rows), probability, new_probability))
    return sorted(frequent, key=lambda change: -change.rows)


def find_counterfactuals(
    scored: ScoredRows, rows: Sequence[int], actionable: Sequence[str]
) -> tuple[Counterfactual, ...]:
    """Find the nearest counterfactual of each row that the bundle's model predicts as positive.

    Parameters
    ----------
    scored : ScoredRows
        Rows of a table with two classes.
    rows : sequence of int
        Positions of rows; the first 100 are searched.
    actionable : sequence of str
        Columns that may be changed, one or two at a time.

    Returns
    -------
    tuple of Counterfactual
        Empty if no row is predicted positive.

    References
    ----------
    Wachter, Mittelstadt & Russell (2018), Counterfactual explanations without opening the black box.
    """
    features = [feature for feature in scored.bundle.schema.features if feature.name in actionable]
    rows = list(rows)[:MAX_ROWS]
    if not rows or not features or not scored.has_two_classes:
        return ()
    probabilities = scored.bundle.predict_proba(scored.X.iloc[rows])[:, 1]
    pairs = _find_cooccurring_values(scored, features)
    counterfactuals = []
    for row, probability in zip(rows, probabilities.tolist(), strict=True):
        if probability >= scored.threshold:
            changes = list(itertools.islice(_iterate_candidate_changes(scored, row, features, pairs), MAX_CHANGES))
            counterfactuals.append(_choose_nearest_change(scored, row, probability, changes))
    return tuple(counterfactuals)


def _choose_nearest_change(
    scored: ScoredRows, row: int, probability: float, changes: Sequence[tuple[Change, ...]]
) -> Counterfactual:
    """Choose the nearest change with which the row falls below the threshold; `changes` are sorted by distance."""
    if not changes:
        return Counterfactual(row, probability, probability, ())
    new_p = scored.bundle.predict_proba(_apply_changes(scored.X.iloc[[row]], changes))[:, 1]
    sufficient = np.flatnonzero(new_p < scored.threshold)
    best = int(sufficient[0]) if len(sufficient) else int(new_p.argmin())
    if new_p[best] >= probability:
        return Counterfactual(row, probability, probability, ())
    own = scored.X.iloc[row]
    described = []
    for feature, new in changes[best]:
        texts = format_feature_value(feature, own[feature.name]), format_feature_value(feature, new)
        described.append((feature.name, *texts))
    return Counterfactual(row, probability, float(new_p[best]), tuple(described), sufficient=len(sufficient) > 0)


def _apply_changes(row: Any, changes: Sequence[Sequence[Change]]) -> Features:
    """Repeat a row once per change, and apply the change."""
    repeated = row.iloc[np.zeros(len(changes), dtype=int)].reset_index(drop=True)
    columns: dict[str, list[Any]] = {}
    kinds: dict[str, str] = {}
    for index, change in enumerate(changes):
        for feature, new in change:
            column = columns.setdefault(feature.name, [row[feature.name].iloc[0]] * len(changes))
            column[index] = new
            kinds[feature.name] = feature.kind
    for name, column in columns.items():
        if kinds[name] == "category":
            repeated[name] = pd.Categorical(pd.array(column, dtype="str"))
        else:
            repeated[name] = np.array(column, dtype=float)
    return repeated


def _iterate_candidate_changes(
    scored: ScoredRows, row: int, features: Sequence[Feature], pairs: _CooccurringValues
) -> Iterator[tuple[Change, ...]]:
    """Yield changes of one column, then of two, nearest first, whose values occur together with the row's others."""
    own = scored.X.iloc[row]
    single: list[list[tuple[float, Change]]] = []
    for feature in features:
        options = []
        for value in dependence_grid_values(feature):
            if value != own[feature.name]:
                options.append((_value_distance(feature, own[feature.name], value), (feature, value)))
        single.append(options)
    double = []
    for first, second in itertools.combinations(single, 2):
        for (first_distance, first_change), (second_distance, second_change) in itertools.product(first, second):
            double.append((first_distance + second_distance, (first_change, second_change)))
    for _, change in sorted(itertools.chain(*single), key=lambda option: option[0]):
        if pairs.do_values_cooccur(row, (change,)):
            yield (change,)
    for _, changes in sorted(double, key=lambda option: option[0]):
        if pairs.do_values_cooccur(row, changes):
            yield changes


def _value_distance(feature: Feature, own: Any, value: Any) -> float:
    """Return 1 for another level or a missing own value, for numbers the share of training rows between the two."""
    if feature.kind == "category" or own is None or own != own:  # noqa: PLR0124 -- NaN
        return 1.0
    edges = np.array(feature.edges)
    return float(abs(np.searchsorted(edges, own) - np.searchsorted(edges, value)) / (len(edges) + 1))


def _find_cooccurring_values(scored: ScoredRows, features: Sequence[Feature]) -> _CooccurringValues:
    """Find the values of actionable columns that occur together with values of other columns in at least three rows."""
    bins, sizes = {}, {}
    for feature in scored.bundle.schema.features:
        bins[feature.name] = _bin_column(scored, feature)
        sizes[feature.name] = _bin_count(feature)
    pool = np.linspace(0, len(scored) - 1, min(len(scored), MAX_POOL_ROWS)).astype(int)
    occur = {}
    for feature, other in itertools.product(features, bins):
        name = feature.name
        if other != name:
            pair_index = bins[name][pool] * sizes[other] + bins[other][pool]
            counts = np.bincount(pair_index, minlength=sizes[name] * sizes[other])
            occur[name, other] = counts.reshape(sizes[name], sizes[other]) >= MIN_PAIR_ROWS
    return _CooccurringValues(occur, bins)


def _bin_count(feature: Feature) -> int:
    """Number of bins of a column: its levels or ranges, and one for all other and missing values."""
    known = len(feature.levels) if feature.kind == "category" else len(feature.edges) + 1
    return known + 1


def _bin_column(scored: ScoredRows, feature: Feature) -> Positions:
    column = scored.X[feature.name]
    if feature.kind == "category":
        levels = dict(zip(feature.levels, range(len(feature.levels)), strict=True))
        level_bins = [levels.get(str(level), len(levels)) for level in column.cat.categories]
        # The last entry serves code -1, which stands for a missing value.
        return np.asarray(np.array([*level_bins, len(levels)])[column.cat.codes.to_numpy()])
    numbers = column.to_numpy(np.float64)
    positions = np.searchsorted(feature.edges, numbers, side="right")
    return np.where(np.isnan(numbers), _bin_count(feature) - 1, positions).astype(np.int64)


def _bin_number_of_value(feature: Feature, value: Any) -> int:
    if feature.kind == "category":
        return feature.levels.index(value)
    return int(np.searchsorted(feature.edges, value, side="right"))
