"""A dense network in NumPy: weights, forward pass, backward pass.

On tables the arithmetic of such a network is small: most of the time of a Keras `fit` goes into building, tracing and
dispatching. This implementation has none of that overhead, and every inner fold can stop at a different epoch.
`tests/test_networks.py` compares it with Keras step by step; `tests/speed/networks.py` measures both.

A hidden layer is kernel → batch norm or bias → activation → dropout; the last layer is a kernel and a bias. With skip
connections (He et al., Deep residual learning, CVPR 2016) a linear layer first projects the rows to the common width, and
every hidden layer adds its output to its input: the network starts as a linear model that the layers correct.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from harness.networks.activations import ACTIVATIONS
from harness.networks.losses import Floats

EPSILON = np.float32(1e-3)  #: added to a variance, as in Keras
MOMENTUM = np.float32(0.9)  #: of the running statistics: Keras's 0.99 needs more steps than small tables have
RATE_STEPS = 256  #: resolution of dropout rates: one random byte is drawn per unit


@dataclass(frozen=True)
class DenseShape:
    """Architecture of a dense network.

    Attributes
    ----------
    columns : int
        Number of columns that are not level indices.
    units : tuple of int
        Widths of the hidden layers, equal ones with `skip`.
    outputs : int
        Number of logits.
    batch_norm : bool, default False
        Whether hidden layers use batch norm instead of a bias.
    activation : str, default "relu"
        One of `ACTIVATIONS`.
    skip : bool, default False
        Whether there are skip connections.
    levels : tuple of int, default ()
        Numbers of levels of the embedded categories, whose level indices are the last columns.
    embedding : int, default 0
        Size of the vector of a level.
    """

    columns: int
    units: tuple[int, ...]
    outputs: int
    batch_norm: bool = False
    activation: str = "relu"
    skip: bool = False
    levels: tuple[int, ...] = ()
    embedding: int = 0

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths before the first kernel, between kernels and after the last one."""
        input_width = self.columns + len(self.levels) * self.embedding
        return (input_width, *self.units[: self.skip], *self.units, self.outputs)

    @property
    def decayed_size(self) -> int:
        """Number of leading parameters that weight decay acts on: embeddings and kernels."""
        return sum(self.levels) * self.embedding + sum(a * b for a, b in pairwise(self.widths))

    @property
    def size(self) -> int:
        """Number of trained parameters."""
        return self.decayed_size + sum(self.widths[1:]) + (sum(self.units) if self.batch_norm else 0)


@dataclass(frozen=True)
class DenseWeights:
    """One flat vector of parameters, and views into it. A gradient has the same form; the optimiser works on `flat`.

    Attributes
    ----------
    flat : array of shape (n_parameters,)
        All parameters.
    embeddings : array of shape (n_levels, embedding)
        Vectors of all levels of all embedded categories.
    kernels : list of arrays of shape (width below, width)
        One per layer.
    shifts : list of arrays of shape (width,)
        One per layer: the bias, or the beta of batch norm.
    scales : list of arrays of shape (units,)
        Gamma of batch norm, one per hidden layer; empty without batch norm.
    """

    flat: Floats
    embeddings: Floats
    kernels: list[Floats]
    shifts: list[Floats]
    scales: list[Floats]


@dataclass(frozen=True)
class DenseNetwork:
    """Weights and, per hidden layer with batch norm, running statistics (2, units): mean, variance."""

    shape: DenseShape
    weights: DenseWeights
    running_statistics: list[Floats]

    @property
    def arrays(self) -> list[Floats]:
        """What training changes."""
        return [self.weights.flat, *self.running_statistics]

    def is_hidden(self, layer: int) -> bool:
        """Tell whether a layer is a hidden one: -1 is the linear layer before skip connections, the last one the output."""
        return 0 <= layer < len(self.shape.units)


@dataclass
class DenseCache:
    """Intermediate values of a forward pass that the backward pass needs.

    Attributes
    ----------
    inputs : list of arrays
        Input of each kernel.
    derivatives : list of arrays
        Derivative of activation and dropout together, per hidden layer.
    normalised : list of arrays
        Output of batch norm before scale and shift, per hidden layer.
    inverse_deviations : list of arrays
        1 / standard deviation, per hidden layer.
    """

    inputs: list[Floats] = field(default_factory=list)
    derivatives: list[Floats] = field(default_factory=list)
    normalised: list[Floats] = field(default_factory=list)
    inverse_deviations: list[Floats] = field(default_factory=list)


def split_flat_parameters(shape: DenseShape, flat: Floats) -> DenseWeights:
    """Split a flat vector (shape.size,) into views: embeddings, kernels, shifts, scales, in this order."""
    end = 0

    def next_view(*array_shape: int) -> Floats:
        nonlocal end
        first_position, end = end, end + int(np.prod(array_shape))
        return flat[first_position:end].reshape(array_shape)

    embedding_view = next_view(sum(shape.levels), shape.embedding)
    kernel_views = [next_view(*layer_widths) for layer_widths in pairwise(shape.widths)]
    shift_views = list(map(next_view, shape.widths[1:]))
    scales = list(map(next_view, shape.units)) if shape.batch_norm else []
    return DenseWeights(flat, embedding_view, kernel_views, shift_views, scales)


def new_network(shape: DenseShape, rng: np.random.Generator, logits: Floats) -> DenseNetwork:
    """Initialise a network that predicts the same logits for every row.

    Kernels are uniform with the variance that suits their activation, as Keras's `HeUniform` and `LecunUniform`. The last
    one is zero (as in Zhang et al., Fixup initialization, ICLR 2019), so that the network starts at the class prior and has no
    noise to unlearn: on telco_churn and caravan that gave 0.006 more average precision in a third fewer epochs. The vector of
    a level is about as long as the 1 of a one-hot column.

    Parameters
    ----------
    shape : DenseShape
        Architecture.
    rng : numpy Generator
        Source of the initial weights.
    logits : array of shape (n_outputs,)
        The prediction.

    Returns
    -------
    DenseNetwork
    """
    weights = split_flat_parameters(shape, np.zeros(shape.size, np.float32))
    activation_gains = [1.0] * shape.skip + [ACTIVATIONS[shape.activation].gain] * len(shape.units)
    for kernel, activation_gain in zip(weights.kernels, activation_gains, strict=False):
        kernel[:] = rng.uniform(-1, 1, kernel.shape) * np.sqrt(3 * activation_gain / len(kernel))
    for scale in weights.scales:
        scale[:] = 1
    if weights.embeddings.size:
        weights.embeddings[:] = rng.uniform(-1, 1, weights.embeddings.shape) * np.sqrt(3 / shape.embedding)
    weights.shifts[-1][:] = logits
    running_statistics = [np.stack([np.zeros_like(scale), np.ones_like(scale)]) for scale in weights.scales]
    return DenseNetwork(shape, weights, running_statistics)


def forward(network: DenseNetwork, rows: Floats, rate: float, rng: np.random.Generator) -> tuple[Floats, DenseCache]:
    """Run the forward pass of training on one batch. The running statistics of batch norm move towards the batch's.

    Parameters
    ----------
    network : DenseNetwork
        The network.
    rows : array of shape (n_rows, n_columns)
        The batch.
    rate : float
        Dropout rate.
    rng : numpy Generator
        Source of dropout.

    Returns
    -------
    logits : array of shape (n_rows, n_outputs)
    cache : DenseCache
        What `backward` needs.
    """
    weights, shape, forward_cache = network.weights, network.shape, DenseCache()
    x = embed_categories(shape, weights.embeddings, rows)
    for index, kernel in enumerate(weights.kernels):
        layer = index - shape.skip
        forward_cache.inputs.append(x)
        z = x @ kernel
        if weights.scales and network.is_hidden(layer):
            z = _apply_batch_norm(network, layer, z, forward_cache)
        z += weights.shifts[index]
        if network.is_hidden(layer):
            z = _apply_activation(shape, z, rate, rng, forward_cache)
            if shape.skip:
                z += x
        x = z
    return x, forward_cache


def backward(
    network: DenseNetwork, rows: Floats, cache: DenseCache, logits_gradient: Floats, gradient: DenseWeights
) -> None:
    """Compute the derivatives of a batch's loss with respect to all weights.

    Parameters
    ----------
    network : DenseNetwork
        The network.
    rows : array of shape (n_rows, n_columns)
        The batch.
    cache : DenseCache
        Result of the forward pass.
    logits_gradient : array of shape (n_rows, n_outputs)
        Derivatives with respect to the logits.
    gradient : DenseWeights
        Receives the derivatives.
    """
    weights, shape, g = network.weights, network.shape, logits_gradient
    row_of_ones = np.ones(len(g), np.float32)  # a product with ones sums columns three times as fast as `sum(axis=0)`
    for index in reversed(range(len(weights.kernels))):
        layer, skip_gradient = index - shape.skip, g
        is_hidden = network.is_hidden(layer)
        if is_hidden:
            g = g * cache.derivatives[layer]
        np.matmul(row_of_ones, g, out=gradient.shifts[index])
        if weights.scales and is_hidden:
            g = _batch_norm_backward(network, layer, g, cache, gradient)
        np.matmul(cache.inputs[index].T, g, out=gradient.kernels[index])
        if index:
            g = g @ weights.kernels[index].T
            if shape.skip and layer < len(shape.units):
                g += skip_gradient
        elif shape.levels:
            _embed_backward(shape, rows, g @ weights.kernels[0][shape.columns :].T, gradient.embeddings)


def fold_batch_norm(network: DenseNetwork) -> list[tuple[Floats, Floats]]:
    """Return kernel and bias of every layer for prediction, with the running statistics of batch norm folded in."""
    weights = network.weights
    layers = [(kernel.copy(), shift.copy()) for kernel, shift in zip(weights.kernels, weights.shifts, strict=True)]
    for index, (mean, variance) in enumerate(network.running_statistics, start=int(network.shape.skip)):
        batch_norm_factor = weights.scales[index - network.shape.skip] / np.sqrt(variance + EPSILON)
        layers[index] = (layers[index][0] * batch_norm_factor, layers[index][1] - mean * batch_norm_factor)
    return layers


def infer_logits(network: DenseNetwork, rows: Floats, chunk: int = 2048) -> Floats:
    """Compute the logits (n_rows, n_outputs) of rows (n_rows, n_columns) without dropout.

    `chunk` rows are computed together, which fit into the processor's cache.
    """
    shape, layers = network.shape, fold_batch_norm(network)
    activation_function = ACTIVATIONS[shape.activation]
    logits = np.empty((len(rows), shape.outputs), np.float32)
    for first_row in range(0, len(rows), chunk):
        x = embed_categories(shape, network.weights.embeddings, rows[first_row : first_row + chunk])
        for index, (kernel, bias) in enumerate(layers):
            z = x @ kernel
            z += bias
            if shape.skip <= index < len(layers) - 1:
                z = activation_function.function(z)
                if shape.skip:
                    z += x
            x = z
        logits[first_row : first_row + chunk] = x
    return logits


def embed_categories(shape: DenseShape, embeddings: Floats, rows: Floats) -> Floats:
    """Replace every level index by its vector: (n_rows, columns + n_categories * embedding)."""
    if not shape.levels:
        return rows
    embedding_vectors = embeddings[rows[:, shape.columns :].astype(np.intp)]
    return np.hstack([rows[:, : shape.columns], embedding_vectors.reshape(len(rows), -1)])


def _embed_backward(shape: DenseShape, rows: Floats, g: Floats, out: Floats) -> None:
    """Sum the derivatives with respect to the vectors of a batch, (n_rows, n_categories * embedding), per level."""
    levels = rows[:, shape.columns :].astype(np.intp)
    positions = levels[:, :, None] * shape.embedding + np.arange(shape.embedding)
    out[:] = np.bincount(positions.ravel(), weights=g.ravel(), minlength=out.size).reshape(out.shape)


def _apply_activation(
    shape: DenseShape, z: Floats, dropout_rate: float, rng: np.random.Generator, forward_cache: DenseCache
) -> Floats:
    """Apply activation and dropout of a hidden layer; the derivative of both together goes into the cache."""
    x, activation_derivative = ACTIVATIONS[shape.activation].with_derivative(z)
    threshold = round(dropout_rate * RATE_STEPS)
    if threshold:
        words = rng.bit_generator.random_raw(-(-x.size // 8))
        mask = (words.view(np.uint8)[: x.size] >= threshold).reshape(x.shape).astype(np.float32)
        mask *= np.float32(RATE_STEPS / (RATE_STEPS - threshold))
        x *= mask
        activation_derivative *= mask
    forward_cache.derivatives.append(activation_derivative)
    return x


def _apply_batch_norm(dense_network: DenseNetwork, layer: int, x: Floats, forward_cache: DenseCache) -> Floats:
    """Apply batch norm without its shift (Ioffe & Szegedy, ICML 2015); the variance is the biased one, as in Keras."""
    mean = np.ones(len(x), np.float32) @ x / np.float32(len(x))
    x -= mean
    variance = np.einsum("nb,nb->b", x, x) / np.float32(len(x))
    running_statistics = dense_network.running_statistics[layer]
    running_statistics *= MOMENTUM
    running_statistics[0] += (1 - MOMENTUM) * mean
    running_statistics[1] += (1 - MOMENTUM) * variance
    inverse_deviation = 1 / np.sqrt(variance + EPSILON)
    x *= inverse_deviation
    forward_cache.normalised.append(x)
    forward_cache.inverse_deviations.append(inverse_deviation)
    return x * dense_network.weights.scales[layer]


def _batch_norm_backward(
    dense_network: DenseNetwork, layer: int, g: Floats, forward_cache: DenseCache, gradient: DenseWeights
) -> Floats:
    """Derivative with respect to the input of batch norm; that of its scale is written, that of its shift already is."""
    normalised_input, rows = forward_cache.normalised[layer], np.float32(len(g))
    scale_gradient = np.einsum("nb,nb->b", g, normalised_input)
    gradient.scales[layer][:] = scale_gradient
    g = g - gradient.shifts[layer + dense_network.shape.skip] / rows
    g -= normalised_input * (scale_gradient / rows)
    g *= dense_network.weights.scales[layer] * forward_cache.inverse_deviations[layer]
    return g
