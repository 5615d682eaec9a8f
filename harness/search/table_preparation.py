"""Preparation of the training rows of a table, before a strategy acts on them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.preprocessing.encodings import NATIVE, TARGET, Encoding
from harness.preprocessing.native_levels import keep_levels
from harness.preprocessing.tabular import PreparedRows, TabularPreprocessor, fit_table_preprocessor
from harness.preprocessing.target_encoding import add_target_encoding
from harness.registry.task import take, take_weights
from harness.seeding import seed_of

if TYPE_CHECKING:
    from harness.search.pipeline import TrainingSet

Labels: TypeAlias = npt.NDArray[np.int64]


class PreparedTable(NamedTuple):
    """A fitted preparation, the rows that classifiers are fitted on with their labels, and the validation rows."""

    preparer: TabularPreprocessor
    rows: PreparedRows
    y: Labels
    validation_rows: PreparedRows | None


def prepare_table(encoding: Encoding, categories: str, training: TrainingSet) -> PreparedTable:
    """Prepare the training rows of a table.

    What reads labels is fitted without the validation rows, and the rows that it is fitted on are encoded by cross-fitting:
    the class shares of a level, computed with the label of a row, would tell the classifier this label.

    Parameters
    ----------
    encoding : Encoding
        The encoding of the family.
    categories : {"frequent", "target", "native"}
        How categories with many levels are prepared.
    training : TrainingSet
        The rows; the preparation without target encoding is kept in their cache.

    Returns
    -------
    PreparedTable
        The preparation and the prepared rows.
    """
    table_preparer = training.cache.get(("preparer",), lambda: fit_table_preprocessor(training.X, training.weights))
    fitted_rows, needs_unscaled = training.fitted_row_positions, encoding.unscaled
    y = training.y[fitted_rows]
    if categories == TARGET:
        row_blocks = None if training.blocks is None else training.blocks[fitted_rows]
        X, seed = take(training.X, fitted_rows), seed_of(training.seed, "encode")
        weights = take_weights(training.weights, fitted_rows)
        table_preparer, class_shares = add_target_encoding(table_preparer, X, y, row_blocks, seed, weights)
    elif categories == NATIVE:
        table_preparer = keep_levels(table_preparer, training.X, training.weights)
    prepared_rows = replace(table_preparer.transform(training.X, unscaled=needs_unscaled), weights=training.weights)
    rows = prepared_rows
    if training.validation is not None:
        rows = prepared_rows.take(fitted_rows)
    if table_preparer.target_encoding is not None:
        rows = table_preparer.target_encoding.replace_in(rows, class_shares)
    validation_rows = None if training.validation is None else prepared_rows.take(training.validation)
    return PreparedTable(table_preparer, rows, y, validation_rows)


def raise_bins(classifier: Any, X: Any) -> Any:
    """Give a classifier that counts a level of a category as a bin at least as many bins as a category has levels."""
    n_levels = 0
    for _, column in X.items() if hasattr(X, "columns") else ():
        if column.dtype == "category":
            n_levels = max(n_levels, len(column.cat.categories))
    if getattr(classifier, "max_bins", n_levels) < n_levels:
        classifier.set_params(max_bins=n_levels)
    return classifier
