"""What a fitted classifier is made of, counted against what its library says itself."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer

from harness.networks.history import TrainingHistory
from harness.registry.registry import load_registry
from harness.search.complexity import count_parameters_or_nodes, network_layers, pickled_size_in_bytes

REGISTRY = load_registry()


@pytest.fixture(scope="module")
def rows():
    X, y = load_breast_cancer(return_X_y=True)
    return pd.DataFrame((X - X.mean(axis=0)) / X.std(axis=0)).add_prefix("x").astype(np.float32), y


def fitted(name, rows, **params):
    family = REGISTRY.family(name)
    for package in family.needs:
        pytest.importorskip(package)
    X, y = rows
    return family.build(1, **params).fit(X, y)


def test_a_linear_model_has_a_coefficient_per_column_and_an_intercept(rows):
    assert count_parameters_or_nodes(fitted("logistic_regression", rows)) == 31


def test_nodes_of_forests_and_boosted_trees_are_counted(rows):
    forest = fitted("random_forest", rows)
    assert count_parameters_or_nodes(forest) == sum(len(tree.tree_.feature) for tree in forest.estimators_)
    boosted = fitted("xgb", rows, n_estimators=20)
    assert count_parameters_or_nodes(boosted) == len(boosted.get_booster().trees_to_dataframe())
    boosted = fitted("lightgbm", rows, n_estimators=20)
    assert count_parameters_or_nodes(boosted) == len(boosted.booster_.trees_to_dataframe())
    boosted = fitted("gradient_boosting", rows, max_iter=20)
    assert count_parameters_or_nodes(boosted) == sum(len(tree.nodes) for (tree,) in boosted._predictors)
    boosted = fitted("catboost", rows, iterations=20, depth=3)
    assert count_parameters_or_nodes(boosted) == 20 * (2 * 8 - 1)


def test_a_network_has_its_trained_parameters_and_an_ensemble_those_of_all_members(rows):
    X, y = rows
    assert count_parameters_or_nodes(fitted("network_from_scratch", rows)) == 30 * 32 + 32 + 32 * 32 + 32 + 32 * 2 + 2
    ensemble = REGISTRY.strategy("balanced_ensemble").build(
        lambda seed: REGISTRY.family("random_forest").build(seed), 1, 3
    )
    ensemble.fit(X, y)
    assert count_parameters_or_nodes(ensemble) == sum(count_parameters_or_nodes(member) for member in ensemble.fitted_)


def test_what_cannot_be_counted_is_not_known(rows):
    assert count_parameters_or_nodes(fitted("majority", rows)) is None
    assert network_layers(fitted("majority", rows)) == ()


class Parts:
    """What a fitted pipeline holds."""

    preparer = encoder = None

    def __init__(self, classifier):
        self.classifier = classifier


def test_size_is_that_of_the_pickle_without_curves(rows):
    parts = Parts(fitted("logistic_regression", rows))
    assert pickled_size_in_bytes(parts) == len(pickle.dumps((None, None, parts.classifier), pickle.HIGHEST_PROTOCOL))
    short, long = (Parts([TrainingHistory(train_loss=(0.5,) * n)]) for n in (1, 500))
    assert pickled_size_in_bytes(short) == pickled_size_in_bytes(long) < 500


@pytest.mark.parametrize("order", ["C", "F"])
def test_size_counts_arrays_that_are_written_as_they_lie_in_memory(order):
    parts = Parts(np.ones((300, 200), order=order))
    assert (
        pickled_size_in_bytes(parts)
        == len(pickle.dumps((None, None, parts.classifier), pickle.HIGHEST_PROTOCOL))
        > 480_000
    )


def test_what_cannot_be_pickled_has_no_known_size():
    assert pickled_size_in_bytes(Parts(lambda: None)) == 0
