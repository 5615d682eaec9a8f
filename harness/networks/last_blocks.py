"""The blocks of the pretrained network that learn, with a head: an architecture for the compiled training loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import DataError
from harness.networks import pretrained
from harness.networks.pretrained import CUTS, GRID, TABLE, segment
from harness.networks.torch_weights import read_weights

LEARNING = (CUTS["last_blocks"] + 1, CUTS["grid"])  #: the first and the last block that is trained
CHANNELS = TABLE[LEARNING[0] - 2].channels  #: of what comes in there
STRIDE = 16  #: pixels of a picture that are one place there


@dataclass(frozen=True)
class Upper:
    """The shape of what learns: activations (height, width, channels) of a picture and its `views` in, logits out.

    Blocks, means over the parts of the picture, a hidden layer of `units` where that is not 0, logits. Batch norm is
    multiplied into the kernels, and so stays as ImageNet left it. `published` reads the file of the weights.
    """

    form: tuple[int, int, int]
    views: int
    units: int
    outputs: int
    published: Callable[[], bytes] = field(compare=False, repr=False)

    dtype = "float16"

    @property
    def row(self) -> tuple[int, ...]:
        """The shape of a row."""
        return (1 + self.views, *self.form) if self.views else self.form

    @property
    def size(self) -> int:
        """The pixels that the activations were computed at, rounded up."""
        return self.form[0] * STRIDE

    @property
    def head(self) -> int:
        """How many of the weights are the head's: they are the last."""
        return 4 if self.units else 2

    def build(self, dropout: Callable[[], Any]) -> Any:
        """The blocks with ImageNet's weights, and a head; of a picture with views the picture itself counts."""
        import keras

        blocks = segment(pretrained.without_batch_norm(read_weights(self.published())), *LEARNING, self.size)
        if not self.views:
            return keras.Model(blocks.input, self._head(blocks.output, dropout), name="last_blocks")
        entry = keras.Input(self.row, name="views")
        return keras.Model(entry, self._head(blocks(entry[:, 0]), dropout), name="last_blocks")

    def vary(self, X: Any, key: Any, amount: Any) -> Any:  # noqa: ARG002 -- a contract: there is no less and no more
        """Of every row another view comes first, or the picture itself: all are equally likely."""
        import tensorflow as tf

        if not self.views:
            return X
        count = 1 + self.views
        first = tf.random.stateless_uniform((tf.shape(X)[0], 1), key, 0, count, tf.int32)
        return tf.ensure_shape(tf.gather(X, (first + tf.range(count)) % count, batch_dims=1), (None, *self.row))

    def _head(self, x: Any, dropout: Callable[[], Any]) -> Any:
        import keras

        layers = keras.layers
        x = layers.Flatten(name="grid")(layers.AdaptiveAveragePooling2D(GRID, name="parts")(x))
        x = dropout()(x)
        if self.units:
            x = layers.Dense(self.units, activation="relu", kernel_initializer="he_uniform", name="hidden")(x)
            x = dropout()(x)
        return layers.Dense(self.outputs, kernel_initializer="zeros", name="logits")(x)


@dataclass(frozen=True)
class Activations:
    """How activations of a form (height, width, channels) enter; of pictures with views, the pictures themselves."""

    form: tuple[int, int, int]

    def __call__(self, X: npt.ArrayLike) -> npt.NDArray[np.float16]:
        """Activations (n, h, w, 112) as float16, or a `DataError`."""
        held = np.asarray(X)
        return activations(held[:, 0] if held.ndim == 5 else held, self.form)


def activations(X: npt.ArrayLike, form: tuple[int, ...] | None = None) -> npt.NDArray[np.float16]:
    """Activations (n, h, w, 112), or with views (n, 1 + views, h, w, 112), finite, as float16; or a `DataError`.

    `form` is the shape of a row that is expected, if one is.
    """
    held = np.asarray(X)
    if held.ndim not in {4, 5} or held.shape[-1] != CHANNELS or held.shape[-2] != held.shape[-3]:
        raise DataError(
            f"expected features (n, d), or activations (n, h, h, {CHANNELS}), but got an array of shape {held.shape}"
        )
    if form is not None and held.shape[1:] != form:
        raise DataError(f"expected activations of shape {form} as in training, but got {held.shape[1:]}")
    held = np.ascontiguousarray(held, np.float16)
    if not np.isfinite(held).all():
        raise DataError("a network needs finite activations, but some are NaN or infinite")
    return held
