"""Trained networks as ordinary compiled Keras models."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from harness.networks import from_scratch
from harness.networks.dense import EPSILON, MOMENTUM, DenseNetwork, DenseShape
from harness.networks.keras_model import NOT_DECAYED
from harness.networks.losses import Loss
from harness.networks.optimizer import INITIAL_RATE_SHARE, WARM_UP_SHARE, TrainConfig
from harness.networks.recurrent import RecurrentNetwork


def dense_to_keras(network: DenseNetwork, config: TrainConfig, loss: Loss, steps: int = 0) -> Any:
    """Convert a dense network. Optimiser and loss are those of the training, so that plain `fit` continues it.

    Parameters
    ----------
    network : DenseNetwork
        The network.
    config : TrainConfig
        How it was trained.
    loss : Loss
        Training loss.
    steps : int, default 0
        Number of steps that the learning-rate schedule spans; 0 for a constant learning rate.

    Returns
    -------
    keras.Model
        A compiled functional model of ordinary layers. For two classes it has a sigmoid output (n_rows, 1), the probability of
        class 1; for more a softmax (n_rows, n_classes), whose `fit` expects one-hot labels.
    """
    import keras

    model = _build_dense(keras, network.shape, config.dropout, _output_activation(loss.outputs))
    _set_dense_weights(model, network)
    _compile_model(model, _keras_adamw(keras, config, ("bias", "gamma", "beta"), steps), keras_loss(keras, loss))
    return model


def recurrent_to_keras(network: RecurrentNetwork, config: TrainConfig, loss: Loss) -> Any:
    """Convert a recurrent network. Optimiser and loss are those of the training, at a constant learning rate.

    Parameters
    ----------
    network : RecurrentNetwork
        The network.
    config : TrainConfig
        How it was trained.
    loss : Loss
        Training loss.

    Returns
    -------
    keras.Model
        A compiled model from tokens (n_rows, length) of any length to probabilities, as those of `dense_to_keras`.
    """
    import keras

    shape, weights = network.shape, network.weights
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    known_tokens = keras.ops.where(tokens < shape.vocabulary, tokens, 1)
    x = keras.layers.Embedding(shape.vocabulary, shape.embedding, mask_zero=True, name="embedding")(known_tokens)
    if config.dropout:
        x = keras.layers.SpatialDropout1D(config.dropout, name="channel_dropout")(x)
    cell_type = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[shape.cell]
    layer = cell_type(shape.units, return_sequences=True, return_state=True, name=shape.cell)
    if shape.bidirectional:
        layer = keras.layers.Bidirectional(layer, name=f"{shape.cell}_both_ways")
    all_states, *final_states = layer(x)
    last_states = final_states[:: len(final_states) // shape.directions]  # an LSTM also returns its cells
    mean_state = keras.layers.GlobalAveragePooling1D(name="mean_state")(all_states)
    x = keras.layers.Concatenate(name="last_and_mean")([*last_states, mean_state])
    if config.dropout:
        x = keras.layers.Dropout(config.dropout, name="dropout")(x)
    output_layer = keras.layers.Dense(loss.outputs, activation=_output_activation(loss.outputs), name="probabilities")
    model = keras.Model(tokens, output_layer(x), name="recurrent_network")
    model.get_layer("embedding").set_weights([weights.embedding])
    arrays = list(chain.from_iterable((cell.kernel, cell.recurrent, cell.bias) for cell in weights.directions))
    if shape.cell == "lstm":
        arrays[2::3] = map(np.ravel, arrays[2::3])  # an LSTM has a single bias, which Keras stores as a vector
    layer.set_weights(arrays)
    output_layer.set_weights([weights.kernel, weights.bias[0]])
    keras_optimizer = keras.optimizers.Adam(config.learning_rate, global_clipnorm=config.clip)
    _compile_model(model, keras_optimizer, keras_loss(keras, loss))
    return model


def scratch_to_keras(network: from_scratch.ScratchNetwork, activation: str, config: from_scratch.DescentConfig) -> Any:
    """Convert a network from `harness.networks.from_scratch`.

    Parameters
    ----------
    network : list of DenseLayer
        The network.
    activation : str
        Activation of the hidden layers.
    config : DescentConfig
        How it was trained.

    Returns
    -------
    keras.Sequential
        A compiled model with outputs as those of `dense_to_keras`: two logits become a sigmoid of their difference.
    """
    import keras

    layers, weight_penalty = keras.layers, keras.regularizers.L2(config.penalty / 2)
    kernel, bias = network[-1]
    if len(bias) == 2:
        kernel, bias = kernel[:, 1:] - kernel[:, :1], bias[1:] - bias[:1]
    model = keras.Sequential([keras.Input((len(network[0].kernel),), name="rows")], name="network_from_scratch")
    for layer_number, layer in enumerate(network[:-1], start=1):
        hidden_layer = layers.Dense(
            len(layer.bias), activation, kernel_regularizer=weight_penalty, name=f"dense_{layer_number}"
        )
        model.add(hidden_layer)
        hidden_layer.set_weights(layer)
    output_layer = layers.Dense(
        len(bias), _output_activation(len(bias)), kernel_regularizer=weight_penalty, name="probabilities"
    )
    model.add(output_layer)
    output_layer.set_weights([kernel, bias])
    keras_optimizer = keras.optimizers.Adam(config.learning_rate, epsilon=from_scratch.EPSILON)
    _compile_model(model, keras_optimizer, keras_loss(keras, Loss(max(len(bias), 2))))
    return model


def compile_model(logits: Any, config: TrainConfig, loss: Loss) -> Any:
    """Turn a Keras model of logits into a compiled model of probabilities, whose plain `fit` continues the training.

    Parameters
    ----------
    logits : keras.Model
        The model.
    config : TrainConfig
        Learning rate, weight decay and clipping.
    loss : Loss
        Training loss.

    Returns
    -------
    keras.Model
        For two classes a sigmoid output (n_rows, 1), the probability of class 1; for more a softmax (n_rows, n_classes),
        whose `fit` expects one-hot labels.
    """
    import keras

    output_activation = keras.layers.Activation(_output_activation(loss.outputs), name="probabilities")
    model = keras.Model(logits.input, output_activation(logits.output), name=logits.name)
    _compile_model(model, _keras_adamw(keras, config, NOT_DECAYED), keras_loss(keras, loss))
    return model


def keras_loss(keras: Any, loss: Loss) -> Any:
    """Return the Keras loss for outputs that are probabilities.

    Parameters
    ----------
    keras : module
        The imported package.
    loss : Loss
        The loss of logits.

    Returns
    -------
    str or keras.losses.Loss
    """
    if loss.outputs == 1:
        return keras.losses.BinaryFocalCrossentropy(gamma=loss.gamma) if loss.gamma else "binary_crossentropy"
    if loss.gamma:
        return keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=loss.gamma)
    return "categorical_crossentropy"


def _output_activation(output_count: int) -> str:
    return "sigmoid" if output_count == 1 else "softmax"


def _compile_model(model: Any, keras_optimizer: Any, loss: Any) -> None:
    model.compile(keras_optimizer, loss, jit_compile=False)
    model.optimizer.build(model.trainable_variables)  # so that a saved model is read back without a warning


def _build_dense(keras_module: Any, shape: DenseShape, dropout_rate: float, output_activation: str) -> Any:
    """Build the untrained layers of a dense network."""
    layers = keras_module.layers
    rows = keras_module.Input((shape.columns + len(shape.levels),), name="rows")
    x = rows
    if shape.levels:
        embedded_levels = layers.Embedding(sum(shape.levels), shape.embedding, name="levels")(rows[:, shape.columns :])
        x = layers.Concatenate(name="entering")(
            [rows[:, : shape.columns], layers.Flatten(name="embedded")(embedded_levels)]
        )
    if shape.skip:
        x = layers.Dense(shape.units[0], name="dense_0")(x)
    for layer_number, layer_units in enumerate(shape.units, start=1):
        block_input = x
        x = layers.Dense(layer_units, use_bias=not shape.batch_norm, name=f"dense_{layer_number}")(x)
        if shape.batch_norm:
            batch_norm_settings = {
                "momentum": float(MOMENTUM),
                "epsilon": float(EPSILON),
                "name": f"batch_norm_{layer_number}",
            }
            x = layers.BatchNormalization(**batch_norm_settings)(x)
        x = layers.Activation(shape.activation, name=f"{shape.activation}_{layer_number}")(x)
        if dropout_rate:
            x = layers.Dropout(dropout_rate, name=f"dropout_{layer_number}")(x)
        if shape.skip:
            x = layers.Add(name=f"skip_{layer_number}")([block_input, x])
    x = layers.Dense(shape.outputs, activation=output_activation, name="probabilities")(x)
    return keras_module.Model(rows, x, name="dense_network")


def _set_dense_weights(model: Any, dense_network: DenseNetwork) -> None:
    shape, weights = dense_network.shape, dense_network.weights
    if shape.levels:
        model.get_layer("levels").set_weights([weights.embeddings])
    for index, (kernel, shift) in enumerate(zip(weights.kernels, weights.shifts, strict=True)):
        layer = index - shape.skip
        name = "probabilities" if layer == len(shape.units) else f"dense_{layer + 1}"
        if shape.batch_norm and dense_network.is_hidden(layer):
            model.get_layer(name).set_weights([kernel])
            batch_norm_weights = [weights.scales[layer], shift, *dense_network.running_statistics[layer]]
            model.get_layer(f"batch_norm_{layer + 1}").set_weights(batch_norm_weights)
        else:
            model.get_layer(name).set_weights([kernel, shift])


def _keras_adamw(keras_module: Any, config: TrainConfig, undecayed_names: Sequence[str], steps: int = 0) -> Any:
    """Configure Keras's AdamW to make the steps of the training, in which some variables do not decay."""
    learning_rate: Any = config.learning_rate
    if steps and config.rate_schedule == "cosine":
        learning_rate = keras_module.optimizers.schedules.CosineDecay(learning_rate, steps)
    elif steps and config.rate_schedule == "one_cycle":
        warm_up = {"warmup_target": learning_rate, "warmup_steps": round(WARM_UP_SHARE * steps)}
        decay_steps = steps - warm_up["warmup_steps"]
        learning_rate = keras_module.optimizers.schedules.CosineDecay(
            INITIAL_RATE_SHARE * learning_rate, decay_steps, **warm_up
        )
    keras_optimizer = keras_module.optimizers.AdamW(
        learning_rate, weight_decay=config.weight_decay, global_clipnorm=config.clip
    )
    keras_optimizer.exclude_from_weight_decay(var_names=list(undecayed_names))
    return keras_optimizer
