"""The smallest change of actionable columns with which a row would have been answered otherwise.

Nearest counterfactuals (Wachter, Mittelstadt & Russell 2018), over one or two columns that somebody says can be acted on,
with values that occur, and only in combinations of which the given rows hold every pair: no internet service and a fast
line at once is no advice. They say what the model goes by, not what would happen if somebody made the change.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.deploy.insights.importance import grid
from harness.deploy.insights.scored_rows import ScoredRows
from harness.deploy.insights.shapley import written
from harness.deploy.schema import Feature
from harness.registry.task import Features

MOST_ROWS = 100  #: rows of the list that are asked about
POOL = 20_000  #: given rows in which combinations are looked for
MOST_TRIED = 3000  #: changes tried for one row
FEWEST = 3  #: rows in which a pair of values must occur

Change: TypeAlias = tuple[Feature, Any]  #: a column and the value it would have
Pairs: TypeAlias = dict[tuple[str, str], npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Flip:
    """A row that is called positive, and the nearest change with which it would not be.

    Where none is `enough`, it is the change with which its probability falls most; no changes: none lowers it.
    """

    row: int
    before: float
    after: float
    changes: tuple[tuple[str, str, str], ...]  #: column, value, what it would have to be
    enough: bool = False


@dataclass(frozen=True)
class Flips:
    """What was found for each of the rows asked about."""

    rows: tuple[Flip, ...]


@dataclass(frozen=True)
class Common:
    """A change that was found for several rows, and their mean probability before and after."""

    changes: tuple[str, ...]
    rows: int
    before: float
    after: float


def common(found: Sequence[Flip]) -> list[Common]:
    """The changes that were found, those of most rows first."""
    by: dict[tuple[str, ...], list[Flip]] = {}
    for one in found:
        by.setdefault(tuple(f"{name} = {to}" for name, _, to in one.changes), []).append(one)
    every = [
        Common(changes, len(some), *(float(np.mean([getattr(one, at) for one in some])) for at in ("before", "after")))
        for changes, some in by.items()
    ]
    return sorted(every, key=lambda one: -one.rows)


def flips(given: ScoredRows, rows: Sequence[int], actionable: Sequence[str]) -> Flips | None:
    """The nearest changes for these rows, of those that the bundle's model itself calls positive; None without any."""
    bundle = given.bundle
    threshold = 0.5 if bundle.threshold is None else bundle.threshold
    features = [one for one in bundle.schema.features if one.name in actionable]
    rows = list(rows)[:MOST_ROWS]
    if not rows or not features or not given.binary:
        return None
    before = bundle.predict_proba(given.X.iloc[rows])[:, 1]
    pairs, bins = _pairs(given, features)
    found = []
    for row, p in zip(rows, before, strict=True):
        if p < threshold:
            continue
        changes = _changes(given, row, features, (pairs, bins))
        found.append(_nearest(given, row, float(p), changes))
    return Flips(tuple(found)) if found else None


def _nearest(given: ScoredRows, row: int, before: float, changes: list[tuple[Change, ...]]) -> Flip:
    """The first change, nearest first, with which the row falls below the threshold."""
    if not changes:
        return Flip(row, before, before, ())
    threshold = 0.5 if given.bundle.threshold is None else given.bundle.threshold
    after = given.bundle.predict_proba(_changed(given.X.iloc[[row]], changes))[:, 1]
    enough = np.flatnonzero(after < threshold)
    at = int(enough[0]) if len(enough) else int(after.argmin())
    if after[at] >= before:
        return Flip(row, before, before, ())
    own = given.X.iloc[row]
    told = tuple((one.name, written(one, own[one.name]), written(one, to)) for one, to in changes[at])
    return Flip(row, before, float(after[at]), told, enough=len(enough) > 0)


def _changed(row: Any, changes: Sequence[Sequence[Change]]) -> Features:
    """The row once per change, changed."""
    import pandas as pd

    many = row.iloc[np.zeros(len(changes), dtype=int)].reset_index(drop=True)
    touched = {one.name: one for change in changes for one, _ in change}
    for name, feature in touched.items():
        to = [next((value for one, value in change if one.name == name), None) for change in changes]
        own = row[name].iloc[0]
        values = [own if value is None else value for value in to]
        many[name] = (
            pd.Categorical(pd.array(values, dtype="str"))
            if feature.kind == "category"
            else np.array(values, dtype=float)
        )
    return many


def _changes(
    given: ScoredRows, row: int, features: Sequence[Feature], seen: tuple[Pairs, dict[str, npt.NDArray[np.int64]]]
) -> list[tuple[Change, ...]]:
    """Changes of one or two columns that fit everything else in the row, nearest first."""
    own = given.X.iloc[row]
    single: dict[str, list[tuple[float, Change]]] = {}
    for feature in features:
        values = [value for value in grid(feature) if value != own[feature.name]]
        single[feature.name] = [(_distance(feature, own[feature.name], value), (feature, value)) for value in values]
    every: list[tuple[int, float, tuple[Change, ...]]] = [
        (1, distance, (change,)) for one in single.values() for distance, change in one
    ]
    for one, other in itertools.combinations(single.values(), 2):
        every += [(2, d + e, (a, b)) for (d, a), (e, b) in itertools.product(one, other)]
    every.sort(key=lambda one: one[:2])
    fitting = (change for _, _, change in every if _fits(given, row, change, seen))
    return list(itertools.islice(fitting, MOST_TRIED))


def _distance(feature: Feature, own: Any, value: Any) -> float:
    """1 for another level; for a number the share of training rows that lies between."""
    if feature.kind == "category" or own is None or own != own:  # noqa: PLR0124 -- NaN
        return 1.0
    edges = np.array(feature.edges)
    return float(abs(np.searchsorted(edges, own) - np.searchsorted(edges, value)) / (len(edges) + 1))


def _fits(
    given: ScoredRows, row: int, change: Sequence[Change], seen: tuple[Pairs, dict[str, npt.NDArray[np.int64]]]
) -> bool:
    """Whether every changed value occurs together with every other value of the row, pair by pair."""
    pairs, bins = seen
    to = {feature.name: _bin(feature, value) for feature, value in change}
    for name, at in to.items():
        for other in given.bundle.schema.features:
            if other.name != name and not pairs[name, other.name][at, to.get(other.name, bins[other.name][row])]:
                return False
    return True


def _pairs(given: ScoredRows, features: Sequence[Feature]) -> tuple[Pairs, dict[str, npt.NDArray[np.int64]]]:
    """Which values of actionable columns occur together with which of others, and every row's own; numbers in bins."""
    bins = {one.name: _binned(given, one) for one in given.bundle.schema.features}
    sizes = {one.name: _size(one) for one in given.bundle.schema.features}
    pool = np.linspace(0, len(given) - 1, min(len(given), POOL)).astype(int)
    pairs = {}
    for feature in features:
        for other, place in bins.items():
            if other != feature.name:
                at = bins[feature.name][pool] * sizes[other] + place[pool]
                counts = np.bincount(at, minlength=sizes[feature.name] * sizes[other])
                pairs[feature.name, other] = counts.reshape(sizes[feature.name], sizes[other]) >= FEWEST
    return pairs, bins


def _size(feature: Feature) -> int:
    """Bins of a column: its levels or ranges, then all other and missing values."""
    return (len(feature.levels) if feature.kind == "category" else len(feature.edges) + 1) + 1


def _binned(given: ScoredRows, feature: Feature) -> npt.NDArray[np.int64]:
    column = given.X[feature.name]
    if feature.kind == "category":
        place = {level: at for at, level in enumerate(feature.levels)}
        table = np.array([*(place.get(str(level), len(place)) for level in column.cat.categories), len(place)])
        return np.asarray(table[column.cat.codes.to_numpy()], dtype=np.int64)
    values = column.to_numpy(np.float64)
    found = np.searchsorted(feature.edges, values, side="right")
    return np.where(np.isnan(values), _size(feature) - 1, found).astype(np.int64)


def _bin(feature: Feature, value: Any) -> int:
    if feature.kind == "category":
        return feature.levels.index(value)
    return int(np.searchsorted(feature.edges, value, side="right"))
