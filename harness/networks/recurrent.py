"""A recurrent network for token sequences, written out in NumPy: weights, forward pass, back through time.

Tokens → embedding → dropout of whole channels → LSTM or GRU, in one direction or both → the last state and the mean of all
states → dropout → kernel and bias. Written out because each step of a sequence is so little arithmetic that TensorFlow
spends most of its time between the steps. `tests/test_recurrent.py` holds it against Keras, `tests/speed/recurrent.py`
measures both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from harness.networks.losses import Floats, Labels
from harness.networks.recurrent_cells import CELLS, Back, CellWeights

Tokens: TypeAlias = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Shape:
    """How a network is built: `vocabulary` counts padding (0) and the unknown token (1); `outputs` logits come out."""

    vocabulary: int
    outputs: int
    embedding: int = 32
    units: int = 64
    cell: str = "lstm"
    bidirectional: bool = False

    @property
    def directions(self) -> int:
        """1, or 2 where sequences are also read from their end."""
        return 2 if self.bidirectional else 1

    @property
    def features(self) -> int:
        """How many numbers of a sequence reach the output layer."""
        return 2 * self.directions * self.units

    @property
    def forms(self) -> list[tuple[int, int]]:
        """The form of every array of weights, in the order of the flat vector."""
        cell = CELLS[self.cell]
        width = cell.gates * self.units
        one = [(self.embedding, width), (self.units, width), (cell.biases, width)]
        head = [(self.features, self.outputs), (1, self.outputs)]
        return [(self.vocabulary, self.embedding), *one * self.directions, *head]

    @property
    def size(self) -> int:
        """The number of trained parameters."""
        return sum(a * b for a, b in self.forms)


@dataclass(frozen=True)
class Weights:
    """One flat vector of parameters, and views into it. A gradient has the same form; the optimiser works on `flat`."""

    flat: Floats
    embedding: Floats  #: (vocabulary, embedding); the row of padding is never read
    directions: list[CellWeights]  #: forward, then backward
    kernel: Floats  #: (features, outputs)
    bias: Floats  #: (1, outputs)


@dataclass(frozen=True)
class Network:
    """Weights and what they are for."""

    shape: Shape
    weights: Weights


@dataclass
class Tape:
    """What the way back needs of a way forward; where there is no dropout, no masks."""

    lengths: Labels  #: (n,)
    channels: Floats | None = None  #: dropout's mask of the embedding, (embedding, n)
    kept: Floats | None = None  #: dropout's mask of the features
    features: Floats = field(default_factory=lambda: np.empty((0, 0), np.float32))  #: (n, features)
    tokens: list[Tokens] = field(default_factory=list)  #: one item per direction, (steps, n)
    backs: list[Back] = field(default_factory=list)  #: one per direction


def lay_out(shape: Shape, flat: Floats) -> Weights:
    """Views of a flat vector (shape.size,), in Keras's order of layers and of weights."""
    ends = np.cumsum([a * b for a, b in shape.forms])
    views = [flat[end - a * b : end].reshape(a, b) for end, (a, b) in zip(ends, shape.forms, strict=True)]
    cells = [CellWeights(*views[at : at + 3]) for at in range(1, 1 + 3 * shape.directions, 3)]
    return Weights(flat, views[0], cells, views[-2], views[-1])


def new_network(shape: Shape, rng: np.random.Generator, logits: Floats) -> Network:
    """An untrained network that predicts `logits` (outputs,) for every row, as its last kernel is zero.

    The rest begins as in Keras: kernels Glorot-uniform, recurrent ones orthogonal, the forget gate's bias 1 (Jozefowicz et al.,
    An empirical exploration of recurrent network architectures, ICML 2015).
    """
    weights = lay_out(shape, np.zeros(shape.size, np.float32))
    weights.embedding[1:] = rng.uniform(-0.05, 0.05, (shape.vocabulary - 1, shape.embedding))
    for cell in weights.directions:
        cell.kernel[:] = rng.uniform(-1, 1, cell.kernel.shape) * np.sqrt(6 / sum(cell.kernel.shape))
        basis, triangle = np.linalg.qr(rng.normal(size=cell.recurrent.shape[::-1]))
        cell.recurrent[:] = (basis * np.sign(np.diag(triangle))).T
        if shape.cell == "lstm":
            cell.bias[:, shape.units : 2 * shape.units] = 1
    weights.bias[:] = logits
    return Network(shape, weights)


def lengths_of(tokens: Tokens) -> Labels:
    """How many tokens every row (n, length) has before its padding."""
    return np.asarray(np.count_nonzero(tokens, axis=1), dtype=np.int64)


def forward(
    network: Network, tokens: Tokens, rate: float = 0.0, rng: np.random.Generator | None = None
) -> tuple[Floats, Tape]:
    """Logits (n, outputs) of sequences (n, length), and what `backward` needs; dropout acts where there is an `rng`."""
    shape, weights, lengths = network.shape, network.weights, lengths_of(tokens)
    tape, every, steps = Tape(lengths), np.arange(len(tokens)), int(lengths.max())
    if rng is not None and rate:
        tape.channels = _mask((shape.embedding, len(tokens)), rate, rng)
        tape.kept = _mask((len(tokens), shape.features), rate, rng)
    share = ((np.arange(steps)[:, None] < lengths) / lengths).astype(np.float32)
    lasts, means = [], []
    for backwards, cell in enumerate(weights.directions):
        tape.tokens.append(_reversed(tokens, lengths, steps) if backwards else tokens[:, :steps].T)
        x = np.ascontiguousarray(weights.embedding[tape.tokens[-1]].transpose(0, 2, 1))
        if tape.channels is not None:
            x *= tape.channels
        states, back = CELLS[shape.cell].run(cell, x)
        tape.backs.append(back)
        lasts.append(states[lengths, :, every])
        means.append(np.einsum("tun,tn->nu", states[1:], share))
    tape.features = np.hstack([*lasts, *means])
    if tape.kept is not None:
        tape.features *= tape.kept
    return tape.features @ weights.kernel + weights.bias, tape


def backward(network: Network, tape: Tape, slopes: Floats, gradient: Weights) -> None:
    """Write the derivatives of the batch's loss into `gradient`; `slopes` (n, outputs) are those by the logits."""
    np.matmul(tape.features.T, slopes, out=gradient.kernel)
    gradient.bias[:] = slopes.sum(axis=0)
    gradient.embedding[:] = 0
    by_features = slopes @ network.weights.kernel.T
    if tape.kept is not None:
        by_features *= tape.kept
    every, directions = np.arange(len(slopes)), network.shape.directions
    by_last, by_mean = by_features.T.reshape(2, directions, -1, len(slopes))
    for at, (tokens, back) in enumerate(zip(tape.tokens, tape.backs, strict=True)):
        share = by_mean[at] / tape.lengths.astype(np.float32)
        by_states = np.where(tokens[:, None] > 0, share, np.float32(0))
        by_states[tape.lengths - 1, :, every] += by_last[at].T
        by_inputs, found = back(by_states)
        own = gradient.directions[at]
        own.kernel[:], own.recurrent[:], own.bias[:] = found.kernel, found.recurrent, found.bias
        if tape.channels is not None:
            by_inputs *= tape.channels
        _scatter(tokens, by_inputs, gradient.embedding)


def infer(network: Network, tokens: Tokens, chunk: int = 128) -> Floats:
    """Logits (n, outputs) of sequences (n, length), `chunk` rows of like length at once."""
    logits = np.empty((len(tokens), network.shape.outputs), np.float32)
    order = np.argsort(lengths_of(tokens), kind="stable")
    for start in range(0, len(order), chunk):
        rows = order[start : start + chunk]
        logits[rows], _ = forward(network, tokens[rows])
    return logits


def _mask(form: tuple[int, int], rate: float, rng: np.random.Generator) -> Floats:
    kept: Floats = (rng.random(form, dtype=np.float32) >= rate).astype(np.float32)
    kept *= np.float32(1 / (1 - rate))
    return kept


def _reversed(tokens: Tokens, lengths: Labels, steps: int) -> Tokens:
    """Every sequence from its end, padding still behind: (steps, n)."""
    at = lengths - 1 - np.arange(steps)[:, None]
    return np.where(at >= 0, tokens[np.arange(len(tokens)), at], np.int32(0))


def _scatter(tokens: Tokens, slopes: Floats, table: Floats) -> None:
    """Add every position's slopes (steps, width, rows) to the row of `table` that its token stands for."""
    flat = tokens.ravel()
    order = np.argsort(flat, kind="stable")
    found, first = np.unique(flat[order], return_index=True)
    rows = slopes.transpose(0, 2, 1).reshape(len(flat), -1)[order]
    table[found] += np.add.reduceat(rows, first, axis=0)
