"""Prepared rows: fitted on training rows, safe for whatever comes later."""

import numpy as np
import pandas as pd

from harness.preprocessing.tabular import MISSING, OTHER, fit_preprocessor


def frame(**columns):
    return pd.DataFrame(
        {n: pd.Categorical(c) if isinstance(c[0], str) else np.array(c, float) for n, c in columns.items()}
    )


def test_numbers_are_filled_with_the_training_median_and_standardised():
    prepared = fit_preprocessor(frame(a=[1.0, 2.0, 9.0, np.nan])).transform(frame(a=[2.0, np.nan]))
    assert prepared.numbers[0, 0] == prepared.numbers[1, 0]
    fitted = fit_preprocessor(frame(a=list(range(100))))
    column = fitted.transform(frame(a=list(range(100)))).numbers[:, 0]
    assert abs(column.mean()) < 1e-12
    assert abs(column.std() - 1) < 1e-12


def test_a_column_that_misses_values_gets_an_indicator_at_the_end():
    preparer = fit_preprocessor(frame(a=[1.0, np.nan, 3.0], c=["x", "y", "x"]))
    assert preparer.layout.categories[-1] == ("a missing", ("no", "yes"))
    assert preparer.layout.indicators == (0,)
    assert list(preparer.transform(frame(a=[np.nan, 5.0], c=["x", "y"])).codes[:, -1]) == [1, 0]


def test_rare_levels_are_folded_and_unknown_ones_join_them():
    preparer = fit_preprocessor(frame(c=["a"] * 50 + ["b"] * 40 + ["c"]))
    _, levels = preparer.layout.categories[0]
    assert levels == ("a", "b", OTHER)
    assert list(preparer.transform(frame(c=["a", "c", "never seen"])).codes[:, 0]) == [0, 2, 2]


def test_an_unknown_level_is_the_commonest_where_none_is_rare():
    preparer = fit_preprocessor(frame(c=["a"] * 50 + ["b"] * 40))
    assert list(preparer.transform(frame(c=["new", "b"])).codes[:, 0]) == [0, 1]


def test_missing_categories_are_a_level_and_names_cannot_collide():
    column = pd.Categorical(["a"] * 20 + [None] * 10 + [MISSING] * 10 + [OTHER] * 8 + ["r"])
    layout = fit_preprocessor(pd.DataFrame({"c": column})).layout
    levels = layout.categories[0][1]
    assert len(set(levels)) == len(levels) == 5


def test_missing_and_a_level_called_missing_stay_apart():
    column = pd.Categorical(["a"] * 20 + [None] * 10 + [MISSING] * 15)
    data = pd.DataFrame({"c": column})
    codes = fit_preprocessor(data).transform(data).codes[:, 0]
    assert len({codes[0], codes[25], codes[35]}) == 3


def test_constant_and_empty_columns_do_no_harm():
    data = frame(a=[3.0] * 10, b=[np.nan] * 10)
    numbers = fit_preprocessor(data).transform(data).numbers
    assert np.isfinite(numbers).all()


def test_levels_in_another_order_give_the_same_codes():
    preparer = fit_preprocessor(frame(c=["a"] * 9 + ["b"] * 8))
    one = pd.DataFrame({"c": pd.Categorical(["b", "a"], categories=["b", "a"])})
    other = pd.DataFrame({"c": pd.Categorical(["b", "a"], categories=["a", "z", "b"])})
    plain = pd.DataFrame({"c": ["b", "a"]})
    for data in (one, other, plain):
        assert list(preparer.transform(data).codes[:, 0]) == [1, 0]
