"""The parts of a fitted pipeline as they are saved: without what only training needed, and without our own wrappers.

A bundle is opened where no declaration is: nothing in it may refer to a task, a family or a strategy.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Mean:
    """The mean of several classifiers."""

    members: tuple[Any, ...]

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """The members' mean probabilities, shape (n, k)."""
        return np.asarray(np.mean([one.predict_proba(X) for one in self.members], axis=0), dtype=np.float64)


@dataclass(frozen=True)
class OneThread:
    """CatBoost on one thread: by itself it takes all there are, whatever it was fitted with."""

    model: Any

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Probabilities, shape (n, k)."""
        return np.asarray(self.model.predict_proba(X, thread_count=1), dtype=np.float64)


def pack_classifier(classifier: Any) -> Any:
    """A fitted classifier as it is saved; the one given is left as it is."""
    if isinstance(members := getattr(classifier, "fitted_", None), list):  # of LightGBM it is a bool
        return Mean(tuple(pack_classifier(one) for one in members))
    if hasattr(classifier, "model_"):
        return OneThread(classifier.model_)
    strip = STRIPPED.get(type(classifier).__name__)
    return strip(copy.copy(classifier)) if strip else classifier


def _without_draws(boosting: Any) -> Any:
    """GradientBoosting without the state of the generator that every one of its trees carries."""
    boosting.estimators_ = boosting.estimators_.copy()
    for at, tree in np.ndenumerate(boosting.estimators_):
        boosting.estimators_[at] = copy.copy(tree)
        boosting.estimators_[at].random_state = None
    boosting.__dict__.pop("_rng", None)
    return boosting


def _without_generator(boosting: Any) -> Any:
    """HistGradientBoosting without the generator that drew its columns."""
    boosting._feature_subsample_rng = None
    return boosting


STRIPPED = {
    "GradientBoostingClassifier": _without_draws,
    "HistGradientBoostingClassifier": _without_generator,
}
