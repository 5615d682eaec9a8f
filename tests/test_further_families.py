"""Nearest neighbours, linear support vector machines, naive Bayes and explainable boosting: what is special about each."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from harness.networks.rows import MixedRows
from harness.registry.family import missing_packages
from harness.registry.registry import load_registry

REGISTRY = load_registry()


def noisy_rows(n, columns, seed=0):
    """Rows of which one column decides, with noise, and the others do nothing."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, columns))
    y = (rng.random(n) < expit(1.5 * X[:, 0] - 1)).astype(np.int64)
    return X, y


def test_fewer_rows_than_neighbors_are_all_neighbors():
    X, y = noisy_rows(10, 2)
    proba = REGISTRY.family("nearest_neighbors").build(0, n_neighbors=50).fit(X, y).predict_proba(X)
    assert proba == pytest.approx(np.tile(np.bincount(y) / 10, (10, 1)))


@pytest.mark.parametrize("classes", [2, 3])
def test_a_linear_svm_ranks_as_its_machine_does(classes):
    from sklearn.svm import LinearSVC

    X, y = noisy_rows(300, 4)
    y = y + (X[:, 1] > 1) if classes == 3 else y
    classifier = REGISTRY.family("linear_svm").build(3, C=0.5).fit(X, y)
    machine = LinearSVC(C=0.5, max_iter=5000, random_state=3).fit(X, y)
    proba = classifier.predict_proba(X)
    assert proba.sum(axis=1) == pytest.approx(np.ones(300))
    if classes == 2:
        assert np.argsort(proba[:, 1]).tolist() == np.argsort(machine.decision_function(X)).tolist()
    else:
        assert (proba.argmax(axis=1) == y).mean() > (machine.predict(X) == y).mean() - 0.02


def test_the_probabilities_of_a_linear_svm_are_those_of_new_rows_where_it_overfits():
    """With 80 columns for 120 rows the decision values of fitted rows are far from 0; the sigmoid does not believe them."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    X, y = noisy_rows(120, 80)
    new_X, new_y = noisy_rows(2000, 80, seed=1)
    classifier = REGISTRY.family("linear_svm").build(3, C=10.0).fit(X, y)
    machine = classifier._fit_machine(X, y, None)
    naive = LogisticRegression(C=100.0).fit(machine.decision_function(X)[:, None], y)
    loss = log_loss(new_y, classifier.predict_proba(new_X))
    assert loss < 0.75
    assert log_loss(new_y, naive.predict_proba(machine.decision_function(new_X)[:, None])) > 1.3 * loss


def test_a_linear_svm_is_fitted_where_a_class_has_one_row():
    X, _ = noisy_rows(40, 2)
    proba = REGISTRY.family("linear_svm").build(3, C=1.0).fit(X, (np.arange(40) == 7).astype(int)).predict_proba(X)
    assert np.isfinite(proba).all()


def test_naive_bayes_multiplies_densities_and_frequencies():
    numbers = np.array([[0.0], [1.0], [2.0], [5.0], [6.0], [7.0]])
    codes = np.array([[0], [0], [1], [1], [1], [1]], dtype=np.int32)
    y = np.array([0, 0, 0, 1, 1, 1])
    rows = MixedRows(numbers, codes, (2,))
    classifier = REGISTRY.family("naive_bayes").build(0, var_smoothing=1e-12, alpha=1.0).fit(rows, y)
    densities = [norm.pdf(3.0, mean, np.sqrt(2 / 3)) for mean in (1.0, 6.0)]
    frequencies = [(1 + 1) / (3 + 2), (3 + 1) / (3 + 2)]  # of the second level, with one row added to each level
    joint = np.array(densities) * frequencies
    one_row = MixedRows(np.array([[3.0]]), np.array([[1]], dtype=np.int32), (2,))
    assert classifier.predict_proba(one_row)[0] == pytest.approx(joint / joint.sum())


@pytest.mark.parametrize(("n_numbers", "levels"), [(2, ()), (0, (3, 2))])
def test_naive_bayes_takes_rows_of_numbers_or_of_categories_alone(n_numbers, levels):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 60)
    codes = np.column_stack([rng.integers(0, n, 60) for n in levels]) if levels else np.zeros((60, 0))
    rows = MixedRows(rng.normal(size=(60, n_numbers)), codes.astype(np.int32), levels)
    proba = REGISTRY.family("naive_bayes").build(0).fit(rows, y, np.ones(60)).predict_proba(rows)
    assert proba.sum(axis=1) == pytest.approx(np.ones(60))


def test_explainable_boosting_stops_on_the_validation_rows_alone():
    """Labels of validation rows that are noise end the boosting early; repeated training rows do not change where."""
    import pandas as pd

    family = REGISTRY.family("ebm")
    if missing := missing_packages(family):
        pytest.skip(missing)
    X, y = noisy_rows(400, 3)
    frame = pd.DataFrame(X, columns=["n0", "n1", "n2"])
    noise = np.random.default_rng(5).permutation(y[300:])
    rounds = {}
    for name, labels in (("real", y[300:]), ("noise", noise)):
        classifier = family.build(1, learning_rate=0.05, interactions=0)
        classifier.fit(frame[:300], y[:300], validation=(frame[300:], labels))
        rounds[name] = int(np.max(classifier.model_.best_iteration_))
    assert rounds["noise"] < rounds["real"]
