"""The two recurrent cells, LSTM and GRU, written out in NumPy: a pass over time forward, and one back.

Sequences stand as (steps, width, rows): what a step works on then lies in one piece of memory, which is where elementwise
NumPy is fast. They begin at step 0 and are padded behind, and what a cell makes of padding is simply not read: no
mask is needed in here, because nothing flows from later steps to earlier ones, and no slope comes back from steps that were
not read.
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
    """One direction's weights in Keras's order of gates (LSTM: input, forget, new, output; GRU: update, reset, new)."""

    kernel: Floats  #: (width in, gates × units)
    recurrent: Floats  #: (units, gates × units)
    bias: Floats  #: (biases, gates × units): one for LSTM; for GRU one for what comes in, one for what comes back


class Slopes(NamedTuple):
    """Derivatives by what came in at each step (steps, width, rows), and by the weights."""

    inputs: Floats
    weights: CellWeights


#: From the loss's derivatives by each step's state (steps, units, rows) back to those by what came in and by the weights.
Back: TypeAlias = Callable[[Floats], Slopes]


class LstmTape(NamedTuple):
    """What the way back needs of an LSTM's way forward; cells and states begin with the empty one."""

    x: Floats  #: (steps, width, rows)
    gates: Floats  #: (steps, 4 × units, rows)
    cells: Floats  #: (steps + 1, units, rows)
    squashed: Floats  #: (steps, units, rows), the tanh of each step's cell
    states: Floats  #: (steps + 1, units, rows)


class GruTape(NamedTuple):
    """What the way back needs of a GRU's way forward; the states begin with the empty one."""

    x: Floats  #: (steps, width, rows)
    gates: Floats  #: (steps, 3 × units, rows)
    remembered: Floats  #: (steps, units, rows), what the reset gate is to let through
    states: Floats  #: (steps + 1, units, rows)


def lstm(weights: CellWeights, x: Floats) -> tuple[Floats, Back]:
    """Long short-term memory (Hochreiter & Schmidhuber, Neural Computation 1997; forget gate: Gers et al. 2000).

    Takes inputs (steps, width, rows); returns the states (steps + 1, units, rows), the empty one first, and the way back.
    A sigmoid is a tanh of half its argument, halved and raised, so that one call of tanh serves all gates.
    """
    steps, _, rows = x.shape
    units = len(weights.recurrent)
    half = np.repeat(np.array([0.5, 0.5, 1.0, 0.5], np.float32), units)
    gates = _projected(weights, x, half)
    recurrent = np.ascontiguousarray((weights.recurrent * half).T)
    cells, states = np.zeros((2, steps + 1, units, rows), np.float32)
    squashed = np.empty((steps, units, rows), np.float32)
    back, kept = np.empty((4 * units, rows), np.float32), np.empty((units, rows), np.float32)
    for step in range(steps):
        gate = gates[step]
        if step:
            np.matmul(recurrent, states[step], out=back)
            gate += back
        np.tanh(gate, out=gate)
        _halve(gate[: 2 * units])
        _halve(gate[3 * units :])
        taken, forget, new, output = gate.reshape(4, units, rows)
        cell = np.multiply(taken, new, out=cells[step + 1])
        cell += np.multiply(forget, cells[step], out=kept)
        np.multiply(output, np.tanh(cell, out=squashed[step]), out=states[step + 1])
    return states, partial(_back_through_lstm, weights, LstmTape(x, gates, cells, squashed, states))


def _back_through_lstm(weights: CellWeights, tape: LstmTape, slopes: Floats) -> Slopes:
    steps, units, rows = slopes.shape
    by_gates = np.empty_like(tape.gates)
    by_state, by_cell, part = np.zeros((3, units, rows), np.float32)
    for step in reversed(range(steps)):
        gate, squashed = tape.gates[step].reshape(4, units, rows), tape.squashed[step]
        taken, forget, new, output = gate
        by_gate = by_gates[step].reshape(4, units, rows)
        by_state += slopes[step]
        np.multiply(by_state, squashed, out=by_gate[3])
        np.multiply(squashed, squashed, out=part)  # the cell's share: by_state * output * (1 - squashed ** 2)
        np.subtract(np.float32(1), part, out=part)
        part *= output
        part *= by_state
        by_cell += part
        np.multiply(by_cell, new, out=by_gate[0])
        np.multiply(by_cell, tape.cells[step], out=by_gate[1])
        np.multiply(by_cell, taken, out=by_gate[2])
        by_cell *= forget
        by_gate *= _steepness(gate)
        if step:
            np.matmul(weights.recurrent, by_gates[step], out=by_state)
    flat = _flat(by_gates)
    found = CellWeights(_flat(tape.x) @ flat.T, _flat(tape.states[:-1]) @ flat.T, flat.sum(axis=1)[None])
    return Slopes(weights.kernel @ by_gates, found)


def gru(weights: CellWeights, x: Floats) -> tuple[Floats, Back]:
    """The gated recurrent unit (Cho et al., EMNLP 2014).

    Takes inputs (steps, width, rows); returns the states (steps + 1, units, rows), the empty one first, and the way back.
    As in Keras the reset gate acts on what the recurrent kernel made of the state (`reset_after`).
    """
    steps, _, rows = x.shape
    units = len(weights.recurrent)
    half = np.repeat(np.array([0.5, 0.5, 1.0], np.float32), units)
    gates = _projected(weights, x, half)
    recurrent = np.ascontiguousarray((weights.recurrent * half).T)
    bias = (weights.bias[1] * half)[:, None]
    states = np.zeros((steps + 1, units, rows), np.float32)
    remembered = np.empty((steps, units, rows), np.float32)
    back = np.empty((3 * units, rows), np.float32)
    for step in range(steps):
        gate, state = gates[step], states[step]
        np.matmul(recurrent, state, out=back)
        back += bias
        gate[: 2 * units] += back[: 2 * units]
        np.tanh(gate[: 2 * units], out=gate[: 2 * units])
        _halve(gate[: 2 * units])
        update, reset, new = gate.reshape(3, units, rows)
        remembered[step] = back[2 * units :]
        new += np.multiply(reset, remembered[step], out=back[:units])
        np.tanh(new, out=new)
        following = np.subtract(state, new, out=states[step + 1])
        following *= update
        following += new
    return states, partial(_back_through_gru, weights, GruTape(x, gates, remembered, states))


def _back_through_gru(weights: CellWeights, tape: GruTape, slopes: Floats) -> Slopes:
    steps, units, rows = slopes.shape
    by_inputs, by_back = np.empty_like(tape.gates), np.empty_like(tape.gates)
    by_state, part = np.zeros((2, units, rows), np.float32)
    for step in reversed(range(steps)):
        update, reset, new = gate = tape.gates[step].reshape(3, units, rows)
        by_input, by_part = by_inputs[step].reshape(3, units, rows), by_back[step].reshape(3, units, rows)
        by_state += slopes[step]
        steep = _steepness(gate)
        np.multiply(np.subtract(tape.states[step], new, out=part), by_state, out=by_input[0])
        np.subtract(np.float32(1), update, out=part)
        np.multiply(part, by_state, out=by_input[2])
        by_input[2] *= steep[2]
        np.multiply(by_input[2], tape.remembered[step], out=by_input[1])
        by_input[:2] *= steep[:2]
        by_part[:2] = by_input[:2]
        np.multiply(by_input[2], reset, out=by_part[2])
        by_state *= update
        if step:
            by_state += np.matmul(weights.recurrent, by_back[step], out=part)
    flat, back = _flat(by_inputs), _flat(by_back)
    bias = np.stack([flat.sum(axis=1), back.sum(axis=1)])
    found = CellWeights(_flat(tape.x) @ flat.T, _flat(tape.states[:-1]) @ back.T, bias)
    return Slopes(weights.kernel @ by_inputs, found)


@dataclass(frozen=True)
class Cell:
    """A kind of cell: how many gates and biases it has, and its way through time."""

    gates: int
    biases: int
    run: Callable[[CellWeights, Floats], tuple[Floats, Back]]


CELLS = {"lstm": Cell(4, 1, lstm), "gru": Cell(3, 2, gru)}


def _projected(weights: CellWeights, x: Floats, half: Floats) -> Floats:
    """What comes in at every step, (steps, gates × units, rows): kernel and bias applied, scaled by `half`."""
    gates: Floats = np.matmul((weights.kernel * half).T, x)
    gates += (weights.bias[0] * half)[:, None]
    return gates


def _halve(gate: Floats) -> None:
    """The tanh of half an argument becomes the sigmoid of the argument."""
    gate *= HALF
    gate += HALF


def _steepness(gates: Floats) -> Floats:
    """The derivative of every gate by what it was made of: s (1 - s), or 1 - n² for what is new, the third in both cells."""
    steep: Floats = np.square(gates)
    np.subtract(gates[:2], steep[:2], out=steep[:2])
    np.subtract(np.float32(1), steep[2], out=steep[2])
    np.subtract(gates[3:], steep[3:], out=steep[3:])
    return steep


def _flat(sequences: Floats) -> Floats:
    """Sequences (steps, width, rows) side by side: (width, steps × rows), so that one product sums over time."""
    return sequences.transpose(1, 0, 2).reshape(sequences.shape[1], -1)
