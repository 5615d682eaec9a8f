"""A trained recurrent network as an ordinary Keras model."""

from __future__ import annotations

from typing import Any

from harness.networks.keras_export import keras_loss
from harness.networks.losses import Loss
from harness.networks.optimizer import Schedule
from harness.networks.recurrent import Network


def to_keras(network: Network, schedule: Schedule, loss: Loss) -> Any:
    """A compiled `keras.Model` with the weights of `network`, from tokens (n, length) of any length to probabilities.

    Two classes: one sigmoid output (n, 1), the probability of class 1; more: a softmax (n, k), and `fit` then expects
    one-hot labels. Optimiser and loss are those of the training, so that plain `fit` continues it, at a constant learning rate.
    """
    import keras

    shape, weights = network.shape, network.weights
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    known = keras.ops.where(tokens < shape.vocabulary, tokens, 1)
    x = keras.layers.Embedding(shape.vocabulary, shape.embedding, mask_zero=True, name="embedding")(known)
    if schedule.dropout:
        x = keras.layers.SpatialDropout1D(schedule.dropout, name="channel_dropout")(x)
    kind = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[shape.cell]
    layer = kind(shape.units, return_sequences=True, return_state=True, name=shape.cell)
    if shape.bidirectional:
        layer = keras.layers.Bidirectional(layer, name=f"{shape.cell}_both_ways")
    every, *states = layer(x)
    last = states[:: len(states) // shape.directions]  # an LSTM also returns its cells
    mean = keras.layers.GlobalAveragePooling1D(name="mean_state")(every)
    x = keras.layers.Concatenate(name="last_and_mean")([*last, mean])
    if schedule.dropout:
        x = keras.layers.Dropout(schedule.dropout, name="dropout")(x)
    activation = "sigmoid" if loss.outputs == 1 else "softmax"
    head = keras.layers.Dense(loss.outputs, activation=activation, name="probabilities")
    model = keras.Model(tokens, head(x), name="recurrent_network")
    model.get_layer("embedding").set_weights([weights.embedding])
    cells = [(one.kernel, one.recurrent, one.bias) for one in weights.directions]
    layer.set_weights(
        [array.reshape(-1) if shape.cell == "lstm" and len(array) == 1 else array for array in sum(cells, ())]
    )
    head.set_weights([weights.kernel, weights.bias[0]])
    model.compile(
        keras.optimizers.Adam(schedule.learning_rate, global_clipnorm=schedule.clip),
        keras_loss(keras, loss),
        jit_compile=False,
    )
    model.optimizer.build(model.trainable_variables)  # so that a saved model is read back without a warning
    return model
