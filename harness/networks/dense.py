"""A dense network written out in NumPy: weights, forward pass, backward pass.

On tables the arithmetic of such a network is small: of a Keras `fit` nearly all time goes into building, tracing and
dispatching. Written out it has none of that, any width costs just its own arithmetic, and every inner fold stops where
it likes. `tests/test_networks.py` holds it against Keras, step by step; `tests/speed/networks.py` measures both.

Hidden layers are kernel → batch norm or bias → ReLU → dropout; the last one is a kernel and a bias.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from harness.networks.loss import Floats

EPSILON = np.float32(1e-3)  # added to a variance, as in Keras
MOMENTUM = np.float32(0.9)  # of the running statistics: Keras's 0.99 needs more steps than small tables have
RATE_STEPS = 256  # dropout spends one random byte per unit


@dataclass(frozen=True)
class Shape:
    """How a network is built: `columns` in, hidden `units` from first to last, `outputs` logits out."""

    columns: int
    units: tuple[int, ...]
    outputs: int
    batch_norm: bool = False

    @property
    def widths(self) -> tuple[int, ...]:
        """The width of every stage, input and output included."""
        return (self.columns, *self.units, self.outputs)

    @property
    def decayed(self) -> int:
        """How many of the leading parameters are kernels: those that weight decay acts on."""
        return sum(a * b for a, b in pairwise(self.widths))

    @property
    def size(self) -> int:
        """The number of trained parameters."""
        return self.decayed + sum(self.widths[1:]) + (sum(self.units) if self.batch_norm else 0)


@dataclass(frozen=True)
class Weights:
    """One flat vector of parameters, and views into it: per layer a kernel, a shift and, with batch norm, a scale.

    A gradient has the same form. The optimiser works on `flat` alone.
    """

    flat: Floats
    kernels: list[Floats]  #: (width before, width after)
    shifts: list[Floats]  #: the bias; batch norm's beta where there is one
    scales: list[Floats]  #: batch norm's gamma, hidden layers only


@dataclass(frozen=True)
class Network:
    """Weights and batch norm's running statistics: (2, units) per hidden layer, mean over variance."""

    shape: Shape
    weights: Weights
    running: list[Floats]


@dataclass
class Tape:
    """What the backward pass needs of a forward pass, one item per layer."""

    inputs: list[Floats] = field(default_factory=list)
    masks: list[Floats] = field(default_factory=list)
    normal: list[Floats] = field(default_factory=list)
    inverse: list[Floats] = field(default_factory=list)  #: 1 / standard deviation


def lay_out(shape: Shape, flat: Floats) -> Weights:
    """Views of a flat vector (shape.size,): kernels first, then shifts, then scales."""
    cut = 0

    def view(*form: int) -> Floats:
        nonlocal cut
        start, cut = cut, cut + int(np.prod(form))
        return flat[start:cut].reshape(form)

    kernels = [view(a, b) for a, b in pairwise(shape.widths)]
    shifts = [view(b) for b in shape.widths[1:]]
    scales = [view(b) for b in shape.units] if shape.batch_norm else []
    return Weights(flat, kernels, shifts, scales)


def new_network(shape: Shape, rng: np.random.Generator, logits: Floats) -> Network:
    """An untrained network that predicts `logits` (outputs,) for every row.

    Kernels before a ReLU are He-uniform (He et al., Delving deep into rectifiers, ICCV 2015), as Keras's `HeUniform`.
    The last one is zero (as in Zhang et al., Fixup initialization, ICLR 2019): a network then begins at the prior, without
    noise to unlearn first. On telco_churn and caravan that brought 0.006 average precision and a third fewer epochs.
    """
    weights = lay_out(shape, np.zeros(shape.size, np.float32))
    for kernel in weights.kernels[:-1]:
        kernel[:] = rng.uniform(-1, 1, kernel.shape) * np.sqrt(6 / len(kernel))
    for scale in weights.scales:
        scale[:] = 1
    weights.shifts[-1][:] = logits
    running = [np.stack([np.zeros(b), np.ones(b)]).astype(np.float32) for b in shape.units] if shape.batch_norm else []
    return Network(shape, weights, running)


def forward(network: Network, x: Floats, rate: float, rng: np.random.Generator) -> tuple[Floats, Tape]:
    """The training pass of one batch (n, columns): logits (n, outputs) and what `backward` needs.

    `rate` is dropout's; running statistics of batch norm move towards the batch's.
    """
    weights, tape = network.weights, Tape()
    for layer in range(len(network.shape.units)):
        tape.inputs.append(x)
        x = x @ weights.kernels[layer]
        if weights.scales:
            x = _normalise(network, layer, x, tape)
        x += weights.shifts[layer]
        tape.masks.append(_mask(x, rate, rng))
        x *= tape.masks[-1]
    tape.inputs.append(x)
    return x @ weights.kernels[-1] + weights.shifts[-1], tape


def backward(network: Network, tape: Tape, slopes: Floats, gradient: Weights) -> None:
    """Write the derivatives of the batch's loss into `gradient`; `slopes` (n, outputs) are those by the logits."""
    weights, g = network.weights, slopes
    ones = np.ones(len(slopes), np.float32)  # a product with ones sums columns three times as fast as `sum(axis=0)`
    for layer in reversed(range(len(weights.kernels))):
        np.matmul(ones, g, out=gradient.shifts[layer])
        if weights.scales and layer < len(weights.scales):
            g = _denormalise(network, layer, g, tape, gradient)
        np.matmul(tape.inputs[layer].T, g, out=gradient.kernels[layer])
        if layer:
            g = g @ weights.kernels[layer].T
            g *= tape.masks[layer - 1]


def fold(network: Network) -> list[tuple[Floats, Floats]]:
    """Kernel and bias of every layer as prediction needs them, batch norm's running statistics multiplied in."""
    weights = network.weights
    layers = [(kernel.copy(), shift.copy()) for kernel, shift in zip(weights.kernels, weights.shifts, strict=True)]
    for layer, (mean, variance) in enumerate(network.running):
        factor = weights.scales[layer] / np.sqrt(variance + EPSILON)
        layers[layer] = (layers[layer][0] * factor, layers[layer][1] - mean * factor)
    return layers


def infer(layers: list[tuple[Floats, Floats]], x: Floats, chunk: int = 2048) -> Floats:
    """Logits (n, outputs) of rows (n, columns), in chunks that stay in the processor's cache."""
    logits = np.empty((len(x), len(layers[-1][1])), np.float32)
    for start in range(0, len(x), chunk):
        h = x[start : start + chunk]
        for kernel, bias in layers[:-1]:
            h = h @ kernel
            h += bias
            np.maximum(h, np.float32(0), out=h)
        logits[start : start + chunk] = h @ layers[-1][0] + layers[-1][1]
    return logits


def _mask(x: Floats, rate: float, rng: np.random.Generator) -> Floats:
    """What ReLU and dropout together multiply `x` by: 0, or 1 over the probability of being kept."""
    keep = x > 0
    dropped = round(rate * RATE_STEPS)
    if dropped == 0:
        return keep.astype(np.float32)
    words = rng.bit_generator.random_raw(-(-x.size // 8))
    keep &= (words.view(np.uint8)[: x.size] >= dropped).reshape(x.shape)
    mask = keep.astype(np.float32)
    mask *= np.float32(RATE_STEPS / (RATE_STEPS - dropped))
    return mask


def _normalise(network: Network, layer: int, x: Floats, tape: Tape) -> Floats:
    """Batch norm without its shift (Ioffe & Szegedy, ICML 2015); the variance is the biased one, as in Keras."""
    mean = np.ones(len(x), np.float32) @ x / np.float32(len(x))
    x -= mean
    variance = np.einsum("nb,nb->b", x, x) / np.float32(len(x))
    running = network.running[layer]
    running *= MOMENTUM
    running[0] += (1 - MOMENTUM) * mean
    running[1] += (1 - MOMENTUM) * variance
    inverse = 1 / np.sqrt(variance + EPSILON)
    x *= inverse
    tape.normal.append(x)
    tape.inverse.append(inverse)
    return x * network.weights.scales[layer]


def _denormalise(network: Network, layer: int, g: Floats, tape: Tape, gradient: Weights) -> Floats:
    """The derivative by what entered batch norm; its shift's is there already, its scale's is written here."""
    normal, rows = tape.normal[layer], np.float32(len(g))
    scale_slope = np.einsum("nb,nb->b", g, normal)
    gradient.scales[layer][:] = scale_slope
    g = g - gradient.shifts[layer] / rows
    g -= normal * (scale_slope / rows)
    g *= network.weights.scales[layer] * tape.inverse[layer]
    return g
