"""A trained network as an ordinary Keras model. The only module here that imports Keras."""

from __future__ import annotations

from typing import Any

from harness.networks.dense import EPSILON, MOMENTUM, Network
from harness.networks.loss import Loss
from harness.networks.training import Schedule


def to_keras(network: Network, schedule: Schedule, loss: Loss) -> Any:
    """A compiled `keras.Sequential` with the weights of `network`: `predict` returns probabilities.

    Two classes: one sigmoid output (n, 1), the probability of class 1; more: a softmax (n, k), and `fit` then expects
    one-hot labels. Optimiser and loss are those of the training, so that plain `fit` continues it.
    """
    import keras

    shape, weights = network.shape, network.weights
    model = keras.Sequential([keras.Input((shape.columns,), name="rows")], name="dense_network")
    for number, units in enumerate(shape.units, start=1):
        model.add(keras.layers.Dense(units, use_bias=not shape.batch_norm, name=f"dense_{number}"))
        if shape.batch_norm:
            model.add(
                keras.layers.BatchNormalization(
                    momentum=float(MOMENTUM), epsilon=float(EPSILON), name=f"batch_norm_{number}"
                )
            )
        model.add(keras.layers.ReLU(name=f"relu_{number}"))
        if schedule.dropout:
            model.add(keras.layers.Dropout(schedule.dropout, name=f"dropout_{number}"))
    activation = "sigmoid" if loss.outputs == 1 else "softmax"
    model.add(keras.layers.Dense(shape.outputs, activation=activation, name="probabilities"))
    for number, kernel in enumerate(weights.kernels, start=1):
        shift = weights.shifts[number - 1]
        if number > len(shape.units):
            model.get_layer("probabilities").set_weights([kernel, shift])
        elif shape.batch_norm:
            model.get_layer(f"dense_{number}").set_weights([kernel])
            statistics = [weights.scales[number - 1], shift, *network.running[number - 1]]
            model.get_layer(f"batch_norm_{number}").set_weights(statistics)
        else:
            model.get_layer(f"dense_{number}").set_weights([kernel, shift])
    model.compile(_optimiser(keras, schedule), _loss(keras, loss), jit_compile=False)
    model.optimizer.build(model.trainable_variables)  # so that a saved model is read back without a warning
    return model


def _optimiser(keras: Any, schedule: Schedule) -> Any:
    optimiser = keras.optimizers.AdamW(
        schedule.learning_rate, weight_decay=schedule.weight_decay, global_clipnorm=schedule.clip
    )
    optimiser.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimiser


def _loss(keras: Any, loss: Loss) -> Any:
    if loss.outputs == 1:
        return keras.losses.BinaryFocalCrossentropy(gamma=loss.gamma) if loss.gamma else "binary_crossentropy"
    if loss.gamma:
        return keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=loss.gamma)
    return "categorical_crossentropy"
