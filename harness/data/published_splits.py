"""Outer splits that are published with data, written as one column of the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def split_column(assignments: pd.DataFrame, n_rows: int, source: str) -> pd.Series:
    """Write published splits as a column of the rows.

    Parameters
    ----------
    assignments : DataFrame
        A line for every row in every split: `type` (TRAIN or TEST), `rowid` (position from 0), `repeat` and `fold`.
    n_rows : int
        Rows of the data.
    source : str
        What publishes the splits, for messages.

    Returns
    -------
    Series
        Of a hold-out, train and test; of cross-validation the number of the fold that a row is tested in, in the first repeat.
        Missing for rows that take no part.

    Raises
    ------
    DataError
        If the splits are of other rows, or neither a hold-out nor cross-validation in which every row is tested once a repeat.
    """
    import pandas as pd

    rows = assignments["rowid"].to_numpy(np.float64)
    if len(rows) == 0 or not (rows % 1 == 0).all() or rows.min() < 0 or rows.max() >= n_rows:
        raise DataError(f"{source}: its splits are of other rows than the {n_rows:,} of its data")
    is_test = (assignments["type"] == "TEST").to_numpy(bool)
    splits = pd.DataFrame(
        {"row": rows.astype(np.int64), "repeat": assignments["repeat"], "fold": assignments["fold"], "is_test": is_test}
    )
    if splits.duplicated(["row", "repeat", "fold"]).any():
        raise DataError(f"{source}: a row is listed twice in one of its splits")
    names = splits[["repeat", "fold"]].drop_duplicates()
    if len(names) == 1:
        words = splits["is_test"].map({True: "test", False: "train"})
        return pd.Series(words.to_numpy(), index=splits["row"]).reindex(range(n_rows)).astype("str")
    _check_cross_validation(splits, len(names), source)
    first = splits["is_test"] & (splits["repeat"] == splits["repeat"].min())
    folds = splits[first].set_index("row")["fold"].astype("int64").astype("str")
    column: pd.Series = folds.reindex(range(n_rows)).astype("str")
    return column


def _check_cross_validation(splits: pd.DataFrame, n_splits: int, source_text: str) -> None:
    """Raise `DataError` for splits in which rows are not tested once a repeat and learned from in its other folds."""
    folds_by_repeat = splits.groupby("repeat")["fold"].nunique()
    folds, repeats = int(folds_by_repeat.iloc[0]), len(folds_by_repeat)
    times_tested = splits[splits["is_test"]].groupby(["row", "repeat"]).size()
    is_balanced = bool((folds_by_repeat == folds).all()) and folds > 1 and bool((times_tested == 1).all())
    n_used = splits["row"].nunique()
    if not is_balanced or len(times_tested) != n_used * repeats or len(splits) != n_used * n_splits:
        raise DataError(
            f"{source_text}: its {n_splits} splits are neither one hold-out nor cross-validation that tests every row once in each "
            "repeat, and no others are supported"
        )
