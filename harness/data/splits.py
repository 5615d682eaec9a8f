"""Outer and inner folds and validation rows, all by one rule: stratified, groups together, equal rows together, or by time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.data.table import hash_rows
from harness.errors import DataError
from harness.registry.protocol import EvaluationProtocol
from harness.registry.task import Table
from harness.seeding import seed_of

Index: TypeAlias = npt.NDArray[np.int64]


class SplitErrorTexts(NamedTuple):
    """How error messages refer to the rows that are split, to their folds, and to the option that sets the number."""

    rows_phrase: str
    folds: str
    option: str


OUTER = SplitErrorTexts("", "folds", "--folds")
INNER = SplitErrorTexts(" in the training part of an outer split", "inner folds", "--inner-folds")
#: The training part of a predefined split does not depend on the number of outer folds.
INNER_OF_PREDEFINED = SplitErrorTexts(" in the training part of the predefined split", "inner folds", "--inner-folds")


MIN_BLOCKS = 3  #: of a class: with 3 outer folds, 2 of them are left for 2 inner folds
MAX_SHOWN_CLASSES = 20  #: in one message


@dataclass(frozen=True)
class Fold:
    """Row positions of one split: `train` to learn from, `test` to score on."""

    repeat: int
    fold: int
    train: Index
    test: Index


@dataclass(frozen=True)
class Splitter:
    """What splitting needs to know of the rows of a task.

    Attributes
    ----------
    y : array of shape (n_rows,), int
        Class of each row.
    blocks : array of shape (n_rows,), int
        Block of each row. Rows of a block stay together: a block is a group, a set of rows with equal features, or a
        connected component of these two.
    time : array of shape (n_rows,), int, or None
        Rank in time of each row, if the task has a time column.
    test : array of shape (n_rows,), bool, or None
        Whether a row is in the test part of a predefined split.
    classes : tuple of str, default ()
        Names of the classes, for messages.
    groups : array of shape (n_rows,), int, or None, default None
        Declared group of each row.
    inner_level : SplitLevel, default INNER
        How messages refer to inner folds of these rows.
    folds : array of shape (n_rows,), int, or None, default None
        Predefined fold in which each row is tested.
    """

    y: Index
    blocks: Index
    time: Index | None
    test: npt.NDArray[np.bool_] | None
    classes: tuple[str, ...] = ()
    groups: Index | None = None
    inner_level: SplitErrorTexts = INNER
    folds: Index | None = None

    def take(self, rows: Index) -> Splitter:
        """Restrict the splitter to some rows, given by position; the split column does not apply to a part."""
        row_times = None if self.time is None else self.time[rows]
        groups = None if self.groups is None else self.groups[rows]
        is_predefined = self.test is not None or self.folds is not None
        level = INNER_OF_PREDEFINED if is_predefined else self.inner_level
        return Splitter(self.y[rows], self.blocks[rows], row_times, None, self.classes, groups, level)

    def outer(self, protocol: EvaluationProtocol) -> list[Fold]:
        """Split all rows for the outer evaluation.

        With a time column, every test row is later than every training row. A split column gives the only split, or all folds.

        Parameters
        ----------
        protocol : EvaluationProtocol
            Gives the number of folds and repeats and the seed.

        Returns
        -------
        list of Fold
            ``protocol.repeats * protocol.folds`` splits, the same for every family and strategy.

        Raises
        ------
        DataError
            If a class has fewer blocks than there are folds, or if repeats are requested with a time column.
        """
        rows = np.arange(len(self.y))
        if self.test is not None:
            return [self._predefined_fold(0, self.test, "the split")]
        if self.folds is not None:
            fold_numbers = np.unique(self.folds).tolist()
            return [
                self._predefined_fold(i, self.folds == i, f"fold {i + 1} of the split column") for i in fold_numbers
            ]
        if self.time is not None:
            if protocol.repeats > 1:
                raise DataError("with a time column there is one way to split forward: leave --repeats at 1")
            return [
                Fold(0, i, train_rows, test_rows)
                for i, (train_rows, test_rows) in enumerate(self._forward_folds(rows, protocol.folds))
            ]
        folds: list[Fold] = []
        _check_block_counts(self.y, self.blocks, max(protocol.folds, MIN_BLOCKS), self.classes, OUTER)
        for repeat in range(protocol.repeats):
            splits = self._stratified_folds(rows, protocol.folds, seed_of(protocol.seed, "outer", repeat))
            folds += [Fold(repeat, i, train_rows, test_rows) for i, (train_rows, test_rows) in enumerate(splits)]
        return folds

    def _predefined_fold(self, fold_number: int, is_test_row: npt.NDArray[np.bool_], name: str) -> Fold:
        """A fold whose test rows are given; training rows that are in a block with one of them are left out."""
        rows = np.arange(len(self.y))
        train_rows, test_rows = rows[~is_test_row], rows[is_test_row]
        train_rows = train_rows[~np.isin(self.blocks[train_rows], self.blocks[test_rows])]
        self._check_all_classes_present(
            self.y[train_rows], self.y, f"the training part of {name}, without rows of its test part,"
        )
        self._check_all_classes_present(self.y[test_rows], self.y, f"the test part of {name}")
        return Fold(0, fold_number, train_rows, test_rows)

    def inner(self, folds: int, seed: int) -> list[tuple[Index, Index]]:
        """Split training rows for the search.

        Parameters
        ----------
        folds, seed : int
            Number of folds, and seed of the assignment, which has no effect with a time column.

        Returns
        -------
        list of (train, test)
            Row positions.

        Raises
        ------
        DataError
            If a class has fewer blocks than there are folds.
        """
        rows = np.arange(len(self.y))
        if self.time is not None:
            return self._forward_folds(rows, folds, self.inner_level)
        return self._stratified_folds(rows, folds, seed, self.inner_level)

    def split_validation(self, rows: Index, share: float, seed: int) -> tuple[Index, Index]:
        """Set validation rows aside for early stopping.

        Parameters
        ----------
        rows : array of int
            Positions of training rows.
        share : float
            Share of the rows to set aside, approximately; larger where a class has few rows.
        seed : int
            Seed of the assignment.

        Returns
        -------
        train, validation : array of int
            Row positions; no validation rows where they or the others could not have all classes.
        """
        if self.time is not None:
            return self._split_latest_rows(rows, share)
        y, row_blocks = self.y[rows], self.blocks[rows]
        min_blocks = min(len(np.unique(row_blocks[y == label])) for label in np.unique(y))
        folds = min(max(2, round(1 / share)), min_blocks)
        try:
            return self._stratified_folds(rows, folds, seed)[0] if folds > 1 else (rows, rows[:0])
        except DataError:  # blocks so large that no fold has every class
            return rows, rows[:0]

    def _stratified_folds(
        self, rows: Index, folds: int, seed: int, level: SplitErrorTexts = OUTER
    ) -> list[tuple[Index, Index]]:
        fold_of_row = assign_folds(self.y[rows], self.blocks[rows], folds, seed, self.classes, level)
        return [(rows[fold_of_row != i], rows[fold_of_row == i]) for i in range(folds)]

    def _check_all_classes_present(self, part_y: Index, y: Index, name: str, split_advice: str = "") -> None:
        missing_labels = np.setdiff1d(y, part_y)
        if len(missing_labels):
            label = _format_class_name(missing_labels[0], self.classes)
            raise DataError(f"{name} has no row of class {label}, which cannot be learned or scored{split_advice}")

    def _exclude_groups(self, train_rows: Index, test_rows: Index) -> Index:
        """Training rows whose group has no test row."""
        return (
            train_rows if self.groups is None else train_rows[~np.isin(self.groups[train_rows], self.groups[test_rows])]
        )

    def _split_latest_rows(self, rows: Index, share: float) -> tuple[Index, Index]:
        """Earlier rows, and about `share` of all that are later; twice as many where a class would be missing."""
        assert self.time is not None  # noqa: S101 -- the caller has checked it
        row_times, n_classes = self.time[rows], len(np.unique(self.y[rows]))
        for later_share in (share, 2 * share):
            border_time = np.sort(row_times)[round(len(rows) * (1 - later_share))]
            later_rows = rows[row_times >= border_time]
            earlier_rows = self._exclude_groups(rows[row_times < border_time], later_rows)
            if len(np.unique(self.y[earlier_rows])) == len(np.unique(self.y[later_rows])) == n_classes:
                return earlier_rows, later_rows
        return rows, rows[:0]

    def _forward_folds(self, rows: Index, folds: int, level: SplitErrorTexts = OUTER) -> list[tuple[Index, Index]]:
        """Forward chaining: fold i tests the (i+1)-th interval of time and trains on all that is earlier.

        Rows of one time stay together, and training rows whose group has rows in the test interval are left out. Earlier
        rows with equal features stay: at the time of the prediction they are known.
        """
        assert self.time is not None  # noqa: S101 -- the caller has checked it
        times, position = np.unique(self.time[rows], return_inverse=True)
        if len(times) <= folds:
            raise DataError(
                f"{folds} forward {level.folds} need more than {folds} different times, but there are {len(times)}"
                f"{level.rows_phrase}: use fewer {level.option}"
            )
        row_order = np.argsort(position, kind="stable")
        border_times = [position[row_order[round(len(rows) * (i + 1) / (folds + 1))]] for i in range(folds)] + [
            len(times)
        ]
        splits = []
        for i in range(folds):
            test_rows = rows[(position >= border_times[i]) & (position < border_times[i + 1])]
            train_rows = self._exclude_groups(rows[position < border_times[i]], test_rows)
            for row_part, name in ((train_rows, "training"), (test_rows, "test")):
                part_name = f"splitting forward in time, the {name} part of {level.folds[:-1]} {i + 1} of {folds}"
                split_advice = f": use fewer {level.option}, or split without the time column"
                self._check_all_classes_present(self.y[row_part], self.y[rows], part_name, split_advice)
            splits.append((train_rows, test_rows))
        return splits


def make_splitter(table: Table) -> Splitter:
    """Find the blocks of all rows of a task; done once per task."""
    _, row_blocks = np.unique(hash_rows(table.X), return_inverse=True)
    if table.groups is not None:
        row_blocks = _merge_blocks(row_blocks.astype(np.int64), table.groups)
    return Splitter(
        table.y, row_blocks.astype(np.int64), table.time, table.test, table.classes, table.groups, folds=table.folds
    )


def assign_folds(
    y: Index, blocks: Index, folds: int, seed: int, classes: tuple[str, ...] = (), level: SplitErrorTexts = OUTER
) -> Index:
    """Assign rows to folds, stratified, with each block in one fold.

    Blocks of several rows are assigned first, the largest first, each to the fold that has the smallest share of its
    classes; single rows then fill every class up to equal counts. Without blocks of several rows this is stratified k-fold.

    Parameters
    ----------
    y : array of shape (n_rows,), int
        Class of each row.
    blocks : array of shape (n_rows,), int
        Block of each row.
    folds, seed : int
        Number of folds, and seed of the assignment.
    classes : tuple of str, default ()
        Names of the classes, for messages.
    level : SplitLevel, default OUTER
        What is split, for messages.

    Returns
    -------
    array of shape (n_rows,), int
        Fold of each row.

    Raises
    ------
    DataError
        If a class has fewer blocks than there are folds, or if blocks are so large that a fold lacks a class.
    """
    rng = np.random.default_rng(seed)
    _, block, sizes = np.unique(blocks, return_inverse=True, return_counts=True)
    labels = np.unique(y)
    _check_block_counts(y, block, folds, classes, level)
    fold_of_row = np.full(len(y), -1, dtype=np.int64)
    counts = np.zeros((folds, int(y.max()) + 1))
    if (sizes > 1).any():
        class_counts = np.zeros((len(sizes), counts.shape[1]))
        np.add.at(class_counts, (block, y), 1)
        fold_of_row = _assign_blocks_to_folds(class_counts, sizes, counts, rng)[block]
    for label in labels:
        single_rows = rng.permutation(np.flatnonzero((fold_of_row < 0) & (y == label)))
        fold_of_row[single_rows] = _assign_rows_to_folds(counts[:, label].astype(np.int64), len(single_rows), rng)
        if len(np.unique(fold_of_row[y == label])) < folds:
            raise DataError(
                f"equal or grouped rows hold class {_format_class_name(label, classes)} so tightly{level.rows_phrase} that "
                f"{folds} {level.folds} cannot share it: use fewer {level.option}"
            )
    return fold_of_row


def _assign_blocks_to_folds(
    class_counts: npt.NDArray[np.float64], sizes: Index, counts: npt.NDArray[np.float64], rng: np.random.Generator
) -> Index:
    """Fold of each block of several rows, -1 of others; `class_counts` are those of blocks.

    `counts` (n_folds, n_classes) of the folds are updated in place.
    """
    folds = len(counts)
    row_order = rng.permutation(np.flatnonzero(sizes > 1))
    row_order = row_order[np.argsort(-sizes[row_order], kind="stable")]
    fold_of_block = np.full(len(sizes), -1, dtype=np.int64)
    scale = 1 / np.maximum(class_counts.sum(axis=0), 1)
    for block in row_order:
        fill_level = (counts * scale * class_counts[block]).sum(axis=1)
        fold = int(np.lexsort((rng.permutation(folds), counts.sum(axis=1), fill_level))[0])
        fold_of_block[block] = fold
        counts[fold] += class_counts[block]
    return fold_of_block


def _assign_rows_to_folds(counts: Index, n_rows: int, rng: np.random.Generator) -> Index:
    """Fold numbers for `n_rows` single rows so that `counts` plus these are as equal as possible."""
    fold_gaps = int(counts.max()) - counts
    folds = np.repeat(np.arange(len(counts)), fold_gaps)
    if len(folds):
        # The smallest fold is filled first: the j-th gap of every fold before the (j+1)-th.
        gap_depths = np.concatenate([np.arange(fold_gap)[::-1] for fold_gap in fold_gaps])
        folds = folds[np.argsort(-gap_depths, kind="stable")][:n_rows]
    n_remaining = n_rows - len(folds)
    return np.concatenate([folds, np.resize(rng.permutation(len(counts)), n_remaining)]).astype(np.int64)


def _merge_blocks(first: Index, second: Index) -> Index:
    """Join rows that share a block in either of two groupings (connected components)."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    first_blocks, first = np.unique(first, return_inverse=True)
    second_blocks, second = np.unique(second, return_inverse=True)
    n_nodes = len(first_blocks) + len(second_blocks)
    block_graph = coo_matrix(
        (np.ones(len(first)), (first, second + len(first_blocks))),
        shape=(n_nodes, n_nodes),
    )
    return np.asarray(connected_components(block_graph, directed=False)[1][first], dtype=np.int64)


def _check_block_counts(y: Index, block: Index, needed: int, classes: tuple[str, ...], level: SplitErrorTexts) -> None:
    """Raise `DataError` with advice if classes have fewer blocks than are needed; it names all of them."""
    problems, fewest = [], needed
    for label in np.unique(y):
        n_rows, n_blocks = int((y == label).sum()), len(np.unique(block[y == label]))
        if n_blocks < needed:
            problems.append(_describe_class_count(_format_class_name(label, classes), n_rows, n_blocks))
            fewest = min(fewest, n_blocks)
    if not problems:
        return
    shown = "; ".join(problems[:MAX_SHOWN_CLASSES])
    if len(problems) > MAX_SHOWN_CLASSES:
        shown += f"; {len(problems) - MAX_SHOWN_CLASSES} more classes have as few"
    limit = f"{needed} {level.folds}"
    if fewest < MIN_BLOCKS and level is OUTER:
        limit = f"the {MIN_BLOCKS} that any folds need, one to test on and two to search with"
    raise DataError(
        f"{shown}{level.rows_phrase}, fewer than {limit}: {_advise_on_small_classes(len(problems), fewest, level)}"
    )


def _describe_class_count(label: str, n_rows: int, n_blocks: int) -> str:
    count = f"class {label} has {n_rows} row{'' if n_rows == 1 else 's'}"
    if n_blocks < n_rows:
        count += f", {n_blocks} that differ{'s' if n_blocks == 1 else ''} (equal rows and groups count once)"
    return count


def _advise_on_small_classes(n_classes: int, fewest_blocks: int, level: SplitErrorTexts) -> str:
    """Advise what to do about classes of which the smallest has `fewest_blocks` blocks; no advice leads to another refusal."""
    split_advice = "merge it with another class, or leave out its rows"
    if n_classes > 1:
        split_advice = "merge them with other classes, or leave out their rows"
    if fewest_blocks >= (MIN_BLOCKS if level is OUTER else 2):
        return f"use {level.option} {fewest_blocks}"
    return f"use more {OUTER.option}, {split_advice}" if level is INNER else split_advice


def _format_class_name(label: int, classes: tuple[str, ...]) -> str:
    return repr(classes[label]) if classes else str(label)
