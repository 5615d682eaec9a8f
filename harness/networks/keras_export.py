"""Dense networks as ordinary Keras models, and what other exports share."""

from __future__ import annotations

from typing import Any

from harness.networks import from_scratch
from harness.networks.dense import EPSILON, MOMENTUM, Network, Shape
from harness.networks.losses import Loss
from harness.networks.optimizer import FIRST, WARM_UP, Schedule


def to_keras(network: Network, schedule: Schedule, loss: Loss, steps: int = 0) -> Any:
    """A compiled functional `keras.Model` of ordinary layers with the weights of `network`: `predict` returns probabilities.

    Two classes: one sigmoid output (n, 1), the probability of class 1; more: a softmax (n, k), and `fit` then expects
    one-hot labels. Optimiser and loss are those of the training, so that plain `fit` continues it: at a constant learning
    rate, or with `steps` along the schedule's course over so many.
    """
    import keras

    model = _build(keras, network.shape, schedule.dropout, _output(loss.outputs))
    _fill(model, network)
    model.compile(_optimiser(keras, schedule, steps), keras_loss(keras, loss), jit_compile=False)
    model.optimizer.build(model.trainable_variables)  # so that a saved model is read back without a warning
    return model


def _build(keras: Any, shape: Shape, dropout: float, output: str) -> Any:
    """The layers of a network of this shape, untrained; `output` is the last activation."""
    layers = keras.layers
    rows = keras.Input((shape.columns + len(shape.levels),), name="rows")
    x = rows
    if shape.levels:
        codes = layers.Embedding(sum(shape.levels), shape.embedding, name="levels")(rows[:, shape.columns :])
        x = layers.Concatenate(name="entering")([rows[:, : shape.columns], layers.Flatten(name="embedded")(codes)])
    if shape.skip:
        x = layers.Dense(shape.units[0], name="dense_0")(x)
    for number, units in enumerate(shape.units, start=1):
        entering = x
        x = layers.Dense(units, use_bias=not shape.batch_norm, name=f"dense_{number}")(x)
        if shape.batch_norm:
            x = layers.BatchNormalization(
                momentum=float(MOMENTUM), epsilon=float(EPSILON), name=f"batch_norm_{number}"
            )(x)
        x = layers.Activation(shape.activation, name=f"{shape.activation}_{number}")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"dropout_{number}")(x)
        if shape.skip:
            x = layers.Add(name=f"skip_{number}")([entering, x])
    x = layers.Dense(shape.outputs, activation=output, name="probabilities")(x)
    return keras.Model(rows, x, name="dense_network")


def _output(outputs: int) -> str:
    return "sigmoid" if outputs == 1 else "softmax"


def _fill(model: Any, network: Network) -> None:
    shape, weights = network.shape, network.weights
    if shape.levels:
        model.get_layer("levels").set_weights([weights.embeddings])
    for at, (kernel, shift) in enumerate(zip(weights.kernels, weights.shifts, strict=True)):
        layer = at - shape.skip
        name = "probabilities" if layer == len(shape.units) else f"dense_{layer + 1}"
        if shape.batch_norm and 0 <= layer < len(shape.units):
            model.get_layer(name).set_weights([kernel])
            statistics = [weights.scales[layer], shift, *network.running[layer]]
            model.get_layer(f"batch_norm_{layer + 1}").set_weights(statistics)
        else:
            model.get_layer(name).set_weights([kernel, shift])


def _optimiser(keras: Any, schedule: Schedule, steps: int) -> Any:
    """Keras's AdamW doing what `Adam` does: embeddings and kernels decay, nothing else."""
    rate: Any = schedule.learning_rate
    if steps and schedule.course == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    elif steps and schedule.course == "one_cycle":
        warm = round(WARM_UP * steps)
        rate = keras.optimizers.schedules.CosineDecay(FIRST * rate, steps - warm, warmup_target=rate, warmup_steps=warm)
    made = keras.optimizers.AdamW(rate, weight_decay=schedule.weight_decay, global_clipnorm=schedule.clip)
    made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return made


def keras_loss(keras: Any, loss: Loss) -> Any:
    """The loss of that name in Keras, for outputs that are probabilities."""
    if loss.outputs == 1:
        return keras.losses.BinaryFocalCrossentropy(gamma=loss.gamma) if loss.gamma else "binary_crossentropy"
    if loss.gamma:
        return keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=loss.gamma)
    return "categorical_crossentropy"


def scratch_to_keras(network: from_scratch.Network, activation: str, how: from_scratch.Descent) -> Any:
    """A compiled `keras.Sequential` with the weights of a network from first principles; outputs as in `to_keras`.

    Two classes become one sigmoid: of the difference of their logits.
    """
    import keras

    layers, penalty = keras.layers, keras.regularizers.L2(how.penalty / 2)
    kernel, bias = network[-1]
    if len(bias) == 2:
        kernel, bias = kernel[:, 1:] - kernel[:, :1], bias[1:] - bias[:1]
    model = keras.Sequential([keras.Input((len(network[0].kernel),), name="rows")], name="network_from_scratch")
    for number, layer in enumerate(network[:-1], start=1):
        hidden = layers.Dense(len(layer.bias), activation, kernel_regularizer=penalty, name=f"dense_{number}")
        model.add(hidden)
        hidden.set_weights(layer)
    last = layers.Dense(len(bias), _output(len(bias)), kernel_regularizer=penalty, name="probabilities")
    model.add(last)
    last.set_weights([kernel, bias])
    optimiser = keras.optimizers.Adam(how.learning_rate, epsilon=from_scratch.EPSILON)
    model.compile(optimiser, keras_loss(keras, Loss(max(len(bias), 2))), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model
