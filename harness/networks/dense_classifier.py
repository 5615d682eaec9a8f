"""A dense network as a classifier with the interface of scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

from harness.networks.base import LayerSummary, NetworkClassifier, output_layer_summary
from harness.networks.dense import DenseShape, infer_logits, new_network
from harness.networks.history import EarlyStopping
from harness.networks.losses import Floats
from harness.networks.optimizer import TrainConfig, train_epoch, train_numpy_network
from harness.networks.rows import MatrixInput, MixedRows, convert_to_matrix


@dataclass(eq=False)
class DenseClassifier(NetworkClassifier):
    """A dense network for scaled numbers (n_rows, n_columns) or `MixedRows`.

    Two classes share one sigmoid output, more have a softmax. It runs on one thread.

    Parameters
    ----------
    seed : int
        Seed of every draw.
    units : tuple of int, default (64, 64)
        Widths of the hidden layers, equal ones with `skip`.
    batch_norm : bool, default False
        Whether hidden layers use batch norm.
    gamma : float, default 0
        Focusing parameter of the loss; 0 is cross-entropy.
    config : TrainConfig
        How to train.
    activation : str, default "relu"
        One of `ACTIVATIONS`.
    skip : bool, default False
        Whether there are skip connections.
    embedding : int, default 0
        Size of the vector of a category's level; 0 for a column per level.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        The classes.
    history_ : TrainingHistory
        The learning curves and the best epoch.
    network_ : DenseNetwork
        The trained network.
    """

    seed: int
    units: tuple[int, ...] = (64, 64)
    batch_norm: bool = False
    gamma: float = 0.0
    config: TrainConfig = field(default_factory=TrainConfig)
    activation: str = "relu"
    skip: bool = False
    embedding: int = 0

    @property
    def inputs(self) -> MatrixInput:
        """Converter of rows to the input of `keras_model`, shape (n_rows, n_columns)."""
        return MatrixInput(self.columns_, index_encoded=bool(self.embedding))

    @property
    def architecture(self) -> tuple[LayerSummary, ...]:
        """The layers of the network."""
        return summarize_layers(self.network_.shape, self.config.dropout)

    def keras_model(self) -> Any:
        """Return the trained network as a compiled `keras.Model` that can be saved, plotted, explained and trained further."""
        from harness.networks.keras_export import dense_to_keras

        return dense_to_keras(self.network_, self.config, self.loss)

    def _convert_training_rows(self, X: Any) -> Floats:
        """Convert rows to a matrix, categories to columns or level indices."""
        self.levels_: tuple[int, ...] = ()
        if self.embedding and isinstance(X, MixedRows):
            self.levels_ = tuple(X.levels[j] for j in X.embedded_categories)
        matrix = convert_to_matrix(X, index_encoded=bool(self.embedding))
        self.columns_ = matrix.shape[1]
        return matrix

    def _train_network(self, config: TrainConfig, early_stopping: EarlyStopping) -> None:
        shape = DenseShape(
            self.columns_ - len(self.levels_),
            tuple(self.units),
            self.loss.outputs,
            self.batch_norm,
            self.activation,
            skip=self.skip and len(self.units) > 0,
            levels=self.levels_,
            embedding=self.embedding if self.levels_ else 0,
        )
        self.network_ = train_numpy_network(
            partial(new_network, shape), train_epoch, infer_logits, config, early_stopping, self.seed
        )

    def _compute_logits(self, X: Floats) -> Floats:
        return infer_logits(self.network_, X)


def summarize_layers(shape: DenseShape, dropout: float) -> tuple[LayerSummary, ...]:
    """Summarise the layers of a dense network, without those that only concatenate embeddings and numbers.

    Parameters
    ----------
    shape : DenseShape
        Architecture of the network.
    dropout : float
        Dropout rate.

    Returns
    -------
    tuple of LayerSummary
        The layers, named as in the Keras model.
    """
    layer_widths = list(pairwise(shape.widths))
    layers = [LayerSummary("rows", "Input", (shape.columns + len(shape.levels),), 0)]
    if shape.levels:
        layer_kind, size = f"Embedding of {sum(shape.levels)} levels", sum(shape.levels) * shape.embedding
        layers.append(LayerSummary("levels", layer_kind, (shape.widths[0],), size))
    if shape.skip:
        input_width, width = layer_widths.pop(0)
        layers.append(LayerSummary("dense_0", "Dense, linear", (width,), (input_width + 1) * width))
    skip_source = layers[-1].name
    for layer_number, (input_width, width) in enumerate(layer_widths[:-1], start=1):
        if shape.batch_norm:
            layers.append(LayerSummary(f"dense_{layer_number}", "Dense, linear", (width,), input_width * width))
            layer_kind = f"BatchNormalization, {shape.activation}"
            layers.append(LayerSummary(f"batch_norm_{layer_number}", layer_kind, (width,), 2 * width))
        else:
            layers.append(
                LayerSummary(f"dense_{layer_number}", f"Dense, {shape.activation}", (width,), (input_width + 1) * width)
            )
        if dropout:
            layers.append(LayerSummary(f"dropout_{layer_number}", f"Dropout {dropout:.3g}", (width,), 0))
        if shape.skip:
            layers.append(LayerSummary(f"skip_{layer_number}", f"Add skip of {skip_source}", (width,), 0))
            skip_source = f"skip_{layer_number}"
    return (*layers, output_layer_summary(layer_widths[-1][0], shape.outputs))
