"""Explainable boosting machine."""

from __future__ import annotations

import warnings
from typing import Any

from harness.registry.family import Family
from harness.registry.space import choice, integer, log_float

#: Fixed to what was as good on telco_churn as the library's settings at a tenth of the time (0.25 s instead of 3 s a fit).
SETTINGS = {
    "smoothing_rounds": 50,
    "interaction_smoothing_rounds": 20,
    "early_stopping_rounds": 50,
    "max_interaction_bins": 24,
}


class ExplainableBoosting:
    """A sum of functions of one column and of pairs of columns, boosted, with early stopping on validation rows.

    The library stops each of 14 bags on rows of its own, which a strategy may have made from rows of the bag. Here one bag
    stops on the real validation rows that other families stop on; without them it ends after `max_rounds`.

    References
    ----------
    Lou, Caruana, Gehrke and Hooker (2013), Accurate intelligible models with pairwise interactions, KDD.
    Nori, Jenkins, Koch and Caruana (2019), InterpretML: a unified framework for machine learning interpretability.
    """

    def __init__(self, seed: int, **params: Any) -> None:
        self.seed = seed
        self.params = params

    def fit(self, X: Any, y: Any, sample_weight: Any = None, validation: Any = None) -> ExplainableBoosting:
        """Fit to a data frame whose categories have the dtype `category`; returns itself."""
        import numpy as np
        import pandas as pd
        from interpret.glassbox import ExplainableBoostingClassifier

        bags = None
        rounds = {"max_rounds": 200, "early_stopping_rounds": 0, "validation_size": 0}
        if validation is not None:
            validation_X, validation_y = validation[:2]
            n_fitted, n_validation = len(y), len(validation_y)
            X, y = pd.concat([X, validation_X], ignore_index=True), np.concatenate([y, validation_y])
            bags = np.repeat(np.array([1, -1], dtype=np.int8), [n_fitted, n_validation])[:, None]
            weights = np.ones(n_fitted) if sample_weight is None else sample_weight
            row_weights = validation[2] if len(validation) > 2 else np.ones(n_validation)
            sample_weight = np.concatenate([weights, validation_weights(y, weights, row_weights)])
            rounds = {}
        classifier = ExplainableBoostingClassifier(
            n_jobs=1, random_state=self.seed, outer_bags=1, **(SETTINGS | rounds), **self.params
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="interpret")  # of its plots, which are not drawn
            self.model_ = classifier.fit(X, y, sample_weight=sample_weight, bags=bags)
        return self

    def predict_proba(self, X: Any) -> Any:
        """Return probabilities, shape (n_rows, n_classes)."""
        return self.model_.predict_proba(X)


def validation_weights(y: Any, weights: Any, row_weights: Any) -> Any:
    """Weights of the validation rows, with which classes have their shares among the weighted training rows.

    A strategy moves the class frequencies on purpose, and that alone must not look like overfitting.

    Parameters
    ----------
    y : array of shape (n_fitted + n_validation,), int
        Labels of the training rows, followed by those of the validation rows.
    weights : array of shape (n_fitted,)
        Weights of the training rows.
    row_weights : array of shape (n_validation,)
        Weights that the validation rows have in their table.
    """
    import numpy as np

    fitted_y, validation_y = y[: len(weights)], y[len(weights) :]
    n_classes = int(y.max()) + 1
    target = np.bincount(fitted_y, weights=weights, minlength=n_classes)
    real = np.bincount(validation_y, weights=row_weights, minlength=n_classes)
    balanced = (target / np.where(real > 0, real, 1))[validation_y] * row_weights
    return balanced / balanced.mean()


FAMILY = Family(
    name="ebm",
    build=ExplainableBoosting,
    space={
        "learning_rate": log_float(0.01, 0.2, default=0.05),
        "interactions": integer(0, 20, default=10),
        "max_leaves": integer(2, 4, default=2),
        "min_samples_leaf": integer(2, 64, default=4, log=True),
        "max_bins": choice(64, 256, 1024, default=256),
    },
    encodings={"tabular": "native"},
    description="a sum of boosted functions of single columns and of pairs (explainable boosting machine)",
    needs=("interpret",),
    extra="ebm",
    stops_early=True,
)
