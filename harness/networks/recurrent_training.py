"""The training loop of recurrent networks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.networks.history import EarlyStopping, EpochOutput, StepStats, TrainingHistory
from harness.networks.losses import Floats, Labels, Loss
from harness.networks.optimizer import Adam, TrainConfig
from harness.networks.recurrent import (
    RecurrentNetwork,
    RecurrentShape,
    backward,
    forward,
    infer,
    new_network,
    sequence_lengths,
    unpack,
)
from harness.networks.rows import WeightedRows

#: Rows of similar length share a batch, so that there is little padding: they are sorted within so many batches.
SORTED_BATCHES = 16


def train(
    shape: RecurrentShape,
    loss: Loss,
    config: TrainConfig,
    rows: WeightedRows,
    validation: WeightedRows | None,
    seed: int,
) -> tuple[RecurrentNetwork, TrainingHistory]:
    """Train a recurrent network.

    Parameters
    ----------
    shape : RecurrentShape
        Architecture of the network.
    loss : Loss
        Training loss.
    config : TrainConfig
        How to train, before it is scaled to the number of rows.
    rows : WeightedRows
        Training rows.
    validation : WeightedRows or None
        Validation rows for early stopping.
    seed : int
        Seed of initial weights, batches and dropout.

    Returns
    -------
    network : RecurrentNetwork
        The network with the weights of its best epoch.
    history : TrainingHistory
        The learning curves.

    Raises
    ------
    EvenhandError
        If the training diverges.
    """
    rng, config = np.random.default_rng(seed), config.scaled_to(len(rows.y))
    stopping = EarlyStopping(loss, rows, validation, config.patience)
    network = new_network(shape, rng, stopping.prior_logits)
    flat = network.weights.flat
    adam = Adam(config, np.zeros_like(flat), np.zeros_like(flat), steps=config.steps(len(rows.y)))

    def epochs() -> Iterator[EpochOutput]:
        for _ in range(config.epochs):
            logits, norms = train_epoch(network, adam, loss, rows, rng)
            validation_logits = None if validation is None else infer(network, validation.X)
            yield EpochOutput(StepStats(adam.last_rate, norms), logits, validation_logits)

    flat[:] = stopping.keep_best(epochs(), flat.copy)
    return network, stopping.history(config.batch_size)


def train_epoch(
    network: RecurrentNetwork, adam: Adam, loss: Loss, rows: WeightedRows, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Train on all rows once.

    Parameters
    ----------
    network : RecurrentNetwork
        The network; its weights are changed in place.
    adam : Adam
        State of the optimiser; changed in place.
    loss : Loss
        Training loss.
    rows : WeightedRows
        Training rows.
    rng : numpy Generator
        Source of the order of rows and of dropout.

    Returns
    -------
    logits : array of shape (n_rows, n_outputs)
        Logits of every row before its step, with dropout, in the order of `rows`.
    norms : array of shape (n_batches,)
        Norm of every batch's gradient.
    """
    gradient = unpack(network.shape, np.empty(network.shape.size, np.float32))
    logits = np.empty((len(rows.y), loss.outputs), np.float32)
    norms = []
    for batch in draw_batches(sequence_lengths(rows.X), adam.config.batch_size, rng):
        logits[batch], cache = forward(network, rows.X[batch], adam.config.dropout, rng)
        logits_gradient = loss.gradient(logits[batch], rows.y[batch])
        logits_gradient *= (rows.weight[batch] / np.float32(len(batch)))[:, None]
        backward(network, cache, logits_gradient, gradient)
        norms.append(adam.update(network.weights.flat, gradient.flat, 0))
    return logits, np.array(norms, np.float32)


def draw_batches(lengths: Labels, size: int, rng: np.random.Generator) -> list[Labels]:
    """Divide rows at random into batches of similar length.

    Rows are shuffled, cut into chunks, sorted within each chunk and cut into batches, and the batches are shuffled: in every
    epoch a row shares its batch with other rows.

    Parameters
    ----------
    lengths : array of shape (n_rows,)
        Lengths of the sequences.
    size : int
        Rows per batch.
    rng : numpy Generator
        Source of the order.

    Returns
    -------
    list of arrays
        Row positions; a smaller batch is last, as in Keras.
    """
    order = rng.permutation(len(lengths))
    sorted_chunks = []
    for start in range(0, len(order), SORTED_BATCHES * size):
        chunk = order[start : start + SORTED_BATCHES * size]
        sorted_chunks.append(chunk[np.argsort(-lengths[chunk], kind="stable")])
    order = np.concatenate(sorted_chunks)
    full = len(order) // size
    batches = [order[number * size : (number + 1) * size] for number in rng.permutation(full)]
    if full * size < len(order):
        batches.append(order[full * size :])
    return batches
