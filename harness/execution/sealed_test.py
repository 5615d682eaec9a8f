"""The sealed test rows of a cell: separated before anything is fitted, scored once per frozen entry, every use counted."""

from __future__ import annotations

import time
from collections import Counter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.errors import EvenhandError
from harness.registry.task import Table
from harness.search.pipeline import FittedPipeline


class SealedPredictions(NamedTuple):
    """Probabilities (n_test, k) of the sealed rows, with positions, labels, blocks and weights of these rows and the seconds."""

    rows: npt.NDArray[np.int64]
    y: npt.NDArray[np.int64]
    blocks: npt.NDArray[np.int64]
    proba: npt.NDArray[np.float32]
    seconds: float
    weights: npt.NDArray[np.float64] | None


class SealedTest:
    """The outer test rows of a cell, labels included, which the search never receives.

    Every use is counted, and the counts are stored in the record of the cell.

    Parameters
    ----------
    table : Table
        All rows of the task.
    rows : array of int (n_test,)
        Positions of the test rows.
    blocks : array of int (n_test,)
        Block of every test row: rows with equal features, or of one group, are one observation for statistics.
    """

    def __init__(self, table: Table, rows: npt.NDArray[np.int64], blocks: npt.NDArray[np.int64]) -> None:
        self._rows, self._table, self._blocks = rows, table.take(rows), blocks
        self._scored = set[str]()
        self._diagnosed = Counter[str]()

    @property
    def count_scored_entries(self) -> int:
        """How many entries were scored."""
        return len(self._scored)

    @property
    def count_diagnoses(self) -> int:
        """How many times the rows were used for a diagnosis."""
        return self._diagnosed.total()

    def score(self, entry: str, fitted: FittedPipeline) -> SealedPredictions:
        """Predict the test rows with an entry whose configuration is frozen, once per entry.

        Parameters
        ----------
        entry : str
            Name of the entry. Entries with the same configuration share one fit and one score.
        fitted : FittedPipeline
            The entry, fitted to the outer training rows.

        Returns
        -------
        SealedPredictions
            The probabilities; the seconds are without what an encoder computes once for all cells and keeps on disk.

        Raises
        ------
        EvenhandError
            If the entry was scored before.
        """
        if entry in self._scored:
            raise EvenhandError(f"the sealed test rows were scored with {entry!r} before: an entry is scored once")
        self._scored.add(entry)
        fitted.fill_cache(self._table.X)
        start_seconds = time.perf_counter()
        proba = fitted.predict_proba(self._table.X)
        seconds = time.perf_counter() - start_seconds
        return SealedPredictions(self._rows, self._table.y, self._blocks, proba, seconds, self._table.weights)

    def diagnose(self, purpose: str) -> Table:
        """The test rows for a diagnosis of entries that are frozen, such as importances; nothing may be chosen from it.

        Parameters
        ----------
        purpose : str
            What the rows are used for; it is counted.
        """
        self._diagnosed[purpose] += 1
        return self._table
