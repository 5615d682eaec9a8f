"""The training loop of all networks that Keras describes: an epoch is one compiled call, traced once per architecture.

In an ordinary Keras fit on small data most of the time goes into building, compiling and tracing a model and into the calls
of its steps, and each model leaves some megabytes behind. Here an architecture is built and traced once in a process; a fit
sets the weights and returns them as NumPy arrays. What a search varies besides the architecture (learning rate, decay,
dropout, clipping, focus of the loss, augmentation, batch size, number of rows) is an input. XLA is never used: it compiles
for half a minute on a CPU.

Calling a compiled step costs 1.5 ms, whatever it computes; with a whole epoch in one call a step of a dense network of 32 units
takes 0.2 ms instead of 1.8.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.networks.history import EarlyStopping, EpochOutput, StepStats
from harness.networks.keras_model import PREDICTION_BATCH, KerasArchitecture, KerasWeights, StepSettings, get_compiled
from harness.networks.losses import Floats
from harness.networks.optimizer import RATE_SCHEDULES, TrainConfig


@dataclass(frozen=True, kw_only=True)
class KerasTrainConfig(TrainConfig):
    """How a compiled network is trained: as `TrainConfig`, with the one-cycle schedule by default, and augmentation.

    Attributes
    ----------
    augment : float, default 0
        Strength of `KerasArchitecture.augment`; 0 for none.
    """

    rate_schedule: str = "one_cycle"
    augment: float = 0.0

    def scaled_to(self, rows: int) -> KerasTrainConfig:
        """Return the configuration for a number of rows, with `epochs` that make at least `min_steps`.

        A learning rate that decays is allowed to decay to the end, without a patience: these trainings are short, and their
        last epochs are the best (photographs of hands: 0.99 instead of 0.85).
        """
        scaled_config = TrainConfig.scaled_to(replace(self, rate_schedule="constant"), rows)
        patience_epochs = scaled_config.patience if self.rate_schedule == "constant" else scaled_config.epochs
        return replace(self, epochs=scaled_config.epochs, patience=patience_epochs)

    def learning_rate_per_step(self, steps: int) -> Floats:
        """Return the learning rate of every step, shape (steps,)."""
        rate_schedule = RATE_SCHEDULES[self.rate_schedule]
        rate_factors = [rate_schedule(step / steps) for step in range(steps)]
        return np.float32(self.learning_rate) * np.array(rate_factors, np.float32)


def train_compiled_network(
    architecture: KerasArchitecture, start: KerasWeights, config: KerasTrainConfig, stopping: EarlyStopping, seed: int
) -> KerasWeights:
    """Train a network by the steps of `keras.optimizers.AdamW` with `global_clipnorm`, where only kernels decay.

    Parameters
    ----------
    architecture : KerasArchitecture
        The network.
    start : list of arrays
        Initial weights.
    config : KerasTrainConfig
        How to train; the last batch of an epoch has the rows that are left.
    stopping : EarlyStopping
        Holds the training and validation rows and records the curves.
    seed : int
        Seed of the order of rows, dropout and augmentation.

    Returns
    -------
    list of arrays
        The weights of the best epoch.

    Raises
    ------
    EvenhandError
        If the training diverges.
    """
    rows, rng = stopping.rows, np.random.default_rng(seed)
    steps = -(-len(rows.y) // config.batch_size)
    learning_rates = config.learning_rate_per_step(steps * config.epochs).reshape(config.epochs, steps)
    compiled_predictor = get_compiled(architecture)
    with _training_device(), compiled_predictor.lock:
        settings = StepSettings(config.weight_decay, config.dropout, config.clip, stopping.loss.gamma, config.augment)
        compiled_predictor.start_fit(start, settings, config.batch_size, seed)
        row_tensors = compiled_predictor.to_tensors(rows)

        def run_epochs() -> Iterator[EpochOutput]:
            for epoch_number, epoch_rates in enumerate(learning_rates):
                row_order = rng.permutation(len(rows.y))
                logits, gradient_norms = compiled_predictor.train_epoch(
                    row_tensors, row_order, epoch_rates, epoch_number * steps
                )
                validation_logits = (
                    None if stopping.validation is None else compiled_predictor.logits(stopping.validation.X)
                )
                yield EpochOutput(StepStats(float(epoch_rates[-1]), gradient_norms), logits, validation_logits)

        return stopping.run_epochs_keeping_best(run_epochs(), compiled_predictor.weights)


def predict_logits(
    architecture: KerasArchitecture, weights: KerasWeights, X: npt.NDArray[Any], batch_size: int = PREDICTION_BATCH
) -> Floats:
    """Compute the logits of rows. All batches have one shape, so that a row's logits do not depend on the other rows.

    Parameters
    ----------
    architecture : KerasArchitecture
        The network.
    weights : list of arrays
        Its weights.
    X : array of shape (n_rows, …)
        The rows.
    batch_size : int, default 64
        Rows predicted together.

    Returns
    -------
    array of shape (n_rows, n_outputs)
    """
    compiled_predictor = get_compiled(architecture)
    with compiled_predictor.lock:
        compiled_predictor.set_weights(weights)
        return compiled_predictor.logits(X, batch_size)


def initial_weights(architecture: KerasArchitecture, rng: np.random.Generator, prior_logits: Floats) -> KerasWeights:
    """Draw the weights of an untrained network that predicts the same logits for every row.

    The initialisers of the layers draw them; that of the last kernel should be zeros (`kernel_initializer="zeros"`).

    Parameters
    ----------
    architecture : KerasArchitecture
        The network.
    rng : numpy Generator
        Source of the seeds of the initialisers.
    prior_logits : array of shape (n_outputs,)
        The bias of the last layer.

    Returns
    -------
    list of arrays
    """
    model = get_compiled(architecture).model
    drawn_weights: dict[int, Floats] = {}
    for layer in model._flatten_layers(include_self=False):
        for layer_weight in layer._trainable_variables:
            weight_initializer = getattr(layer, f"{layer_weight.name.removesuffix('_kernel')}_initializer", None)
            if weight_initializer is not None and "seed" in weight_initializer.get_config():
                seeded_initializer = type(weight_initializer).from_config(
                    {**weight_initializer.get_config(), "seed": int(rng.integers(2**31))}
                )
                drawn_weights[id(layer_weight)] = np.array(seeded_initializer(layer_weight.shape))
    built_weights = weights_of_built_model(architecture, prior_logits)
    return [
        drawn_weights.get(id(layer_weight), array)
        for layer_weight, array in zip(model.weights, built_weights, strict=True)
    ]


def weights_of_built_model(architecture: KerasArchitecture, prior_logits: Floats) -> KerasWeights:
    """Return the weights with which `KerasArchitecture.build` made the model, with `prior_logits` as the last bias."""
    compiled_predictor = get_compiled(architecture)
    last_bias, weights = compiled_predictor.model.layers[-1].bias, list(compiled_predictor.initial_weights)
    for index, model_variable in enumerate(compiled_predictor.model.weights):
        if model_variable is last_bias:
            weights[index] = prior_logits.copy()
    return weights


@contextmanager
def _training_device() -> Iterator[None]:
    """Let one training process at a time use a GPU, if TensorFlow finds one. Not tested on a GPU."""
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        yield
        return
    import fcntl

    with (Path(tempfile.gettempdir()) / "evenhand-gpu.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
