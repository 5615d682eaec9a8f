"""The recurrent network: held against Keras, and what its classifier promises."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from harness.searchspaces.recurrent_network import FAMILY, build

from harness.errors import DataError, EvenhandError
from harness.networks.keras_export import recurrent_to_keras
from harness.networks.losses import Loss
from harness.networks.optimizer import Adam, TrainConfig
from harness.networks.recurrent import RecurrentShape, backward, forward, new_network, split_flat_parameters
from harness.networks.recurrent_classifier import RecurrentClassifier, draw_batches, train_epoch, validate_tokens
from harness.networks.rows import WeightedRows
from harness.registry.space import defaults

CELLS = [(cell, both) for cell in ("lstm", "gru") for both in (False, True)]
PLAIN = TrainConfig(batch_size=32, dropout=0.0, weight_decay=0.0, clip=0.3, learning_rate=5e-3)


def messages(rows=300, classes=2, words=25, seed=0):
    """Sequences of 1 to 9 words; the class is which of the words 2, 3, … comes first in a row, mostly none: class 0."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 10, rows)
    X = np.where(np.arange(9) < lengths[:, None], rng.integers(1, words, (rows, 9)), 0).astype(np.int32)
    telling = (X >= 2) & (classes >= X)
    first = X[np.arange(rows), telling.argmax(axis=1)]
    return X, np.where(telling.any(axis=1), first - 1, 0)


def quick(seed=0, **params):
    small = {
        "units": 8,
        "embedding": 6,
        "epochs": 8,
        "min_steps": 0,
        "min_patience": 0,
        "learning_rate": 0.02,
        "rate_schedule": "constant",
    }
    return build(seed, **{**small, "batch_size": 32, **params})


def random_network(cell, both, outputs=1, words=25):
    """A network whose last kernel is not zero, as if training had begun."""
    rng = np.random.default_rng(2)
    network = new_network(RecurrentShape(words, outputs, 6, 8, cell, both), rng, np.zeros(outputs))
    network.weights.kernel[:] = rng.normal(size=network.weights.kernel.shape) / 3
    network.weights.embedding[1:] *= 10
    for direction in network.weights.directions:
        direction.bias[:] += rng.normal(size=direction.bias.shape).astype(np.float32) / 5
    return network


def flat_weights(model):
    return np.concatenate([np.ravel(one) for one in model.get_weights()])


def gradient_of(network, X, y, rate=0.0, seed=5):
    loss = Loss(2)
    logits, cache = forward(network, X, rate, np.random.default_rng(seed))
    gradient = split_flat_parameters(network.shape, np.full(network.shape.size, np.nan, np.float32))
    backward(network, cache, loss.gradient(logits, y) / np.float32(len(y)), gradient)
    return gradient


@pytest.mark.parametrize(
    ("cell", "both", "classes", "gamma"), [(*kind, 2, 0.0) for kind in CELLS] + [("gru", True, 3, 1.5)]
)
def test_an_epoch_equals_an_epoch_of_plain_keras_fit(cell, both, classes, gamma):
    """Equal weights, batches, padding and sample weights, a smaller last batch, clipping: equal weights after it."""
    pytest.importorskip("tensorflow")
    X, y = messages(rows=150, classes=classes)
    weight = np.random.default_rng(1).uniform(0.2, 3, len(y)).astype(np.float32)
    loss = Loss(classes, gamma)
    network = random_network(cell, both, loss.outputs)
    model = recurrent_to_keras(network, PLAIN, loss)
    np.testing.assert_array_equal(flat_weights(model), network.weights.flat)

    adam = Adam(PLAIN, *np.zeros((2, network.shape.size), np.float32))
    train_epoch(network, adam, loss, WeightedRows(X, y, weight), np.random.default_rng(3))
    order = np.concatenate(draw_batches(np.count_nonzero(X, axis=1), 32, np.random.default_rng(3)))
    target = y[order][:, None] if classes == 2 else np.eye(classes, dtype="float32")[y[order]]
    model.fit(X[order], target, sample_weight=weight[order], batch_size=32, epochs=1, shuffle=False, verbose=0)
    np.testing.assert_allclose(network.weights.flat, flat_weights(model), atol=1e-4)


@pytest.mark.parametrize(("cell", "both"), CELLS)
def test_gradients_are_those_of_tensorflow(cell, both):
    tf = pytest.importorskip("tensorflow")
    X, y = messages(rows=20)
    network = random_network(cell, both)
    model = recurrent_to_keras(network, PLAIN, Loss(2))
    with tf.GradientTape() as tape:
        p = model(X, training=True)[:, 0]
        mean_loss = -tf.reduce_mean(tf.math.log(tf.where(y == 1, p, 1 - p)))
    expected = [np.ravel(tf.convert_to_tensor(one)) for one in tape.gradient(mean_loss, model.trainable_weights)]
    np.testing.assert_allclose(gradient_of(network, X, y).flat, np.concatenate(expected), atol=1e-6)


@pytest.mark.parametrize(("cell", "both"), CELLS)
def test_gradients_are_differences_of_the_loss_under_the_same_dropout(cell, both):
    X, y = messages(rows=40)
    network = random_network(cell, both)
    gradient = gradient_of(network, X, y, rate=0.25).flat
    start, step = network.weights.flat.copy(), 1e-2
    for drawn in np.random.default_rng(0).normal(size=(5, len(start))) + np.sign(gradient):
        direction, losses = drawn / np.linalg.norm(drawn), []
        for sign in (1, -1):
            network.weights.flat[:] = start + sign * step * direction
            logits, _ = forward(network, X, 0.25, np.random.default_rng(5))
            losses.append(Loss(2).row_losses(logits, y).mean(dtype=np.float64))
        assert gradient @ direction == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=5e-3)


@pytest.mark.parametrize(("cell", "both", "classes"), [(*kind, 2) for kind in CELLS] + [("lstm", True, 3)])
def test_the_keras_model_predicts_what_the_classifier_predicts(cell, both, classes, tmp_path):
    keras = pytest.importorskip("keras")
    X, y = messages(classes=classes)
    fitted = quick(cell=cell, bidirectional=both).fit(X, y, validation=(X[:100], y[:100]))
    model = fitted.keras_model()
    model.save(tmp_path / "network.keras")
    new = X.copy()
    new[0, 0] = 99  # a word that was never trained on
    proba = keras.saving.load_model(tmp_path / "network.keras").predict(np.pad(new, ((0, 0), (0, 3))), verbose=0)
    ours = fitted.predict_proba(new)
    np.testing.assert_allclose(ours[:, 1:] if classes == 2 else ours, proba, atol=1e-5)
    assert fitted.parameters == sum(int(np.prod(one.shape)) for one in model.trainable_weights)


def test_training_goes_on_in_keras():
    pytest.importorskip("keras")
    X, y = messages()
    fitted = quick(epochs=2, learning_rate=5e-3).fit(X, y)
    made = fitted.keras_model().fit(X, y[:, None], epochs=3, verbose=0)
    assert made.history["loss"][-1] < fitted.history.train_loss[-1]


@pytest.mark.parametrize(("cell", "both"), CELLS)
def test_the_order_of_words_is_learned(cell, both):
    """Which of two words comes first: nothing that a bag of words could know."""
    rng = np.random.default_rng(0)
    X = rng.integers(4, 20, (1200, 6)).astype(np.int32)
    at = np.sort(np.array([rng.choice(6, 2, replace=False) for _ in X]), axis=1)
    y = rng.integers(0, 2, len(X))
    X[np.arange(len(X)), at[:, 0]], X[np.arange(len(X)), at[:, 1]] = 2 + y, 3 - y
    fitted = quick(cell=cell, bidirectional=both, epochs=20, dropout=0.0).fit(X[:900], y[:900])
    assert (fitted.predict(X[900:]) == y[900:]).mean() > 0.97


def test_more_padding_changes_no_prediction():
    X, y = messages()
    fitted = quick(bidirectional=True).fit(X, y, validation=(X[:90], y[:90]))
    padded = np.pad(X, ((0, 0), (0, 7)))
    assert (fitted.predict_proba(padded) == fitted.predict_proba(X)).all()
    again = quick(bidirectional=True).fit(padded, y, validation=(padded[:90], y[:90]))
    assert (again.predict_proba(X) == fitted.predict_proba(X)).all()


def test_a_word_that_was_never_trained_on_is_an_unknown_one():
    X, y = messages()
    fitted = quick().fit(X, y)
    new, unknown = X.copy(), X.copy()
    new[:, 0], unknown[:, 0] = 25, 1
    assert (fitted.predict_proba(new) == fitted.predict_proba(unknown)).all()


def test_batches_hold_every_row_once_and_rows_of_like_length():
    lengths = np.random.default_rng(0).integers(1, 50, 1000)
    made = draw_batches(lengths, 64, np.random.default_rng(1))
    assert sorted(np.concatenate(made)) == list(range(1000))
    assert [len(one) for one in made] == [64] * 15 + [40]
    assert sum(lengths[one].max() * len(one) for one in made) < 1.1 * lengths.sum()
    other = draw_batches(lengths, 64, np.random.default_rng(2))
    assert {frozenset(one) for one in made}.isdisjoint(frozenset(one) for one in other)


@pytest.mark.parametrize("params", [{}, {"cell": "lstm", "bidirectional": True}, {"loss": "focal"}, {"dropout": 0.0}])
def test_a_fit_is_to_the_byte_the_same_whatever_was_fitted_before(params):
    X, y = messages()
    fits = [
        {"X": X[:200], "y": y[:200], "validation": (X[200:], y[200:])},
        {"X": X[100:], "y": y[100:], "sample_weight": 1 + 3.0 * y[100:]},
    ]
    together = [quick(seed, **params).fit(**fit) for seed, fit in zip([4, 5], fits, strict=True)]
    for seed, fit, one in reversed(list(zip([4, 5], fits, together, strict=True))):
        alone = quick(seed, **params).fit(**fit)
        assert alone.network_.weights.flat.tobytes() == one.network_.weights.flat.tobytes()
        assert alone.history.validation_loss == one.history.validation_loss
    assert (quick(9, **params).fit(**fits[0]).predict_proba(X) != together[0].predict_proba(X)).any()


def test_the_best_epoch_is_restored():
    """A network stopped after its best epoch equals one that was never trained beyond it."""
    X, y = messages(rows=200)
    noise = (X[:150], np.random.default_rng(0).integers(0, 2, 150))  # nothing to learn: every later epoch is worse
    stopped = quick(epochs=40, patience=3, dropout=0.0).fit(*noise, validation=(X[150:], y[150:]))
    history = stopped.history
    assert len(history.train_loss) == len(history.validation_loss) == history.epoch + 3 < 40
    short = quick(epochs=history.epoch, dropout=0.0).fit(*noise)
    assert short.history.validation_loss == ()
    assert (short.predict_proba(X) == stopped.predict_proba(X)).all()


def test_the_learning_rate_falls_by_default():
    X, y = messages()
    rates = np.array(quick(rate_schedule="cosine", epochs=12).fit(X, y).history.learning_rate)
    assert len(rates) == 6
    assert (np.diff(rates) < 0).all()
    assert 0 < rates[-1] < rates[0] / 100


def test_weights_count_relative_to_each_other():
    X, y = messages()
    weight = np.where(y == 1, 4.0, 1.0)
    ones = quick(epochs=3).fit(X, y, np.ones(len(y))).predict_proba(X)
    np.testing.assert_array_equal(quick(epochs=3).fit(X, y).predict_proba(X), ones)
    weighted = quick(epochs=3).fit(X, y, weight).predict_proba(X)
    np.testing.assert_array_equal(quick(epochs=3).fit(X, y, 8 * weight).predict_proba(X), weighted)
    assert weighted[:, 1].mean() > ones[:, 1].mean() + 0.05


@pytest.mark.parametrize("classes", [2, 4])
def test_probabilities_are_float32_and_sum_to_one_in_the_order_of_the_classes(classes):
    X, y = messages(rows=900, classes=classes)
    names = np.array(["d", "a", "c", "b"])[y]
    fitted = quick(epochs=15).fit(X, names, validation=(X[:200], names[:200]))
    proba = fitted.predict_proba(X)
    assert proba.dtype == np.float32
    assert list(fitted.classes_) == sorted(set(names))
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    assert (fitted.predict(X) == names).mean() > 0.9
    np.testing.assert_allclose(fitted.predict_proba(X[:1]), proba[:1], atol=1e-6)


def test_a_fitted_classifier_survives_pickling():
    X, y = messages()
    fitted = quick(epochs=2).fit(X, y)
    assert (pickle.loads(pickle.dumps(fitted)).predict_proba(X) == fitted.predict_proba(X)).all()  # noqa: S301 -- our own


def test_divergence_and_rows_that_cannot_be_learned_from_are_reported_in_one_line():
    X, y = messages()
    with pytest.raises(EvenhandError, match=r"training diverged.*learning rate 1e\+30"):
        quick(learning_rate=1e30).fit(X, y)
    with pytest.raises(DataError, match="two classes"):
        quick().fit(X, np.zeros(len(y), int))
    with pytest.raises(DataError, match="differ in length"):
        quick().fit(X, y[1:])
    with pytest.raises(DataError, match=r"whole numbers.*float32"):
        quick().fit(X.astype("float32"), y)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([[1.0, np.nan]], "whole numbers"),
        ([["go", "now"]], "whole numbers"),
        ([1, 2], r"shape \(2,\)"),
        ([[2, -1]], "from -1 to 2"),
        ([[2**31, 1]], "from 1 to 2147483648"),
        ([[0, 0]], "padding"),
        ([[2, 0, 2]], "padding"),
        (np.empty((2, 0), int), "padding"),
    ],
)
def test_arrays_that_are_no_sequences_are_refused(X, message):
    with pytest.raises(DataError, match=message):
        validate_tokens(X)


def test_training_and_predicting_need_no_tensorflow():
    """Importing it takes seconds: only `keras_model` does."""
    code = (
        "import sys, numpy as np; from harness.searchspaces.recurrent_network import build;"
        "X = 1 + np.eye(4, dtype='int32'); build(0, epochs=1).fit(X, [0, 1, 0, 1]).predict_proba(X);"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_declared_defaults_are_the_defaults_of_the_classifier():
    assert build(0, **defaults(FAMILY.space)).__dict__ == RecurrentClassifier(0).__dict__


@pytest.mark.parametrize("params", [{}, {"cell": "lstm", "bidirectional": True, "dropout": 0.0}])
def test_the_layers_that_are_listed_are_those_of_the_keras_model(params):
    pytest.importorskip("tensorflow")
    from harness.searchspaces.recurrent_network import build

    tokens = np.random.default_rng(0).integers(1, 12, (40, 6)).astype("int32")
    fitted = build(0, units=16, embedding=16, epochs=1, **params).fit(tokens, np.arange(40) % 2)
    layers, model = fitted.architecture, fitted.keras_model()
    assert sum(layer.parameters for layer in layers) == fitted.parameters == model.count_params()
    assert all(model.get_layer(layer.name).count_params() == layer.parameters for layer in layers)
