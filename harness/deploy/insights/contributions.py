"""Contributions of columns to predictions: SHAP values of trees and linear models, sampled Shapley values of other models.

SHAP values of trees are TreeSHAP (Lundberg et al., From local explanations to global understanding with explainable AI for
trees, Nature Machine Intelligence 2, 2020), those of linear models are coefficient times distance from the mean (Štrumbelj
& Kononenko 2014). Both are computed for encoded columns and summed over the encoded columns of each raw one. All other
models are sampled by `shapley_values`, forests too: TreeSHAP takes 0.2 s for a row in a hundred deep trees, which is ten
times as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.deploy.insights.scored_rows import ScoredRows
from harness.deploy.insights.shapley import shapley_values
from harness.preprocessing.tabular_encoders import source_columns_of_encoding
from harness.registry.task import Features

Floats = npt.NDArray[np.float64]

MAX_EXACT_ROWS, MAX_SAMPLED_ROWS = 2000, 100  #: rows of a summary, with and without a fast exact method
BACKGROUND_ROWS = 32  #: rows with which sampling compares
MIN_BACKGROUND = 100  #: scored rows from which their average is used as the reference

_EncodedContributions: TypeAlias = tuple[Floats, str]  #: (n, encoded columns), and the method


@dataclass(frozen=True)
class ColumnContributions:
    """Contributions (n, raw columns) to the log-odds of the positive class, and the method that computed them."""

    contributions: Floats
    method: str


@dataclass(frozen=True)
class ContributionSummary:
    """Mean absolute contribution of each column over `rows` rows, largest first."""

    names: tuple[str, ...]
    mean_sizes: tuple[float, ...]
    rows: int
    method: str


def average_contribution_sizes(scored: ScoredRows, seed: int) -> ContributionSummary | None:
    """Average the sizes of contributions over a sample of the rows.

    Parameters
    ----------
    scored : ScoredRows
        Rows of a table with two classes.
    seed : int
        Seed of the sample.

    Returns
    -------
    ContributionSummary or None
        None for texts, images, more than two classes and fewer than 100 rows.
    """
    if scored.bundle.schema.modality != "tabular" or not scored.has_two_classes or len(scored) < MIN_BACKGROUND:
        return None
    drawn_rows = np.random.default_rng(seed).permutation(len(scored))
    columns = compute_tree_contributions(scored, np.sort(drawn_rows[:MAX_EXACT_ROWS]))
    if columns is None:
        columns = estimate_contributions_by_sampling(scored, np.sort(drawn_rows[:MAX_SAMPLED_ROWS]), seed)
    mean_sizes = np.abs(columns.contributions).mean(axis=0)
    largest_first_order = np.argsort(-mean_sizes, kind="stable")
    names = tuple(scored.bundle.schema.features[j].name for j in largest_first_order)
    return ContributionSummary(
        names, tuple(mean_sizes[largest_first_order].tolist()), len(columns.contributions), columns.method
    )


def estimate_contributions_by_sampling(
    scored: ScoredRows, rows: npt.NDArray[np.int64], seed: int, *, against_typical_row: bool = False
) -> ColumnContributions:
    """Estimate contributions by sampling, for any model.

    Parameters
    ----------
    scored : ScoredRows
        Rows of a table.
    rows : (n,) array of int
        Positions of the rows to explain.
    seed : int
        Seed of the sampling.
    against_typical_row : bool, default False
        Compare with the typical row of training instead of 32 scored rows: a few rows have no meaningful average.

    Returns
    -------
    ColumnContributions
        Contributions of at most twice their standard error are 0.
    """
    background: Features | None = None
    if not against_typical_row:
        drawn_rows = np.random.default_rng(seed).permutation(len(scored))[:BACKGROUND_ROWS]
        background = scored.X.iloc[drawn_rows]
    bundle, X = scored.bundle, scored.X.iloc[rows]
    row_explanations = shapley_values(
        bundle.predict_proba, bundle.schema, X, seed, class_index=1, background=background
    )
    contributions = np.array(list(map(attrgetter("contributions"), row_explanations)))
    errors = np.array(list(map(attrgetter("errors"), row_explanations)))
    is_significant = np.abs(contributions) > 2 * errors
    return ColumnContributions(np.where(is_significant, contributions, 0.0), "sampled Shapley values")


def compute_tree_contributions(scored: ScoredRows, rows: npt.NDArray[np.int64]) -> ColumnContributions | None:
    """Compute SHAP values of the positive class by the model's own arithmetic.

    Parameters
    ----------
    scored : ScoredRows
        Rows of a table.
    rows : (n,) array of int
        Positions of the rows to explain.

    Returns
    -------
    ColumnContributions or None
        None if there is no fast exact method for the model, or no row.

    References
    ----------
    Lundberg et al. (2020), From local explanations to global understanding with explainable AI for trees.
    Štrumbelj & Kononenko (2014), Explaining prediction models and individual predictions with feature contributions.
    """
    fitted_pipeline = scored.bundle.model.pipeline
    if fitted_pipeline.preparer is None or not len(rows):
        return None
    try:
        source_columns = source_columns_of_encoding(fitted_pipeline.encoder, fitted_pipeline.preparer.layout)
    except TypeError:
        return None
    classifier, encoded_rows = (
        getattr(fitted_pipeline.classifier, "model", fitted_pipeline.classifier),
        fitted_pipeline.encode(scored.X.iloc[rows]),
    )
    if type(classifier).__name__ == "LogisticRegression":
        sample = np.linspace(0, len(scored) - 1, min(len(scored), MAX_EXACT_ROWS)).astype(int)
        mean = fitted_pipeline.encode(scored.X.iloc[sample]).mean(axis=0)
        contribution_method = "coefficient times distance from the mean"
        of_encoded: _EncodedContributions | None = ((encoded_rows - mean) * classifier.coef_[0], contribution_method)
    else:
        of_encoded = _tree_shap(classifier, encoded_rows)
    if of_encoded is None or of_encoded[0].shape[1] != len(source_columns):
        return None
    positions = {feature.name: j for j, feature in enumerate(scored.bundle.schema.features)}
    contributions = np.zeros((len(rows), len(positions)))
    for j, name in enumerate(source_columns):
        contributions[:, positions[name]] += of_encoded[0][:, j]
    return ColumnContributions(contributions, of_encoded[1])


def _tree_shap(classifier: Any, X: Any) -> _EncodedContributions | None:
    """SHAP values of a boosted classifier of two classes; None for other classifiers."""
    classifier_type = type(classifier).__name__
    if classifier_type == "XGBClassifier":
        import xgboost

        matrix = xgboost.DMatrix(X, enable_categorical=True)
        return classifier.get_booster().predict(matrix, pred_contribs=True)[:, :-1], "TreeSHAP, by XGBoost"
    if classifier_type == "LGBMClassifier":
        return np.asarray(classifier.predict(X, pred_contrib=True))[:, :-1], "TreeSHAP, by LightGBM"
    if classifier_type == "CatBoostClassifier":
        from catboost import Pool

        categories = [name for name in getattr(X, "columns", ()) if X[name].dtype == "category"]
        catboost_pool = Pool(X, cat_features=categories)
        with_base = classifier.get_feature_importance(catboost_pool, type="ShapValues", thread_count=1)
        return np.asarray(with_base)[:, :-1], "TreeSHAP, by CatBoost"
    return None
