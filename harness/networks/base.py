"""What every network classifier has in common."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from harness.networks.history import History
from harness.networks.losses import Floats, Loss
from harness.networks.rows import Read


class Learner(Protocol):
    """A network as a classifier in scikit-learn's manner, after `fit`: classes (k,), curves, and the decision."""

    gamma: float = 0.0  #: above 0 the loss is focal
    classes_: npt.NDArray[Any]
    history_: History

    def predict_proba(self, X: Any) -> Floats:
        """The probability of every class, shape (n, k), float32."""
        ...

    @property
    def inputs(self) -> Read:
        """How rows enter the network: a value, called with rows as `predict_proba` takes them, that checks them."""
        ...

    def keras_model(self) -> Any:
        """The trained network as an ordinary compiled `keras.Model`: to save, to plot, to explain, to train on."""
        ...

    def keras_logits(self) -> Any:
        """The trained network as a `keras.Model` from `inputs(X)` to logits (n, outputs), of which `loss` makes probabilities.

        It is not compiled and holds no optimiser: what is kept to predict with. Of logits no digit is lost: a
        sigmoid in single precision cannot tell 1 - 1e-9 from 1.
        """
        import keras

        model = self.keras_model()
        last = model.layers[-1]
        if isinstance(last, keras.layers.Activation):
            return keras.Model(model.inputs, last.input, name=model.name)
        last.activation = keras.activations.linear
        return keras.Model(model.inputs, model.outputs, name=model.name)

    @property
    def loss(self) -> Loss:
        """What the network was trained by, and how its logits become probabilities."""
        return Loss(len(self.classes_), self.gamma)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The most probable class of every row, shape (n,)."""
        chosen: npt.NDArray[Any] = self.classes_[np.argmax(self.predict_proba(X), axis=1)]
        return chosen

    @property
    def history(self) -> History:
        """The curves of the fit."""
        return self.history_
