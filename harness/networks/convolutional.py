"""A small convolutional network for pictures, trained from nothing, as a classifier in scikit-learn's manner.

Blocks of convolution → max pooling → batch norm → ReLU, then dropout and a dense layer. Pooling stands before batch norm
and ReLU because it leaves them a quarter of the work: behind a ReLU it would give the same, and batch norm took as long
as the convolutions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.errors import DataError
from harness.networks.base import Learner
from harness.networks.history import EarlyStopping
from harness.networks.keras_training import Course, finish, fresh, predict, train
from harness.networks.layers import Layer
from harness.networks.losses import Floats
from harness.networks.rows import training_rows, watched_rows

SIDE = 48  #: pixels: larger pictures are made smaller by a whole factor until no side is longer
LARGEST = 16 * SIDE  # beyond, the sum of a square of pixels would not fit into 16 bits
MOMENTUM = 0.9  # of the running statistics: Keras's 0.99 needs more steps than few epochs have
COURSE = Course(learning_rate=1e-2, batch_size=64, epochs=8, augment=1.0, least_steps=300)
SHIFT, TURN = 0.08, 0.2  # what augmentation may do: a part of the side, radians

Pixels: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]
Form: TypeAlias = tuple[int, ...]  #: (height, width, channels)


@dataclass(frozen=True)
class Convolutions:
    """The shape of a network: pictures of `form` (height, width, channels) in, `filters` block by block, `outputs` logits out."""

    form: Form
    filters: tuple[int, ...]
    batch_norm: bool
    outputs: int

    @property
    def factor(self) -> int:
        """The side of the squares of pixels of which the network sees the mean."""
        return factor(*self.form[:2])

    @property
    def seen(self) -> Form:
        """The form of what the network sees."""
        return (self.form[0] // self.factor, self.form[1] // self.factor, self.form[2])

    @property
    def dtype(self) -> str:
        """That of `shrunk` pictures."""
        return "uint8" if self.factor == 1 else "uint16"

    def build(self, dropout: Callable[[], Any]) -> Any:
        """The network from `shrunk` pictures to logits."""
        import keras

        entry = keras.Input(self.seen, name="sums")
        return keras.Model(entry, self._layers(entry, self.factor**2, dropout), name="small_convolutional_network")

    def build_whole(self, dropout: Callable[[], Any]) -> Any:
        """The same, with the same weights, from pictures as they are."""
        import keras

        entry = x = keras.Input(self.form, name="pixels")
        if self.factor > 1:
            x = keras.layers.AveragePooling2D(self.factor, name="shrunk")(x)
        return keras.Model(entry, self._layers(x, 1, dropout), name="small_convolutional_network")

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, pooling, batch norm and ReLU together with the convolution before them."""
        height, width, before = self.seen
        kind = (
            "convolution 3 × 3, max pooling, batch norm, ReLU"
            if self.batch_norm
            else "convolution 3 × 3, max pooling, ReLU"
        )
        layers = [Layer("pixels", f"mean of {self.factor} × {self.factor} pixels", (height, width, before), 0)]
        for number, filters in enumerate(self.filters, start=1):
            height, width = pooled(height, width)
            size = 9 * before * filters + (2 if self.batch_norm else 1) * filters
            layers.append(Layer(f"block_{number}", kind, (height, width, filters), size))
            before = filters
        size = height * width * before
        layers.append(Layer("features", "flattened, dropout", (size,), 0))
        layers.append(Layer("logits", "dense", (self.outputs,), (size + 1) * self.outputs))
        return tuple(layers)

    def vary(self, X: Any, key: Any, amount: Any) -> Any:
        """Every picture shifted and turned a little, the border continued; never mirrored, which would spoil digits."""
        import tensorflow as tf

        height, width = X.shape[1:3]
        drawn = tf.random.stateless_uniform((tf.shape(X)[0], 3), key, -amount, amount)
        down, right, turn = drawn[:, 0] * SHIFT * height, drawn[:, 1] * SHIFT * width, drawn[:, 2] * TURN
        cos, sin, y, x = tf.cos(turn), tf.sin(turn), (height - 1) / 2, (width - 1) / 2
        none = tf.zeros_like(turn)
        places = [cos, -sin, x - x * cos + y * sin + right, sin, cos, y - x * sin - y * cos + down, none, none]
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=X,
            transforms=tf.stack(places, axis=1),
            output_shape=tf.constant([height, width]),
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="NEAREST",
        )

    def _layers(self, x: Any, pixels: int, dropout: Callable[[], Any]) -> Any:
        import keras

        layers = keras.layers
        x = layers.Rescaling(1 / (255 * pixels), name="scaled")(x)
        for number, filters in enumerate(self.filters, start=1):
            options = {"padding": "same", "kernel_initializer": "he_uniform", "name": f"convolution_{number}"}
            x = layers.Conv2D(filters, 3, use_bias=not self.batch_norm, **options)(x)
            x = layers.MaxPooling2D(padding="same", name=f"pooling_{number}")(x)
            if self.batch_norm:
                x = layers.BatchNormalization(momentum=MOMENTUM, name=f"batch_norm_{number}")(x)
            x = layers.ReLU(name=f"relu_{number}")(x)
        x = dropout()(layers.Flatten(name="features")(x))
        return layers.Dense(self.outputs, kernel_initializer="zeros", name="logits")(x)


@dataclass(frozen=True)
class Pictures:
    """How pictures enter a network of their form (height, width, channels)."""

    form: Form

    def __call__(self, X: npt.ArrayLike) -> Pixels:
        """Pictures (n, h, w, c) in uint8 as `keras_model` takes them, or a `DataError`."""
        return pictures(X, self.form)


@dataclass(eq=False)
class ConvolutionalClassifier(Learner):
    """A small convolutional network for uint8 pictures (n, h, w, 1 or 3); every draw comes from `seed`, one thread is used.

    `filters` are those of the blocks from first to last; `gamma` above 0 makes the loss focal. One sigmoid output for two
    classes, a softmax for more. Attributes after `fit`: `classes_` (k,), `form_` (h, w, c) of the pictures, `history_` and `weights_`.
    """

    seed: int
    filters: tuple[int, ...] = (8, 16, 32)
    batch_norm: bool = True
    gamma: float = 0.0
    course: Course = COURSE

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        validation: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    ) -> ConvolutionalClassifier:
        """Learn from pictures X (n, h, w, 1 or 3) and labels y (n,); returns itself.

        `validation` (X, y) are real rows that decide which epoch is kept, weighted to the class shares of the training rows as in
        `harness.networks.rows`. Weights count relative to each other. Raises `DataError` for rows that cannot be learned
        from, `EvenhandError` where training diverges.
        """
        rows, self.classes_ = training_rows(X, y, sample_weight, shrunk)
        self.form_ = pictures(X).shape[1:]
        watched = None if validation is None else watched_rows(validation, rows, self.classes_, self._read)
        course = self.course.stretched(len(rows.y))
        watch = EarlyStopping(self.loss, rows, watched, course.patience)
        start = fresh(self._shape, np.random.default_rng([self.seed, 1]), watch.prior_logits)
        self.weights_ = train(self._shape, start, course, watch, self.seed)
        self.history_ = watch.history(course.batch_size)
        return self

    @property
    def inputs(self) -> Pictures:
        """How rows enter the network: `inputs(X)` is what `keras_model` takes, shape (n, h, w, c)."""
        return Pictures(self.form_)

    def predict_proba(self, X: npt.ArrayLike) -> Floats:
        """The probability of every class, shape (n, k), float32."""
        return self.loss.probabilities(predict(self._shape, self.weights_, self._read(X)))

    @property
    def parameters(self) -> int:
        """The number of trained parameters."""
        return sum(layer.parameters for layer in self.architecture)

    @property
    def architecture(self) -> tuple[Layer, ...]:
        """What the network is made of."""
        return self._shape.layers

    def keras_model(self) -> Any:
        """The trained network as an ordinary compiled Keras model of pictures, 0 to 255: to save, to plot, to train on."""
        import keras

        logits = self._shape.build_whole(lambda: keras.layers.Dropout(self.course.dropout, name="dropout"))
        logits.set_weights(self.weights_)
        return finish(logits, self.course, self.loss)

    @property
    def _shape(self) -> Convolutions:
        return Convolutions(self.form_, tuple(self.filters), self.batch_norm, self.loss.outputs)

    def _read(self, X: npt.ArrayLike) -> Pixels:
        return shrunk(pictures(X, self.form_))


def pictures(X: npt.ArrayLike, form: Form | None = None) -> Pixels:
    """Pictures as uint8 (n, h, w, 1 or 3), or a `DataError`; `form` is the (h, w, c) that is expected, if one is."""
    images = np.asarray(X)
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[3] not in {1, 3}:
        raise DataError(
            f"expected images as uint8 of shape (n, height, width, 3 or 1), but got {images.dtype} of {images.shape}"
        )
    if max(images.shape[1:3]) > LARGEST:
        raise DataError(f"images of {images.shape[1]} × {images.shape[2]} pixels: make them {LARGEST} or smaller")
    if form is not None and images.shape[1:] != form:
        raise DataError(
            f"expected images of (height, width, channels) {form} as in training, but got {images.shape[1:]}"
        )
    return images


def shrunk(X: npt.ArrayLike) -> Pixels:
    """The sums of squares of pixels as large as the `factor` of these pictures: half the room of means, and exact."""
    images = pictures(X)
    height, width = images.shape[1:3]
    f = factor(height, width)
    if f == 1:
        return images
    sums = np.zeros((len(images), height // f, width // f, images.shape[3]), np.uint16)
    for down, right in np.ndindex(f, f):
        sums += images[:, down : height // f * f : f, right : width // f * f : f]
    return sums


def factor(height: int, width: int) -> int:
    """By how much pictures are made smaller, so that no side is longer than `SIDE`."""
    return -(-max(height, width) // SIDE)


def pooled(height: int, width: int) -> tuple[int, int]:
    """What pooling leaves of a picture: half, rounded up."""
    return -(-height // 2), -(-width // 2)
