"""A small convolutional network for images, trained from scratch, as a classifier with the interface of scikit-learn.

Blocks of convolution → max pooling → batch norm → ReLU, then dropout and a dense layer. Pooling comes before batch norm and
ReLU because it leaves them a quarter of the work: after a ReLU it would give the same result, and batch norm took as long as
the convolutions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.errors import DataError
from harness.networks.base import LayerSummary, NetworkClassifier
from harness.networks.history import EarlyStopping
from harness.networks.keras_export import compile_model
from harness.networks.keras_training import KerasTrainConfig, initial_weights, predict_logits, train_compiled_network
from harness.networks.losses import Floats
from harness.networks.rows import check_images

MAX_SIDE = 48  #: pixels: larger images are reduced by an integer factor until no side is longer
MAX_INPUT_SIDE = 16 * MAX_SIDE  #: beyond it, the sum of a square of pixels would not fit into 16 bits
MOMENTUM = 0.9  #: of the running statistics: Keras's 0.99 needs more steps than few epochs have
DEFAULT_CONFIG = KerasTrainConfig(learning_rate=1e-2, batch_size=64, epochs=8, augment=1.0, min_steps=300)
MAX_SHIFT = 0.08  #: of augmentation, as a share of the side
MAX_ROTATION = 0.2  #: of augmentation, in radians

Pixels: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]
ImageShape: TypeAlias = tuple[int, ...]  #: (height, width, channels)


@dataclass(frozen=True)
class ConvolutionalArchitecture:
    """Architecture of a convolutional network.

    Attributes
    ----------
    image_shape : tuple of int
        Height, width and channels of the images.
    filters : tuple of int
        Number of filters of each block.
    batch_norm : bool
        Whether blocks use batch norm instead of a bias.
    outputs : int
        Number of logits.
    """

    image_shape: ImageShape
    filters: tuple[int, ...]
    batch_norm: bool
    outputs: int

    @property
    def pooling_factor(self) -> int:
        """Side of the squares of pixels that are averaged."""
        return reduction_factor(*self.image_shape[:2])

    @property
    def reduced_shape(self) -> ImageShape:
        """Shape of the reduced images."""
        height, width, color_channels = self.image_shape
        return (height // self.pooling_factor, width // self.pooling_factor, color_channels)

    @property
    def dtype(self) -> str:
        """Data type of the result of `block_sums`."""
        return "uint8" if self.pooling_factor == 1 else "uint16"

    def build(self, dropout: Callable[[], Any]) -> Any:
        """Build the network from the result of `block_sums` to logits; `dropout` returns a dropout layer."""
        import keras

        keras_input = keras.Input(self.reduced_shape, name="sums")
        return keras.Model(
            keras_input, self._layers(keras_input, self.pooling_factor**2, dropout), name="small_convolutional_network"
        )

    def build_for_full_size_images(self, dropout: Callable[[], Any]) -> Any:
        """Build the network from images of full size to logits, with the same weights as `build`."""
        import keras

        keras_input = x = keras.Input(self.image_shape, name="pixels")
        if self.pooling_factor > 1:
            x = keras.layers.AveragePooling2D(self.pooling_factor, name="shrunk")(x)
        return keras.Model(keras_input, self._layers(x, 1, dropout), name="small_convolutional_network")

    @property
    def layers(self) -> tuple[LayerSummary, ...]:
        """The layers; pooling, batch norm and ReLU are summarised with the convolution before them."""
        height, width, color_channels = self.reduced_shape
        norm_text = "batch norm, " if self.batch_norm else ""
        layer_kind = f"convolution 3 × 3, max pooling, {norm_text}ReLU"
        layers = [
            LayerSummary(
                "pixels", f"mean of {self.pooling_factor} × {self.pooling_factor} pixels", self.reduced_shape, 0
            )
        ]
        for layer_number, filter_count in enumerate(self.filters, start=1):
            height, width = -(-height // 2), -(-width // 2)  # pooling halves, rounded up
            size = 9 * color_channels * filter_count + (2 if self.batch_norm else 1) * filter_count
            layers.append(LayerSummary(f"block_{layer_number}", layer_kind, (height, width, filter_count), size))
            color_channels = filter_count
        size = height * width * color_channels
        layers.append(LayerSummary("features", "flattened, dropout", (size,), 0))
        layers.append(LayerSummary("logits", "dense", (self.outputs,), (size + 1) * self.outputs))
        return tuple(layers)

    def augment(self, X: Any, key: Any, amount: Any) -> Any:
        """Shift and rotate every image a little, its border continued. Images are never mirrored, which would alter digits.

        Parameters and result are those of `KerasArchitecture.augment`.
        """
        import tensorflow as tf

        height, width = X.shape[1:3]
        uniform_numbers = tf.random.stateless_uniform((tf.shape(X)[0], 3), key, -amount, amount)
        shift_down, shift_right = uniform_numbers[:, 0] * MAX_SHIFT * height, uniform_numbers[:, 1] * MAX_SHIFT * width
        rotation_angles = uniform_numbers[:, 2] * MAX_ROTATION
        cos, sin, y, x = tf.cos(rotation_angles), tf.sin(rotation_angles), (height - 1) / 2, (width - 1) / 2
        zeros = tf.zeros_like(rotation_angles)
        image_transforms = [
            cos,
            -sin,
            x - x * cos + y * sin + shift_right,
            sin,
            cos,
            y - x * sin - y * cos + shift_down,
            zeros,
            zeros,
        ]
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=X,
            transforms=tf.stack(image_transforms, axis=1),
            output_shape=tf.constant([height, width]),
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="NEAREST",
        )

    def _layers(self, x: Any, pixels: int, make_dropout: Callable[[], Any]) -> Any:
        """Apply the layers to sums of so many pixels."""
        import keras

        layers = keras.layers
        x = layers.Rescaling(1 / (255 * pixels), name="scaled")(x)
        for layer_number, filter_count in enumerate(self.filters, start=1):
            options = {"padding": "same", "kernel_initializer": "he_uniform", "name": f"convolution_{layer_number}"}
            x = layers.Conv2D(filter_count, 3, use_bias=not self.batch_norm, **options)(x)
            x = layers.MaxPooling2D(padding="same", name=f"pooling_{layer_number}")(x)
            if self.batch_norm:
                x = layers.BatchNormalization(momentum=MOMENTUM, name=f"batch_norm_{layer_number}")(x)
            x = layers.ReLU(name=f"relu_{layer_number}")(x)
        x = make_dropout()(layers.Flatten(name="features")(x))
        return layers.Dense(self.outputs, kernel_initializer="zeros", name="logits")(x)


@dataclass(frozen=True)
class ImageInput:
    """Converter of images to the input of a network for images of one shape (height, width, channels)."""

    shape: ImageShape

    def __call__(self, X: npt.ArrayLike) -> Pixels:
        """Return uint8 images (n_images, height, width, channels) as `keras_model` takes them, or raise `DataError`."""
        return validate_images(X, self.shape)


@dataclass(eq=False)
class ConvolutionalClassifier(NetworkClassifier):
    """A small convolutional network for uint8 images (n_images, height, width, 1 or 3).

    Two classes share one sigmoid output, more have a softmax. It runs on one thread.

    Parameters
    ----------
    seed : int
        Seed of every draw.
    filters : tuple of int, default (8, 16, 32)
        Number of filters of each block.
    batch_norm : bool, default True
        Whether blocks use batch norm.
    gamma : float, default 0
        Focusing parameter of the loss; 0 is cross-entropy.
    config : KerasTrainConfig
        How to train.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        The classes.
    image_shape_ : tuple of int
        Height, width and channels of the images.
    history_ : TrainingHistory
        The learning curves and the best epoch.
    weights_ : list of arrays
        The trained weights.
    """

    seed: int
    filters: tuple[int, ...] = (8, 16, 32)
    batch_norm: bool = True
    gamma: float = 0.0
    config: KerasTrainConfig = DEFAULT_CONFIG

    @property
    def inputs(self) -> ImageInput:
        """Converter of images to the input of `keras_model`, shape (n_images, height, width, channels)."""
        return ImageInput(self.image_shape_)

    @property
    def architecture(self) -> tuple[LayerSummary, ...]:
        """The layers of the network."""
        return self._architecture.layers

    def keras_model(self) -> Any:
        """Return the trained network as a compiled Keras model of images with values 0 to 255."""
        import keras

        logits = self._architecture.build_for_full_size_images(
            lambda: keras.layers.Dropout(self.config.dropout, name="dropout")
        )
        logits.set_weights(self.weights_)
        return compile_model(logits, self.config, self.loss)

    @property
    def _architecture(self) -> ConvolutionalArchitecture:
        return ConvolutionalArchitecture(self.image_shape_, tuple(self.filters), self.batch_norm, self.loss.outputs)

    def _convert_training_rows(self, X: npt.ArrayLike) -> Pixels:
        images = validate_images(X)
        self.image_shape_ = images.shape[1:]
        return block_sums(images)

    def _convert_prediction_rows(self, X: npt.ArrayLike) -> Pixels:
        return block_sums(self.inputs(X))

    def _train_network(self, config: KerasTrainConfig, early_stopping: EarlyStopping) -> None:
        start_weights = initial_weights(
            self._architecture, np.random.default_rng([self.seed, 1]), early_stopping.prior_logits
        )
        self.weights_ = train_compiled_network(self._architecture, start_weights, config, early_stopping, self.seed)

    def _compute_logits(self, X: Pixels) -> Floats:
        return predict_logits(self._architecture, self.weights_, X)


def validate_images(X: npt.ArrayLike, shape: ImageShape | None = None) -> Pixels:
    """Validate images.

    Parameters
    ----------
    X : array-like of shape (n_images, height, width, 1 or 3), uint8
        The images.
    shape : tuple of int, optional
        The expected height, width and channels.

    Returns
    -------
    array of the same shape

    Raises
    ------
    DataError
        If they are not such images, are larger than `MAX_INPUT_SIDE`, or have another shape.
    """
    images = np.asarray(X)
    check_images(images)
    if max(images.shape[1:3]) > MAX_INPUT_SIDE:
        raise DataError(
            f"images of {images.shape[1]} × {images.shape[2]} pixels: make them {MAX_INPUT_SIDE} or smaller"
        )
    if shape is not None and images.shape[1:] != shape:
        raise DataError(
            f"expected images of (height, width, channels) {shape} as in training, but got {images.shape[1:]}"
        )
    return images


def block_sums(X: npt.ArrayLike) -> Pixels:
    """Reduce images to the sums of squares of pixels: exact, in half the memory of means.

    Parameters
    ----------
    X : array-like of shape (n_images, height, width, channels), uint8
        The images.

    Returns
    -------
    array of shape (n_images, height // factor, width // factor, channels)
        uint16; where the factor is 1, the images themselves.
    """
    images = validate_images(X)
    height, width = images.shape[1:3]
    factor = reduction_factor(height, width)
    if factor == 1:
        return images
    pixel_sums = np.zeros((len(images), height // factor, width // factor, images.shape[3]), np.uint16)
    for row_offset, column_offset in np.ndindex(factor, factor):
        pixel_sums += images[
            :, row_offset : height // factor * factor : factor, column_offset : width // factor * factor : factor
        ]
    return pixel_sums


def reduction_factor(height: int, width: int) -> int:
    """Return the factor that reduces images so that no side is longer than `MAX_SIDE`."""
    return -(-max(height, width) // MAX_SIDE)
