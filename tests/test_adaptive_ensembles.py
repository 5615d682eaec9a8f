"""RUSBoost and self-paced ensembles do what their papers say, around any family that fits."""

import math
import pickle

import numpy as np
import pytest
from harness.searchspaces.adaptive_ensembles import (
    N_BINS,
    RusBoost,
    SelfPacedEnsemble,
    draw_balanced_rows,
    self_paced_weights,
)

from harness.preprocessing.encodings import ENCODINGS
from harness.registry.registry import load_registry
from harness.registry.space import defaults
from harness.search.applicability import inapplicable_reason

REGISTRY = load_registry()
STRATEGIES = [REGISTRY.strategy(name) for name in ("rusboost", "self_paced_ensemble")]


class TableMember:
    """Predicts the probabilities that a table has for a row, whose only feature is its position in that table."""

    def __init__(self, tables, log):
        self.table = tables[min(len(log), len(tables) - 1)]
        self.log = log

    def fit(self, X, y, sample_weight=None, validation=None):
        rows = X[:, 0].astype(int)
        self.log.append({"rows": rows, "counts": np.bincount(y), "weights": sample_weight, "validation": validation})
        return self

    def predict_proba(self, X):
        positive = self.table[X[:, 0].astype(int)]
        return np.column_stack([1 - positive, positive])


def positions(n):
    return np.arange(n, dtype=float)[:, None]


def uneven_labels(classes=2, n=400):
    rng = np.random.default_rng(3)
    return rng.choice(classes, n, p=[0.8, 0.2] if classes == 2 else [0.6, 0.3, 0.1])


def separable_rows(y):
    return y[:, None] + np.random.default_rng(4).normal(size=(len(y), 2))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
def test_members_see_even_classes_and_real_validation_rows(strategy, classes):
    y, log, validation = uneven_labels(classes), [], (np.zeros((1, 1)), np.zeros(1))

    class Uniform(TableMember):
        def predict_proba(self, X):
            return np.full((len(X), classes), 1 / classes)

    ensemble = strategy.build(lambda seed: Uniform([None], log), 5, members=4)
    ensemble.fit(positions(len(y)), y, validation=validation)
    rarest = np.bincount(y).min()
    assert [entry["counts"].tolist() for entry in log] == [[rarest] * classes] * len(log)
    assert all(entry["validation"] is validation for entry in log)
    assert ensemble.class_counts_.tolist() == [rarest] * classes
    assert all(len(set(entry["rows"])) == len(entry["rows"]) for entry in log)


def test_rusboost_follows_adaboost_m2():
    """Pseudo-losses, weights of rows and weights of members are those of the equations, computed by hand."""
    y = np.repeat([0, 1], [30, 10])
    first, second = np.where(y == 1, 0.8, 0.3), np.where(y == 1, 0.6, 0.1)
    first[:5] = 0.9  # five negatives that the first member takes for positives
    log = []
    ensemble = RusBoost(lambda seed: TableMember([first, second], log), 7, members=2).fit(positions(40), y)
    rows = np.ones(40) / 40
    member_weights = []
    for positive in (first, second):
        subset = log[len(member_weights)]["rows"]
        assert log[len(member_weights)]["weights"] == pytest.approx(rows[subset] / rows[subset].mean())
        true_class = np.where(y == 1, positive, 1 - positive)
        loss = 0.5 * np.sum(rows * (1 - true_class + (1 - true_class)))
        beta = loss / (1 - loss)
        member_weights.append(math.log(1 / beta))
        rows = rows * beta ** (0.5 * (1 + true_class - (1 - true_class)))
        rows = rows / rows.sum()
    expected = np.average([first, second], axis=0, weights=member_weights)
    assert ensemble.predict_proba(positions(40))[:, 1] == pytest.approx(expected)
    assert log[1]["weights"].max() > 1, "rows that were predicted badly weigh more in the second round"


def test_rusboost_ends_where_a_member_is_no_better_than_chance():
    y = np.repeat([0, 1], [30, 10])
    good, wrong = np.where(y == 1, 0.8, 0.3), np.where(y == 1, 0.0, 1.0)
    log = []
    ensemble = RusBoost(lambda seed: TableMember([good, wrong], log), 7, members=9).fit(positions(40), y)
    assert (len(log), len(ensemble.fitted_), ensemble.member_weights_.tolist()) == (2, 1, [1.0])
    hopeless = RusBoost(lambda seed: TableMember([wrong], []), 7, members=9).fit(positions(40), y)
    assert np.isfinite(hopeless.predict_proba(positions(40))).all()


def test_bins_contribute_equal_hardness_at_first_and_equal_numbers_in_the_end():
    """Figure 2 of the paper: easy rows are few per hardness at first; in the end bins contribute alike."""
    hardness = np.repeat([0.05, 0.45, 0.85], [1800, 180, 20]) + 0.001
    y = np.zeros(2000, dtype=np.int64)
    levels = (hardness * N_BINS).astype(int)
    shares = {}
    for progress in (0.0, 0.5, 1.0):
        weights = self_paced_weights(y, hardness, progress)
        shares[progress] = np.array([weights[levels == level].sum() for level in np.unique(levels)]) / weights.sum()
    contributions = shares[0.0] * np.array([0.051, 0.451, 0.851])
    assert contributions == pytest.approx(np.full(3, contributions[0]))
    assert shares[1.0] == pytest.approx(np.full(3, 1 / 3))
    assert shares[0.0][2] < shares[0.5][2] < shares[1.0][2]
    drawn = draw_balanced_rows(
        np.append(y, np.ones(30, dtype=np.int64)), np.random.default_rng(0), np.append(weights, np.ones(30))
    )
    assert len(drawn) == 60
    assert np.bincount(levels[drawn[drawn < 2000]])[np.unique(levels)] == pytest.approx([10, 10, 10], abs=6)


def test_a_self_paced_ensemble_is_the_mean_of_all_members_but_the_first():
    y = np.repeat([0, 1], [60, 20])
    tables = [np.full(80, share) for share in (0.9, 0.2, 0.4)]
    log = []
    ensemble = SelfPacedEnsemble(lambda seed: TableMember(tables, log), 7, members=2).fit(positions(80), y)
    assert len(log) == 3
    assert ensemble.predict_proba(positions(80))[:, 1] == pytest.approx(np.full(80, 0.3))
    assert all(set(np.flatnonzero(y == 1)) <= set(entry["rows"]) for entry in log), "all rows of the rarest class"


def test_later_members_see_more_rows_that_are_hard():
    y = np.repeat([0, 1], [1000, 50])
    positive = np.where(y == 1, 0.9, 0.05)
    positive[:40] = 0.95  # negatives that look like positives
    log = []
    SelfPacedEnsemble(lambda seed: TableMember([positive], log), 7, members=6).fit(positions(1050), y)
    n_hard = [int((entry["rows"] < 40).sum()) for entry in log]
    assert n_hard[1] <= 10 < n_hard[-1]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
@pytest.mark.parametrize("name", ["logistic_regression", "gradient_boosting"])
def test_an_ensemble_is_reproducible_can_be_pickled_and_ranks_well(strategy, name):
    from sklearn.metrics import roc_auc_score

    family, y = REGISTRY.family(name), uneven_labels()
    X = separable_rows(y)

    def fit():
        return strategy.build(lambda seed: family.build(seed, **defaults(family.space)), 5, members=3).fit(X, y)

    ensemble = fit()
    proba = pickle.loads(pickle.dumps(ensemble)).predict_proba(X)  # noqa: S301 -- just made
    assert proba.tobytes() == fit().predict_proba(X).tobytes()
    assert proba.sum(axis=1) == pytest.approx(np.ones(len(y)))
    assert roc_auc_score(y, proba[:, 1]) > 0.8


def test_rusboost_does_not_apply_where_rows_cannot_be_weighted():
    family = REGISTRY.family("nearest_neighbors")
    for name in ("class_weight", "cost_sensitive", "rusboost"):
        assert "no sample weights" in inapplicable_reason(family, "tabular", REGISTRY.strategy(name))
    for name in ("none", "smote", "balanced_ensemble", "self_paced_ensemble"):
        assert not inapplicable_reason(family, "tabular", REGISTRY.strategy(name))
    for other in REGISTRY.families.values():
        known = {ENCODINGS[name].modality for name in other.encodings.values()}
        assert other.name == "nearest_neighbors" or not any(
            inapplicable_reason(other, modality, REGISTRY.strategy("rusboost")) for modality in known
        )
