"""A linear support vector machine with probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.registry.family import Family
from harness.registry.space import log_float

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Labels = npt.NDArray[np.int64]
    Weights = npt.NDArray[np.float64] | None

MAX_FOLDS = 3  #: for the decision values that the sigmoid is fitted to
#: So weak that it changes nothing but where decision values separate the classes: the sigmoid then stays finite.
SIGMOID_C = 100.0


class LinearSvm:
    """A linear support vector machine whose decision values become probabilities by Platt's sigmoid.

    The sigmoid, with several classes a multinomial logistic regression on the decision values of all classes, is fitted to
    decision values of training rows that were left out of the fit: those of fitted rows are too far from 0. Both steps are
    linear, so their product is stored as one logistic regression.

    Where a strategy repeats rows, or makes rows between others, rows left out resemble fitted ones, and probabilities are
    more extreme than they should be; the ranking does not depend on the sigmoid.

    References
    ----------
    Platt (1999), Probabilistic outputs for support vector machines and comparisons to regularized likelihood methods.
    Fan, Chang, Hsieh, Wang and Lin (2008), LIBLINEAR: a library for large linear classification.
    """

    def __init__(self, seed: int, C: float) -> None:
        self.seed = seed
        self.C = C

    def fit(self, X: Any, y: Labels, sample_weight: Weights = None) -> LinearSvm:
        """Fit the machine to all rows and the sigmoid to decision values of rows that were left out; returns itself."""
        import numpy as np
        from sklearn.linear_model import LogisticRegression

        decisions = self._cross_fitted_decisions(X, y, sample_weight)
        sigmoid = LogisticRegression(C=SIGMOID_C, max_iter=1000).fit(decisions, y, sample_weight=sample_weight)
        machine = self._fit_machine(X, y, sample_weight)
        product = LogisticRegression(C=SIGMOID_C)
        product.classes_, product.n_features_in_, product.n_iter_ = sigmoid.classes_, X.shape[1], sigmoid.n_iter_
        product.coef_ = sigmoid.coef_ @ machine.coef_
        product.intercept_ = np.asarray(sigmoid.coef_ @ machine.intercept_ + sigmoid.intercept_)
        self.model_ = product
        return self

    def predict_proba(self, X: Any) -> Any:
        """Return probabilities, shape (n_rows, n_classes)."""
        return self.model_.predict_proba(X)

    def _fit_machine(self, X: Any, y: Labels, sample_weight: Weights) -> Any:
        from sklearn.svm import LinearSVC

        return LinearSVC(C=self.C, max_iter=5000, random_state=self.seed).fit(X, y, sample_weight=sample_weight)

    def _cross_fitted_decisions(self, X: Any, y: Labels, sample_weight: Weights) -> Any:
        """Decision values (n_rows, 1 or n_classes) of machines that were fitted without the row."""
        import numpy as np
        from sklearn.model_selection import StratifiedKFold

        counts = np.bincount(y)
        n_folds = min(MAX_FOLDS, int(counts[counts > 0].min()))
        if n_folds < 2:  # the only row of a class cannot be left out
            return self._fit_machine(X, y, sample_weight).decision_function(X).reshape(len(y), -1)
        n_columns = len(counts) if len(counts) > 2 else 1
        decisions = np.zeros((len(y), n_columns))
        for fitted, scored in StratifiedKFold(n_folds, shuffle=True, random_state=self.seed).split(y, y):
            weights = None if sample_weight is None else sample_weight[fitted]
            machine = self._fit_machine(X[fitted], y[fitted], weights)
            decisions[scored] = machine.decision_function(X[scored]).reshape(len(scored), n_columns)
        return decisions


FAMILY = Family(
    name="linear_svm",
    build=LinearSvm,
    space={"C": log_float(1e-4, 1e2, default=1.0)},
    encodings={"tabular": "one_hot_scaled", "text": "tfidf", "image": "embedding"},
    description="linear in the features, squared hinge loss, probabilities by Platt's sigmoid (linear SVM)",
)
