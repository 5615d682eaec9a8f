"""The last blocks of the pretrained network with a head: an architecture for the compiled training loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import DataError
from harness.networks import pretrained
from harness.networks.pretrained import BLOCK_TABLE, CUTS, GRID, segment
from harness.networks.torch_weights import read_weights

TRAINED_BLOCKS = (CUTS["last_blocks"] + 1, CUTS["grid"])  #: the first and the last block that is trained
CHANNELS = BLOCK_TABLE[TRAINED_BLOCKS[0] - 2].channels  #: of their input
STRIDE = 16  #: pixels of the image per position of their input


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

        folded = pretrained.fold_batch_norm(read_weights(self.read_weight_bytes()))
        blocks = segment(folded, *TRAINED_BLOCKS, self.size)
        if not self.views:
            return keras.Model(blocks.input, self._head(blocks.output, dropout), name="last_blocks")
        inputs = keras.Input(self.row_shape, name="views")
        return keras.Model(inputs, self._head(blocks(inputs[:, 0]), dropout), name="last_blocks")

    def augment(self, X: Any, key: Any, amount: Any) -> Any:  # noqa: ARG002 -- the protocol has it; the views are fixed
        """Rotate the views of every row so that another one, or the image itself, comes first, all equally likely."""
        import tensorflow as tf

        if not self.views:
            return X
        count = 1 + self.views
        first = tf.random.stateless_uniform((tf.shape(X)[0], 1), key, 0, count, tf.int32)
        return tf.ensure_shape(tf.gather(X, (first + tf.range(count)) % count, batch_dims=1), (None, *self.row_shape))

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
class ActivationInput:
    """Converter of activations of one shape (height, width, channels); of images with views, the images' own are taken."""

    shape: tuple[int, int, int]

    def __call__(self, X: npt.ArrayLike) -> npt.NDArray[np.float16]:
        """Return activations (n_images, height, width, 112) as float16, or raise `DataError`."""
        activations = np.asarray(X)
        return to_activations(activations[:, 0] if activations.ndim == 5 else activations, self.shape)


def to_activations(X: npt.ArrayLike, row_shape: tuple[int, ...] | None = None) -> npt.NDArray[np.float16]:
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
