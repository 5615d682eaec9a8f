"""A recurrent network for token sequences in NumPy: weights, forward pass, backpropagation through time.

Tokens → embedding → dropout of whole channels → LSTM or GRU, in one direction or both → the last state and the mean of all
states → dropout → kernel and bias. A step of a sequence is so little arithmetic that TensorFlow spends most of its time
between the steps. `tests/test_recurrent.py` compares this implementation with Keras, `tests/speed/recurrent.py` measures both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from harness.networks.losses import Floats, Labels
from harness.networks.recurrent_cells import CELLS, BackwardPass, CellWeights

Tokens: TypeAlias = npt.NDArray[np.int32]


@dataclass(frozen=True)
class RecurrentShape:
    """Architecture of a recurrent network.

    Attributes
    ----------
    vocabulary : int
        Number of tokens, padding (0) and the unknown token (1) included.
    outputs : int
        Number of logits.
    embedding : int, default 32
        Size of the vector of a token.
    units : int, default 64
        Units of the cell, per direction.
    cell : {"lstm", "gru"}, default "lstm"
        Type of the cell.
    bidirectional : bool, default False
        Whether sequences are also read from their end.
    """

    vocabulary: int
    outputs: int
    embedding: int = 32
    units: int = 64
    cell: str = "lstm"
    bidirectional: bool = False

    @property
    def directions(self) -> int:
        """Number of directions: 1 or 2."""
        return 2 if self.bidirectional else 1

    @property
    def features(self) -> int:
        """Number of inputs of the output layer."""
        return 2 * self.directions * self.units

    @property
    def array_shapes(self) -> list[tuple[int, int]]:
        """Shape of every array of weights, in the order of the flat vector."""
        cell = CELLS[self.cell]
        width = cell.gates * self.units
        direction_shapes = [(self.embedding, width), (self.units, width), (cell.biases, width)]
        head_shapes = [(self.features, self.outputs), (1, self.outputs)]
        return [(self.vocabulary, self.embedding), *direction_shapes * self.directions, *head_shapes]

    @property
    def size(self) -> int:
        """Number of trained parameters."""
        return sum(map(prod, self.array_shapes))


@dataclass(frozen=True)
class RecurrentWeights:
    """One flat vector of parameters, and views into it. A gradient has the same form; the optimiser works on `flat`.

    Attributes
    ----------
    flat : array of shape (n_parameters,)
        All parameters.
    embedding : array of shape (vocabulary, embedding)
        Vectors of the tokens; that of padding is never read.
    directions : list of CellWeights
        Weights of the forward direction, then of the backward one.
    kernel : array of shape (features, outputs)
        Kernel of the output layer.
    bias : array of shape (1, outputs)
        Its bias.
    """

    flat: Floats
    embedding: Floats
    directions: list[CellWeights]
    kernel: Floats
    bias: Floats


@dataclass(frozen=True)
class RecurrentNetwork:
    """A recurrent network: architecture and weights."""

    shape: RecurrentShape
    weights: RecurrentWeights

    @property
    def arrays(self) -> list[Floats]:
        """What training changes."""
        return [self.weights.flat]


@dataclass
class RecurrentCache:
    """Intermediate values of a forward pass that the backward pass needs.

    Attributes
    ----------
    lengths : array of shape (n_rows,)
        Lengths of the sequences.
    channel_mask : array of shape (embedding, n_rows) or None
        Dropout mask of the embedding; None without dropout.
    feature_mask : array of shape (n_rows, features) or None
        Dropout mask of the features, likewise.
    features : array of shape (n_rows, features)
        Inputs of the output layer.
    tokens : list of arrays of shape (n_steps, n_rows)
        Tokens in the order of each direction.
    backward_passes : list of callables
        Backward pass of each direction.
    """

    lengths: Labels
    channel_mask: Floats | None = None
    feature_mask: Floats | None = None
    features: Floats = field(default_factory=lambda: np.empty((0, 0), np.float32))
    tokens: list[Tokens] = field(default_factory=list)
    backward_passes: list[BackwardPass] = field(default_factory=list)


def split_flat_parameters(shape: RecurrentShape, flat: Floats) -> RecurrentWeights:
    """Split a flat vector (shape.size,) into views, in Keras's order of layers and of weights."""
    array_views, first_position = [], 0
    for array_shape in shape.array_shapes:
        next_position = first_position + prod(array_shape)
        array_views.append(flat[first_position:next_position].reshape(array_shape))
        first_position = next_position
    embedding, *recurrent_arrays, kernel, bias = array_views
    cells_by_direction = [
        CellWeights(*recurrent_arrays[first_array : first_array + 3])
        for first_array in range(0, len(recurrent_arrays), 3)
    ]
    return RecurrentWeights(flat, embedding, cells_by_direction, kernel, bias)


def new_network(shape: RecurrentShape, rng: np.random.Generator, logits: Floats) -> RecurrentNetwork:
    """Initialise a network that predicts the same logits for every row, as its last kernel is zero.

    All other weights are initialised as in Keras: kernels Glorot-uniform, recurrent ones orthogonal, the bias of the forget
    gate 1 (Jozefowicz et al., An empirical exploration of recurrent network architectures, ICML 2015).

    Parameters
    ----------
    shape : RecurrentShape
        Architecture.
    rng : numpy Generator
        Source of the initial weights.
    logits : array of shape (n_outputs,)
        The prediction.

    Returns
    -------
    RecurrentNetwork
    """
    weights = split_flat_parameters(shape, np.zeros(shape.size, np.float32))
    weights.embedding[1:] = rng.uniform(-0.05, 0.05, (shape.vocabulary - 1, shape.embedding))
    for cell in weights.directions:
        cell.kernel[:] = rng.uniform(-1, 1, cell.kernel.shape) * np.sqrt(6 / sum(cell.kernel.shape))
        orthogonal_basis, triangular_factor = np.linalg.qr(rng.normal(size=cell.recurrent.shape[::-1]))
        cell.recurrent[:] = (orthogonal_basis * np.sign(np.diag(triangular_factor))).T
        if shape.cell == "lstm":
            cell.bias[:, shape.units : 2 * shape.units] = 1
    weights.bias[:] = logits
    return RecurrentNetwork(shape, weights)


def sequence_lengths(tokens: Tokens) -> Labels:
    """Return the number of tokens of every row (n_rows, length) before its padding."""
    return np.asarray(np.count_nonzero(tokens, axis=1), dtype=np.int64)


def forward(
    network: RecurrentNetwork, tokens: Tokens, rate: float = 0.0, rng: np.random.Generator | None = None
) -> tuple[Floats, RecurrentCache]:
    """Run the forward pass on one batch.

    Parameters
    ----------
    network : RecurrentNetwork
        The network.
    tokens : array of shape (n_rows, length)
        The batch.
    rate : float, default 0
        Dropout rate.
    rng : numpy Generator, optional
        Source of dropout; without it there is none.

    Returns
    -------
    logits : array of shape (n_rows, n_outputs)
    cache : RecurrentCache
        What `backward` needs.
    """
    shape, weights, row_lengths = network.shape, network.weights, sequence_lengths(tokens)
    recurrent_cache, rows, steps = RecurrentCache(row_lengths), np.arange(len(tokens)), int(row_lengths.max())
    if rng is not None and rate:
        recurrent_cache.channel_mask = _dropout_mask((shape.embedding, len(tokens)), rate, rng)
        recurrent_cache.feature_mask = _dropout_mask((len(tokens), shape.features), rate, rng)
    averaging_weights = ((np.arange(steps)[:, None] < row_lengths) / row_lengths).astype(np.float32)
    last_states, mean_states = [], []
    for direction_index, cell in enumerate(weights.directions):
        step_tokens = tokens[:, :steps].T if direction_index == 0 else _reverse_sequences(tokens, row_lengths, steps)
        x = np.ascontiguousarray(weights.embedding[step_tokens].transpose(0, 2, 1))
        if recurrent_cache.channel_mask is not None:
            x *= recurrent_cache.channel_mask
        cell_states, backward_pass = CELLS[shape.cell].run(cell, x)
        recurrent_cache.tokens.append(step_tokens)
        recurrent_cache.backward_passes.append(backward_pass)
        last_states.append(cell_states[row_lengths, :, rows])
        mean_states.append(np.einsum("tun,tn->nu", cell_states[1:], averaging_weights))
    recurrent_cache.features = np.hstack([*last_states, *mean_states])
    if recurrent_cache.feature_mask is not None:
        recurrent_cache.features *= recurrent_cache.feature_mask
    return recurrent_cache.features @ weights.kernel + weights.bias, recurrent_cache


def backward(
    network: RecurrentNetwork, cache: RecurrentCache, logits_gradient: Floats, gradient: RecurrentWeights
) -> None:
    """Compute the derivatives of a batch's loss with respect to all weights.

    Parameters
    ----------
    network : RecurrentNetwork
        The network.
    cache : RecurrentCache
        Result of the forward pass.
    logits_gradient : array of shape (n_rows, n_outputs)
        Derivatives with respect to the logits.
    gradient : RecurrentWeights
        Receives the derivatives.
    """
    np.matmul(cache.features.T, logits_gradient, out=gradient.kernel)
    gradient.bias[:] = logits_gradient.sum(axis=0)
    gradient.embedding[:] = 0
    features_gradient = logits_gradient @ network.weights.kernel.T
    if cache.feature_mask is not None:
        features_gradient *= cache.feature_mask
    rows, direction_count = np.arange(len(logits_gradient)), network.shape.directions
    last_gradients, mean_gradients = features_gradient.T.reshape(2, direction_count, -1, len(rows))
    for direction_index, (tokens, backward_pass) in enumerate(zip(cache.tokens, cache.backward_passes, strict=True)):
        step_gradient = mean_gradients[direction_index] / cache.lengths.astype(np.float32)
        state_gradients = np.where(tokens[:, None] > 0, step_gradient, np.float32(0))
        state_gradients[cache.lengths - 1, :, rows] += last_gradients[direction_index].T
        input_gradients, weight_gradients = backward_pass(state_gradients)
        target = gradient.directions[direction_index]
        target.kernel[:], target.recurrent[:] = weight_gradients.kernel, weight_gradients.recurrent
        target.bias[:] = weight_gradients.bias
        if cache.channel_mask is not None:
            input_gradients *= cache.channel_mask
        _add_gradients_per_token(tokens, input_gradients, gradient.embedding)


def infer_logits(network: RecurrentNetwork, tokens: Tokens, chunk: int = 128) -> Floats:
    """Compute the logits of sequences without dropout.

    Parameters
    ----------
    network : RecurrentNetwork
        The network.
    tokens : array of shape (n_rows, length)
        The sequences.
    chunk : int, default 128
        Rows of similar length computed together.

    Returns
    -------
    array of shape (n_rows, n_outputs)
    """
    logits = np.empty((len(tokens), network.shape.outputs), np.float32)
    length_order = np.argsort(sequence_lengths(tokens), kind="stable")
    for first_row in range(0, len(length_order), chunk):
        rows = length_order[first_row : first_row + chunk]
        logits[rows], _ = forward(network, tokens[rows])
    return logits


def _dropout_mask(shape: tuple[int, int], dropout_rate: float, rng: np.random.Generator) -> Floats:
    mask: Floats = (rng.random(shape, dtype=np.float32) >= dropout_rate).astype(np.float32)
    mask *= np.float32(1 / (1 - dropout_rate))
    return mask


def _reverse_sequences(tokens: Tokens, row_lengths: Labels, steps: int) -> Tokens:
    """Reverse every sequence, with padding still at the end: (n_steps, n_rows)."""
    positions = row_lengths - 1 - np.arange(steps)[:, None]
    return np.where(positions >= 0, tokens[np.arange(len(tokens)), positions], np.int32(0))


def _add_gradients_per_token(tokens: Tokens, gradients: Floats, table: Floats) -> None:
    """Add the gradients of all positions (n_steps, width, n_rows) to the rows of `table` of their tokens."""
    flat_tokens = tokens.ravel()
    token_order = np.argsort(flat_tokens, kind="stable")
    unique_tokens, first_occurrences = np.unique(flat_tokens[token_order], return_index=True)
    rows = gradients.transpose(0, 2, 1).reshape(len(flat_tokens), -1)[token_order]
    table[unique_tokens] += np.add.reduceat(rows, first_occurrences, axis=0)
