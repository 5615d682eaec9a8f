"""What every network classifier has in common."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from harness.networks.history import History
from harness.networks.loss import Floats


class Learner(Protocol):
    """A network as a classifier in scikit-learn's manner, after `fit`: classes (k,), curves, and the decision."""

    classes_: npt.NDArray[Any]
    history_: History

    def predict_proba(self, X: Any) -> Floats:
        """The probability of every class, shape (n, k), float32."""
        ...

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The most probable class of every row, shape (n,)."""
        chosen: npt.NDArray[Any] = self.classes_[np.argmax(self.predict_proba(X), axis=1)]
        return chosen

    @property
    def history(self) -> History:
        """The curves of the fit."""
        return self.history_
