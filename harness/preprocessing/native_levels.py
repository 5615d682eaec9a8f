"""Categories with many levels for families that take categories themselves: their levels are kept, up to a maximum."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.preprocessing.tabular import (
    MISSING,
    OTHER,
    Floats,
    TabularPreprocessor,
    many_level_categories,
    unused_name,
)
from harness.preprocessing.weighted import count_values

if TYPE_CHECKING:
    import pandas as pd

#: Levels of a category: HistGradientBoosting takes no more. The rarest beyond are merged.
MAX_NATIVE_LEVELS = 255


def keep_levels(preparer: TabularPreprocessor, X: pd.DataFrame, weights: Floats | None = None) -> TabularPreprocessor:
    """Keep the levels of the categories with many levels, in a fitted preparation that has merged the rare ones.

    Parameters
    ----------
    preparer : TabularPreprocessor
        A fitted preparation.
    X : DataFrame
        The training rows that it was fitted on.
    weights : array of shape (n_rows,) or None, default None
        Weights of the rows.

    Returns
    -------
    TabularPreprocessor
        The preparation with at most `MAX_NATIVE_LEVELS` levels for each of these categories. The last of them are those of all
        other levels, which new rows with an unknown level have, and of missing values if there were any.
    """
    column_layout, many_level_columns = preparer.layout, many_level_categories(X, weights)
    categories = list(column_layout.categories)
    unknown_levels, missing_levels = list(preparer.unknown_levels), list(preparer.missing_levels)
    for j, (name, _) in enumerate(column_layout.categories[: column_layout.n_table_categories]):
        if name not in many_level_columns:
            continue
        has_missing = bool(X[name].isna().any())
        frequent_levels = count_values(X[name], weights).index[: MAX_NATIVE_LEVELS - 1 - int(has_missing)]
        levels = list(map(str, frequent_levels))
        unknown_levels[j] = missing_levels[j] = len(levels)
        levels.append(unused_name(OTHER, levels))
        if has_missing:
            missing_levels[j] = len(levels)
            levels.append(unused_name(MISSING, levels))
        categories[j] = (name, tuple(levels))
    return replace(
        preparer,
        layout=replace(column_layout, categories=tuple(categories)),
        unknown_levels=tuple(unknown_levels),
        missing_levels=tuple(missing_levels),
    )
