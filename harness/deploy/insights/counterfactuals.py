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
        new_bins = {feature.name: _bin_number_of_value(feature, new_value) for feature, new_value in change}
        for name, new_bin in new_bins.items():
            for other_column, row_bins in self.bins.items():
                if (
                    other_column != name
                    and not self.occur[name, other_column][new_bin, new_bins.get(other_column, row_bins[row])]
                ):
                    return False
        return True


def group_counterfactuals_by_change(counterfactuals: Sequence[Counterfactual]) -> list[FrequentChange]:
    """Group counterfactuals by their change, the most frequent change first."""
    groups: dict[tuple[str, ...], list[Counterfactual]] = {}
    for counterfactual in counterfactuals:
        change_texts = tuple(f"{column} = {new_value}" for column, _, new_value in counterfactual.changes)
        groups.setdefault(change_texts, []).append(counterfactual)
    frequent_changes = []
    for change_texts, rows in groups.items():
        mean_probability = float(np.mean([row.probability for row in rows]))
        new_probability = float(np.mean([row.new_probability for row in rows]))
        frequent_changes.append(FrequentChange(change_texts, len(rows), mean_probability, new_probability))
    return sorted(frequent_changes, key=lambda change: -change.rows)


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
    cooccurring_values = _find_cooccurring_values(scored, features)
    counterfactuals = []
    for row, row_probability in zip(rows, probabilities.tolist(), strict=True):
        if row_probability >= scored.threshold:
            candidate_changes = list(
                itertools.islice(_iterate_candidate_changes(scored, row, features, cooccurring_values), MAX_CHANGES)
            )
            counterfactuals.append(_choose_nearest_change(scored, row, row_probability, candidate_changes))
    return tuple(counterfactuals)


def _choose_nearest_change(
    scored_rows: ScoredRows, row: int, row_probability: float, candidate_changes: Sequence[tuple[Change, ...]]
) -> Counterfactual:
    """Choose the nearest change with which the row falls below the threshold; `candidate_changes` are sorted by distance."""
    if not candidate_changes:
        return Counterfactual(row, row_probability, row_probability, ())
    new_p = scored_rows.bundle.predict_proba(_apply_changes(scored_rows.X.iloc[[row]], candidate_changes))[:, 1]
    sufficient_changes = np.flatnonzero(new_p < scored_rows.threshold)
    best_change = int(sufficient_changes[0]) if len(sufficient_changes) else int(new_p.argmin())
    if new_p[best_change] >= row_probability:
        return Counterfactual(row, row_probability, row_probability, ())
    own_values = scored_rows.X.iloc[row]
    described_changes = []
    for feature, new_value in candidate_changes[best_change]:
        texts = format_feature_value(feature, own_values[feature.name]), format_feature_value(feature, new_value)
        described_changes.append((feature.name, *texts))
    return Counterfactual(
        row,
        row_probability,
        float(new_p[best_change]),
        tuple(described_changes),
        sufficient=len(sufficient_changes) > 0,
    )


def _apply_changes(row: Any, candidate_changes: Sequence[Sequence[Change]]) -> Features:
    """Repeat a row once per change, and apply the change."""
    repeated_rows = row.iloc[np.zeros(len(candidate_changes), dtype=int)].reset_index(drop=True)
    columns: dict[str, list[Any]] = {}
    column_kinds: dict[str, str] = {}
    for index, column_changes in enumerate(candidate_changes):
        for feature, new_value in column_changes:
            column = columns.setdefault(feature.name, [row[feature.name].iloc[0]] * len(candidate_changes))
            column[index] = new_value
            column_kinds[feature.name] = feature.kind
    for name, column in columns.items():
        if column_kinds[name] == "category":
            repeated_rows[name] = pd.Categorical(pd.array(column, dtype="str"))
        else:
            repeated_rows[name] = np.array(column, dtype=float)
    return repeated_rows


def _iterate_candidate_changes(
    scored_rows: ScoredRows, row: int, features: Sequence[Feature], cooccurring_values: _CooccurringValues
) -> Iterator[tuple[Change, ...]]:
    """Yield changes of one column, then of two, nearest first, whose values occur together with the row's others."""
    own_values = scored_rows.X.iloc[row]
    single_changes: list[list[tuple[float, Change]]] = []
    for feature in features:
        options = []
        for new_value in dependence_grid_values(feature):
            if new_value != own_values[feature.name]:
                options.append((_value_distance(feature, own_values[feature.name], new_value), (feature, new_value)))
        single_changes.append(options)
    double_changes = []
    for first_changes, second_changes in itertools.combinations(single_changes, 2):
        for (first_distance, first_change), (second_distance, second_change) in itertools.product(
            first_changes, second_changes
        ):
            double_changes.append((first_distance + second_distance, (first_change, second_change)))
    for _, candidate_change in sorted(itertools.chain(*single_changes), key=lambda option: option[0]):
        if cooccurring_values.do_values_cooccur(row, (candidate_change,)):
            yield (candidate_change,)
    for _, change_pair in sorted(double_changes, key=lambda option: option[0]):
        if cooccurring_values.do_values_cooccur(row, change_pair):
            yield change_pair


def _value_distance(feature: Feature, own_value: Any, new_value: Any) -> float:
    """Return 1 for another level or a missing own value, for numbers the share of training rows between the two."""
    if feature.kind == "category" or own_value is None or own_value != own_value:  # noqa: PLR0124 -- NaN
        return 1.0
    edges = np.array(feature.edges)
    return float(abs(np.searchsorted(edges, own_value) - np.searchsorted(edges, new_value)) / (len(edges) + 1))


def _find_cooccurring_values(scored_rows: ScoredRows, features: Sequence[Feature]) -> _CooccurringValues:
    """Find the values of actionable columns that occur together with values of other columns in at least three rows."""
    bins, sizes = {}, {}
    for feature in scored_rows.bundle.schema.features:
        bins[feature.name] = _bin_column(scored_rows, feature)
        sizes[feature.name] = _bin_count(feature)
    pool_rows = np.linspace(0, len(scored_rows) - 1, min(len(scored_rows), MAX_POOL_ROWS)).astype(int)
    cooccurrence_by_columns = {}
    for feature, other_column in itertools.product(features, bins):
        name = feature.name
        if other_column != name:
            pair_index = bins[name][pool_rows] * sizes[other_column] + bins[other_column][pool_rows]
            counts = np.bincount(pair_index, minlength=sizes[name] * sizes[other_column])
            cooccurrence_by_columns[name, other_column] = (
                counts.reshape(sizes[name], sizes[other_column]) >= MIN_PAIR_ROWS
            )
    return _CooccurringValues(cooccurrence_by_columns, bins)


def _bin_count(feature: Feature) -> int:
    """Number of bins of a column: its levels or ranges, and one for all other and missing values."""
    known_bins = len(feature.levels) if feature.kind == "category" else len(feature.edges) + 1
    return known_bins + 1


def _bin_column(scored_rows: ScoredRows, feature: Feature) -> Positions:
    column = scored_rows.X[feature.name]
    if feature.kind == "category":
        levels = dict(zip(feature.levels, range(len(feature.levels)), strict=True))
        level_bins = [levels.get(str(level), len(levels)) for level in column.cat.categories]
        # The last entry serves code -1, which stands for a missing value.
        return np.asarray(np.array([*level_bins, len(levels)])[column.cat.codes.to_numpy()])
    column_numbers = column.to_numpy(np.float64)
    positions = np.searchsorted(feature.edges, column_numbers, side="right")
    return np.where(np.isnan(column_numbers), _bin_count(feature) - 1, positions).astype(np.int64)


def _bin_number_of_value(feature: Feature, feature_value: Any) -> int:
    if feature.kind == "category":
        return feature.levels.index(feature_value)
    return int(np.searchsorted(feature.edges, feature_value, side="right"))
