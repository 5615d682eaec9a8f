"""Naive Bayes: normal distributions and level frequencies on tables, multinomial or complement weights of terms on texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.registry.family import Family
from harness.registry.space import choice, log_float

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class NaiveBayes:
    """Columns that are independent within a class: numbers are normal, categories have smoothed frequencies.

    Parameters
    ----------
    var_smoothing : float
        Share of the largest variance that is added to all variances.
    alpha : float
        Rows that are added to each level of a category.

    References
    ----------
    Hand and Yu (2001), Idiot's Bayes: not so stupid after all?
    """

    def __init__(self, var_smoothing: float, alpha: float) -> None:
        self.var_smoothing = var_smoothing
        self.alpha = alpha

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NaiveBayes:
        """Fit to numbers and level codes (`MixedRows`), or to an array of numbers; returns itself."""
        from sklearn.naive_bayes import CategoricalNB, GaussianNB

        self.gaussian_ = self.categorical_ = None
        numbers = getattr(X, "numbers", X)
        if numbers.shape[1]:
            gaussian = GaussianNB(var_smoothing=self.var_smoothing)
            self.gaussian_ = gaussian.fit(numbers, y, sample_weight=sample_weight)
        if getattr(X, "levels", ()):
            categorical = CategoricalNB(alpha=self.alpha, min_categories=X.levels)
            self.categorical_ = categorical.fit(X.codes, y, sample_weight=sample_weight)
        return self

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return probabilities, shape (n_rows, n_classes)."""
        from scipy.special import softmax

        joint = 0.0
        if self.gaussian_ is not None:
            joint = self.gaussian_.predict_joint_log_proba(getattr(X, "numbers", X))
        if self.categorical_ is not None:
            joint = joint + self.categorical_.predict_joint_log_proba(X.codes)
            if self.gaussian_ is not None:  # the class frequencies are part of both
                joint = joint - self.categorical_.class_log_prior_
        probabilities: npt.NDArray[np.float64] = softmax(joint, axis=1)
        return probabilities


def build(seed: int, var_smoothing: float = 1e-9, alpha: float = 1.0) -> NaiveBayes:  # noqa: ARG001 -- a contract
    """A classifier that draws nothing."""
    return NaiveBayes(var_smoothing, alpha)


FAMILY = Family(
    name="naive_bayes",
    build=build,
    space={
        "var_smoothing": log_float(1e-9, 1.0, default=1e-9),
        "alpha": log_float(0.1, 100.0, default=1.0),
    },
    encodings={"tabular": "mixed", "image": "principal"},
    description="columns independent within a class: numbers normal, categories by frequency (naive Bayes)",
)


def build_multinomial(seed: int, complement: bool = False, **params: Any) -> Any:  # noqa: ARG001 -- a contract
    """Naive Bayes of the weights of terms, estimated for a class from its own texts or from those of all other classes."""
    from sklearn.naive_bayes import ComplementNB, MultinomialNB

    return ComplementNB(**params) if complement else MultinomialNB(**params)


#: Rennie, Shih, Teevan and Karger (2003), Tackling the poor assumptions of naive Bayes text classifiers, ICML: weights of TF-IDF
#: instead of counts, and complement classes where classes are uneven. The complement ignores class frequencies, with two classes
#: it ranks texts as the multinomial does, and class weights hardly change it: it is not the default.
MULTINOMIAL = Family(
    name="multinomial_naive_bayes",
    build=build_multinomial,
    space={
        "alpha": log_float(1e-3, 10.0, default=0.1),
        "complement": choice(False, True, default=False),
    },
    encodings={"text": "tfidf"},
    description="terms independent within a class, multinomial or complement (naive Bayes for texts)",
)
