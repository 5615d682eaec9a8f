"""What each column adds to the answers for the given rows, by the model's own arithmetic: SHAP values of trees and linear models.

Of trees they are TreeSHAP (Lundberg et al., From local explanations to global understanding with explainable AI for trees,
Nature Machine Intelligence 2, 2020), of linear models coefficient times distance from the mean (Štrumbelj & Kononenko 2014),
over encoded columns, summed to the raw ones. Other models are asked by `reasons`, against a typical row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.deploy.insights.given import Given
from harness.deploy.insights.reasons import reasons
from harness.search.encode import feature_sources

Floats = npt.NDArray[np.float64]

MOST_ROWS, SAMPLED = 2000, 100  #: rows looked at by arithmetic, and by sampling
ODDS, SHARE = "log-odds", "probability"


@dataclass(frozen=True)
class Contributions:
    """What columns add for `rows` of the given rows: `size` is the mean of its absolute value, on `scale`; `how` says by what."""

    names: tuple[str, ...]
    size: tuple[float, ...]
    rows: int
    scale: str
    how: str


def contributions(given: Given, seed: int) -> Contributions | None:
    """What columns add for a sample of a table's rows, greatest first; None of texts, pictures and several classes."""
    if given.bundle.schema.modality != "tabular" or not given.binary:
        return None
    names = [one.name for one in given.bundle.schema.features]
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(given))[:MOST_ROWS])
    exact = _exact(given, rows)
    if exact is None:
        rows = np.sort(rng.permutation(len(given))[:SAMPLED])
        bundle = given.bundle
        found = reasons(bundle.predict_proba, bundle.schema, given.X.iloc[rows], seed, position=1, evaluations=250)
        exact = np.array([one.values for one in found]), ODDS, "sampled Shapley values against a typical row"
    values, scale, how = exact
    size = np.abs(values).mean(axis=0)
    order = np.argsort(-size, kind="stable")
    return Contributions(tuple(names[j] for j in order), tuple(size[order].tolist()), len(rows), scale, how)


def _exact(given: Given, rows: npt.NDArray[np.int64]) -> tuple[Floats, str, str] | None:
    """SHAP values (n, raw columns) of the positive class, or None where the model has no arithmetic for them."""
    fitted = given.bundle.model.fitted
    if fitted.preparer is None:
        return None
    try:
        sources = feature_sources(fitted.encoder, fitted.preparer.layout)
    except TypeError:
        return None
    encoded = fitted.encode(given.X.iloc[rows])
    found = _shap(getattr(fitted.classifier, "model", fitted.classifier), encoded)
    if found is None or found[0].shape[1] != len(sources):
        return None
    values, scale, how = found
    return _summed(values, sources, [one.name for one in given.bundle.schema.features]), scale, how


def _summed(values: Floats, sources: Sequence[str], names: Sequence[str]) -> Floats:
    """Columns of one raw column added up."""
    place = {name: j for j, name in enumerate(names)}
    out = np.zeros((len(values), len(names)))
    for j, name in enumerate(sources):
        out[:, place[name]] += values[:, j]
    return out


def _shap(classifier: Any, X: Any) -> tuple[Floats, str, str] | None:
    """SHAP values (n, encoded columns) of a classifier of two classes, what they add up to, and how they were computed."""
    kind = type(classifier).__name__
    if kind == "XGBClassifier":
        import xgboost

        matrix = xgboost.DMatrix(X, enable_categorical=True)
        return classifier.get_booster().predict(matrix, pred_contribs=True)[:, :-1], ODDS, "TreeSHAP, by XGBoost"
    if kind == "LGBMClassifier":
        return np.asarray(classifier.predict(X, pred_contrib=True))[:, :-1], ODDS, "TreeSHAP, by LightGBM"
    if kind == "CatBoostClassifier":
        from catboost import Pool

        categories = [name for name in getattr(X, "columns", ()) if X[name].dtype == "category"]
        values = classifier.get_feature_importance(Pool(X, cat_features=categories), type="ShapValues", thread_count=1)
        return np.asarray(values)[:, :-1], ODDS, "TreeSHAP, by CatBoost"
    if kind == "LogisticRegression":
        return (X - X.mean(axis=0)) * classifier.coef_[0], ODDS, "coefficients times distance from the mean"
    return _forest(classifier, X) if kind == "RandomForestClassifier" else None


def _forest(classifier: Any, X: Any) -> tuple[Floats, str, str] | None:
    """TreeSHAP of a forest by the library `shap`, where it is installed."""
    try:
        import shap
    except ImportError:
        return None
    few = X[:200]  # a hundred deep trees take a while
    return np.asarray(shap.TreeExplainer(classifier).shap_values(few))[..., 1], SHARE, "TreeSHAP, by shap"
