"""Resampling strategies on small mixed tables: what comes out is typed rows, and real rows stay as they were."""

import numpy as np
import pytest
from imblearn.over_sampling import ADASYN, SMOTE, BorderlineSMOTE
from imblearn.under_sampling import EditedNearestNeighbours, TomekLinks
from scipy import sparse

from harness.errors import Inapplicable
from harness.preprocessing.cache import FoldCache
from harness.preprocessing.resampling import (
    compute_level_weight,
    metric_space_to_rows,
    resample_encoded_rows,
    resample_table_rows,
    rows_to_metric_space,
)
from harness.preprocessing.samplers import CachedNeighbors, use_fast_cleaning
from harness.preprocessing.tabular import ColumnLayout, PreparedRows
from harness.registry.space import defaults
from harness.registry.strategy import Strategy

LAYOUT = ColumnLayout(("size", "age"), (("colour", ("r", "g", "b")), ("age missing", ("no", "yes"))), (1,))
RESAMPLING = (
    "random_oversampling",
    "random_undersampling",
    "smote",
    "borderline_smote",
    "adasyn",
    "smote_tomek",
    "smote_enn",
)


def mixed(counts=(80, 20), seed=0):
    """Prepared rows with two numbers, a category and an indicator; classes overlap."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    rng.shuffle(y)
    numbers = rng.normal(size=(len(y), 2)) + 0.8 * y[:, None]
    codes = np.column_stack([rng.integers(0, 3, len(y)), rng.random(len(y)) < 0.2]).astype(np.int32)
    return PreparedRows((numbers - numbers.mean(0)) / numbers.std(0), codes), y


def as_bytes(rows):
    return [a.tobytes() + b.tobytes() for a, b in zip(rows.numbers, rows.codes, strict=True)]


def run(strategy, rows, y, seed=7, cache=None, layout=LAYOUT, **params):
    cache = FoldCache() if cache is None else cache
    return resample_table_rows(strategy, defaults(strategy.space) | params, rows, y, layout, seed, cache)


@pytest.mark.parametrize("counts", [(80, 20), (60, 30, 12)], ids=["two classes", "three classes"])
@pytest.mark.parametrize("name", RESAMPLING)
def test_what_comes_out_are_valid_rows_and_real_ones_come_back_to_the_byte(registry, name, counts):
    rows, y = mixed(counts)
    made, made_y = run(registry.strategy(name), rows, y)
    assert len(made) == len(made_y)
    assert set(made_y) == set(y)
    assert (made.numbers.dtype, made.codes.dtype) == (np.float64, np.int32)
    assert np.isfinite(made.numbers).all()
    assert (made.codes >= 0).all()
    assert (made.codes < LAYOUT.levels).all()
    real, out = set(as_bytes(rows)), as_bytes(made)
    if name in ("random_oversampling", "random_undersampling"):
        assert set(out) <= real
    if name in ("random_oversampling", "smote", "borderline_smote", "adasyn"):
        assert out[: len(y)] == as_bytes(rows)
        assert (made_y[: len(y)] == y).all()
    if name in ("smote_tomek", "smote_enn"):
        assert len(real & set(out)) > len(real) / 4


@pytest.mark.parametrize("name", RESAMPLING)
def test_classes_are_nearer_to_even_afterwards(registry, name):
    rows, y = mixed()
    after = np.bincount(run(registry.strategy(name), rows, y)[1])
    assert after[1] / after[0] > 0.8


@pytest.mark.parametrize("name", RESAMPLING)
def test_the_result_depends_on_the_seed_alone_and_not_on_what_is_in_the_cache(registry, name):
    rows, y = mixed()
    strategy, cache = registry.strategy(name), FoldCache()
    for other in ("smote", "adasyn", "borderline_smote"):
        run(registry.strategy(other), rows, y, cache=cache)
    warm, cold = run(strategy, rows, y, cache=cache), run(strategy, rows, y)
    assert as_bytes(warm[0]) == as_bytes(cold[0])
    assert run(strategy, rows, y, cache=cache)[0] is warm[0]
    assert as_bytes(run(strategy, rows, y, seed=8)[0]) != as_bytes(warm[0])


def test_the_strength_of_undersampling_goes_from_all_rows_to_even_classes(registry):
    rows, y = mixed()
    under = registry.strategy("random_undersampling")
    assert np.bincount(run(under, rows, y, strength=1.0)[1]).tolist() == [20, 20]
    assert np.bincount(run(under, rows, y, strength=0.5)[1]).tolist() == [40, 20]


def test_a_level_weighs_half_the_median_deviation_of_the_numbers():
    rows, _ = mixed()
    assert compute_level_weight(rows) == pytest.approx(0.5)
    points = rows_to_metric_space(rows, LAYOUT)
    assert points.shape == (100, 2 + 3 + 2)
    assert set(np.unique(points[:, 2:])) == {0, compute_level_weight(rows)}
    assert as_bytes(metric_space_to_rows(points, LAYOUT)) == as_bytes(rows)


def test_a_table_of_categories_alone_can_be_resampled(registry):
    layout = ColumnLayout((), LAYOUT.categories[:1])
    rows, y = mixed()
    only = PreparedRows(np.empty((100, 0)), rows.codes[:, :1].copy())
    made, made_y = run(registry.strategy("smote"), only, y, layout=layout)
    assert np.bincount(made_y).tolist() == [80, 80]
    assert set(made.codes.ravel()) <= {0, 1, 2}


@pytest.mark.parametrize(
    "plain", [lambda k: SMOTE(k_neighbors=k, random_state=3), lambda k: ADASYN(n_neighbors=k, random_state=3),
              lambda k: BorderlineSMOTE(k_neighbors=k, m_neighbors=9, random_state=3)],
    ids=["SMOTE", "ADASYN", "BorderlineSMOTE"],
)  # fmt: skip
@pytest.mark.parametrize("k", [1, 4, 15])
def test_remembered_neighbours_give_exactly_what_plain_imbalanced_learn_gives(plain, k):
    rows, y = mixed((150, 40), seed=1)
    points = rows_to_metric_space(rows, LAYOUT)
    expected, expected_y = plain(k).fit_resample(points, y)
    cache = FoldCache()
    for _ in range(2):
        made, made_y = run(Strategy(name="s", kind="resample", build=lambda _: plain(k)), rows, y, cache=cache)
        assert as_bytes(made) == as_bytes(metric_space_to_rows(expected, LAYOUT))
        assert (made_y == expected_y).all()


def test_neighbours_are_searched_once_for_every_k():
    points = np.random.default_rng(0).normal(size=(60, 3))
    searches = []

    class Memo(FoldCache):
        def get(self, key, compute):
            return super().get(key, lambda: searches.append(key) or compute())

    memo = Memo()
    found = {k: CachedNeighbors(k, memo).fit(points).kneighbors(points) for k in (3, 9, 16)}
    assert len(searches) == 1
    assert (found[16][:, :9] == found[9]).all()
    assert found[3].shape == (60, 3)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "plain",
    [TomekLinks(sampling_strategy="all"), TomekLinks()]
    + [EditedNearestNeighbours(sampling_strategy=which, n_neighbors=k) for which in ("all", "auto") for k in (1, 3, 5)],
    ids=str,
)
def test_quick_cleaning_keeps_the_rows_that_imbalanced_learn_keeps(plain, classes):
    rng = np.random.default_rng(classes)
    y = rng.permutation(np.arange(1500) % 7 % classes)
    X = rng.normal(size=(1500, 4)) + 0.7 * y[:, None]
    quicker = use_fast_cleaning(plain)
    plain.fit_resample(X, y)
    quicker.fit_resample(X, y)
    assert type(quicker) is not type(plain)
    assert 0 < len(plain.sample_indices_) < len(y)
    assert quicker.sample_indices_.tolist() == plain.sample_indices_.tolist()


@pytest.mark.parametrize("name", ["smote", "adasyn", "smote_tomek", "smote_enn", "borderline_smote"])
def test_a_single_row_of_a_class_is_inapplicable_whatever_the_parameters(registry, name):
    rows, y = mixed((40, 1))
    with pytest.raises(Inapplicable, match="one training row") as caught:
        run(registry.strategy(name), rows, y)
    assert caught.value.always


def test_few_rows_of_a_class_lower_the_number_of_neighbours(registry):
    rows, y = mixed((40, 3))
    assert np.bincount(run(registry.strategy("smote"), rows, y, k_neighbors=15)[1]).tolist() == [40, 40]


@pytest.mark.parametrize("name", ["adasyn", "borderline_smote"])
def test_classes_far_apart_leave_no_border_to_sample_at(registry, name):
    rows, y = mixed((40, 20))
    apart = PreparedRows(rows.numbers + 100 * y[:, None], rows.codes)
    with pytest.raises(Inapplicable, match=r"majority|near another class"):
        run(registry.strategy(name), apart, y)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        *((name, {}) for name in RESAMPLING if not name.startswith("random")),
        ("borderline_smote", {"kind": "borderline-2"}),
    ],
)
@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csr_array])
def test_sparse_points_are_resampled_as_dense_ones_are(registry, name, given, form):
    strategy, (rows, y) = registry.strategy(name), mixed()
    params = defaults(strategy.space) | given
    X = np.where(np.abs(rows.numbers) < 0.3, 0.0, rows.numbers)
    dense, dense_y = resample_encoded_rows(strategy, params, X, y, 7, (FoldCache(), "dense"))
    made, made_y = resample_encoded_rows(strategy, params, form(X), y, 7, (FoldCache(), "sparse"))
    assert type(made) is form
    assert (made_y == dense_y).all()
    np.testing.assert_allclose(made.toarray(), dense, atol=1e-12)


class Raising:
    """A sampler that raises what it is told."""

    def __init__(self, error):
        self.error = error

    def fit_resample(self, X, y):
        raise self.error


def test_only_refusals_that_are_understood_are_inapplicable():
    rows, y = mixed()
    for error in (ValueError("matmul: dimension mismatch"), RuntimeError("a bug"), TypeError("no")):
        broken = Strategy(name="broken", kind="resample", build=lambda seed, error=error: Raising(error))
        with pytest.raises(type(error), match=str(error)):
            run(broken, rows, y)
    few = ValueError("Expected n_neighbors <= n_samples_fit, but n_neighbors = 6, n_samples_fit = 2, n_samples = 2")
    with pytest.raises(Inapplicable, match="n_samples_fit = 2"):
        run(Strategy(name="few", kind="resample", build=lambda seed: Raising(few)), rows, y)
