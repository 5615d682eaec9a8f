"""The layers of the networks that are written out here, named as in their Keras models."""

from __future__ import annotations

from itertools import pairwise

from harness.networks import dense, from_scratch, recurrent
from harness.networks.layers import Layer
from harness.networks.recurrent_cells import CELLS


def dense_layers(shape: dense.Shape, dropout: float) -> tuple[Layer, ...]:
    """The layers of a dense network, without those that only bring embeddings and numbers together."""
    columns, widths = shape.columns + len(shape.levels), list(pairwise(shape.widths))
    found = [Layer("rows", "Input", (columns,), 0)]
    if shape.levels:
        size = sum(shape.levels) * shape.embedding
        found.append(Layer("levels", f"Embedding of {sum(shape.levels)} levels", (shape.widths[0],), size))
    if shape.skip:
        before, after = widths.pop(0)
        found.append(Layer("dense_0", "Dense, linear", (after,), (before + 1) * after))
    entering = found[-1].name
    for number, (before, after) in enumerate(widths[:-1], start=1):
        kind = "Dense, linear" if shape.batch_norm else f"Dense, {shape.activation}"
        found.append(Layer(f"dense_{number}", kind, (after,), (before + (not shape.batch_norm)) * after))
        if shape.batch_norm:
            found.append(Layer(f"batch_norm_{number}", f"BatchNormalization, {shape.activation}", (after,), 2 * after))
        if dropout:
            found.append(Layer(f"dropout_{number}", f"Dropout {dropout:.3g}", (after,), 0))
        if shape.skip:
            found.append(Layer(f"skip_{number}", f"Add skip of {entering}", (after,), 0))
            entering = f"skip_{number}"
    return (*found, _probabilities(widths[-1][0], shape.outputs))


def recurrent_layers(shape: recurrent.Shape, dropout: float) -> tuple[Layer, ...]:
    """The layers of a recurrent network."""
    cell, both = CELLS[shape.cell], "Bidirectional " if shape.bidirectional else ""
    width = cell.gates * shape.units
    size = shape.directions * (shape.embedding + shape.units + cell.biases) * width
    name = f"{shape.cell}_both_ways" if shape.bidirectional else shape.cell
    read = f"Dropout {dropout:.3g} of whole channels"
    return (
        Layer("tokens", "Input", (0,), 0),
        Layer(
            "embedding",
            f"Embedding of {shape.vocabulary} tokens",
            (0, shape.embedding),
            shape.vocabulary * shape.embedding,
        ),
        *([Layer("channel_dropout", read, (0, shape.embedding), 0)] if dropout else []),
        Layer(name, f"{both}{shape.cell.upper()}", (0, shape.directions * shape.units), size),
        Layer("last_and_mean", "Last state beside the mean of all", (shape.features,), 0),
        *([Layer("dropout", f"Dropout {dropout:.3g}", (shape.features,), 0)] if dropout else []),
        _probabilities(shape.features, shape.outputs),
    )


def scratch_layers(network: from_scratch.Network, activation: str) -> tuple[Layer, ...]:
    """The layers of a network from first principles."""
    hidden = [
        Layer(f"dense_{number}", f"Dense, {activation}", (len(one.bias),), one.kernel.size + one.bias.size)
        for number, one in enumerate(network[:-1], start=1)
    ]
    last = network[-1]
    return (
        Layer("rows", "Input", (len(network[0].kernel),), 0),
        *hidden,
        Layer("probabilities", "Dense, softmax", (len(last.bias),), last.kernel.size + last.bias.size),
    )


def _probabilities(features: int, outputs: int) -> Layer:
    kind = "Dense, sigmoid" if outputs == 1 else "Dense, softmax"
    return Layer("probabilities", kind, (outputs,), (features + 1) * outputs)
