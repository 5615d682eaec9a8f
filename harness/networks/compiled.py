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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.networks.history import Step, Watch
from harness.networks.loss import TINY, Floats, Loss
from harness.networks.rows import Rows
from harness.networks.training import ADAM_EPSILON, BETA_1, BETA_2, Schedule

Weights: TypeAlias = list[npt.NDArray[Any]]  #: in the order of `keras.Model.weights`
Order: TypeAlias = npt.NDArray[np.int64]

KEPT = 16  # built networks, a few megabytes each; a search has fewer shapes
BATCH = 64  # rows predicted at once
NOT_DECAYED = ("bias", "gamma", "beta", "embeddings")  # weight decay acts on kernels


class Architecture(Protocol):
    """The shape of a network: hashable, equal where networks are, so that equal ones share what was built and traced."""

    def __hash__(self) -> int: ...

    @property
    def dtype(self) -> str:
        """The dtype of its rows, such as "uint8"."""

    def build(self, dropout: Callable[[], Any]) -> Any:
        """A new `keras.Model` of one input that ends in a layer with a bias whose outputs are the logits.

        `dropout()` makes a dropout layer; there must be no other draw in the model. Layers that are not `trainable`
        stay as they are.
        """

    def vary(self, X: Any, key: Any, amount: Any) -> Any:
        """Rows (a float tensor) changed at random for training: `key` are two integers, `amount` is above 0."""


@dataclass(frozen=True, kw_only=True)
class Course(Schedule):
    """How a compiled network is trained: a `Schedule`, its learning rate over time, and how far rows are varied.

    With `anneal` the learning rate rises for the first fifth of all steps and then falls to nothing along a cosine
    (L. Smith and N. Topin, Super-convergence, 2018): few epochs then do what many did. `augment` is the amount that
    `Architecture.vary` gets, 0 for none.
    """

    anneal: bool = True
    augment: float = 0.0

    def rates(self, steps: int) -> Floats:
        """The learning rate of every step, shape (steps,)."""
        if not self.anneal:
            return np.full(steps, self.learning_rate, np.float32)
        done, rise = (np.arange(steps) + 1) / (steps + 1), 0.2
        fall = (1 + np.cos(np.pi * (done - rise) / (1 - rise))) / 2
        return (self.learning_rate * np.where(done < rise, done / rise, fall)).astype(np.float32)


def train(architecture: Architecture, start: Weights, course: Course, watch: Watch, seed: int) -> Weights:
    """Train from the weights `start` on the rows of `watch`; returns the weights of the epoch that it found best.

    Every step draws `course.batch_size` rows, the last one of an epoch what is left; order, dropout and augmentation come
    from `seed`. The steps are those of `keras.optimizers.AdamW` with `global_clipnorm`, kernels alone decaying. All
    `course.epochs` are made unless `watch` is over before. Raises `EvenhandError` where training diverges.
    """
    rows, rng, kept = watch.rows, np.random.default_rng(seed), start
    steps = -(-len(rows.y) // course.batch_size)
    rates = course.rates(steps * course.epochs).reshape(course.epochs, steps)
    engine = machine(architecture)
    with _device(), engine.lock:
        engine.begin(start, watch.loss, course, seed)
        load = engine.load(rows)
        for number, epoch_rates in enumerate(rates):
            order = rng.permutation(len(rows.y))
            logits, norms = engine.learn(load, order, epoch_rates, number * steps)
            seen = None if watch.watched is None else engine.logits(watch.watched.X)
            if watch.look(Step(float(epoch_rates[-1]), norms), logits, seen):
                kept = engine.weights()
            if watch.over:
                break
    return kept


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

    from harness.networks.export import _loss

    activation = keras.layers.Activation("sigmoid" if loss.outputs == 1 else "softmax", name="probabilities")
    model = keras.Model(logits.input, activation(logits.output), name=logits.name)
    optimiser = keras.optimizers.AdamW(
        schedule.learning_rate, weight_decay=schedule.weight_decay, global_clipnorm=schedule.clip
    )
    optimiser.exclude_from_weight_decay(var_names=list(NOT_DECAYED))
    model.compile(optimiser, _loss(keras, loss), jit_compile=False)
    model.optimizer.build(model.trainable_variables)  # so that a saved model is read back without a warning
    return model


@lru_cache(maxsize=KEPT)
def machine(architecture: Architecture) -> Machine:
    """The one built network of this shape in this process."""
    _settle()
    return Machine(architecture)


class Machine:
    """A built network with the state of an optimiser, and its two compiled functions: a step and a prediction."""

    def __init__(self, architecture: Architecture) -> None:
        import tensorflow as tf

        self.lock = Lock()
        self._tf, self._vary = tf, architecture.vary
        self._rate, self._key = tf.Variable(0.0), tf.Variable([0, 0])
        self._dropouts = 0
        self.model = architecture.build(self._dropout)
        self.as_built = self.weights()
        self._trained = [one.value for one in self.model.trainable_variables]
        self._decayed = [one.value for one in self.model.trainable_variables if one.name not in NOT_DECAYED]
        self._slots = [(tf.Variable(tf.zeros_like(one)), tf.Variable(tf.zeros_like(one))) for one in self._trained]
        rows = tf.TensorSpec((None, *self.model.input_shape[1:]), architecture.dtype)
        labels, floats = tf.TensorSpec((None,), tf.int64), tf.TensorSpec((None,), tf.float32)
        dials, whole = tf.TensorSpec((5,), tf.float32), tf.TensorSpec((3,), tf.int32)
        signature = ((rows, labels, floats), labels, floats, dials, whole)
        plain = {"autograph": False, "jit_compile": False}
        self.epoch = tf.function(self._epoch, input_signature=signature, **plain)
        self.infer = tf.function(self._infer, input_signature=(rows, tf.TensorSpec((), tf.int32)), **plain)

    def begin(self, start: Weights, loss: Loss, course: Course, seed: int) -> None:
        """Make ready for a fit from the weights `start`: a new optimiser, the draws of `seed`."""
        self.put(start)
        for slot in (one for pair in self._slots for one in pair):
            slot.assign(self._tf.zeros_like(slot))
        dials = [course.weight_decay, course.dropout, course.clip, loss.gamma, course.augment]
        self._dials = np.array(dials, np.float32)
        self._batch_size = course.batch_size
        self._seed = int(np.random.SeedSequence(seed).generate_state(1)[0] >> 1)

    def load(self, rows: Rows) -> tuple[Any, ...]:
        """Rows as TensorFlow holds them."""
        return tuple(self._tf.constant(one) for one in (rows.X, rows.y, rows.weight))

    def learn(self, load: tuple[Any, ...], order: Order, rates: Floats, done: int) -> tuple[Floats, Floats]:
        """An epoch of batches in this `order` (n,) at these `rates` (b,), after `done` steps.

        Returns the logits (n, outputs) of every row before its step and each step's norm of the gradient (b,), unclipped.
        """
        whole = np.array([self._batch_size, done, self._seed], np.int32)
        found, norms = self.epoch(load, order, rates, self._dials, whole)
        logits = np.empty(found.shape, np.float32)
        logits[order] = found
        return logits, norms.numpy()

    def logits(self, X: npt.NDArray[Any], batch: int = BATCH) -> Floats:
        """The logits (n, outputs) of rows, predicted in batches of one form."""
        missing = -len(X) % batch
        filled = np.concatenate([X, np.zeros((missing, *X.shape[1:]), X.dtype)]) if missing else X
        found: Floats = self.infer(filled, batch).numpy()
        return found[: len(X)]

    def put(self, weights: Weights) -> None:
        """Let the network have these weights."""
        for variable, values in zip(self.model.weights, weights, strict=True):
            variable.assign(values)

    def weights(self) -> Weights:
        """Copies of the weights."""
        return [np.array(one) for one in self.model.weights]

    def _infer(self, X: Any, batch: Any) -> Any:
        tf = self._tf

        def body(number: Any, logits: Any) -> tuple[Any, Any]:
            rows = tf.cast(X[number * batch : (number + 1) * batch], self.model.input.dtype)
            return number + 1, logits.write(number, self.model(rows, training=False))

        return self._loop(body, tf.shape(X)[0] // batch)[0].concat()

    def _epoch(self, rows: tuple[Any, ...], order: Any, rates: Any, dials: Any, whole: Any) -> tuple[Any, Any]:
        tf = self._tf
        size, done, seed = tf.unstack(whole)

        def body(number: Any, logits: Any, norms: Any) -> tuple[Any, Any, Any]:
            batch = order[number * size : (number + 1) * size]
            drawn = tuple(tf.gather(one, batch) for one in rows)
            found, norm = self._step(drawn, dials, rates[number], tf.stack([seed, done + number + 1]))
            return number + 1, logits.write(number, found), norms.write(number, norm)

        logits, norms = self._loop(body, tf.size(rates), tf.TensorArray(tf.float32, tf.size(rates)))
        return logits.concat(), norms.stack()

    def _loop(self, body: Callable[..., tuple[Any, ...]], times: Any, *arrays: Any) -> tuple[Any, ...]:
        """What `body` writes in so many turns: logits, and into further `arrays`."""
        tf, form = self._tf, (None, self.model.output_shape[1])
        logits = tf.TensorArray(tf.float32, times, infer_shape=False, element_shape=form)
        start = (tf.constant(0), logits, *arrays)
        return tuple(tf.while_loop(lambda number, *_: number < times, body, start, parallel_iterations=1)[1:])

    def _step(self, rows: tuple[Any, ...], dials: Any, rate: Any, key: Any) -> tuple[Any, Any]:
        tf, (X, y, weight) = self._tf, rows
        decay, dropout, clip, gamma, augment = tf.unstack(dials)
        self._rate.assign(dropout)
        self._key.assign(key)
        X = tf.cast(X, self.model.input.dtype)
        X = tf.cond(augment > 0, lambda: self._vary(X, key, augment), lambda: X)
        with tf.GradientTape() as tape:
            logits = self.model(X, training=True)
        slopes = _slopes(tf, logits, y, gamma) * (weight / tf.cast(tf.shape(weight), tf.float32))[:, None]
        found = tape.gradient(logits, self._trained, output_gradients=slopes)
        found, norm = tf.clip_by_global_norm([tf.convert_to_tensor(one) for one in found], clip)
        for variable in self._decayed:
            variable.assign_sub(variable * (rate * decay))
        now = tf.cast(key[1], tf.float32)
        state = {"beta1_power": BETA_1**now, "beta2_power": BETA_2**now, "lr": rate}
        fixed = {"beta1": BETA_1, "beta2": BETA_2, "epsilon": float(ADAM_EPSILON)}
        for variable, (mean, square), gradient in zip(self._trained, self._slots, found, strict=True):
            slots = {"var": variable.handle, "m": mean.handle, "v": square.handle}
            tf.raw_ops.ResourceApplyAdam(**slots, **state, **fixed, grad=gradient)
        return logits, norm

    def _dropout(self) -> Any:
        """A dropout layer whose rate is a number that goes in, and whose mask depends on seed, step and layer alone."""
        import keras

        tf, rate, key = self._tf, self._rate, self._key
        self._dropouts += 1
        layer = self._dropouts

        class Dropout(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
            def call(self, x: Any, training: bool = False) -> Any:
                if not training:
                    return x
                own = tf.stack([key[0] + layer, key[1]])
                return tf.cond(rate > 0, lambda: tf.nn.experimental.stateless_dropout(x, rate, own), lambda: x)

        return Dropout()


def _slopes(tf: Any, logits: Any, y: Any, gamma: Any) -> Any:
    """`Loss.slopes` in TensorFlow, `gamma` being a tensor: at 0 the focus is 1 for every row."""
    if logits.shape[1] == 1:
        signed = tf.where(y[:, None] == 1, logits, -logits)
        log_p = tf.math.log_sigmoid(signed)
        slopes = tf.sigmoid(logits) - tf.cast(y[:, None], tf.float32)
    else:
        own = tf.one_hot(y, logits.shape[1])
        log_p = tf.reduce_sum(tf.nn.log_softmax(logits) * own, axis=1, keepdims=True)
        slopes = tf.nn.softmax(logits) - own
    rest = tf.maximum(-tf.math.expm1(log_p), TINY)
    return slopes * (rest**gamma - gamma * tf.exp(log_p) * log_p * rest ** (gamma - 1))


def _draws(model: Any, rng: np.random.Generator) -> Iterator[tuple[Any, Floats]]:
    """Every weight that its layer draws at random, with a new draw."""
    for layer in model._flatten_layers(include_self=False):
        for weight in layer._trainable_variables:
            initializer = getattr(layer, f"{weight.name.removesuffix('_kernel')}_initializer", None)
            if initializer is not None and "seed" in initializer.get_config():
                seeded = type(initializer).from_config({**initializer.get_config(), "seed": int(rng.integers(2**31))})
                yield weight, np.array(seeded(weight.shape))


@cache
def _settle() -> None:
    """Once in a process: one thread, and no operation whose result depends on timing."""
    import tensorflow as tf

    with suppress(RuntimeError):  # TensorFlow runs already, with the threads that this process gave it
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)
    tf.config.experimental.enable_op_determinism()
    tf.random.set_seed(0)  # without one, plain `fit` of an exported model could no longer shuffle


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
