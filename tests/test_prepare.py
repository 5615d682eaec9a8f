"""Prepared rows: fitted on training rows, safe for whatever comes later."""

import numpy as np
import pandas as pd
import pytest

from harness.preprocessing.tabular import MISSING, OTHER, PreparedRows, fit_table_preprocessor


def frame(**columns):
    return pd.DataFrame(
        {n: pd.Categorical(c) if isinstance(c[0], str) else np.array(c, float) for n, c in columns.items()}
    )


def test_numbers_are_filled_with_the_training_median_and_standardised():
    prepared = fit_table_preprocessor(frame(a=[1.0, 2.0, 9.0, np.nan])).transform(frame(a=[2.0, np.nan]))
    assert prepared.numbers[0, 0] == prepared.numbers[1, 0]
    fitted = fit_table_preprocessor(frame(a=list(range(100))))
    column = fitted.transform(frame(a=list(range(100)))).numbers[:, 0]
    assert abs(column.mean()) < 1e-12
    assert abs(column.std() - 1) < 1e-12


def test_a_column_that_misses_values_gets_an_indicator_at_the_end():
    preparer = fit_table_preprocessor(frame(a=[1.0, np.nan, 3.0], c=["x", "y", "x"]))
    assert preparer.layout.categories[-1] == ("a missing", ("no", "yes"))
    assert preparer.layout.indicators == (0,)
    assert list(preparer.transform(frame(a=[np.nan, 5.0], c=["x", "y"])).codes[:, -1]) == [1, 0]


def test_rare_levels_are_folded_and_unknown_ones_join_them():
    preparer = fit_table_preprocessor(frame(c=["a"] * 50 + ["b"] * 40 + ["c"]))
    _, levels = preparer.layout.categories[0]
    assert levels == ("a", "b", OTHER)
    assert list(preparer.transform(frame(c=["a", "c", "never seen"])).codes[:, 0]) == [0, 2, 2]


def test_an_unknown_level_is_the_commonest_where_none_is_rare():
    preparer = fit_table_preprocessor(frame(c=["a"] * 50 + ["b"] * 40))
    assert list(preparer.transform(frame(c=["new", "b"])).codes[:, 0]) == [0, 1]


def test_missing_categories_are_a_level_and_names_cannot_collide():
    column = pd.Categorical(["a"] * 20 + [None] * 10 + [MISSING] * 10 + [OTHER] * 8 + ["r"])
    layout = fit_table_preprocessor(pd.DataFrame({"c": column})).layout
    levels = layout.categories[0][1]
    assert len(set(levels)) == len(levels) == 5


def test_missing_and_a_level_called_missing_stay_apart():
    column = pd.Categorical(["a"] * 20 + [None] * 10 + [MISSING] * 15)
    data = pd.DataFrame({"c": column})
    codes = fit_table_preprocessor(data).transform(data).codes[:, 0]
    assert len({codes[0], codes[25], codes[35]}) == 3


def test_constant_and_empty_columns_do_no_harm():
    data = frame(a=[3.0] * 10, b=[np.nan] * 10)
    numbers = fit_table_preprocessor(data).transform(data).numbers
    assert np.isfinite(numbers).all()


def test_levels_in_another_order_give_the_same_codes():
    preparer = fit_table_preprocessor(frame(c=["a"] * 9 + ["b"] * 8))
    one = pd.DataFrame({"c": pd.Categorical(["b", "a"], categories=["b", "a"])})
    other = pd.DataFrame({"c": pd.Categorical(["b", "a"], categories=["a", "z", "b"])})
    plain = pd.DataFrame({"c": ["b", "a"]})
    for data in (one, other, plain):
        assert list(preparer.transform(data).codes[:, 0]) == [1, 0]


X = np.random.default_rng(0).normal(size=400)
SENTINEL = np.random.default_rng(1).random(400) < 0.05
#: Columns that all hold the same order of values, or nearly so.
SCALES = {
    "tiny": X * 1e-13,
    "tiny squares": X * 1e-170,
    "huge": np.clip(X, -3, 3) * 5e307,
    "sentinel": np.where(SENTINEL, 1e10, X * 10 + 40),
    "huge sentinel": np.where(SENTINEL, -1e308, X),
    "far from 0": 1e9 + X,
    "milliseconds": 1.6e12 + np.round(X * 1e9),
}


@pytest.mark.parametrize("name", SCALES)
def test_columns_of_any_scale_keep_their_values_apart(name):
    data = frame(a=SCALES[name])
    rows = fit_table_preprocessor(data).transform(data, unscaled=True)
    known = ~SENTINEL if "sentinel" in name else np.ones(400, bool)
    for numbers in (rows.numbers, rows.tree_numbers):
        column = numbers[:, 0]
        assert np.isfinite(column).all()
        single = column[known].astype(np.float32)  # as some trees compute
        assert (
            np.corrcoef(
                np.clip(single, -50, 50), np.clip(SCALES[name][known] / np.abs(SCALES[name][known]).max(), -1, 1)
            )[0, 1]
            > 0.9
        )
        assert len(np.unique(single)) > 0.95 * known.sum()
    assert abs(rows.numbers[:, 0].mean()) < 1e-6
    assert abs(rows.numbers[:, 0].std() - 1) < 1e-6


def test_trees_read_values_as_they_are_where_single_precision_holds_them():
    data = frame(age=[20.0, 35.0, np.nan, 64.5] * 10, amount=list(np.linspace(0, 9000, 40)))
    rows = fit_table_preprocessor(data).transform(data, unscaled=True)
    assert rows.tree_numbers[3, 0] == 64.5
    assert (rows.tree_numbers[:, 1] == data["amount"]).all()
    assert fit_table_preprocessor(data).transform(data).unscaled is None


def test_rows_that_a_strategy_made_are_unscaled_too_and_real_ones_stay_exact():
    data = frame(a=list(np.arange(40) * 0.1))
    rows = fit_table_preprocessor(data).transform(data, unscaled=True)
    halfway = (rows.numbers[:1] + rows.numbers[1:2]) / 2
    made = rows.unscale(PreparedRows(np.vstack([rows.numbers, halfway]), np.zeros((41, 0), np.int32)))
    assert (made.tree_numbers[:40, 0] == data["a"]).all()
    assert made.tree_numbers[40, 0] == pytest.approx(0.05)


def test_a_value_beyond_all_of_training_is_finite_for_trees_and_others():
    preparer = fit_table_preprocessor(frame(a=list(SCALES["huge"])))
    rows = preparer.transform(frame(a=[-1.7e308, 1.7e308, np.nan]), unscaled=True)
    assert np.isfinite(rows.numbers).all()
    assert np.isfinite(rows.tree_numbers.astype(np.float32)).all()
