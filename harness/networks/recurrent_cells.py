"""The recurrent cells LSTM and GRU in NumPy: a forward pass over time, and backpropagation through time.

Sequences have the shape (n_steps, width, n_rows): the values of a step are then contiguous in memory, which makes elementwise
NumPy operations fast. Sequences start at step 0 and are padded at the end, and the states of padding are not read: no mask is
needed here, because nothing flows from later steps to earlier ones and no gradient comes back from steps that were not read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np

from harness.networks.losses import Floats

HALF = np.float32(0.5)


@dataclass(frozen=True)
class CellWeights:
    """Weights of one direction, with the gates in Keras's order (LSTM: input, forget, new, output; GRU: update, reset, new).

    Attributes
    ----------
    kernel : array of shape (width, n_gates * units)
        Weights of the inputs.
    recurrent : array of shape (units, n_gates * units)
        Weights of the state.
    bias : array of shape (n_biases, n_gates * units)
        An LSTM has one bias; a GRU has one for the inputs and one for the state.
    """

    kernel: Floats
    recurrent: Floats
    bias: Floats


class CellGradients(NamedTuple):
    """Derivatives with respect to the inputs (n_steps, width, n_rows) and to the weights."""

    inputs: Floats
    weights: CellWeights


#: Maps derivatives with respect to the state of each step (n_steps, units, n_rows) to those by inputs and weights.
BackwardPass: TypeAlias = Callable[[Floats], CellGradients]


class LstmCache(NamedTuple):
    """Intermediate values of an LSTM's forward pass that the backward pass needs.

    Attributes
    ----------
    x : array of shape (n_steps, width, n_rows)
        Inputs.
    gates : array of shape (n_steps, 4 * units, n_rows)
        Gates after their activation.
    cells : array of shape (n_steps + 1, units, n_rows)
        Cell of each step, after the initial one.
    cell_outputs : array of shape (n_steps, units, n_rows)
        Hyperbolic tangent of the cells.
    states : array of shape (n_steps + 1, units, n_rows)
        State of each step, after the initial one.
    """

    x: Floats
    gates: Floats
    cells: Floats
    cell_outputs: Floats
    states: Floats


class GruCache(NamedTuple):
    """Intermediate values of a GRU's forward pass that the backward pass needs.

    Attributes
    ----------
    x : array of shape (n_steps, width, n_rows)
        Inputs.
    gates : array of shape (n_steps, 3 * units, n_rows)
        Gates after their activation.
    recurrent_terms : array of shape (n_steps, units, n_rows)
        Term of the state that the reset gate multiplies.
    states : array of shape (n_steps + 1, units, n_rows)
        State of each step, after the initial one.
    """

    x: Floats
    gates: Floats
    recurrent_terms: Floats
    states: Floats


def lstm(weights: CellWeights, x: Floats) -> tuple[Floats, BackwardPass]:
    """Run a long short-term memory.

    A sigmoid is computed as the tanh of half its argument, so that one call of tanh serves all gates.

    Parameters
    ----------
    weights : CellWeights
        The weights.
    x : array of shape (n_steps, width, n_rows)
        The inputs.

    Returns
    -------
    states : array of shape (n_steps + 1, units, n_rows)
        The states, the initial one first.
    backward : callable
        The backward pass.

    References
    ----------
    Hochreiter & Schmidhuber, Neural Computation 1997; forget gate: Gers et al. 2000.
    """
    steps, _, rows = x.shape
    units = len(weights.recurrent)
    scale = np.repeat(np.array([0.5, 0.5, 1.0, 0.5], np.float32), units)
    gates = _input_terms(weights, x, scale)
    recurrent = np.ascontiguousarray((weights.recurrent * scale).T)
    cells, states = np.zeros((2, steps + 1, units, rows), np.float32)
    cell_outputs = np.empty((steps, units, rows), np.float32)
    recurrent_term, kept_cell = np.empty((4 * units, rows), np.float32), np.empty((units, rows), np.float32)
    for step in range(steps):
        gate = gates[step]
        if step:
            np.matmul(recurrent, states[step], out=recurrent_term)
            gate += recurrent_term
        np.tanh(gate, out=gate)
        _tanh_to_sigmoid(gate[: 2 * units])
        _tanh_to_sigmoid(gate[3 * units :])
        input_gate, forget, new, output = gate.reshape(4, units, rows)
        cell = np.multiply(input_gate, new, out=cells[step + 1])
        cell += np.multiply(forget, cells[step], out=kept_cell)
        np.multiply(output, np.tanh(cell, out=cell_outputs[step]), out=states[step + 1])
    return states, partial(_lstm_backward, weights, LstmCache(x, gates, cells, cell_outputs, states))


def _lstm_backward(weights: CellWeights, cache: LstmCache, state_gradients: Floats) -> CellGradients:
    """Backpropagate through an LSTM; names ending in _grad are derivatives of the loss with respect to that quantity."""
    steps, units, rows = state_gradients.shape
    gate_grads = np.empty_like(cache.gates)
    state_grad, cell_grad, buffer = np.zeros((3, units, rows), np.float32)
    for step in reversed(range(steps)):
        gate, cell_output = cache.gates[step].reshape(4, units, rows), cache.cell_outputs[step]
        input_gate, forget, new, output = gate
        gate_grad = gate_grads[step].reshape(4, units, rows)
        state_grad += state_gradients[step]
        np.multiply(state_grad, cell_output, out=gate_grad[3])
        np.multiply(cell_output, cell_output, out=buffer)  # state_grad * output * (1 - cell_output ** 2)
        np.subtract(np.float32(1), buffer, out=buffer)
        buffer *= output
        buffer *= state_grad
        cell_grad += buffer
        np.multiply(cell_grad, new, out=gate_grad[0])
        np.multiply(cell_grad, cache.cells[step], out=gate_grad[1])
        np.multiply(cell_grad, input_gate, out=gate_grad[2])
        cell_grad *= forget
        gate_grad *= _gate_derivatives(gate)
        if step:
            np.matmul(weights.recurrent, gate_grads[step], out=state_grad)
    flat = _flatten_time(gate_grads)
    kernel_grad, recurrent_grad = _flatten_time(cache.x) @ flat.T, _flatten_time(cache.states[:-1]) @ flat.T
    return CellGradients(weights.kernel @ gate_grads, CellWeights(kernel_grad, recurrent_grad, flat.sum(axis=1)[None]))


def gru(weights: CellWeights, x: Floats) -> tuple[Floats, BackwardPass]:
    """Run a gated recurrent unit. As in Keras the reset gate multiplies the product of recurrent kernel and state.

    Parameters
    ----------
    weights : CellWeights
        The weights.
    x : array of shape (n_steps, width, n_rows)
        The inputs.

    Returns
    -------
    states : array of shape (n_steps + 1, units, n_rows)
        The states, the initial one first.
    backward : callable
        The backward pass.

    References
    ----------
    Cho et al., EMNLP 2014; `reset_after` as in Keras.
    """
    steps, _, rows = x.shape
    units = len(weights.recurrent)
    scale = np.repeat(np.array([0.5, 0.5, 1.0], np.float32), units)
    gates = _input_terms(weights, x, scale)
    recurrent = np.ascontiguousarray((weights.recurrent * scale).T)
    bias = (weights.bias[1] * scale)[:, None]
    states = np.zeros((steps + 1, units, rows), np.float32)
    recurrent_terms = np.empty((steps, units, rows), np.float32)
    recurrent_term = np.empty((3 * units, rows), np.float32)
    for step in range(steps):
        gate, state = gates[step], states[step]
        np.matmul(recurrent, state, out=recurrent_term)
        recurrent_term += bias
        gate[: 2 * units] += recurrent_term[: 2 * units]
        np.tanh(gate[: 2 * units], out=gate[: 2 * units])
        _tanh_to_sigmoid(gate[: 2 * units])
        update, reset, new = gate.reshape(3, units, rows)
        recurrent_terms[step] = recurrent_term[2 * units :]
        new += np.multiply(reset, recurrent_terms[step], out=recurrent_term[:units])
        np.tanh(new, out=new)
        next_state = np.subtract(state, new, out=states[step + 1])
        next_state *= update
        next_state += new
    return states, partial(_gru_backward, weights, GruCache(x, gates, recurrent_terms, states))


def _gru_backward(weights: CellWeights, cache: GruCache, state_gradients: Floats) -> CellGradients:
    """Backpropagate through a GRU, whose gates have derivatives with respect to their input and their recurrent term."""
    steps, units, rows = state_gradients.shape
    input_grads, recurrent_grads = np.empty_like(cache.gates), np.empty_like(cache.gates)
    state_grad, buffer = np.zeros((2, units, rows), np.float32)
    for step in reversed(range(steps)):
        update, reset, new = gate = cache.gates[step].reshape(3, units, rows)
        input_grad = input_grads[step].reshape(3, units, rows)
        recurrent_grad = recurrent_grads[step].reshape(3, units, rows)
        state_grad += state_gradients[step]
        derivatives = _gate_derivatives(gate)
        np.multiply(np.subtract(cache.states[step], new, out=buffer), state_grad, out=input_grad[0])
        np.subtract(np.float32(1), update, out=buffer)
        np.multiply(buffer, state_grad, out=input_grad[2])
        input_grad[2] *= derivatives[2]
        np.multiply(input_grad[2], cache.recurrent_terms[step], out=input_grad[1])
        input_grad[:2] *= derivatives[:2]
        recurrent_grad[:2] = input_grad[:2]
        np.multiply(input_grad[2], reset, out=recurrent_grad[2])
        state_grad *= update
        if step:
            state_grad += np.matmul(weights.recurrent, recurrent_grads[step], out=buffer)
    flat, recurrent_flat = _flatten_time(input_grads), _flatten_time(recurrent_grads)
    bias_grad = np.stack([flat.sum(axis=1), recurrent_flat.sum(axis=1)])
    kernel_grad = _flatten_time(cache.x) @ flat.T
    weights_grad = CellWeights(kernel_grad, _flatten_time(cache.states[:-1]) @ recurrent_flat.T, bias_grad)
    return CellGradients(weights.kernel @ input_grads, weights_grad)


@dataclass(frozen=True)
class RecurrentCell:
    """A type of cell: its numbers of gates and biases, and its forward pass."""

    gates: int
    biases: int
    run: Callable[[CellWeights, Floats], tuple[Floats, BackwardPass]]


CELLS = {"lstm": RecurrentCell(4, 1, lstm), "gru": RecurrentCell(3, 2, gru)}


def _input_terms(weights: CellWeights, x: Floats, scale: Floats) -> Floats:
    """Scaled terms of the inputs in all gates, (n_steps, n_gates * units, n_rows): product with the kernel, and bias."""
    gates: Floats = np.matmul((weights.kernel * scale).T, x)
    gates += (weights.bias[0] * scale)[:, None]
    return gates


def _tanh_to_sigmoid(gate: Floats) -> None:
    """Turn the tanh of half an argument into the sigmoid of the argument, in place."""
    gate *= HALF
    gate += HALF


def _gate_derivatives(gates: Floats) -> Floats:
    """Derivatives of the activations of gates: s (1 - s) of a sigmoid, 1 - n² of the tanh, which is third in both cells."""
    derivatives: Floats = np.square(gates)
    np.subtract(gates[:2], derivatives[:2], out=derivatives[:2])
    np.subtract(np.float32(1), derivatives[2], out=derivatives[2])
    np.subtract(gates[3:], derivatives[3:], out=derivatives[3:])
    return derivatives


def _flatten_time(sequences: Floats) -> Floats:
    """Reshape (n_steps, width, n_rows) to (width, n_steps * n_rows), so that one product sums over time."""
    return sequences.transpose(1, 0, 2).reshape(sequences.shape[1], -1)
