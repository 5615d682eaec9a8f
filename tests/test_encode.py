"""Encodings: what a classifier gets, learnt from real training rows alone."""

import pickle

import numpy as np
import pandas as pd
import pytest

from harness.networks.rows import MixedRows
from harness.preprocessing.encodings import TABULAR
from harness.preprocessing.tabular import ColumnLayout, PreparedRows
from harness.preprocessing.tabular_encoders import most_informative_columns, mutual_information
from harness.registry.space import defaults

LAYOUT = ColumnLayout(
    ("size", "age"), (("colour", ("r", "g", "b")), ("smokes", ("no", "yes")), ("age missing", ("no", "yes"))), (1,)
)
ENCODINGS = {encoding.name: encoding for encoding in TABULAR}


def some(n=400, seed=0):
    """Rows whose first number and second category tell the class; the rest is noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    numbers = rng.normal(size=(n, 2))
    numbers[:, 0] += 2 * y
    smokes = np.where(rng.random(n) < 0.8, y, 1 - y)
    codes = np.column_stack([rng.integers(0, 3, n), smokes, rng.random(n) < 0.1]).astype(np.int32)
    return PreparedRows(numbers, codes), y


def fitted(name, rows, y, **params):
    return ENCODINGS[name].fit(rows, y, LAYOUT, **(defaults(ENCODINGS[name].space) | params))


@pytest.mark.parametrize(("name", "dtype"), [("one_hot_scaled", np.float64), ("one_hot", np.float32)])
def test_one_hot_has_a_column_per_level_and_one_for_two_levels(name, dtype):
    rows, y = some()
    out = fitted(name, rows, y, scaling="standard").transform(rows)
    assert out.shape == (400, 2 + 3 + 1 + 1)
    assert out.dtype == dtype
    assert out.flags.c_contiguous
    assert (out[:, :2] == rows.numbers.astype(dtype)).all()
    assert (out[:, 2:5].argmax(axis=1) == rows.codes[:, 0]).all()
    assert (out[:, 2:5].sum(axis=1) == 1).all()
    assert (out[:, 5:] == rows.codes[:, 1:]).all()


def test_quantile_scaling_gives_normal_scores_whatever_the_distribution():
    rows, y = some()
    skewed = PreparedRows(np.exp(3 * rows.numbers), rows.codes)
    out = fitted("one_hot_scaled", skewed, y, scaling="quantile").transform(skewed)[:, :2]
    assert (np.argsort(out[:, 1]) == np.argsort(rows.numbers[:, 1])).all()
    assert np.abs(out.mean(axis=0)).max() < 0.05
    assert np.abs(out.std(axis=0) - 1).max() < 0.05


def test_quantile_scaling_survives_constants_ties_and_values_beyond_training():
    rows, y = some()
    numbers = np.column_stack([np.zeros(400), np.where(np.arange(400) < 300, 0.0, 5.0)])
    encoder = fitted("one_hot_scaled", PreparedRows(numbers, rows.codes), y, scaling="quantile")
    out = encoder.transform(PreparedRows(np.array([[0.0, 0.0], [9.0, 1e9], [-9.0, -1e9]]), rows.codes[:3]))[:, :2]
    assert np.isfinite(out).all()
    assert out[1, 1] > out[0, 1]
    assert out[2, 1] == out[0, 1]


def test_selection_keeps_the_columns_that_tell_most():
    rows, y = some()
    information = mutual_information(rows, y, LAYOUT)
    assert set(np.argsort(-information)[:2]) == {0, 3}
    assert most_informative_columns(rows, y, LAYOUT, 0.25) == [0, 3]
    encoder = fitted("one_hot_scaled", rows, y, select="quarter")
    assert (encoder.transform(rows) == np.column_stack([rows.numbers[:, 0], rows.codes[:, 1]])).all()


def test_a_noise_column_of_many_levels_is_not_preferred():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 2000)
    codes = np.column_stack([rng.integers(0, 100, 2000), np.where(rng.random(2000) < 0.6, y, 1 - y)]).astype(np.int32)
    layout = ColumnLayout((), (("noise", tuple(map(str, range(100)))), ("signal", ("no", "yes"))))
    noise, signal = mutual_information(PreparedRows(np.empty((2000, 0)), codes), y, layout)
    assert abs(noise) < 0.01 < signal


def test_mutual_information_of_a_copy_is_the_entropy():
    y = np.repeat([0, 1], [300, 100])
    rows = PreparedRows(np.empty((400, 0)), y.astype(np.int32)[:, None])
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    (information,) = mutual_information(rows, y, ColumnLayout((), (("copy", ("no", "yes")),)))
    assert information == pytest.approx(entropy, abs=1 / 400)


def test_native_restores_missing_numbers_and_fixes_the_categories():
    rows, y = some()
    encoder = fitted("native", rows, y)
    frame = encoder.transform(rows)
    assert (frame["n1"].isna() == (rows.codes[:, 2] == 1)).all()
    assert not frame["n0"].isna().any()
    assert list(frame.columns) == ["n0", "n1", "c0", "c1"]
    assert isinstance(frame["c0"].dtype, pd.CategoricalDtype)
    assert (encoder.transform(rows.take(np.array([0]))).dtypes == frame.dtypes).all()


def test_ordinal_is_one_float32_matrix():
    rows, y = some()
    out = fitted("ordinal", rows, y).transform(rows)
    assert out.dtype == np.float32
    assert (out == np.hstack([rows.numbers, rows.codes]).astype(np.float32)).all()


def test_mixed_rows_keep_level_indices_and_spread_into_what_one_hot_makes():
    rows, y = some()
    out = fitted("mixed", rows, y, scaling="quantile").transform(rows)
    assert out.levels == (3, 2, 2)
    assert out.numbers.dtype == np.float32
    assert (out.codes == rows.codes).all()
    assert (out.one_hot() == fitted("one_hot", rows, y).transform(rows)).all()
    chosen = fitted("mixed", rows, y, select="quarter").transform(rows)
    assert (chosen.levels, chosen.numbers.shape) == ((2,), (400, 1))


def test_robust_scaling_measures_in_interquartile_ranges_and_draws_far_values_in():
    rows, y = some()
    numbers = rows.numbers.copy()
    numbers[:3, 1] = [1e9, -1e9, np.median(numbers[3:, 1])]
    out = (
        fitted("mixed", PreparedRows(numbers, rows.codes), y, scaling="robust")
        .transform(PreparedRows(numbers, rows.codes))
        .numbers
    )
    assert np.abs(out).max() <= 3
    assert out[:2, 1].round(4).tolist() == [3, -3]
    assert np.abs(np.median(out, axis=0)).max() < 0.01
    assert np.subtract(*np.quantile(out, [0.75, 0.25], axis=0)) == pytest.approx([1, 1], abs=0.05)


def test_piecewise_scaling_is_the_number_and_how_far_it_is_through_each_range():
    numbers = np.arange(401.0)[:, None]
    rows, y = PreparedRows(numbers, np.empty((401, 0), np.int32)), np.arange(401) % 2
    encoder = ENCODINGS["mixed"].fit(rows, y, ColumnLayout(("n",), ()), scaling="piecewise")
    out = encoder.transform(
        PreparedRows(np.array([[-5.0], [75.0], [400.0], [1e9]]), np.empty((4, 0), np.int32))
    ).numbers
    assert out.shape == (4, 1 + 8)
    assert out[:, 1:].tolist() == [[0] * 8, [1, 0.5, *[0] * 6], [1] * 8, [1] * 8]


@pytest.mark.parametrize("scaling", ["robust", "piecewise"])
def test_these_survive_constants_ties_and_values_beyond_training(scaling):
    rows, y = some()
    numbers = np.column_stack([np.zeros(400), np.where(np.arange(400) < 300, 0.0, 5.0)])
    encoder = fitted("mixed", PreparedRows(numbers, rows.codes), y, scaling=scaling)
    out = encoder.transform(PreparedRows(np.array([[0.0, 0.0], [9.0, 1e9], [-9.0, -1e9]]), rows.codes[:3])).numbers
    assert np.isfinite(out).all()
    assert out[2, 1] < out[0, 1] < out[1, 1]
    assert encoder.transform(PreparedRows(numbers, rows.codes)).numbers.std(axis=0)[0] == 0


def plain(encoded):
    """Encoded rows as one array of numbers; categories are the positions of their levels."""
    if isinstance(encoded, pd.DataFrame):
        columns = [column.cat.codes if column.dtype == "category" else column for _, column in encoded.items()]
        return np.column_stack(columns).astype(float)
    return np.asarray(encoded.one_hot() if isinstance(encoded, MixedRows) else encoded)


@pytest.mark.parametrize("name", ENCODINGS)
def test_an_encoder_is_small_survives_pickling_and_holds_no_row(name):
    rows, y = some(n=5000)
    several = {"one_hot": "quantile", "one_hot_scaled": "quantile", "mixed": "piecewise"}
    params = {"scaling": several[name], "select": "half"} if name in several else {}
    encoder = fitted(name, rows, y, **params)
    stored = pickle.dumps(encoder)
    again = pickle.loads(stored)  # noqa: S301 -- made one line above
    assert len(stored) < 10_000
    assert np.array_equal(plain(again.transform(rows)), plain(encoder.transform(rows)), equal_nan=True)


@pytest.mark.parametrize("name", ENCODINGS)
def test_rows_are_encoded_one_by_one(name):
    rows, y = some()
    encoder = fitted(name, rows, y)
    index = np.array([5, 3, 399])
    part, whole = plain(encoder.transform(rows.take(index))), plain(encoder.transform(rows))
    assert np.array_equal(part, whole[index], equal_nan=True)
