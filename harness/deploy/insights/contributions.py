"""What each column adds to the answers for the given rows, by the model's own arithmetic: SHAP values of trees and linear models.

Of trees they are TreeSHAP (Lundberg et al., From local explanations to global understanding with explainable AI for trees,
Nature Machine Intelligence 2, 2020), of linear models coefficient times distance from the mean (Štrumbelj & Kononenko 2014),
over encoded columns, summed to the raw ones. Other models are asked by `reasons`, forests too: TreeSHAP takes 0.2 s for a
row in a hundred deep trees, which is ten times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.deploy.insights.scored_rows import ScoredRows
from harness.deploy.insights.shapley import reasons
from harness.preprocessing.tabular_encoders import feature_sources
from harness.registry.task import Features

Floats = npt.NDArray[np.float64]

MOST_ROWS, SAMPLED = 2000, 100  #: rows looked at by arithmetic, and by sampling
BACKGROUND = 32  #: rows with which sampling compares
ENOUGH = 100  #: given rows below which their average is nothing to compare with

#: SHAP values (n, encoded columns), and how they were computed.
_Shap: TypeAlias = tuple[Floats, str]


@dataclass(frozen=True)
class Added:
    """What each raw column adds to the log-odds of each row, (n, columns), compared with another one; `how` by what."""

    values: Floats
    how: str


@dataclass(frozen=True)
class Contributions:
    """What columns add for `rows` of the given rows: `size` is the mean of its absolute value; `how` says by what."""

    names: tuple[str, ...]
    size: tuple[float, ...]
    rows: int
    how: str


def contributions(given: ScoredRows, seed: int) -> Contributions | None:
    """What columns add for a sample of a table's rows, greatest first; None of texts, pictures, several classes, few rows."""
    if given.bundle.schema.modality != "tabular" or not given.binary or len(given) < ENOUGH:
        return None
    names = [one.name for one in given.bundle.schema.features]
    drawn = np.random.default_rng(seed).permutation(len(given))
    added = exact(given, np.sort(drawn[:MOST_ROWS])) or sampled(given, np.sort(drawn[:SAMPLED]), seed)
    size = np.abs(added.values).mean(axis=0)
    order = np.argsort(-size, kind="stable")
    return Contributions(tuple(names[j] for j in order), tuple(size[order].tolist()), len(added.values), added.how)


def sampled(given: ScoredRows, rows: npt.NDArray[np.int64], seed: int) -> Added:
    """What columns add for these rows by sampling, whatever the model is; what is within its error counts as nothing."""
    drawn = np.random.default_rng(seed).permutation(len(given))[:BACKGROUND]
    return _sampled(given, rows, seed, given.X.iloc[drawn])


def against_typical(given: ScoredRows, rows: npt.NDArray[np.int64], seed: int) -> Added:
    """The same compared with the typical row of training: one row, or few, have no average to be compared with."""
    return _sampled(given, rows, seed, None)


def _sampled(given: ScoredRows, rows: npt.NDArray[np.int64], seed: int, background: Features | None) -> Added:
    bundle, X = given.bundle, given.X.iloc[rows]
    found = reasons(bundle.predict_proba, bundle.schema, X, seed, position=1, background=background)
    values, errors = (np.array([getattr(one, name) for one in found]) for name in ("values", "errors"))
    return Added(np.where(np.abs(values) > 2 * errors, values, 0.0), "sampled Shapley values")


def exact(given: ScoredRows, rows: npt.NDArray[np.int64]) -> Added | None:
    """SHAP values of the positive class for these rows, or None where the model has no quick arithmetic for them."""
    fitted = given.bundle.model.fitted
    if fitted.preparer is None or not len(rows):
        return None
    try:
        sources = feature_sources(fitted.encoder, fitted.preparer.layout)
    except TypeError:
        return None
    classifier, encoded = getattr(fitted.classifier, "model", fitted.classifier), fitted.encode(given.X.iloc[rows])
    if type(classifier).__name__ == "LogisticRegression":
        some = np.linspace(0, len(given) - 1, min(len(given), MOST_ROWS)).astype(int)
        average = fitted.encode(given.X.iloc[some]).mean(axis=0)
        found: _Shap | None = (
            (encoded - average) * classifier.coef_[0],
            "coefficient times distance from the mean",
        )
    else:
        found = _of_trees(classifier, encoded)
    if found is None or found[0].shape[1] != len(sources):
        return None
    values, how = found
    return Added(_summed(values, sources, [one.name for one in given.bundle.schema.features]), how)


def _summed(values: Floats, sources: Sequence[str], names: Sequence[str]) -> Floats:
    """Columns of one raw column added up."""
    place = {name: j for j, name in enumerate(names)}
    out = np.zeros((len(values), len(names)))
    for j, name in enumerate(sources):
        out[:, place[name]] += values[:, j]
    return out


def _of_trees(classifier: Any, X: Any) -> _Shap | None:
    """SHAP values of trees that tell two classes apart; None of other classifiers."""
    kind = type(classifier).__name__
    if kind == "XGBClassifier":
        import xgboost

        matrix = xgboost.DMatrix(X, enable_categorical=True)
        return classifier.get_booster().predict(matrix, pred_contribs=True)[:, :-1], "TreeSHAP, by XGBoost"
    if kind == "LGBMClassifier":
        return np.asarray(classifier.predict(X, pred_contrib=True))[:, :-1], "TreeSHAP, by LightGBM"
    if kind == "CatBoostClassifier":
        from catboost import Pool

        categories = [name for name in getattr(X, "columns", ()) if X[name].dtype == "category"]
        values = classifier.get_feature_importance(Pool(X, cat_features=categories), type="ShapValues", thread_count=1)
        return np.asarray(values)[:, :-1], "TreeSHAP, by CatBoost"
    return None
