"""Columns of any size, columns that are empty in a training part, and few rows left harm no family."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from harness.data.table import make_table
from harness.data.user_data import UserData
from harness.deploy.schema import Schema, describe_task_rows
from harness.registry.family import limit_leaf_sizes
from harness.registry.registry import load_registry
from harness.registry.space import defaults
from harness.registry.task import fill_empty_columns
from harness.search.pipeline import PipelineSpec, TrainingSet, fit_pipeline

REGISTRY = load_registry()
RNG = np.random.default_rng(0)
N = 400
X = RNG.normal(size=N)
Y = (X + 0.5 * RNG.normal(size=N) > 0.8).astype(np.int64)
RARE = RNG.random(N) < 0.05
#: Columns that all say what `X` says.
COLUMNS = {
    "tiny": X * 1e-13,
    "huge": np.clip(X, -3, 3) * 5e307,
    "sentinel": np.where(RARE, 1e10, (X * 10 + 40).round(1)),
    "far from 0": 1e9 + X,
}
#: Columns that say nothing, beside one that says everything.
HARMFUL = {
    "both ends": np.where(RNG.random(N) < 0.5, -1.7e308, 1.7e308),
    "one end": np.where(RNG.random(N) < 0.01, 1.7e308, RNG.normal(size=N)),
    "empty": np.full(N, np.nan),
    "known once": np.where(np.arange(N) == 7, 3.0, np.nan),
}
FAMILIES = ["logistic_regression", "random_forest", "gradient_boosting", "classic_gradient_boosting", "xgb", "lightgbm"]


def roc_auc(family: str, columns: dict[str, np.ndarray], strategy: str = "none") -> float:
    """ROC AUC of a family with its default configuration on the second half of the rows."""
    frame = pd.DataFrame(columns)
    spec = PipelineSpec(REGISTRY.family(family), (REGISTRY.strategy(strategy),), "tabular", 2)
    half = N // 2
    fitted = fit_pipeline(spec, defaults(spec.space), TrainingSet(frame.iloc[:half], Y[:half], seed=3))
    proba = fitted.predict_proba(frame.iloc[half:])
    assert np.isfinite(proba).all()
    return float(roc_auc_score(Y[half:], proba[:, 1]))


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_column_of_any_size_keeps_its_worth(family, name):
    if family == "lightgbm":
        pytest.importorskip("lightgbm")
    known = {"noise": RNG.normal(size=N), name: COLUMNS[name]}
    least = 0.85
    if name == "sentinel" and family == "logistic_regression":
        least = 0.6  # one slope for the sentinel and the others
    assert roc_auc(family, known) > least


@pytest.mark.parametrize("strategy", ["none", "smote", "random_undersampling"])
@pytest.mark.parametrize("family", FAMILIES)
def test_columns_that_say_nothing_leave_the_others_their_worth(family, strategy):
    if family == "lightgbm":
        pytest.importorskip("lightgbm")
    assert roc_auc(family, {"x": X} | HARMFUL, strategy) > 0.85


@pytest.mark.parametrize("strategy", ["random_undersampling", "balanced_ensemble"])
@pytest.mark.parametrize("family", ["gradient_boosting", "lightgbm", "xgb"])
def test_few_rows_left_are_no_constant(family, strategy):
    if family == "lightgbm":
        pytest.importorskip("lightgbm")
    y = (np.arange(300) < 15).astype(np.int64)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300) + 3 * y, "z": rng.normal(size=300)})
    spec = PipelineSpec(REGISTRY.family(family), (REGISTRY.strategy(strategy),), "tabular", 2)
    fitted = fit_pipeline(spec, defaults(spec.space), TrainingSet(frame, y, seed=3))
    fresh = pd.DataFrame({"x": [-1.0, 0.0, 3.0, 4.0], "z": 0.0})
    assert fitted.predict_proba(fresh)[2:, 1].min() > fitted.predict_proba(fresh)[:2, 1].max() + 0.2


def test_sizes_of_leaves_are_limited_only_where_rows_are_few():
    params = {"min_samples_leaf": 20, "min_child_weight": 1.0, "max_depth": 20, "max_samples": 0.5}
    assert limit_leaf_sizes(params, 30) == params | {"min_samples_leaf": 3, "min_child_weight": 1}
    assert limit_leaf_sizes(params, 200) == params


def test_a_column_without_a_known_number_is_filled_for_the_fit_alone():
    frame = pd.DataFrame({"a": [np.nan, np.nan], "b": [1.0, np.nan], "c": pd.Categorical([None, None])})
    filled = fill_empty_columns(frame)
    assert filled["a"].tolist() == [0.0, 0.0]
    assert filled["b"].isna().tolist() == [False, True]
    assert frame["a"].isna().all()


def test_a_schema_of_huge_numbers_can_be_read_again():
    frame = pd.DataFrame({"h": COLUMNS["huge"], "e": HARMFUL["both ends"], "y": np.where(Y, "yes", "no")})
    task = UserData("rows.csv", "y").task()
    schema = describe_task_rows(task, make_table(task, frame))
    assert Schema.from_dict(json.loads(json.dumps(schema.as_dict(), allow_nan=False))) == schema
