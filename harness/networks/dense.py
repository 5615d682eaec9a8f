"""A dense network written out in NumPy: weights, forward pass, backward pass.

On tables the arithmetic of such a network is small: of a Keras `fit` nearly all time goes into building, tracing and
dispatching. Written out it has none of that, any width costs just its own arithmetic, and every inner fold stops where
it likes. `tests/test_networks.py` holds it against Keras, step by step; `tests/speed/networks.py` measures both.

Hidden layers are kernel → batch norm or bias → activation → dropout; the last one is a kernel and a bias. With skip
connections (He et al., Deep residual learning, CVPR 2016) a linear layer first brings the rows to the common width, and
every hidden layer adds its outcome to what entered it: the network begins as a linear model that layers correct.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from harness.networks.activations import ACTIVATIONS
from harness.networks.losses import Floats

EPSILON = np.float32(1e-3)  # added to a variance, as in Keras
MOMENTUM = np.float32(0.9)  # of the running statistics: Keras's 0.99 needs more steps than small tables have
RATE_STEPS = 256  # dropout spends one random byte per unit


@dataclass(frozen=True)
class Shape:
    """How a network is built: `columns` in, hidden `units` from first to last, `outputs` logits out.

    Behind the columns stand the level indices of as many categories as there are `levels`; each becomes a vector of
    `embedding` numbers. With `skip` all hidden layers are of one width.
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
        """The width of every stage between two kernels, the first and the last included."""
        entering = self.columns + len(self.levels) * self.embedding
        return (entering, *self.units[: self.skip], *self.units, self.outputs)

    @property
    def decayed(self) -> int:
        """How many of the leading parameters are embeddings and kernels: those that weight decay acts on."""
        return sum(self.levels) * self.embedding + sum(a * b for a, b in pairwise(self.widths))

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
    embeddings: Floats  #: (all levels, embedding)
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
    """What the backward pass needs of a forward pass: one item per kernel, or per hidden layer."""

    inputs: list[Floats] = field(default_factory=list)
    slopes: list[Floats] = field(default_factory=list)  #: of activation and dropout together
    normal: list[Floats] = field(default_factory=list)
    inverse: list[Floats] = field(default_factory=list)  #: 1 / standard deviation


def lay_out(shape: Shape, flat: Floats) -> Weights:
    """Views of a flat vector (shape.size,): embeddings, kernels, then shifts, then scales."""
    cut = 0

    def view(*form: int) -> Floats:
        nonlocal cut
        start, cut = cut, cut + int(np.prod(form))
        return flat[start:cut].reshape(form)

    embeddings = view(sum(shape.levels), shape.embedding)
    kernels = [view(a, b) for a, b in pairwise(shape.widths)]
    shifts = [view(b) for b in shape.widths[1:]]
    scales = [view(b) for b in shape.units] if shape.batch_norm else []
    return Weights(flat, embeddings, kernels, shifts, scales)


def new_network(shape: Shape, rng: np.random.Generator, logits: Floats) -> Network:
    """An untrained network that predicts `logits` (outputs,) for every row.

    Kernels are uniform with the variance that suits their activation, as Keras's `HeUniform` and `LecunUniform`.
    The last one is zero (as in Zhang et al., Fixup initialization, ICLR 2019): a network then begins at the prior, without
    noise to unlearn first. On telco_churn and caravan that brought 0.006 average precision and a third fewer epochs.
    An embedded level is about as long as the 1 in its place would be.
    """
    weights = lay_out(shape, np.zeros(shape.size, np.float32))
    gains = [1.0] * shape.skip + [ACTIVATIONS[shape.activation].gain] * len(shape.units)
    for kernel, gain in zip(weights.kernels, gains, strict=False):
        kernel[:] = rng.uniform(-1, 1, kernel.shape) * np.sqrt(3 * gain / len(kernel))
    for scale in weights.scales:
        scale[:] = 1
    if weights.embeddings.size:
        weights.embeddings[:] = rng.uniform(-1, 1, weights.embeddings.shape) * np.sqrt(3 / shape.embedding)
    weights.shifts[-1][:] = logits
    running = [np.stack([np.zeros(b), np.ones(b)]).astype(np.float32) for b in shape.units] if shape.batch_norm else []
    return Network(shape, weights, running)


def forward(network: Network, rows: Floats, rate: float, rng: np.random.Generator) -> tuple[Floats, Tape]:
    """The training pass of one batch (n, columns): logits (n, outputs) and what `backward` needs.

    `rate` is dropout's; running statistics of batch norm move towards the batch's.
    """
    weights, shape, tape = network.weights, network.shape, Tape()
    x = embed(shape, weights.embeddings, rows)
    for at, kernel in enumerate(weights.kernels):
        tape.inputs.append(x)
        z, layer = x @ kernel, at - shape.skip
        if weights.scales and 0 <= layer < len(shape.units):
            z = _normalise(network, layer, z, tape)
        z += weights.shifts[at]
        if 0 <= layer < len(shape.units):
            z = _bend(shape, z, rate, rng, tape)
            if shape.skip:
                z += x
        x = z
    return x, tape


def backward(network: Network, rows: Floats, tape: Tape, slopes: Floats, gradient: Weights) -> None:
    """Write the derivatives of the loss of a batch of `rows` into `gradient`; `slopes` (n, outputs) are those by the logits."""
    weights, shape, g = network.weights, network.shape, slopes
    ones = np.ones(len(slopes), np.float32)  # a product with ones sums columns three times as fast as `sum(axis=0)`
    for at in reversed(range(len(weights.kernels))):
        layer, passed = at - shape.skip, g
        if 0 <= layer < len(shape.units):
            g = g * tape.slopes[layer]
        np.matmul(ones, g, out=gradient.shifts[at])
        if weights.scales and 0 <= layer < len(shape.units):
            g = _denormalise(network, layer, g, tape, gradient)
        np.matmul(tape.inputs[at].T, g, out=gradient.kernels[at])
        if at:
            g = g @ weights.kernels[at].T
            if shape.skip and layer < len(shape.units):
                g += passed
        elif shape.levels:
            _embedding_slopes(shape, rows, g @ weights.kernels[0][shape.columns :].T, gradient.embeddings)


def without_batch_norm(network: Network) -> list[tuple[Floats, Floats]]:
    """Kernel and bias of every layer as prediction needs them, batch norm's running statistics multiplied in."""
    weights = network.weights
    layers = [(kernel.copy(), shift.copy()) for kernel, shift in zip(weights.kernels, weights.shifts, strict=True)]
    for at, (mean, variance) in enumerate(network.running, start=int(network.shape.skip)):
        factor = weights.scales[at - network.shape.skip] / np.sqrt(variance + EPSILON)
        layers[at] = (layers[at][0] * factor, layers[at][1] - mean * factor)
    return layers


def infer(network: Network, rows: Floats, chunk: int = 2048) -> Floats:
    """Logits (n, outputs) of rows (n, columns), in chunks that stay in the processor's cache."""
    shape, layers = network.shape, without_batch_norm(network)
    logits = np.empty((len(rows), shape.outputs), np.float32)
    for start in range(0, len(rows), chunk):
        x = embed(shape, network.weights.embeddings, rows[start : start + chunk])
        for at, (kernel, bias) in enumerate(layers):
            z = x @ kernel
            z += bias
            if shape.skip <= at < len(layers) - 1:
                z = ACTIVATIONS[shape.activation].value(z)
                if shape.skip:
                    z += x
            x = z
        logits[start : start + chunk] = x
    return logits


def embed(shape: Shape, embeddings: Floats, rows: Floats) -> Floats:
    """Rows with every level index replaced by its vector: (n, columns + categories · embedding)."""
    if not shape.levels:
        return rows
    vectors = embeddings[rows[:, shape.columns :].astype(np.intp)]
    return np.hstack([rows[:, : shape.columns], vectors.reshape(len(rows), -1)])


def _embedding_slopes(shape: Shape, rows: Floats, g: Floats, out: Floats) -> None:
    """Sum the derivatives by the vectors of a batch, (n, categories · embedding), into those of their levels."""
    places = rows[:, shape.columns :].astype(np.intp)[:, :, None] * shape.embedding + np.arange(shape.embedding)
    out[:] = np.bincount(places.ravel(), weights=g.ravel(), minlength=out.size).reshape(out.shape)


def _bend(shape: Shape, z: Floats, rate: float, rng: np.random.Generator, tape: Tape) -> Floats:
    """Activation and dropout of a hidden layer; the slope of both together goes on the tape."""
    x, slope = ACTIVATIONS[shape.activation].both(z)
    dropped = round(rate * RATE_STEPS)
    if dropped:
        words = rng.bit_generator.random_raw(-(-x.size // 8))
        kept = (words.view(np.uint8)[: x.size] >= dropped).reshape(x.shape).astype(np.float32)
        kept *= np.float32(RATE_STEPS / (RATE_STEPS - dropped))
        x *= kept
        slope *= kept
    tape.slopes.append(slope)
    return x


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
    g = g - gradient.shifts[layer + network.shape.skip] / rows
    g -= normal * (scale_slope / rows)
    g *= network.weights.scales[layer] * tape.inverse[layer]
    return g
