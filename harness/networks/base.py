"""What all network classifiers share: fit and prediction around a network, and the summary of a layer that they report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from harness.networks.history import EarlyStopping, TrainingHistory
from harness.networks.losses import Floats, Loss
from harness.networks.optimizer import TrainConfig
from harness.networks.rows import (
    InputConverter,
    WeightedRows,
    limit_blas_to_one_thread,
    make_training_rows,
    make_validation_rows,
)


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
    layer_kind = "Dense, sigmoid" if outputs == 1 else "Dense, softmax"
    return LayerSummary("probabilities", layer_kind, (outputs,), (features + 1) * outputs)


class NetworkClassifier(ABC):
    """Base class of the networks: a classifier with the interface of scikit-learn.

    A subclass converts rows to the input of its network, trains it and computes logits.

    Attributes
    ----------
    gamma : float, default 0
        Focusing parameter of the loss; 0 is cross-entropy.
    config : TrainConfig
        How to train, before it is scaled to the number of rows.
    classes_ : array of shape (n_classes,)
        Classes of the training rows, after `fit`.
    history_ : TrainingHistory
        Learning curves, after `fit`.
    """

    gamma: float = 0.0
    config: TrainConfig
    classes_: npt.NDArray[Any]
    history_: TrainingHistory

    def fit(
        self,
        X: Any,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        validation: tuple[Any, ...] | None = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_rows, …)
            Training rows, as the class describes them.
        y : array-like of shape (n_rows,)
            Their classes.
        sample_weight : array-like of shape (n_rows,), optional
            Weights, which count relative to each other.
        validation : tuple of (X, y) or (X, y, weights), optional
            Real rows that decide when training stops and which epoch is best, weighted as in `make_validation_rows`.

        Returns
        -------
        NetworkClassifier
            Itself.

        Raises
        ------
        DataError
            If the rows cannot be trained on.
        EvenhandError
            If the training diverges.
        """
        rows, self.classes_ = make_training_rows(X, y, sample_weight, self._convert_training_rows)
        validation_rows = (
            None
            if validation is None
            else make_validation_rows(validation, rows, self.classes_, self._convert_prediction_rows)
        )
        config = self._scaled_config(rows)
        with (
            limit_blas_to_one_thread(),
            np.errstate(over="ignore", invalid="ignore"),
        ):  # `EarlyStopping` reports it, in one line
            early_stopping = EarlyStopping(self.loss, rows, validation_rows, config.patience)
            self._train_network(config, early_stopping)
            self.history_ = early_stopping.history(config.batch_size)
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of every class, shape (n_rows, n_classes), float32."""
        with limit_blas_to_one_thread():
            return self.loss.probabilities(self._compute_logits(self._convert_prediction_rows(X)))

    @property
    @abstractmethod
    def inputs(self) -> InputConverter:
        """Callable that checks rows, as `predict_proba` takes them, and converts them to the input of `keras_model`."""

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(layer.parameters for layer in self.architecture)

    @property
    @abstractmethod
    def architecture(self) -> tuple[LayerSummary, ...]:
        """The layers of the network."""

    @abstractmethod
    def keras_model(self) -> Any:
        """Return the trained network as a compiled `keras.Model` that can be saved, plotted, explained and trained further."""

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
        last_layer = model.layers[-1]
        if isinstance(last_layer, keras.layers.Activation):
            return keras.Model(model.inputs, last_layer.input, name=model.name)
        last_layer.activation = keras.activations.linear
        return keras.Model(model.inputs, model.outputs, name=model.name)

    @property
    def loss(self) -> Loss:
        """The training loss, which also converts logits to probabilities."""
        return Loss(len(self.classes_), self.gamma)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the most probable class of every row, shape (n_rows,)."""
        predicted_labels: npt.NDArray[Any] = self.classes_[np.argmax(self.predict_proba(X), axis=1)]
        return predicted_labels

    @property
    def history(self) -> TrainingHistory:
        """Learning curves of the fit."""
        return self.history_

    @abstractmethod
    def _convert_training_rows(self, X: Any) -> npt.NDArray[Any]:
        """Convert training rows to the input of the network, and remember the shape that other rows must have."""

    def _convert_prediction_rows(self, X: Any) -> npt.NDArray[Any]:
        """Convert other rows to the input of the network."""
        return self.inputs(X)

    def _scaled_config(self, rows: WeightedRows) -> Any:
        """Configuration for a number of rows, with `patience` and `batch_size`."""
        return self.config.scaled_to(len(rows.y))

    @abstractmethod
    def _train_network(self, config: Any, early_stopping: EarlyStopping) -> None:
        """Train a new network on the rows of `early_stopping` and keep it with the weights of its best epoch."""

    @abstractmethod
    def _compute_logits(self, X: npt.NDArray[Any]) -> Floats:
        """Compute the logits of converted rows."""
