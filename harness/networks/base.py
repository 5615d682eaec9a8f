"""The interface of every network classifier, and the summary of a layer that it reports."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from harness.networks.history import TrainingHistory
from harness.networks.losses import Floats, Loss
from harness.networks.rows import InputConverter


class LayerSummary(NamedTuple):
    """One layer as plain values, which can be read without TensorFlow and without the network.

    A network lists its layers in the order of computation, the input first. The kind of a frozen layer says that it is frozen.

    Attributes
    ----------
    name : str
        Name of the layer in the Keras model, where it has one.
    kind : str
        Type of the layer and its activation.
    shape : tuple of int
        Shape of the output for one row; 0 for a length that varies from row to row.
    parameters : int
        Number of parameters.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


def output_layer_summary(features: int, outputs: int) -> LayerSummary:
    """Summarise a dense output layer: a sigmoid for one output, a softmax for several."""
    kind = "Dense, sigmoid" if outputs == 1 else "Dense, softmax"
    return LayerSummary("probabilities", kind, (outputs,), (features + 1) * outputs)


class NetworkClassifier(Protocol):
    """Base class of the networks: a classifier with the interface of scikit-learn.

    Attributes
    ----------
    gamma : float, default 0
        Focusing parameter of the loss; 0 is cross-entropy.
    classes_ : array of shape (n_classes,)
        Classes of the training rows, after `fit`.
    history_ : TrainingHistory
        Learning curves, after `fit`.
    """

    gamma: float = 0.0
    classes_: npt.NDArray[Any]
    history_: TrainingHistory

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of every class, shape (n_rows, n_classes), float32."""
        ...

    @property
    def inputs(self) -> InputConverter:
        """Callable that checks rows, as `predict_proba` takes them, and converts them to the input of `keras_model`."""
        ...

    def keras_model(self) -> Any:
        """Return the trained network as a compiled `keras.Model` that can be saved, plotted, explained and trained further."""
        ...

    def keras_logits(self) -> Any:
        """Return the trained network as a `keras.Model` that outputs logits.

        The model is neither compiled nor has an optimiser: it is what an exported bundle predicts with. Logits lose no
        precision, whereas a sigmoid in single precision cannot represent 1 - 1e-9 as anything but 1.

        Returns
        -------
        keras.Model
            Maps `inputs(X)` to logits of shape (n_rows, n_outputs), which `loss.probabilities` turns into probabilities.
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
        """The training loss, which also converts logits to probabilities."""
        return Loss(len(self.classes_), self.gamma)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the most probable class of every row, shape (n_rows,)."""
        predicted: npt.NDArray[Any] = self.classes_[np.argmax(self.predict_proba(X), axis=1)]
        return predicted

    @property
    def history(self) -> TrainingHistory:
        """Learning curves of the fit."""
        return self.history_
