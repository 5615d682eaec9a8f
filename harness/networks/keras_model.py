"""A Keras model with two compiled functions: an epoch of training, and a prediction.

Both are traced once, whatever the number of rows, the batch size and the hyperparameters: the batch dimension is dynamic, so
that a smaller last batch is exact, batch norm included.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache, lru_cache
from itertools import chain
from threading import Lock
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.networks.losses import MIN_COMPLEMENT, Floats
from harness.networks.optimizer import ADAM_EPSILON, BETA_1, BETA_2
from harness.networks.rows import WeightedRows

KerasWeights: TypeAlias = list[npt.NDArray[Any]]  #: in the order of `keras.Model.weights`
RowOrder: TypeAlias = npt.NDArray[np.int64]

CACHE_SIZE = 8  #: number of compiled models kept, 15 MB each; building one takes a second
PREDICTION_BATCH = 64  #: rows predicted together
NOT_DECAYED = ("bias", "gamma", "beta", "embeddings")  #: variables that weight decay leaves alone: it acts on kernels


class KerasArchitecture(Protocol):
    """Architecture of a network: hashable, and equal for equal networks, which then share one compiled model."""

    def __hash__(self) -> int: ...

    @property
    def dtype(self) -> str:
        """Data type of the rows, such as "uint8"."""

    def build(self, dropout: Callable[[], Any]) -> Any:
        """Build the model.

        Parameters
        ----------
        dropout : callable
            Returns a dropout layer. There must be no other randomness in the model.

        Returns
        -------
        keras.Model
            A model of one input whose last layer has a bias and outputs the logits. Layers that are not `trainable` stay
            unchanged in training.
        """

    def augment(self, X: Any, key: Any, amount: Any) -> Any:
        """Change training rows at random.

        Parameters
        ----------
        X : tensor of shape (n_rows, …), float
            The rows.
        key : tensor of two integers
            Seed of the random numbers.
        amount : scalar tensor
            Strength of the changes, above 0.

        Returns
        -------
        tensor of the same shape
        """


class StepSettings(NamedTuple):
    """Hyperparameters that can differ between fits without a new trace."""

    weight_decay: float
    dropout: float
    clip: float
    gamma: float
    augment: float


@lru_cache(maxsize=CACHE_SIZE)
def get_compiled(architecture: KerasArchitecture) -> CompiledPredictor:
    """Return the compiled model of an architecture, which all fits of this process share."""
    _configure_tensorflow()
    return CompiledPredictor(architecture)


class CompiledPredictor:
    """A Keras model with the state of an optimiser, and compiled functions for an epoch and a prediction.

    Parameters
    ----------
    architecture : KerasArchitecture
        Builds the model.

    Attributes
    ----------
    lock : Lock
        To be held during a fit or a prediction.
    model : keras.Model
        The model.
    initial_weights : list of arrays
        The weights with which the model was built.
    """

    def __init__(self, architecture: KerasArchitecture) -> None:
        import tensorflow as tf

        self.lock = Lock()
        self._tf, self._augment = tf, architecture.augment
        self._rate, self._key = tf.Variable(0.0), tf.Variable([0, 0])
        self._dropouts = 0
        self.model = architecture.build(self._dropout_layer)
        self.initial_weights = self.weights()
        self._trained, self._decayed, self._moments = [], [], []
        for trained_variable in self.model.trainable_variables:
            self._trained.append(trained_variable.value)
            self._moments.append(tuple(tf.Variable(tf.zeros_like(trained_variable.value)) for _ in ("mean", "square")))
            if trained_variable.name not in NOT_DECAYED:
                self._decayed.append(trained_variable.value)
        rows = tf.TensorSpec((None, *self.model.input_shape[1:]), architecture.dtype)
        labels, float_vector_spec = tf.TensorSpec((None,), tf.int64), tf.TensorSpec((None,), tf.float32)
        settings, step_counters = tf.TensorSpec((len(StepSettings._fields),), tf.float32), tf.TensorSpec((3,), tf.int32)
        function_signature = ((rows, labels, float_vector_spec), labels, float_vector_spec, settings, step_counters)
        options = {"autograph": False, "jit_compile": False}
        self.run_epoch = tf.function(self._run_epoch, input_signature=function_signature, **options)
        self.infer = tf.function(self._infer_logits, input_signature=(rows, tf.TensorSpec((), tf.int32)), **options)

    def start_fit(self, weights: KerasWeights, settings: StepSettings, batch_size: int, seed: int) -> None:
        """Prepare for a fit: set the initial weights, reset the optimiser, and seed the random numbers.

        Parameters
        ----------
        weights : list of arrays
            Initial weights.
        settings : StepSettings
            Hyperparameters of the steps.
        batch_size : int
            Rows per step.
        seed : int
            Seed of dropout and augmentation.
        """
        self.set_weights(weights)
        for moment_variable in chain.from_iterable(self._moments):
            moment_variable.assign(self._tf.zeros_like(moment_variable))
        self._settings, self._batch_size = np.array(settings, np.float32), batch_size
        self._seed = int(np.random.SeedSequence(seed).generate_state(1)[0] >> 1)

    def to_tensors(self, rows: WeightedRows) -> tuple[Any, ...]:
        """Return features, labels and weights as tensors."""
        return tuple(map(self._tf.constant, (rows.X, rows.y, rows.weight)))

    def train_epoch(self, tensors: tuple[Any, ...], order: RowOrder, rates: Floats, done: int) -> tuple[Floats, Floats]:
        """Train for one epoch.

        Parameters
        ----------
        tensors : tuple of tensors
            Rows from `to_tensors`.
        order : array of shape (n_rows,)
            Order of the rows, from which batches are cut.
        rates : array of shape (n_batches,)
            Learning rate of every step.
        done : int
            Number of steps made so far.

        Returns
        -------
        logits : array of shape (n_rows, n_outputs)
            Logits of every row before its step, in the order of the rows.
        norms : array of shape (n_batches,)
            Norm of every gradient before clipping.
        """
        step_counters = np.array([self._batch_size, done, self._seed], np.int32)
        ordered_logits, gradient_norms = self.run_epoch(tensors, order, rates, self._settings, step_counters)
        logits = np.empty(ordered_logits.shape, np.float32)
        logits[order] = ordered_logits
        return logits, gradient_norms.numpy()

    def logits(self, X: npt.NDArray[Any], batch_size: int = PREDICTION_BATCH) -> Floats:
        """Return the logits (n_rows, n_outputs) of rows, predicted in batches of one shape, the last one padded."""
        missing_rows = -len(X) % batch_size if len(X) else batch_size
        padded_rows = np.concatenate([X, np.zeros((missing_rows, *X.shape[1:]), X.dtype)]) if missing_rows else X
        logits: Floats = self.infer(padded_rows, batch_size).numpy()
        return logits[: len(X)]

    def set_weights(self, weights: KerasWeights) -> None:
        """Set the weights of the model."""
        for model_variable, array in zip(self.model.weights, weights, strict=True):
            model_variable.assign(array)

    def weights(self) -> KerasWeights:
        """Return copies of the weights."""
        return [model_variable.value.numpy().copy() for model_variable in self.model.weights]

    def _infer_logits(self, X: Any, batch_size: Any) -> Any:
        tf = self._tf

        def loop_body(number: Any, logits: Any) -> tuple[Any, Any]:
            rows = tf.cast(X[number * batch_size : (number + 1) * batch_size], self.model.input.dtype)
            return number + 1, logits.write(number, self.model(rows, training=False))

        return self._loop_over_batches(loop_body, tf.shape(X)[0] // batch_size)[0].concat()

    def _run_epoch(
        self, row_tensors: tuple[Any, ...], row_order: Any, learning_rates: Any, settings: Any, step_counters: Any
    ) -> tuple[Any, Any]:
        tf = self._tf
        size, done, seed = tf.unstack(step_counters)

        def loop_body(number: Any, logits: Any, gradient_norms: Any) -> tuple[Any, Any, Any]:
            positions = row_order[number * size : (number + 1) * size]
            batch = tuple(tf.gather(row_tensor, positions) for row_tensor in row_tensors)
            batch_logits, gradient_norm = self._make_training_step(
                batch, settings, learning_rates[number], tf.stack([seed, done + number + 1])
            )
            return number + 1, logits.write(number, batch_logits), gradient_norms.write(number, gradient_norm)

        logits, gradient_norms = self._loop_over_batches(
            loop_body, tf.size(learning_rates), tf.TensorArray(tf.float32, tf.size(learning_rates))
        )
        return logits.concat(), gradient_norms.stack()

    def _loop_over_batches(
        self, loop_body: Callable[..., tuple[Any, ...]], iteration_count: Any, *arrays: Any
    ) -> tuple[Any, ...]:
        """Run `loop_body` repeatedly; it writes logits and into further `arrays`, which are returned."""
        tf, logits_shape = self._tf, (None, self.model.output_shape[1])
        logits = tf.TensorArray(tf.float32, iteration_count, infer_shape=False, element_shape=logits_shape)
        start_values = (tf.constant(0), logits, *arrays)
        return tuple(
            tf.while_loop(lambda number, *_: number < iteration_count, loop_body, start_values, parallel_iterations=1)[
                1:
            ]
        )

    def _make_training_step(
        self, batch: tuple[Any, ...], settings: Any, learning_rate: Any, key: Any
    ) -> tuple[Any, Any]:
        """Make one step of AdamW; return the logits of the batch and the norm of the gradient."""
        tf, (X, y, row_weights) = self._tf, batch
        step_settings = StepSettings(*tf.unstack(settings))
        self._rate.assign(step_settings.dropout)
        self._key.assign(key)
        X = tf.cast(X, self.model.input.dtype)
        X = tf.cond(step_settings.augment > 0, lambda: self._augment(X, key, step_settings.augment), lambda: X)
        with tf.GradientTape() as gradient_tape:
            logits = self.model(X, training=True)
        scale = (row_weights / tf.cast(tf.shape(row_weights), tf.float32))[:, None]
        logits_gradient = loss_gradient(logits, y, step_settings.gamma) * scale
        gradients = gradient_tape.gradient(logits, self._trained, output_gradients=logits_gradient)
        gradients, gradient_norm = tf.clip_by_global_norm(
            list(map(tf.convert_to_tensor, gradients)), step_settings.clip
        )
        for trained_variable in self._decayed:
            trained_variable.assign_sub(trained_variable * (learning_rate * step_settings.weight_decay))
        step = tf.cast(key[1], tf.float32)
        adam_powers = {"beta1_power": BETA_1**step, "beta2_power": BETA_2**step, "lr": learning_rate}
        adam_constants = {"beta1": BETA_1, "beta2": BETA_2, "epsilon": float(ADAM_EPSILON)}
        for trained_variable, (mean, squared_gradient_mean), gradient in zip(
            self._trained, self._moments, gradients, strict=True
        ):
            variable_handles = {"var": trained_variable.handle, "m": mean.handle, "v": squared_gradient_mean.handle}
            tf.raw_ops.ResourceApplyAdam(**variable_handles, **adam_powers, **adam_constants, grad=gradient)
        return logits, gradient_norm

    def _dropout_layer(self) -> Any:
        """Make a dropout layer whose rate is an input, and whose mask depends on seed, step and layer alone."""
        import keras

        tf, dropout_rate, key = self._tf, self._rate, self._key
        self._dropouts += 1
        layer = self._dropouts

        class Dropout(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
            def call(self, x: Any, training: bool = False) -> Any:
                if not training:
                    return x
                layer_key = tf.stack([key[0] + layer, key[1]])
                return tf.cond(
                    dropout_rate > 0,
                    lambda: tf.nn.experimental.stateless_dropout(x, dropout_rate, layer_key),
                    lambda: x,
                )

        return Dropout()


def loss_gradient(logits: Any, y: Any, gamma: Any) -> Any:
    """Compute `Loss.gradient` in TensorFlow, with one formula for every `gamma`: at 0 the focus is 1 for all rows."""
    import tensorflow as tf

    if logits.shape[1] == 1:
        signed_logits = tf.where(y[:, None] == 1, logits, -logits)
        log_p = tf.math.log_sigmoid(signed_logits)
        gradient = tf.sigmoid(logits) - tf.cast(y[:, None], tf.float32)
    else:
        true_class = tf.one_hot(y, logits.shape[1])
        log_p = tf.reduce_sum(tf.nn.log_softmax(logits) * true_class, axis=1, keepdims=True)
        gradient = tf.nn.softmax(logits) - true_class
    complement_probability = tf.maximum(-tf.math.expm1(log_p), MIN_COMPLEMENT)
    return gradient * (
        complement_probability**gamma - gamma * tf.exp(log_p) * log_p * complement_probability ** (gamma - 1)
    )


@cache
def _configure_tensorflow() -> None:
    """Configure the process once: one thread, and no operation whose result depends on timing."""
    import tensorflow as tf

    with suppress(RuntimeError):  # TensorFlow already runs, with the threads that this process configured
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        for gpu_device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu_device, True)
    tf.config.experimental.enable_op_determinism()
    tf.random.set_seed(0)  # without a seed, plain `fit` of an exported model could no longer shuffle
