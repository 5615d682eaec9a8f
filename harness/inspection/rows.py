"""What checks work on: all rows of a table, the rows that are sampled for models and neighbours, and the outer folds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from harness.data.splits import Fold, Splitter
from harness.inspection.quick_model import (
    Index,
    Proba,
    QuickColumns,
    draw_quick_model_folds,
    encode_columns,
    predict_out_of_fold,
)
from harness.registry.protocol import EvaluationProtocol
from harness.registry.task import Table, Task
from harness.seeding import seed_of

if TYPE_CHECKING:
    import pandas as pd

MAX_SAMPLED_ROWS = 10_000  #: for the quick model and the search of neighbours
MIN_MODEL_ROWS = 100  #: with fewer rows, scores of a quick model say nothing
MIN_MODEL_CLASS_ROWS = 15  #: of every class


@dataclass(frozen=True)
class InspectedRows:
    """The rows of a task as checks need them.

    Attributes
    ----------
    task : Task
        The task.
    table : Table
        All rows, typed.
    raw : DataFrame or None
        All rows as they were read from the file; None for images.
    protocol : EvaluationProtocol
        Folds and seed of the run that is planned.
    splitter : Splitter
        Groups and blocks of equal rows.
    folds : tuple of Fold
        The outer splits; empty where the rows cannot be split.
    """

    task: Task
    table: Table
    raw: pd.DataFrame | None
    protocol: EvaluationProtocol
    splitter: Splitter
    folds: tuple[Fold, ...]

    def seed(self, purpose: str) -> int:
        """Seed of a check."""
        return seed_of(self.protocol.seed, "inspection", purpose)

    @cached_property
    def sample(self) -> Index:
        """Positions of at most `MAX_SAMPLED_ROWS` rows in ascending order."""
        n_rows = len(self.table.y)
        if n_rows <= MAX_SAMPLED_ROWS:
            return np.arange(n_rows)
        rng = np.random.default_rng(self.seed("sample"))
        return np.sort(rng.choice(n_rows, MAX_SAMPLED_ROWS, replace=False))

    @cached_property
    def X(self) -> pd.DataFrame:  # noqa: N802 -- as in the table
        """Features of the sampled rows."""
        features: pd.DataFrame = self.table.X.iloc[self.sample].reset_index(drop=True)
        return features

    @cached_property
    def y(self) -> Index:
        """Classes of the sampled rows."""
        return self.table.y[self.sample]

    @cached_property
    def sample_folds(self) -> Index | None:
        """Random folds of the sampled rows; None where a quick model cannot be fitted."""
        class_counts = np.bincount(self.y, minlength=len(self.table.classes))
        if not hasattr(self.table.X, "columns") or len(self.y) < MIN_MODEL_ROWS:
            return None
        if class_counts.min() < MIN_MODEL_CLASS_ROWS:
            return None
        return draw_quick_model_folds(self.y, self.splitter.blocks[self.sample], self.seed("folds"))

    @cached_property
    def encoded(self) -> QuickColumns:
        """Features of the sampled rows as the quick model takes them."""
        return encode_columns(self.X)

    @cached_property
    def proba(self) -> Proba | None:
        """Out-of-fold probabilities of the sampled rows; None without `sample_folds`."""
        if self.sample_folds is None:
            return None
        return predict_out_of_fold(self.encoded, self.y, self.sample_folds, self.seed("model"))
