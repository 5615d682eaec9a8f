"""A dense network from first principles, in NumPy alone: written to be read.

**Forward.** Every layer turns the values x of the one before into z = x W + b. A hidden layer bends them, f(z), which are the
x of the next: without the bend any number of layers would be one. The last z are the logits; they become probabilities
p = softmax(z), and the loss of a row is -log p of its own class.

**Backward.** The chain rule, from the loss to the first layer. `dz` stands for the derivative of the loss by z:

    of the last layer    dz = p - own class (one-hot)    exponential and logarithm cancel, and only this is left
    of a layer's own     dW = xᵀ dz,  db = Σ dz          because z = x W + b, and every row of the batch adds its part
    of the one before    dx = dz Wᵀ, then its dz = dx · slope of f there, because its x = f(z)

so one walk back costs about as much as two walks forward, however many weights there are: that is all of backpropagation
(Rumelhart, Hinton & Williams, Nature 1986). `evenhand explain backprop` walks through it with numbers.

`harness.networks.dense` is the fast relative: single precision, one flat vector changed in place, one logit for two classes, and
dropout, batch norm, focal loss, gradient clipping. Here numbers are in double precision, so that a derivative agrees with finite
differences to nine digits, nothing is changed in place, two classes are treated like three, and each rule above is one line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.networks.losses import Labels
from harness.networks.rows import Rows

Matrix: TypeAlias = npt.NDArray[np.float64]

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # of Adam, as in its paper


class Bend(NamedTuple):
    """What a hidden layer does to its z, and the slope of that, written in terms of its outcome x = f(z)."""

    f: Callable[[Matrix], Matrix]
    slope: Callable[[Matrix], Matrix]
    gain: float  #: the variance of first weights times the width before, so that values neither die out nor explode


BENDS = {
    "relu": Bend(lambda z: np.maximum(z, 0), np.sign, gain=2.0),  # slope 1 where x > 0; He et al., ICCV 2015
    "tanh": Bend(np.tanh, lambda x: 1 - x * x, gain=1.0),  # Glorot & Bengio, AISTATS 2010
}


class Layer(NamedTuple):
    """The weights of one layer; its gradient, and Adam's memory of it, have the same form."""

    kernel: Matrix  #: W, (width before, width after)
    bias: Matrix  #: b, (width after,)


Network: TypeAlias = list[Layer]


def new_network(widths: list[int], bend: Bend, rng: np.random.Generator) -> Network:
    """An untrained network; `widths` are those of the rows, of every hidden layer, and the number of classes."""
    return [
        Layer(rng.normal(0, np.sqrt(bend.gain / before), (before, after)), np.zeros(after))
        for before, after in pairwise(widths)
    ]


def forward(network: Network, bend: Bend, x: Matrix) -> list[Matrix]:
    """The values of every stage for rows x (n, d): the rows themselves, each hidden layer, the logits (n, k)."""
    stages = [x]
    for kernel, bias in network[:-1]:
        stages.append(bend.f(stages[-1] @ kernel + bias))
    kernel, bias = network[-1]
    return [*stages, stages[-1] @ kernel + bias]


def log_softmax(logits: Matrix) -> Matrix:
    """Logarithms of probabilities (n, k); a row's greatest logit is taken off first, so that nothing overflows."""
    logits = logits - logits.max(axis=1, keepdims=True)
    logs: Matrix = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logs


def cross_entropy(logits: Matrix, y: Labels, weight: Matrix) -> float:
    """The weighted mean of -log p of each row's own class."""
    return float(-(weight * log_softmax(logits)[np.arange(len(y)), y]).mean())


def backward(network: Network, bend: Bend, stages: list[Matrix], y: Labels, weight: Matrix) -> Network:
    """The derivatives of `cross_entropy` by every weight, in the form of the network; `stages` come from `forward`."""
    own_class = np.eye(stages[-1].shape[1])[y]
    dz = (np.exp(log_softmax(stages[-1])) - own_class) * weight[:, None] / len(y)
    gradient = []
    for layer in reversed(range(len(network))):
        x = stages[layer]
        gradient.append(Layer(x.T @ dz, dz.sum(axis=0)))
        if layer > 0:  # nobody asks for the derivative by the rows themselves
            dx = dz @ network[layer].kernel.T
            dz = dx * bend.slope(x)
    return gradient[::-1]


def each(f: Callable[..., Matrix], *networks: Network) -> Network:
    """`f` of every kernel and every bias, as a network: arithmetic on whole networks of one form."""
    return [Layer(*(f(*arrays) for arrays in zip(*layers, strict=True))) for layers in zip(*networks, strict=True)]


class Memory(NamedTuple):
    """What Adam remembers of every slope: its running mean and mean square, and the number of steps made."""

    mean: Network
    square: Network
    steps: int = 0


def adam(network: Network, gradient: Network, memory: Memory, learning_rate: float) -> tuple[Network, Memory]:
    """The network one step down its gradient (Kingma & Ba, Adam, ICLR 2015, algorithm 1), and what to remember of it.

    A weight moves against the running mean of its slopes, by a distance that their running mean square makes comparable.
    """
    mean = each(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, memory.mean, gradient)
    square = each(lambda s, g: BETA_2 * s + (1 - BETA_2) * g * g, memory.square, gradient)
    steps = memory.steps + 1
    mean_share, square_share = 1 - BETA_1**steps, 1 - BETA_2**steps  # both began at 0 and are too small by this
    moved = each(
        lambda w, m, s: w - learning_rate * (m / mean_share) / (np.sqrt(s / square_share) + EPSILON),
        network, mean, square,
    )  # fmt: skip
    return moved, Memory(mean, square, steps)


@dataclass(frozen=True, kw_only=True)
class Descent:
    """How a network learns; `penalty` / 2 times the sum of squared kernels is added to the loss that is descended."""

    learning_rate: float = 2e-3
    batch_size: int = 128
    penalty: float = 0.03
    epochs: int = 60
    patience: int = 5  #: epochs without improvement on the watched rows


class Epoch(NamedTuple):
    """The network after an epoch, and what was met on the way."""

    network: Network
    loss: float  #: the mean over the batches
    logits: Matrix  #: of every row (n, k) when its turn came
    norms: Matrix  #: how long the gradient of every batch was (batches,)


def descend(network: Network, bend: Bend, rows: Rows, how: Descent, rng: np.random.Generator) -> Iterator[Epoch]:
    """Epoch after epoch of shuffled batches."""
    nothing = each(np.zeros_like, network)
    memory = Memory(nothing, nothing)
    for _ in range(how.epochs):
        met, logits, norms = 0.0, np.empty((len(rows.y), len(network[-1].bias))), list[float]()
        order = rng.permutation(len(rows.y))
        for start in range(0, len(order), how.batch_size):
            batch = order[start : start + how.batch_size]
            x, y, weight = rows.X[batch].astype(np.float64), rows.y[batch], rows.weight[batch].astype(np.float64)
            stages = forward(network, bend, x)
            met += cross_entropy(stages[-1], y, weight) * len(batch) / len(order)
            logits[batch] = stages[-1]
            slopes = backward(network, bend, stages, y, weight)
            gradient = [Layer(s.kernel + how.penalty * w.kernel, s.bias) for s, w in zip(slopes, network, strict=True)]
            norms.append(np.sqrt(sum(float((one * one).sum()) for layer in gradient for one in layer)))
            network, memory = adam(network, gradient, memory, how.learning_rate)
        yield Epoch(network, met, logits, np.array(norms))
