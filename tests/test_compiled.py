"""The compiled training loop: held against plain Keras, exact to the byte, traced once, bounded in memory."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest

from harness.errors import EvenhandError
from harness.networks.history import EarlyStopping
from harness.networks.losses import Loss
from harness.networks.rows import WeightedRows

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

from harness.networks.keras_export import compile_model
from harness.networks.keras_model import CACHE_SIZE, StepSettings, get_compiled, loss_gradient
from harness.networks.keras_training import (
    KerasTrainConfig,
    initial_weights,
    predict_logits,
    train_compiled_network,
    weights_of_built_model,
)

CONFIG = KerasTrainConfig(
    learning_rate=5e-3, batch_size=64, epochs=1, patience=9, dropout=0.0, weight_decay=0.05, clip=0.3
)


@dataclass(frozen=True)
class Net:
    """Dense, batch norm, ReLU, dropout, a skip connection, logits."""

    units: int = 12
    outputs: int = 1
    dtype = "float32"

    def build(self, dropout):
        layers = keras.layers
        x = entry = keras.Input((7,))
        x = layers.Dense(self.units, use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = dropout()(layers.ReLU()(x))
        x = layers.Add()([x, layers.Dense(self.units)(dropout()(x))])
        return keras.Model(entry, layers.Dense(self.outputs, kernel_initializer="zeros")(x))

    def augment(self, X, key, amount):
        return X + amount * tf.random.stateless_normal(tf.shape(X), key)


def rows_of(n=300, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 7)).astype("float32")
    score = X[:, :classes] * 2 + rng.gumbel(size=(n, classes))
    score[:, 0] += 1 + X[:, 0] * X[:, 1]
    weight = rng.uniform(0.2, 3, n)
    return WeightedRows(X, score.argmax(axis=1), (weight / weight.mean()).astype("float32"))


def fit(net, config, rows, validation=None, *, gamma=0.0, seed=0):
    classes = max(net.outputs, 2)
    stopping = EarlyStopping(Loss(classes, gamma), rows, validation, config.patience)
    weights = train_compiled_network(
        net, initial_weights(net, np.random.default_rng(seed), stopping.prior_logits), config, stopping, seed
    )
    return weights, stopping.history(config.batch_size)


@pytest.mark.parametrize(("outputs", "gamma"), [(1, 0.0), (1, 2.0), (4, 0.0), (4, 1.5)])
def test_an_epoch_equals_an_epoch_of_plain_keras_fit(outputs, gamma):
    """Batch norm, a skip connection, sample weights, a smaller last batch, decay and clipping: equal weights after it."""
    net, config = Net(outputs=outputs), replace(CONFIG, rate_schedule="constant")
    loss = Loss(max(outputs, 2), gamma)
    rows = rows_of(classes=loss.classes)
    start = initial_weights(net, np.random.default_rng(1), np.zeros(outputs, "float32"))
    start[-2] = np.random.default_rng(2).normal(size=start[-2].shape).astype("float32") / 3  # as if training had begun

    logits = net.build(lambda: keras.layers.Dropout(0.0))
    logits.set_weights(start)
    model = compile_model(logits, config, loss)
    order = np.random.default_rng(3).permutation(len(rows.y))
    target = rows.y[:, None] if outputs == 1 else np.eye(outputs, dtype="float32")[rows.y]
    model.fit(
        rows.X[order],
        target[order],
        sample_weight=rows.weight[order],
        batch_size=64,
        epochs=1,
        shuffle=False,
        verbose=0,
    )

    ours = train_compiled_network(net, start, config, EarlyStopping(loss, rows, None, 9), seed=3)
    for one, other in zip(ours, model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    proba = model.predict(rows.X, verbose=0)
    expected = loss.probabilities(predict_logits(net, ours, rows.X))
    np.testing.assert_allclose(proba, expected[:, 1:] if outputs == 1 else expected, atol=1e-4)


@pytest.mark.parametrize(("classes", "gamma"), [(2, 0.0), (2, 0.5), (2, 3.0), (4, 0.0), (4, 2.0)])
def test_gradient_are_those_of_the_loss_also_where_rows_are_certain(classes, gamma):
    loss, rng = Loss(classes, gamma), np.random.default_rng(0)
    logits = np.concatenate([rng.normal(size=(20, loss.outputs)), 60 * rng.normal(size=(20, loss.outputs))])
    logits, y = logits.astype("float32"), rng.integers(0, classes, 40)
    gradient = loss_gradient(tf.constant(logits), tf.constant(y), tf.constant(gamma))
    np.testing.assert_allclose(gradient, loss.gradient(logits, y), atol=2e-6)


FIT = """
import sys; sys.path.insert(0, {folder!r})
from test_compiled import CONFIG, Net, fit, replace, rows_of
config = replace(CONFIG, epochs=3, dropout=0.3, augment=0.2)
weights, history = fit(Net(), config, rows_of(), rows_of(90, seed=1), seed=5)
print(__import__("hashlib").sha256(b"".join(one.tobytes() for one in weights)).hexdigest(), history.validation_loss)
"""


def test_same_seed_same_bytes_whatever_was_fitted_before_and_in_another_process(request):
    config = replace(CONFIG, epochs=3, dropout=0.3, augment=0.2)
    first, history = fit(Net(), config, rows_of(), rows_of(90, seed=1), seed=5)
    fit(Net(), replace(config, batch_size=32), rows_of(250), seed=6)
    again, _ = fit(Net(), config, rows_of(), rows_of(90, seed=1), seed=5)
    assert all(one.tobytes() == other.tobytes() for one, other in zip(first, again, strict=True))
    other, _ = fit(Net(), config, rows_of(), rows_of(90, seed=1), seed=7)
    assert (other[0] != first[0]).any()

    code = FIT.format(folder=str(request.path.parent))
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    digest = hashlib.sha256(b"".join(one.tobytes() for one in first)).hexdigest()
    assert said == f"{digest} {history.validation_loss}\n"


def test_dropout_and_augmentation_change_the_training():
    rows = rows_of()
    plain, _ = fit(Net(), CONFIG, rows)
    dropped, _ = fit(Net(), replace(CONFIG, dropout=0.4), rows)
    varied, _ = fit(Net(), replace(CONFIG, augment=0.5), rows)
    assert all((one[0] != plain[0]).any() for one in (dropped, varied))


def test_one_trace_serves_all_fits_of_a_shape():
    net = Net(units=9)
    for number, config in enumerate(
        [
            CONFIG,
            replace(CONFIG, learning_rate=1e-3, weight_decay=0.0, clip=5.0, epochs=2),
            replace(CONFIG, dropout=0.5, batch_size=32, augment=0.1, rate_schedule="constant"),
        ]
    ):
        weights, _ = fit(net, config, rows_of(200 + 13 * number), rows_of(70 + number), gamma=float(number))
        predict_logits(net, weights, rows_of(10 + number).X)
    assert get_compiled(net) is get_compiled(Net(units=9))
    assert get_compiled(net).run_epoch.experimental_get_tracing_count() == 1
    assert get_compiled(net).infer.experimental_get_tracing_count() == 1


def test_memory_does_not_grow_with_fits_nor_without_end_with_shapes():
    """Forty fits of four shapes; more shapes than are kept."""
    psutil = pytest.importorskip("psutil")
    rows, memory = rows_of(), psutil.Process().memory_info
    for units in (16, 17, 18, 19):
        fit(Net(units), CONFIG, rows)
    before = memory().rss
    for number in range(36):
        fit(Net(16 + number % 4), replace(CONFIG, dropout=number / 100), rows, seed=number)
    assert memory().rss - before < 30e6
    for units in range(20, 21 + CACHE_SIZE):
        get_compiled(Net(units))
    assert get_compiled.cache_info().currsize == CACHE_SIZE


def test_the_best_epoch_is_restored():
    """A network stopped after its best epoch equals one that was never trained beyond it."""
    rows, validation = rows_of(120), rows_of(60, seed=1)
    noise = WeightedRows(
        rows.X, np.random.default_rng(0).integers(0, 2, 120), rows.weight
    )  # every later epoch is worse
    config = replace(CONFIG, learning_rate=0.02, epochs=40, patience=3, rate_schedule="constant")
    stopped, history = fit(Net(64), config, noise, validation)
    assert len(history.validation_loss) == history.epoch + 3 < 40
    assert history.validation_bounded[history.epoch - 1] == min(history.validation_bounded)
    short, short_history = fit(Net(64), replace(config, epochs=history.epoch), noise)
    assert short_history.validation_loss == ()
    for one, other in zip(stopped, short, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_network_begins_at_the_class_shares():
    rows = rows_of(classes=3)
    stopping = EarlyStopping(Loss(3), rows, None, 1)
    for start in (
        initial_weights(Net(outputs=3), np.random.default_rng(0), stopping.prior_logits),
        weights_of_built_model(Net(outputs=3), stopping.prior_logits),
    ):
        proba = Loss(3).probabilities(predict_logits(Net(outputs=3), start, rows.X))
        np.testing.assert_allclose(proba, np.tile(stopping.class_shares, (len(proba), 1)), atol=1e-5)


def test_the_logits_of_an_epoch_are_in_the_order_of_the_rows():
    """With one batch of all rows they are those of the network before the step."""
    rows, net = rows_of(), Net()
    compiled, order = get_compiled(net), np.random.default_rng(1).permutation(300)
    compiled.start_fit(
        initial_weights(net, np.random.default_rng(0), np.ones(1, "float32")), StepSettings(0, 0, 1, 0, 0), 300, 0
    )
    compiled.model.weights[-2].assign(np.arange(12)[:, None] / 10)
    expected = compiled.model(rows.X, training=True)
    logits, norms = compiled.train_epoch(compiled.to_tensors(rows), order, np.array([0.1], "float32"), 0)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert norms.shape == (1,)


def test_a_cycle_rises_falls_to_nothing_and_is_made_to_its_end():
    config = replace(CONFIG, learning_rate=0.1, epochs=8, patience=2, min_steps=100, min_patience=0)
    rates = config.learning_rate_per_step(100)
    assert rates.argmax() == 10
    assert rates.max() == pytest.approx(0.1)
    assert rates[0] == pytest.approx(0.01)
    assert 0 < rates[-1] < 1e-4
    assert (config.scaled_to(64).epochs, config.scaled_to(64).patience) == (100, 100)
    constant = replace(config, rate_schedule="constant")
    assert set(constant.learning_rate_per_step(9)) == {np.float32(0.1)}
    assert (constant.scaled_to(6400).epochs, constant.scaled_to(6400).patience) == (8, 2)


def test_the_logits_of_a_row_do_not_depend_on_the_other_rows():
    rows = rows_of()
    weights, _ = fit(Net(), CONFIG, rows)
    logits = predict_logits(Net(), weights, rows.X)
    for part in (slice(0, 1), slice(5, 70), slice(131, 300)):
        np.testing.assert_array_equal(predict_logits(Net(), weights, rows.X[part]), logits[part])
    assert predict_logits(Net(), weights, rows.X[:0]).shape == (0, 1)


def test_divergence_is_reported_in_one_line():
    with pytest.raises(EvenhandError, match=r"training diverged.*learning rate"):
        fit(Net(), replace(CONFIG, learning_rate=1e30, epochs=3, clip=1e30), rows_of())
