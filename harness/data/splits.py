"""Outer and inner folds, by one rule: stratified, groups together, equal rows together, or by time.

Inner folds follow the same rule as outer ones; a slice to watch for early stopping is carved by it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.data.hashing import row_keys
from harness.errors import DataError
from harness.registry.protocol import EvaluationProtocol
from harness.registry.task import Table
from harness.seeding import seed_of

Index = npt.NDArray[np.int64]


class Part(NamedTuple):
    """What is split, and what its splits are called and asked for by: errors say so."""

    where: str
    folds: str
    option: str


OUTER = Part("", "folds", "--folds")
INNER = Part(" in the training part of an outer split", "inner folds", "--inner-folds")


@dataclass(frozen=True)
class Fold:
    """Row positions of one split: `train` to learn from, `test` to score on."""

    repeat: int
    fold: int
    train: Index
    test: Index


@dataclass(frozen=True)
class Splitter:
    """The rows of a task as splitting sees them: class, time, and the block that must stay together.

    A block is a group, a set of rows with equal features, or whatever these two tie together.
    """

    y: Index
    blocks: Index
    time: Index | None
    test: npt.NDArray[np.bool_] | None
    classes: tuple[str, ...] = ()
    groups: Index | None = None  #: the declared ones alone

    def take(self, rows: Index) -> Splitter:
        """The same for some of the rows only; a split column has done its work by then."""
        time, groups = (None if values is None else values[rows] for values in (self.time, self.groups))
        return Splitter(self.y[rows], self.blocks[rows], time, None, self.classes, groups)

    def outer(self, protocol: EvaluationProtocol) -> list[Fold]:
        """Split for the outer evaluation: the same folds for every family and strategy.

        With a time column every test row is later than every training row and there are no repeats; with a split column there
        is the one split. Raises `DataError` where a class has fewer blocks than folds.
        """
        rows = np.arange(len(self.y))
        if self.test is not None:
            return [self._predefined(rows)]
        if self.time is not None:
            if protocol.repeats > 1:
                raise DataError("with a time column there is one way to split forward: use --repeats 1")
            return [Fold(0, i, train, test) for i, (train, test) in enumerate(self._forward(rows, protocol.folds))]
        return [
            Fold(repeat, i, train, test)
            for repeat in range(protocol.repeats)
            for i, (train, test) in enumerate(
                self._grouped(rows, protocol.folds, seed_of(protocol.seed, "outer", repeat))
            )
        ]

    def inner(self, folds: int, seed: int) -> list[tuple[Index, Index]]:
        """Split training rows for the search: (train, test) as positions; raises `DataError` as `outer` does."""
        rows = np.arange(len(self.y))
        if self.time is not None:
            return self._forward(rows, folds, INNER)
        return self._grouped(rows, folds, seed, INNER)

    def slice_off(self, rows: Index, share: float, seed: int) -> tuple[Index, Index]:
        """Carve a slice of about `share` of the rows to watch for early stopping: (rest, slice).

        A larger share where a class has few rows; nothing where one has a single group of rows.
        """
        if self.time is not None:
            return self._later(rows, share)
        fewest = min(len(np.unique(self.blocks[rows][self.y[rows] == label])) for label in np.unique(self.y[rows]))
        folds = min(max(2, round(1 / share)), fewest)
        try:
            return self._grouped(rows, folds, seed)[0] if folds > 1 else (rows, rows[:0])
        except DataError:  # blocks so large that no slice has every class
            return rows, rows[:0]

    def _predefined(self, rows: Index) -> Fold:
        assert self.test is not None  # noqa: S101 -- the caller has looked
        train, test = self.alone(rows[~self.test], rows[self.test]), rows[self.test]
        self._check_classes(
            self.y[train], self.y, "the training part of the split column, without rows of its test part,"
        )
        self._check_classes(self.y[test], self.y, "the test part of the split column")
        return Fold(0, 0, train, test)

    def alone(self, train: Index, test: Index) -> Index:
        """The training rows that a published split did not put on both sides: the others would be trained and tested on."""
        return train[~np.isin(self.blocks[train], self.blocks[test])]

    def _grouped(self, rows: Index, folds: int, seed: int, part: Part = OUTER) -> list[tuple[Index, Index]]:
        assigned = assign_folds(self.y[rows], self.blocks[rows], folds, seed, self.classes, part)
        return [(rows[assigned != i], rows[assigned == i]) for i in range(folds)]

    def _check_classes(self, part: Index, whole: Index, name: str, advice: str = "") -> None:
        lost = np.setdiff1d(whole, part)
        if len(lost):
            called = _called(lost[0], self.classes)
            raise DataError(f"{name} has no row of class {called}, which cannot be learned or scored{advice}")

    def _without_groups_of(self, train: Index, test: Index) -> Index:
        return train if self.groups is None else train[~np.isin(self.groups[train], self.groups[test])]

    def _later(self, rows: Index, share: float) -> tuple[Index, Index]:
        """(the earlier rows, about `share` of them that are later), twice as many where a class would be missing."""
        assert self.time is not None  # noqa: S101 -- the caller has looked
        time = self.time[rows]
        for wanted in (share, 2 * share):
            border = np.sort(time)[round(len(rows) * (1 - wanted))]
            earlier, later = self._without_groups_of(rows[time < border], rows[time >= border]), rows[time >= border]
            if all(len(np.setdiff1d(self.y[rows], self.y[part])) == 0 for part in (earlier, later)):
                return earlier, later
        return rows, rows[:0]

    def _forward(self, rows: Index, folds: int, part: Part = OUTER) -> list[tuple[Index, Index]]:
        """Forward chaining: fold i tests the (i+1)-th stretch of time and trains on all that is earlier.

        Rows of one moment stay together, and training rows whose group reaches into the test stretch are left out. Rows
        that only look like later ones stay: what was seen before is known by then.
        """
        assert self.time is not None  # noqa: S101 -- the caller has looked
        moments, position = np.unique(self.time[rows], return_inverse=True)
        if len(moments) <= folds:
            raise DataError(
                f"{folds} forward {part.folds} need more than {folds} different times, but there are {len(moments)}"
                f"{part.where}: use fewer {part.option}"
            )
        order = np.argsort(position, kind="stable")
        borders = [position[order[round(len(rows) * (i + 1) / (folds + 1))]] for i in range(folds)] + [len(moments)]
        splits = []
        for i in range(folds):
            test = rows[(position >= borders[i]) & (position < borders[i + 1])]
            train = self._without_groups_of(rows[position < borders[i]], test)
            for side, name in ((train, "training"), (test, "test")):
                what = f"the {name} part of number {i + 1} of {folds} forward {part.folds}{part.where}"
                self._check_classes(self.y[side], self.y[rows], what, f": use fewer {part.option}")
            splits.append((train, test))
        return splits


def make_splitter(table: Table) -> Splitter:
    """What splitting needs to know of a table; computed once per task."""
    _, blocks = np.unique(row_keys(table.X), return_inverse=True)
    if table.groups is not None:
        blocks = _tie(blocks.astype(np.int64), table.groups)
    return Splitter(table.y, blocks.astype(np.int64), table.time, table.test, table.classes, table.groups)


def assign_folds(
    y: Index, blocks: Index, folds: int, seed: int, classes: tuple[str, ...] = (), part: Part = OUTER
) -> Index:
    """A fold number for every row: stratified, with each block in one fold.

    Blocks of several rows are dealt out first, largest first, each to the fold that lacks its classes most; single rows then
    fill every class up to equal shares. Where no block has several rows this is plain stratified k-fold.
    Raises `DataError` where a class has fewer blocks than folds.
    """
    rng = np.random.default_rng(seed)
    k = int(y.max()) + 1
    _, block, sizes = np.unique(blocks, return_inverse=True, return_counts=True)
    labels = np.unique(y)
    for label in labels:
        rows, distinct = int((y == label).sum()), len(np.unique(block[y == label]))
        if distinct < folds:
            raise DataError(f"class {_called(label, classes)} {_too_few(rows, distinct, folds, part)}")
    assigned = np.full(len(y), -1, dtype=np.int64)
    counts = np.zeros((folds, k))
    totals = np.bincount(y, minlength=k).astype(float)
    large = np.flatnonzero(sizes > 1)
    if len(large):
        content = np.zeros((len(sizes), k))
        np.add.at(content, (block, y), 1)
        order = rng.permutation(large)
        order = order[np.argsort(-sizes[order], kind="stable")]
        home = np.full(len(sizes), -1, dtype=np.int64)
        scale = 1 / np.maximum(totals, 1)
        for b in order:
            filled = (counts * scale * content[b]).sum(axis=1)
            i = int(np.lexsort((rng.permutation(folds), counts.sum(axis=1), filled))[0])
            home[b] = i
            counts[i] += content[b]
        assigned = home[block]
    for label in labels:
        single = rng.permutation(np.flatnonzero((assigned < 0) & (y == label)))
        assigned[single] = _fill(counts[:, label].astype(np.int64), len(single), rng)
        if len(np.unique(assigned[y == label])) < folds:
            raise DataError(
                f"equal or grouped rows hold class {_called(label, classes)} so tightly{part.where} that {folds} "
                f"{part.folds} cannot share it: use fewer {part.option}"
            )
    return assigned


def _fill(have: Index, rows: int, rng: np.random.Generator) -> Index:
    """Fold numbers for `rows` single rows so that `have` plus these comes out as even as it can."""
    level = int(have.max())
    lacking = np.repeat(np.arange(len(have)), level - have)
    # Fill the emptiest first: the j-th missing place of every fold before the (j+1)-th.
    depth = np.concatenate([np.arange(level - h)[::-1] for h in have]) if len(lacking) else lacking
    lacking = lacking[np.argsort(-depth, kind="stable")][:rows]
    rest = rows - len(lacking)
    return np.concatenate([lacking, np.resize(rng.permutation(len(have)), rest)]).astype(np.int64)


def _tie(first: Index, second: Index) -> Index:
    """Blocks that join whatever shares a value in either grouping (connected components)."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    a, b = np.unique(first, return_inverse=True)[1], np.unique(second, return_inverse=True)[1]
    n = int(a.max()) + 1
    graph = coo_matrix((np.ones(len(a)), (a, b + n)), shape=(n + int(b.max()) + 1,) * 2)
    component = connected_components(graph, directed=False)[1]
    return np.asarray(component[a], dtype=np.int64)


def _too_few(rows: int, distinct: int, folds: int, part: Part) -> str:
    """What a class has, what it needs, and what to do."""
    has = f"has {rows} row{'' if rows == 1 else 's'}"
    if distinct < rows:
        has += f", {distinct} that differ{'s' if distinct == 1 else ''} (equal rows and groups count once)"
    mend = f"use {part.option} {distinct}" if distinct > 1 else "merge it with another class, or leave out its rows"
    if part is INNER and distinct < 2:
        mend = f"use more {OUTER.option}, {mend}"
    return f"{has}{part.where}, fewer than {folds} {part.folds}: {mend}"


def _called(label: int, classes: tuple[str, ...]) -> str:
    return repr(classes[label]) if classes else str(label)
