"""The training loop of every network that Keras describes: an epoch is one compiled call, traced once for all fits of a shape.

Of a usual Keras fit on small data most goes into building, compiling and tracing a model and into the calls of its steps,
and each model leaves some megabytes behind. Here an architecture is built and traced once in a process; a fit puts its
weights in and takes them out again as NumPy arrays. What a search varies besides the shape (learning rate, decay,
dropout, clipping, focus of the loss, augmentation, batch size, number of rows) goes in as numbers. Never by XLA, which
compiles for half a minute on a CPU.

A compiled step costs 1.5 ms to call, whatever it computes; a whole epoch in one call nothing more: 1.8 → 0.2 ms a step
for a dense network of 32 units.
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

from harness.networks.history import EarlyStopping, Epoch, Step
from harness.networks.keras_model import BATCH, NOT_DECAYED, Architecture, Dials, Weights, machine
from harness.networks.losses import Floats, Loss
from harness.networks.optimizer import COURSES, Schedule


@dataclass(frozen=True, kw_only=True)
class Course(Schedule):
    """How a compiled network is trained: a `Schedule` by one cycle, and how far rows are varied.

    `augment` is the amount that `Architecture.vary` gets, 0 for none.
    """

    course: str = "one_cycle"
    augment: float = 0.0

    def stretched(self, rows: int) -> Course:
        """The same for so many rows, stretched to `least_steps`.

        A learning rate that falls is let down to the end, with no patience to be lost: these courses are short, and
        their last epochs are their best (photographs of hands: 0.99 instead of 0.85).
        """
        longer = Schedule.stretched(replace(self, course="constant"), rows)
        patience = longer.patience if self.course == "constant" else longer.epochs
        return replace(self, epochs=longer.epochs, patience=patience)

    def rates(self, steps: int) -> Floats:
        """The learning rate of every step, shape (steps,)."""
        factors = [COURSES[self.course](step / steps) for step in range(steps)]
        return np.float32(self.learning_rate) * np.array(factors, np.float32)


def train(architecture: Architecture, start: Weights, course: Course, watch: EarlyStopping, seed: int) -> Weights:
    """Train from the weights `start` on the rows of `watch`; returns the weights of the epoch that it found best.

    Every step draws `course.batch_size` rows, the last one of an epoch what is left; order, dropout and augmentation come
    from `seed`. The steps are those of `keras.optimizers.AdamW` with `global_clipnorm`, kernels alone decaying. All
    `course.epochs` are made unless `watch` is over before. Raises `EvenhandError` where training diverges.
    """
    rows, rng = watch.rows, np.random.default_rng(seed)
    steps = -(-len(rows.y) // course.batch_size)
    rates = course.rates(steps * course.epochs).reshape(course.epochs, steps)
    engine = machine(architecture)
    with _device(), engine.lock:
        dials = Dials(course.weight_decay, course.dropout, course.clip, watch.loss.gamma, course.augment)
        engine.begin(start, dials, course.batch_size, seed)
        load = engine.load(rows)

        def epochs() -> Iterator[Epoch]:
            for number, epoch_rates in enumerate(rates):
                order = rng.permutation(len(rows.y))
                logits, norms = engine.learn(load, order, epoch_rates, number * steps)
                seen = None if watch.validation is None else engine.logits(watch.validation.X)
                yield Epoch(Step(float(epoch_rates[-1]), norms), logits, seen)

        return watch.keep_best(epochs(), engine.weights)


def predict(architecture: Architecture, weights: Weights, X: npt.NDArray[Any], batch: int = BATCH) -> Floats:
    """Logits (n, outputs) of rows X (n, …).

    Every batch has the same form, the last one filled up: a row gives the same numbers whatever stands beside it.
    """
    engine = machine(architecture)
    with engine.lock:
        engine.put(weights)
        return engine.logits(X, batch)


def fresh(architecture: Architecture, rng: np.random.Generator, prior_logits: Floats) -> Weights:
    """The weights of an untrained network, drawn by the initialisers of its layers, that predicts `prior_logits`.

    For the latter the last layer should begin with a kernel of zeros (`kernel_initializer="zeros"`).
    """
    engine = machine(architecture)
    drawn = {id(weight): values for weight, values in _draws(engine.model, rng)}
    start = built(architecture, prior_logits)
    return [drawn.get(id(weight), values) for weight, values in zip(engine.model.weights, start, strict=True)]


def built(architecture: Architecture, prior_logits: Floats) -> Weights:
    """The weights that `Architecture.build` left in its model, the last bias apart, which gets `prior_logits`."""
    engine = machine(architecture)
    last = id(engine.model.layers[-1].bias)
    return [
        prior_logits.copy() if id(weight) == last else values
        for weight, values in zip(engine.model.weights, engine.as_built, strict=True)
    ]


def finish(logits: Any, schedule: Schedule, loss: Loss) -> Any:
    """A Keras model of logits as a compiled one of probabilities, for which plain `fit` goes on with this training.

    Two classes: one sigmoid output (n, 1), the probability of class 1; more: a softmax (n, k), and `fit` then expects
    one-hot labels.
    """
    import keras

    from harness.networks.keras_export import keras_loss

    activation = keras.layers.Activation("sigmoid" if loss.outputs == 1 else "softmax", name="probabilities")
    model = keras.Model(logits.input, activation(logits.output), name=logits.name)
    optimiser = keras.optimizers.AdamW(
        schedule.learning_rate, weight_decay=schedule.weight_decay, global_clipnorm=schedule.clip
    )
    optimiser.exclude_from_weight_decay(var_names=list(NOT_DECAYED))
    model.compile(optimiser, keras_loss(keras, loss), jit_compile=False)
    model.optimizer.build(model.trainable_variables)  # so that a saved model is read back without a warning
    return model


def _draws(model: Any, rng: np.random.Generator) -> Iterator[tuple[Any, Floats]]:
    """Every weight that its layer draws at random, with a new draw."""
    for layer in model._flatten_layers(include_self=False):
        for weight in layer._trainable_variables:
            initializer = getattr(layer, f"{weight.name.removesuffix('_kernel')}_initializer", None)
            if initializer is not None and "seed" in initializer.get_config():
                seeded = type(initializer).from_config({**initializer.get_config(), "seed": int(rng.integers(2**31))})
                yield weight, np.array(seeded(weight.shape))


@contextmanager
def _device() -> Iterator[None]:
    """A GPU, where TensorFlow sees one, belongs to one training process at a time. Never tried on one."""
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        yield
        return
    import fcntl

    with (Path(tempfile.gettempdir()) / "evenhand-gpu.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
