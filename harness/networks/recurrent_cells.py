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

ONE_HALF = np.float32(0.5)


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
    unit_count = len(weights.recurrent)
    scale = np.repeat(np.array([0.5, 0.5, 1.0, 0.5], np.float32), unit_count)
    gate_values = _input_terms(weights, x, scale)
    recurrent_kernel = np.ascontiguousarray((weights.recurrent * scale).T)
    cells, hidden_states = np.zeros((2, steps + 1, unit_count, rows), np.float32)
    cell_outputs = np.empty((steps, unit_count, rows), np.float32)
    recurrent_term, kept_cell = np.empty((4 * unit_count, rows), np.float32), np.empty((unit_count, rows), np.float32)
    for step in range(steps):
        step_gates = gate_values[step]
        if step:
            np.matmul(recurrent_kernel, hidden_states[step], out=recurrent_term)
            step_gates += recurrent_term
        np.tanh(step_gates, out=step_gates)
        _tanh_to_sigmoid(step_gates[: 2 * unit_count])
        _tanh_to_sigmoid(step_gates[3 * unit_count :])
        input_gate, forget_gate, candidate_state, output_gate = step_gates.reshape(4, unit_count, rows)
        cell = np.multiply(input_gate, candidate_state, out=cells[step + 1])
        cell += np.multiply(forget_gate, cells[step], out=kept_cell)
        np.multiply(output_gate, np.tanh(cell, out=cell_outputs[step]), out=hidden_states[step + 1])
    return hidden_states, partial(
        _lstm_backward, weights, LstmCache(x, gate_values, cells, cell_outputs, hidden_states)
    )


def _lstm_backward(weights: CellWeights, forward_cache: LstmCache, state_gradients: Floats) -> CellGradients:
    """Backpropagate through an LSTM; names ending in _grad are derivatives of the loss with respect to that quantity."""
    steps, unit_count, rows = state_gradients.shape
    gate_grads = np.empty_like(forward_cache.gates)
    state_grad, cell_grad, buffer = np.zeros((3, unit_count, rows), np.float32)
    for step in reversed(range(steps)):
        step_gates, cell_output = (
            forward_cache.gates[step].reshape(4, unit_count, rows),
            forward_cache.cell_outputs[step],
        )
        input_gate, forget_gate, candidate_state, output_gate = step_gates
        gate_grad = gate_grads[step].reshape(4, unit_count, rows)
        state_grad += state_gradients[step]
        np.multiply(state_grad, cell_output, out=gate_grad[3])
        np.multiply(cell_output, cell_output, out=buffer)  # state_grad * output * (1 - cell_output ** 2)
        np.subtract(np.float32(1), buffer, out=buffer)
        buffer *= output_gate
        buffer *= state_grad
        cell_grad += buffer
        np.multiply(cell_grad, candidate_state, out=gate_grad[0])
        np.multiply(cell_grad, forward_cache.cells[step], out=gate_grad[1])
        np.multiply(cell_grad, input_gate, out=gate_grad[2])
        cell_grad *= forget_gate
        gate_grad *= _gate_derivatives(step_gates)
        if step:
            np.matmul(weights.recurrent, gate_grads[step], out=state_grad)
    flat_gradients = _flatten_time(gate_grads)
    kernel_grad, recurrent_grad = (
        _flatten_time(forward_cache.x) @ flat_gradients.T,
        _flatten_time(forward_cache.states[:-1]) @ flat_gradients.T,
    )
    return CellGradients(
        weights.kernel @ gate_grads, CellWeights(kernel_grad, recurrent_grad, flat_gradients.sum(axis=1)[None])
    )


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
    unit_count = len(weights.recurrent)
    scale = np.repeat(np.array([0.5, 0.5, 1.0], np.float32), unit_count)
    gate_values = _input_terms(weights, x, scale)
    recurrent_kernel = np.ascontiguousarray((weights.recurrent * scale).T)
    recurrent_bias = (weights.bias[1] * scale)[:, None]
    hidden_states = np.zeros((steps + 1, unit_count, rows), np.float32)
    recurrent_terms = np.empty((steps, unit_count, rows), np.float32)
    recurrent_term = np.empty((3 * unit_count, rows), np.float32)
    for step in range(steps):
        step_gates, previous_state = gate_values[step], hidden_states[step]
        np.matmul(recurrent_kernel, previous_state, out=recurrent_term)
        recurrent_term += recurrent_bias
        step_gates[: 2 * unit_count] += recurrent_term[: 2 * unit_count]
        np.tanh(step_gates[: 2 * unit_count], out=step_gates[: 2 * unit_count])
        _tanh_to_sigmoid(step_gates[: 2 * unit_count])
        update_gate, reset_gate, candidate_state = step_gates.reshape(3, unit_count, rows)
        recurrent_terms[step] = recurrent_term[2 * unit_count :]
        candidate_state += np.multiply(reset_gate, recurrent_terms[step], out=recurrent_term[:unit_count])
        np.tanh(candidate_state, out=candidate_state)
        next_state = np.subtract(previous_state, candidate_state, out=hidden_states[step + 1])
        next_state *= update_gate
        next_state += candidate_state
    return hidden_states, partial(_gru_backward, weights, GruCache(x, gate_values, recurrent_terms, hidden_states))


def _gru_backward(weights: CellWeights, forward_cache: GruCache, state_gradients: Floats) -> CellGradients:
    """Backpropagate through a GRU, whose gates have derivatives with respect to their input and their recurrent term."""
    steps, unit_count, rows = state_gradients.shape
    input_grads, recurrent_grads = np.empty_like(forward_cache.gates), np.empty_like(forward_cache.gates)
    state_grad, buffer = np.zeros((2, unit_count, rows), np.float32)
    for step in reversed(range(steps)):
        update_gate, reset_gate, candidate_state = step_gates = forward_cache.gates[step].reshape(3, unit_count, rows)
        input_grad = input_grads[step].reshape(3, unit_count, rows)
        recurrent_grad = recurrent_grads[step].reshape(3, unit_count, rows)
        state_grad += state_gradients[step]
        gate_derivatives = _gate_derivatives(step_gates)
        np.multiply(np.subtract(forward_cache.states[step], candidate_state, out=buffer), state_grad, out=input_grad[0])
        np.subtract(np.float32(1), update_gate, out=buffer)
        np.multiply(buffer, state_grad, out=input_grad[2])
        input_grad[2] *= gate_derivatives[2]
        np.multiply(input_grad[2], forward_cache.recurrent_terms[step], out=input_grad[1])
        input_grad[:2] *= gate_derivatives[:2]
        recurrent_grad[:2] = input_grad[:2]
        np.multiply(input_grad[2], reset_gate, out=recurrent_grad[2])
        state_grad *= update_gate
        if step:
            state_grad += np.matmul(weights.recurrent, recurrent_grads[step], out=buffer)
    flat_gradients, recurrent_flat = _flatten_time(input_grads), _flatten_time(recurrent_grads)
    bias_grad = np.stack([flat_gradients.sum(axis=1), recurrent_flat.sum(axis=1)])
    kernel_grad = _flatten_time(forward_cache.x) @ flat_gradients.T
    weights_grad = CellWeights(kernel_grad, _flatten_time(forward_cache.states[:-1]) @ recurrent_flat.T, bias_grad)
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
    gate_values: Floats = np.matmul((weights.kernel * scale).T, x)
    gate_values += (weights.bias[0] * scale)[:, None]
    return gate_values


def _tanh_to_sigmoid(step_gates: Floats) -> None:
    """Turn the tanh of half an argument into the sigmoid of the argument, in place."""
    step_gates *= ONE_HALF
    step_gates += ONE_HALF


def _gate_derivatives(gate_values: Floats) -> Floats:
    """Derivatives of the activations of gates: s (1 - s) of a sigmoid, 1 - n² of the tanh, which is third in both cells."""
    gate_derivatives: Floats = np.square(gate_values)
    np.subtract(gate_values[:2], gate_derivatives[:2], out=gate_derivatives[:2])
    np.subtract(np.float32(1), gate_derivatives[2], out=gate_derivatives[2])
    np.subtract(gate_values[3:], gate_derivatives[3:], out=gate_derivatives[3:])
    return gate_derivatives


def _flatten_time(gradient_sequences: Floats) -> Floats:
    """Reshape (n_steps, width, n_rows) to (width, n_steps * n_rows), so that one product sums over time."""
    return gradient_sequences.transpose(1, 0, 2).reshape(gradient_sequences.shape[1], -1)
