"""A built network and its two compiled functions: an epoch of training, and a prediction.

Both are traced once, whatever the number of rows, the batch size and the dials: a batch has a dynamic size, so that a
smaller last one is exact, batch norm included.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache, lru_cache
from threading import Lock
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.networks.losses import TINY, Floats
from harness.networks.optimizer import ADAM_EPSILON, BETA_1, BETA_2
from harness.networks.rows import Rows

Weights: TypeAlias = list[npt.NDArray[Any]]  #: in the order of `keras.Model.weights`
Order: TypeAlias = npt.NDArray[np.int64]

KEPT = 8  # built networks, 15 MB each; to build one again takes a second
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


class Dials(NamedTuple):
    """What may differ from fit to fit without a new trace."""

    weight_decay: float
    dropout: float
    clip: float
    gamma: float
    augment: float


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
        dials, whole = tf.TensorSpec((len(Dials._fields),), tf.float32), tf.TensorSpec((3,), tf.int32)
        signature = ((rows, labels, floats), labels, floats, dials, whole)
        plain = {"autograph": False, "jit_compile": False}
        self.epoch = tf.function(self._epoch, input_signature=signature, **plain)
        self.infer = tf.function(self._infer, input_signature=(rows, tf.TensorSpec((), tf.int32)), **plain)

    def begin(self, start: Weights, dials: Dials, batch_size: int, seed: int) -> None:
        """Make ready for a fit from the weights `start`: a new optimiser, the draws of `seed`."""
        self.put(start)
        for slot in (one for pair in self._slots for one in pair):
            slot.assign(self._tf.zeros_like(slot))
        self._dials, self._batch_size = np.array(dials, np.float32), batch_size
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
        missing = -len(X) % batch if len(X) else batch
        filled = np.concatenate([X, np.zeros((missing, *X.shape[1:]), X.dtype)]) if missing else X
        found: Floats = self.infer(filled, batch).numpy()
        return found[: len(X)]

    def put(self, weights: Weights) -> None:
        """Let the network have these weights."""
        for variable, values in zip(self.model.weights, weights, strict=True):
            variable.assign(values)

    def weights(self) -> Weights:
        """Copies of the weights."""
        return [one.value.numpy().copy() for one in self.model.weights]

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
        dial = Dials(*tf.unstack(dials))
        self._rate.assign(dial.dropout)
        self._key.assign(key)
        X = tf.cast(X, self.model.input.dtype)
        X = tf.cond(dial.augment > 0, lambda: self._vary(X, key, dial.augment), lambda: X)
        with tf.GradientTape() as tape:
            logits = self.model(X, training=True)
        slopes = loss_slopes(logits, y, dial.gamma) * (weight / tf.cast(tf.shape(weight), tf.float32))[:, None]
        found = tape.gradient(logits, self._trained, output_gradients=slopes)
        found, norm = tf.clip_by_global_norm([tf.convert_to_tensor(one) for one in found], dial.clip)
        for variable in self._decayed:
            variable.assign_sub(variable * (rate * dial.weight_decay))
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


def loss_slopes(logits: Any, y: Any, gamma: Any) -> Any:
    """`Loss.slopes` in TensorFlow, with one formula for any `gamma`: at 0 the focus is 1 for every row."""
    import tensorflow as tf

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
