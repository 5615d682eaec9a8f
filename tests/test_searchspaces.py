"""Every family and strategy that is declared keeps its contract on a tiny mixed table, with two classes and with three."""

import importlib.util
import pickle

import numpy as np
import pytest

from harness.errors import Inapplicable
from harness.preprocessing.encodings import ENCODINGS
from harness.preprocessing.tabular import ColumnLayout, PreparedRows
from harness.registry.registry import load_registry
from harness.registry.space import Choice, defaults, fill

LAYOUT = ColumnLayout(("size", "age"), (("colour", ("r", "g", "b")), ("age missing", ("no", "yes"))), (1,))
REGISTRY = load_registry()
FAMILIES = [  # networks have tests of their own
    pytest.param(f, id=name, marks=[pytest.mark.skipif(not all(map(importlib.util.find_spec, f.needs)), reason=name)])
    for name, f in REGISTRY.families.items()
    if not f.network and "tabular" in f.encodings
]
WEIGHTS = [strategy for strategy in REGISTRY.strategies.values() if strategy.kind == "weight"]


def example_rows(classes=2, n=120):
    rng = np.random.default_rng(0)
    y = np.sort(rng.permutation(n) % (classes + 2)).clip(max=classes - 1)[rng.permutation(n)]
    codes = np.column_stack([rng.integers(0, 3, n), rng.random(n) < 0.1]).astype(np.int32)
    return PreparedRows(rng.normal(size=(n, 2)) + y[:, None], codes), y


def encoded(family, rows, y):
    encoding = ENCODINGS[family.encodings["tabular"]]
    return encoding.fit(rows, y, LAYOUT, **defaults(encoding.space)).transform(rows)


def corner(space, low):
    """The configuration at the low or the high end of every range."""

    def pick_end(_name, parameter):
        ends = parameter.options if isinstance(parameter, Choice) else (parameter.low, parameter.high)
        return ends[0 if low else -1]

    return fill(space, pick_end)


def test_what_is_asked_for_is_declared():
    assert set(REGISTRY.families) >= {
        "logistic_regression", "random_forest", "gradient_boosting", "classic_gradient_boosting", "xgb", "lightgbm",
        "catboost", "majority", "extra_trees", "nearest_neighbors", "linear_svm", "naive_bayes",
        "multinomial_naive_bayes", "ebm",
    }  # fmt: skip
    assert set(REGISTRY.strategies) >= {
        "none", "class_weight", "cost_sensitive", "random_oversampling", "random_undersampling", "smote",
        "borderline_smote", "adasyn", "smote_tomek", "smote_enn", "balanced_ensemble", "searched", "rusboost",
        "self_paced_ensemble",
    }  # fmt: skip


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_fits_is_reproducible_and_can_be_pickled(family, classes, capfd):
    rows, y = example_rows(classes)
    X = encoded(family, rows, y)
    first, second = (family.build(3, **defaults(family.space)) for _ in range(2))
    first.fit(X, y, sample_weight=None)
    second.fit(X, y, sample_weight=None)
    proba = first.predict_proba(X)
    assert proba.shape == (len(y), classes)
    assert proba.sum(axis=1) == pytest.approx(np.ones(len(y)), abs=1e-5)
    assert proba.tobytes() == second.predict_proba(X).tobytes()
    assert pickle.loads(pickle.dumps(first)).predict_proba(X).tobytes() == proba.tobytes()  # noqa: S301 -- just made
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_listens_to_weights(family):
    rows, y = example_rows()
    X = encoded(family, rows, y)
    if reason := family.limits.get("weight"):
        with pytest.raises(Inapplicable, match=reason):
            family.build(3, **defaults(family.space)).fit(X, y, sample_weight=np.ones(len(y)))
        return
    params = defaults(family.space)
    if "min_samples_leaf" in params:  # leaves of single rows reproduce what they were fitted to, whatever it weighs
        params["min_samples_leaf"] = 10
    plain, weighted = (family.build(3, **params) for _ in range(2))
    plain.fit(X, y, sample_weight=None)
    weighted.fit(X, y, sample_weight=np.where(y == 1, 1.9, 0.1))
    assert weighted.predict_proba(X)[:, 1].mean() > plain.predict_proba(X)[:, 1].mean() + 0.01


@pytest.mark.parametrize("low", [True, False], ids=["low end", "high end"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_ends_of_a_space_can_be_fitted(family, low):
    rows, y = example_rows()
    X = encoded(family, rows, y)
    params = corner(family.space, low)
    proba = family.build(3, **params).fit(X, y).predict_proba(X)
    assert np.isfinite(proba).all()


def test_majority_predicts_the_prior():
    rows, y = example_rows(3)
    family = REGISTRY.family("majority")
    proba = family.build(0).fit(encoded(family, rows, y), y).predict_proba(np.zeros((2, 4)))
    assert proba == pytest.approx(np.tile(np.bincount(y) / len(y), (2, 1)))
    assert (family.trials, family.strategies) == (1, ("none",))


@pytest.mark.parametrize("strategy", WEIGHTS, ids=lambda s: s.name)
@pytest.mark.parametrize("classes", [2, 3])
def test_weights_have_mean_one_and_never_favour_the_commonest_class(strategy, classes):
    _, y = example_rows(classes)
    weights = strategy.build(y, None, **defaults(strategy.space))
    assert weights.shape == y.shape
    assert weights.mean() == pytest.approx(1)
    commonest = np.bincount(y).argmax()
    assert weights[y == commonest].max() == weights.min()


def test_class_weight_gives_every_class_the_same_sum():
    _, y = example_rows(3)
    sums = np.bincount(y, weights=REGISTRY.strategy("class_weight").build(y, None))
    assert sums == pytest.approx([len(y) / 3] * 3)


def test_cost_sensitive_weighs_by_the_matrix_where_there_is_one():
    y = np.repeat([0, 1], [90, 10])
    strategy = REGISTRY.strategy("cost_sensitive")
    weights = strategy.build(y, ((0, 1), (5, 0)))
    assert strategy.uses_costs
    assert weights[-1] / weights[0] == pytest.approx(5)
    searched = strategy.build(y, None, strength=1.0)
    assert searched[-1] / searched[0] == pytest.approx(9)


class MeanMember:
    """A member that remembers what it was fitted to."""

    def __init__(self, seed):
        self.seed = seed

    def fit(self, X, y, sample_weight=None, validation=None):
        self.X, self.counts, self.weight, self.validation = np.asarray(X), np.bincount(y), sample_weight, validation
        return self

    def predict_proba(self, X):
        return np.tile(self.counts / self.counts.sum(), (len(X), 1))


@pytest.mark.parametrize("classes", [2, 3])
def test_each_member_of_a_balanced_ensemble_sees_even_classes_and_the_validation_rows(classes):
    rows, y = example_rows(classes)
    strategy, validation = REGISTRY.strategy("balanced_ensemble"), (np.zeros((1, 2)), np.zeros(1))
    ensemble = strategy.build(MeanMember, 5, members=4).fit(rows.numbers, y, sample_weight=None, validation=validation)
    rarest = np.bincount(y).min()
    assert [member.counts.tolist() for member in ensemble.fitted_] == [[rarest] * classes] * 4
    assert all(member.validation is validation for member in ensemble.fitted_)
    assert len({member.X.tobytes() for member in ensemble.fitted_}) == 4
    assert len({member.seed for member in ensemble.fitted_}) == 4
    assert ensemble.predict_proba(rows.numbers) == pytest.approx(np.full((len(y), classes), 1 / classes))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_balanced_ensemble_works_around_any_family(family):
    rows, y = example_rows(3)
    X = encoded(family, rows, y)

    def member(seed):
        return family.build(seed, **defaults(family.space))

    ensemble = REGISTRY.strategy("balanced_ensemble").build(member, 5, members=2).fit(X, y, sample_weight=None)
    again = REGISTRY.strategy("balanced_ensemble").build(member, 5, members=2).fit(X, y, sample_weight=None)
    proba = pickle.loads(pickle.dumps(ensemble)).predict_proba(X)  # noqa: S301 -- just made
    assert proba.tobytes() == again.predict_proba(X).tobytes()
    assert proba.shape == (len(y), 3)
