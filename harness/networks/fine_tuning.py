"""The pretrained network as a classifier: a head on its frozen features, or its last blocks trained together with a head.

The input is what `harness.preprocessing.image` computes from images, so that the frozen part is not computed here. The shape
of a row decides which of the two is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from harness.errors import DataError
from harness.networks import pretrained
from harness.networks.base import LayerSummary, NetworkClassifier
from harness.networks.dense import fold_batch_norm, infer_logits
from harness.networks.dense_classifier import DenseClassifier
from harness.networks.history import EarlyStopping
from harness.networks.keras_export import compile_model
from harness.networks.keras_training import (
    KerasTrainConfig,
    initial_weights,
    predict_logits,
    train_compiled_network,
    weights_of_built_model,
)
from harness.networks.losses import Floats
from harness.networks.optimizer import TrainConfig
from harness.networks.pretrained import (
    BLOCK_TABLE,
    CUT_STAGES,
    FEATURES,
    GRID,
    SIZE,
    build_frozen,
    build_stages,
    processing_image_size,
)
from harness.networks.rows import MatrixInput, WeightedRows, convert_to_matrix
from harness.networks.torch_weights import read_torch_weights

TRAINED_BLOCKS = (CUT_STAGES["last_blocks"] + 1, CUT_STAGES["grid"])  #: the first and the last block that is trained
CHANNELS = BLOCK_TABLE[TRAINED_BLOCKS[0] - 2].channels  #: of their input
STRIDE = 16  #: pixels of the image per position of their input
#: Number of features → the cut that they come from.
CUT_OF_COLUMNS = {GRID * GRID * BLOCK_TABLE[TRAINED_BLOCKS[1] - 1].channels: "grid", FEATURES: "features"}
#: Lower bound of a feature's standard deviation relative to the mean of all, so that nearly constant features stay small.
MIN_RELATIVE_DEVIATION = 0.1
BLOCK_RATE_FACTOR = 0.7  #: learning rate of blocks relative to that of a head
#: Number of images that blocks are trained on, repeated ones included: an image costs 7 ms at 160 pixels.
IMAGE_BUDGET = 2_500


def head_config(**params: Any) -> TrainConfig:
    """Return the configuration for a head, for whose good features few epochs suffice; `params` replace its defaults."""
    defaults: dict[str, Any] = {"learning_rate": 1e-3, "batch_size": 32, "epochs": 20, "patience": 3}
    return TrainConfig(**defaults | {"min_steps": 200, "min_patience": 20} | params)


def block_config(head: TrainConfig, rows: int = 0) -> KerasTrainConfig:
    """Return the configuration for blocks: a lower learning rate, and about `IMAGE_BUDGET` images in total.

    Parameters
    ----------
    head : TrainConfig
        Configuration of a head alone.
    rows : int, default 0
        Number of training images.

    Returns
    -------
    KerasTrainConfig
    """
    return KerasTrainConfig(
        learning_rate=BLOCK_RATE_FACTOR * head.learning_rate,
        batch_size=head.batch_size,
        dropout=head.dropout,
        weight_decay=head.weight_decay,
        clip=head.clip,
        epochs=max(1, min(6, round(IMAGE_BUDGET / max(rows, 1)))),
        min_steps=head.min_steps // 7,
    )


@dataclass(frozen=True)
class LastBlocks:
    """Architecture of the trained part: blocks, means over the parts of the image, an optional hidden layer, logits.

    Batch norm is folded into the kernels, and so keeps ImageNet's statistics.

    Attributes
    ----------
    activation_shape : tuple of int
        Height, width and channels of the activations of an image.
    views : int
        Number of augmented views of an image, whose activations follow its own.
    units : int
        Width of the hidden layer; 0 for none.
    outputs : int
        Number of logits.
    read_weight_bytes : callable
        Returns the content of the weight file.
    """

    activation_shape: tuple[int, int, int]
    views: int
    units: int
    outputs: int
    read_weight_bytes: Callable[[], bytes] = field(compare=False, repr=False)

    dtype = "float16"

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of a row."""
        return (1 + self.views, *self.activation_shape) if self.views else self.activation_shape

    @property
    def size(self) -> int:
        """Side in pixels of the images that the activations were computed from, rounded up."""
        return self.activation_shape[0] * STRIDE

    @property
    def head_arrays(self) -> int:
        """Number of arrays of weights that belong to the head; they are the last."""
        return 4 if self.units else 2

    def build(self, dropout: Callable[[], Any]) -> Any:
        """Build the blocks with ImageNet's weights, and a head; of an image with views, the first one is used."""
        import keras

        folded = pretrained.fold_batch_norm(read_torch_weights(self.read_weight_bytes()))
        block_model = build_stages(folded, *TRAINED_BLOCKS, self.size)
        if not self.views:
            return keras.Model(block_model.input, self._build_head(block_model.output, dropout), name="last_blocks")
        keras_input = keras.Input(self.row_shape, name="views")
        return keras.Model(keras_input, self._build_head(block_model(keras_input[:, 0]), dropout), name="last_blocks")

    def augment(self, X: Any, key: Any, amount: Any) -> Any:  # noqa: ARG002 -- the protocol has it; the views are fixed
        """Rotate the views of every row so that another one, or the image itself, comes first, all equally likely."""
        import tensorflow as tf

        if not self.views:
            return X
        count = 1 + self.views
        drawn_view = tf.random.stateless_uniform((tf.shape(X)[0], 1), key, 0, count, tf.int32)
        return tf.ensure_shape(
            tf.gather(X, (drawn_view + tf.range(count)) % count, batch_dims=1), (None, *self.row_shape)
        )

    def _build_head(self, x: Any, make_dropout: Callable[[], Any]) -> Any:
        import keras

        layers = keras.layers
        x = layers.Flatten(name="grid")(layers.AdaptiveAveragePooling2D(GRID, name="parts")(x))
        x = make_dropout()(x)
        if self.units:
            x = layers.Dense(self.units, activation="relu", kernel_initializer="he_uniform", name="hidden")(x)
            x = make_dropout()(x)
        return layers.Dense(self.outputs, kernel_initializer="zeros", name="logits")(x)


@dataclass(frozen=True)
class ActivationInput:
    """Converter of activations of one shape (height, width, channels); of images with views, the images' own are taken."""

    shape: tuple[int, int, int]

    def __call__(self, X: npt.ArrayLike) -> npt.NDArray[np.float16]:
        """Return activations (n_images, height, width, 112) as float16, or raise `DataError`."""
        activations = np.asarray(X)
        return validate_activations(activations[:, 0] if activations.ndim == 5 else activations, self.shape)


def validate_activations(X: npt.ArrayLike, row_shape: tuple[int, ...] | None = None) -> npt.NDArray[np.float16]:
    """Validate activations.

    Parameters
    ----------
    X : array-like of shape (n_images, height, width, 112) or (n_images, 1 + views, height, width, 112)
        The activations.
    row_shape : tuple of int, optional
        The expected shape of a row.

    Returns
    -------
    array of the same shape, float16

    Raises
    ------
    DataError
        If they have another shape or are not finite.
    """
    activations = np.asarray(X)
    shape = activations.shape
    if activations.ndim not in {4, 5} or shape[-1] != CHANNELS or shape[-2] != shape[-3]:
        raise DataError(
            f"expected features (n, d), or activations (n, h, h, {CHANNELS}), but got an array of shape {shape}"
        )
    if row_shape is not None and shape[1:] != row_shape:
        raise DataError(f"expected activations of shape {row_shape} as in training, but got {shape[1:]}")
    activations = np.ascontiguousarray(activations, np.float16)
    if not np.isfinite(activations).all():
        raise DataError("a network needs finite activations, but some are NaN or infinite")
    return activations


@dataclass(eq=False)
class PretrainedClassifier(NetworkClassifier):
    """A classifier of images on top of the frozen part of the pretrained network.

    For rows of features (n_rows, n_features) a head is trained in NumPy. For activations (n_rows, height, width, 112) or,
    with augmented views, (n_rows, 1 + views, height, width, 112) the last blocks are trained together with a head; each epoch
    then uses one view of each training image, whereas validation and prediction use the images themselves.

    Parameters
    ----------
    seed : int
        Seed of every draw.
    read_weight_bytes : callable
        Returns the content of the weight file.
    units : int, default 0
        Width of a hidden layer of the head; 0 for a linear head.
    gamma : float, default 0
        Focusing parameter of the loss; 0 is cross-entropy.
    config : TrainConfig
        How to train a head; `block_config` derives how to train blocks.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        The classes.
    history_ : TrainingHistory
        The learning curves and the best epoch.
    weights_ : list of arrays
        Kernels and biases of the trained blocks, if any, then of the head.
    """

    seed: int
    read_weight_bytes: Callable[[], bytes]
    units: int = 0
    gamma: float = 0.0
    config: TrainConfig = field(default_factory=head_config)

    def fit(
        self,
        X: Any,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        validation: tuple[Any, ...] | None = None,
    ) -> Self:
        """Train the head, or blocks and head; parameters as of `NetworkClassifier.fit`.

        The head alone is trained on standardised features; the scaling is then folded into its first layer.
        """
        self.last_blocks_: LastBlocks | None = None
        self.row_shape_: tuple[int, ...] = ()  #: of activations; empty for features
        if np.ndim(X) != 2:
            return super().fit(X, y, sample_weight, validation)
        features = convert_to_matrix(X)
        mean, deviation = features.mean(axis=0), features.std(axis=0)
        deviation = np.maximum(deviation, MIN_RELATIVE_DEVIATION * deviation.mean()) + np.float32(1e-6)
        units = (self.units,) if self.units else ()
        self.head_ = DenseClassifier(self.seed, units, batch_norm=False, gamma=self.gamma, config=self.config)
        held_out = None
        if validation:
            held_out = (
                (MatrixInput(features.shape[1])(validation[0]) - mean) / deviation,
                *validation[1:],
            )
        self.head_.fit((features - mean) / deviation, y, sample_weight, held_out)
        weights = self.head_.network_.weights
        weights.kernels[0][:] /= deviation[:, None]
        weights.shifts[0][:] -= mean @ weights.kernels[0]
        self.classes_, self.history_ = self.head_.classes_, self.head_.history
        self.weights_ = [array for layer in fold_batch_norm(self.head_.network_) for array in layer]
        return self

    @property
    def inputs(self) -> MatrixInput | ActivationInput:
        """Converter of rows to the input of `keras_logits`."""
        if self.last_blocks_:
            return ActivationInput(self.last_blocks_.activation_shape)
        return MatrixInput(len(self.weights_[0]))

    @property
    def parameters(self) -> int:
        """Number of trained parameters, without frozen ones."""
        return sum(array.size for array in self.weights_)

    @property
    def architecture(self) -> tuple[LayerSummary, ...]:
        """The layers of the network, with the frozen part as one layer and the trained blocks as another."""
        kind, count = "EfficientNet-Lite0, frozen", pretrained.parameter_count
        if self.last_blocks_ is None:
            columns = len(self.weights_[0])
            cut = CUT_OF_COLUMNS.get(columns, "features")
            layers = [LayerSummary(cut, kind, (columns,), count(0, CUT_STAGES[cut]))]
        else:
            first, last = TRAINED_BLOCKS
            shape = pretrained.activation_shape(last, self.last_blocks_.size)
            layers = [
                LayerSummary("stages", kind, self.last_blocks_.activation_shape, count(0, first - 1)),
                LayerSummary("last_blocks", f"blocks {first} to {last}", shape, count(first, last)),
                LayerSummary("grid", "means over parts of the image", (len(self._head_layers[0][0]),), 0),
            ]
        *hidden, (kernel, bias) = self._head_layers
        layers += [LayerSummary("hidden", "dense, ReLU", b.shape, k.size + b.size) for k, b in hidden]
        return (*layers, LayerSummary("logits", "dense", bias.shape, kernel.size + bias.size))

    def keras_model(self, image_shape: tuple[int, int, int] | None = None) -> Any:
        """Return the whole network as a compiled Keras model of images with values 0 to 255.

        Its probabilities are those of `predict_proba` within 1e-4; with trained blocks within the error of half-precision
        activations (0.01). The frozen part stays frozen when plain `fit` continues the training.

        Parameters
        ----------
        image_shape : tuple of (height, width, 1 or 3), optional
            Shape of the images that the rows were computed from; they are scaled in the model. By default colour images that
            need no scaling, since rows of features do not show where they come from.

        Returns
        -------
        keras.Model
        """
        import keras

        native_size = self.last_blocks_.size if self.last_blocks_ else SIZE
        height, width, channels = image_shape or (native_size, native_size, 3)
        size = native_size if self.last_blocks_ else processing_image_size(max(height, width))
        columns = len(self._head_layers[0][0])
        if columns not in CUT_OF_COLUMNS:
            raise DataError(
                f"these {columns} features came from no cut of the network: expected one of {list(CUT_OF_COLUMNS)}"
            )
        cut = "last_blocks" if self.last_blocks_ else CUT_OF_COLUMNS[columns]
        frozen = build_frozen(pretrained.fold_batch_norm(read_torch_weights(self.read_weight_bytes())), cut, size)
        frozen.trainable = False
        inputs = x = keras.Input((height, width, channels), name="pictures")
        if (height, width) != (size, size):
            x = keras.layers.Resizing(size, size, antialias=True, name="scaled_pictures")(x)
        if channels == 1:
            x = keras.layers.Concatenate(name="grey_as_colour")([x, x, x])
        model = keras.Model(inputs, self.keras_logits()(frozen(x)), name="pretrained_network")
        return compile_model(model, block_config(self.config) if self.last_blocks_ else self.config, self.loss)

    def keras_logits(self) -> Any:
        """Return the trained part as a Keras model that is not compiled, from features or activations to logits."""
        import keras

        if self.last_blocks_ is not None:
            model = replace(self.last_blocks_, views=0).build(lambda: keras.layers.Dropout(self.config.dropout))
        else:
            model = keras.Sequential([keras.Input((len(self.weights_[0]),))], name="head")
            for _, bias in self._head_layers[:-1]:
                model.add(keras.layers.Dense(len(bias), activation="relu", name="hidden"))
                model.add(keras.layers.Dropout(self.config.dropout))
            model.add(keras.layers.Dense(self.loss.outputs, name="logits"))
        model.set_weights(self.weights_)
        return model

    def _convert_training_rows(self, X: npt.ArrayLike) -> npt.NDArray[np.float16]:
        activations = validate_activations(X)
        self.row_shape_ = activations.shape[1:]
        return activations

    def _convert_prediction_rows(self, X: npt.ArrayLike) -> npt.NDArray[np.floating]:
        return validate_activations(X, self.row_shape_) if self.row_shape_ else self.head_.inputs(X)

    def _scaled_config(self, rows: WeightedRows) -> KerasTrainConfig:
        config = block_config(self.config, len(rows.y)).scaled_to(len(rows.y))
        return replace(config, augment=float(len(self.row_shape_) == 4))

    def _train_network(self, config: KerasTrainConfig, stopping: EarlyStopping) -> None:
        """Train blocks and head together, starting from ImageNet's blocks and a head that predicts the class shares."""
        height, width, channels = self.row_shape_[-3:]
        view_count = self.row_shape_[0] - 1 if len(self.row_shape_) == 4 else 0
        last_blocks = LastBlocks(
            (height, width, channels), view_count, self.units, self.loss.outputs, self.read_weight_bytes
        )
        self.last_blocks_ = last_blocks
        drawn = initial_weights(last_blocks, np.random.default_rng(self.seed), stopping.prior_logits)
        built = weights_of_built_model(last_blocks, stopping.prior_logits)
        start = built[: -last_blocks.head_arrays] + drawn[-last_blocks.head_arrays :]
        self.weights_ = train_compiled_network(last_blocks, start, config, stopping, self.seed)

    def _compute_logits(self, X: npt.NDArray[Any]) -> Floats:
        if self.last_blocks_ is None:
            return infer_logits(self.head_.network_, X)
        return predict_logits(self.last_blocks_, self.weights_, X)

    @property
    def _head_layers(self) -> list[tuple[Floats, Floats]]:
        """Kernel and bias of the layers of the head."""
        arrays = self.weights_[-self.last_blocks_.head_arrays :] if self.last_blocks_ else self.weights_
        return list(zip(arrays[::2], arrays[1::2], strict=True))
