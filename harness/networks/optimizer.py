"""The training loop of networks in NumPy: shuffled batches, AdamW with a learning-rate schedule, early stopping.

One network is trained after another. The inner folds of a trial as one network with a leading fold axis took 1.8 times as
long at 64 units and 1.1 times at 128, because they do not fit into the processor's cache, and 0.6 times at 16, where the
overhead of calls dominates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from harness.networks.dense import DenseNetwork, backward, forward, split_flat_parameters
from harness.networks.history import EarlyStopping, EpochOutput, StepStats
from harness.networks.losses import Floats, Loss
from harness.networks.rows import WeightedRows

BETA_1, BETA_2, ADAM_EPSILON = 0.9, 0.999, np.float32(1e-7)  #: Keras's defaults
WARM_UP_SHARE = 0.1  #: share of the steps during which the one-cycle schedule warms up
INITIAL_RATE_SHARE = 0.1  #: learning rate of its first step, relative to the largest


def constant_schedule(_progress: float) -> float:
    """Return 1: the same learning rate throughout."""
    return 1.0


def cosine_schedule(progress: float) -> float:
    """Return the cosine decay from 1 to 0 (Loshchilov & Hutter, SGDR, ICLR 2017, without restarts)."""
    return float(0.5 * (1 + np.cos(np.pi * progress)))


def one_cycle_schedule(progress: float) -> float:
    """Return a linear warm-up followed by `cosine_schedule` (after Smith & Topin, Super-convergence, 2018)."""
    if progress < WARM_UP_SHARE:
        return INITIAL_RATE_SHARE + (1 - INITIAL_RATE_SHARE) * progress / WARM_UP_SHARE
    return cosine_schedule((progress - WARM_UP_SHARE) / (1 - WARM_UP_SHARE))


#: Factor of the learning rate as a function of the share of the planned steps that is done.
RATE_SCHEDULES = {"constant": constant_schedule, "cosine": cosine_schedule, "one_cycle": one_cycle_schedule}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a network is trained.

    A schedule that decays needs a planned end: it spans half of `epochs`, which is more than early stopping usually takes,
    and the patience is at least half of that, since the plateau before the decay would end the training otherwise.

    Attributes
    ----------
    learning_rate : float, default 2e-3
        Largest learning rate.
    batch_size : int, default 256
        Rows per step.
    dropout : float, default 0.2
        Share of units dropped.
    weight_decay : float, default 1.0
        Decoupled weight decay: a step shrinks kernels by ``learning_rate * weight_decay``.
    epochs : int, default 40
        Largest number of epochs.
    patience : int, default 5
        Number of epochs without improvement after which training stops.
    min_steps : int, default 400
        `epochs` grows to at least so many steps on small tables, where an epoch has few.
    min_patience : int, default 40
        `patience` grows to at least so many steps, likewise.
    clip : float, default 1.0
        Largest norm of the whole gradient.
    rate_schedule : str, default "constant"
        One of `RATE_SCHEDULES`.
    """

    learning_rate: float = 2e-3
    batch_size: int = 256
    dropout: float = 0.2
    weight_decay: float = 1.0
    epochs: int = 40
    patience: int = 5
    min_steps: int = 400
    min_patience: int = 40
    clip: float = 1.0
    rate_schedule: str = "constant"

    def scaled_to(self, rows: int) -> TrainConfig:
        """Return the configuration for a number of rows, with `epochs` and `patience_epochs` that allow for enough steps."""
        steps = -(-rows // self.batch_size)
        epochs = max(self.epochs, -(-self.min_steps // steps))
        patience_epochs = max(self.patience, -(-self.min_patience // steps))
        if self.rate_schedule == "constant":
            return replace(self, epochs=epochs, patience=patience_epochs)
        return replace(self, epochs=(epochs + 1) // 2, patience=max(patience_epochs, epochs // 4))

    def total_steps(self, rows: int) -> int:
        """Return the number of steps of all epochs together."""
        return self.epochs * -(-rows // self.batch_size)


@dataclass
class Adam:
    """Adam with decoupled weight decay, on one flat vector of parameters.

    Each step equals that of `keras.optimizers.AdamW` with `global_clipnorm` when only kernels decay.

    Attributes
    ----------
    config : TrainConfig
        Learning rate and its schedule, weight decay and clipping.
    mean, square : array of shape (n_parameters,)
        Moving averages of the gradient and of its square; changed in place.
    step : int
        Number of steps made.
    steps : int, default 0
        Number of steps that the schedule spans; 0 for a constant learning rate.
    last_rate : float
        Learning rate of the last step.

    References
    ----------
    Kingma & Ba, Adam, ICLR 2015; Loshchilov & Hutter, Decoupled weight decay regularization, ICLR 2019.
    """

    config: TrainConfig
    mean: Floats
    square: Floats
    step: int = 0
    steps: int = 0
    last_rate: float = 0.0

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        if not self.steps:
            return self.config.learning_rate
        training_progress = min(self.step / self.steps, 1.0)
        return self.config.learning_rate * RATE_SCHEDULES[self.config.rate_schedule](training_progress)

    def update(self, flat: Floats, gradient: Floats, decayed_size: int) -> float:
        """Make a step.

        Parameters
        ----------
        flat : array of shape (n_parameters,)
            Parameters; changed in place.
        gradient : array of shape (n_parameters,)
            Gradient of the loss; overwritten.
        decayed_size : int
            Number of leading parameters that weight decay shrinks.

        Returns
        -------
        float
            The norm of the gradient before clipping.
        """
        self.last_rate = current_rate = self.learning_rate
        gradient_norm = float(np.sqrt(gradient @ gradient))
        if gradient_norm > self.config.clip:
            gradient *= np.float32(self.config.clip / gradient_norm)
        if self.config.weight_decay:
            flat[:decayed_size] *= np.float32(1 - current_rate * self.config.weight_decay)
        self.step += 1
        self.mean *= np.float32(BETA_1)
        self.mean += np.float32(1 - BETA_1) * gradient
        gradient *= gradient
        self.square *= np.float32(BETA_2)
        self.square += np.float32(1 - BETA_2) * gradient
        parameter_update = np.sqrt(self.square)
        parameter_update += ADAM_EPSILON
        np.divide(self.mean, parameter_update, out=parameter_update)
        parameter_update *= np.float32(current_rate * np.sqrt(1 - BETA_2**self.step) / (1 - BETA_1**self.step))
        flat -= parameter_update
        return gradient_norm


class TrainableNetwork(Protocol):
    """A network in NumPy, whose arrays are changed in place."""

    @property
    def arrays(self) -> list[Floats]:
        """What training changes: the flat vector of all parameters, and statistics that are no parameters."""


Network = TypeVar("Network", bound=TrainableNetwork)


def train_numpy_network(
    new_network: Callable[[np.random.Generator, Floats], Network],
    run_epoch: Callable[[Network, Adam, Loss, WeightedRows, np.random.Generator], tuple[Floats, Floats]],
    infer: Callable[[Network, npt.NDArray[Any]], Floats],
    config: TrainConfig,
    stopping: EarlyStopping,
    seed: int,
) -> Network:
    """Train a network in NumPy.

    Parameters
    ----------
    new_network : callable
        Initialises a network, given a generator and the logits that it predicts for every row.
    run_epoch : callable
        Trains on all rows once, as `train_epoch` does.
    infer : callable
        Computes the logits of rows.
    config : TrainConfig
        How to train, scaled to the number of rows.
    stopping : EarlyStopping
        Holds the training and validation rows and records the curves. Without validation rows all `epochs` are made and
        the last weights kept.
    seed : int
        Seed of initial weights, batches and dropout.

    Returns
    -------
    DenseNetwork or RecurrentNetwork
        The network with the weights of its best epoch.

    Raises
    ------
    EvenhandError
        If the training diverges.
    """
    rng, rows, validation_rows = np.random.default_rng(seed), stopping.rows, stopping.validation
    trained_network = new_network(rng, stopping.prior_logits)
    arrays = trained_network.arrays
    zero_parameters = np.zeros_like(arrays[0])
    adam_optimizer = Adam(config, zero_parameters, zero_parameters.copy(), steps=config.total_steps(len(rows.y)))

    def run_epochs() -> Iterator[EpochOutput]:
        for _ in range(config.epochs):
            logits, gradient_norms = run_epoch(trained_network, adam_optimizer, stopping.loss, rows, rng)
            validation_logits = None if validation_rows is None else infer(trained_network, validation_rows.X)
            yield EpochOutput(StepStats(adam_optimizer.last_rate, gradient_norms), logits, validation_logits)

    best_arrays = stopping.run_epochs_keeping_best(run_epochs(), lambda: list(map(np.copy, arrays)))
    for array, best_array in zip(arrays, best_arrays, strict=True):
        array[:] = best_array
    return trained_network


def train_epoch(
    network: DenseNetwork, adam: Adam, loss: Loss, rows: WeightedRows, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Train a dense network on all rows once, in a new order, the smaller last batch included.

    Parameters
    ----------
    network : DenseNetwork
        The network; its weights and running statistics are changed in place.
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
        Logits of every row before its step, in the order of `rows`.
    norms : array of shape (n_batches,)
        Norm of every batch's gradient.
    """
    gradient = split_flat_parameters(network.shape, np.empty(network.shape.size, np.float32))
    logits, gradient_norms = np.empty((len(rows.y), loss.outputs), np.float32), []
    row_order = rng.permutation(len(rows.y))
    for first_row in range(0, len(row_order), adam.config.batch_size):
        batch = row_order[first_row : first_row + adam.config.batch_size]
        X = rows.X[batch]
        batch_logits, forward_cache = forward(network, X, adam.config.dropout, rng)
        logits[batch] = batch_logits
        logits_gradient = loss.gradient(batch_logits, rows.y[batch])
        logits_gradient *= (rows.weight[batch] / np.float32(len(batch)))[:, None]
        backward(network, X, forward_cache, logits_gradient, gradient)
        gradient_norms.append(adam.update(network.weights.flat, gradient.flat, network.shape.decayed_size))
    return logits, np.array(gradient_norms, np.float32)
