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
from harness.networks.rows import Rows

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

from harness.networks.keras_model import KEPT, Dials, loss_slopes, machine
from harness.networks.keras_training import Course, built, finish, fresh, predict, train

COURSE = Course(learning_rate=5e-3, batch_size=64, epochs=1, patience=9, dropout=0.0, weight_decay=0.05, clip=0.3)


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

    def vary(self, X, key, amount):
        return X + amount * tf.random.stateless_normal(tf.shape(X), key)


def rows_of(n=300, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 7)).astype("float32")
    score = X[:, :classes] * 2 + rng.gumbel(size=(n, classes))
    score[:, 0] += 1 + X[:, 0] * X[:, 1]
    weight = rng.uniform(0.2, 3, n)
    return Rows(X, score.argmax(axis=1), (weight / weight.mean()).astype("float32"))


def fit(net, course, rows, validation=None, *, gamma=0.0, seed=0):
    classes = max(net.outputs, 2)
    watch = EarlyStopping(Loss(classes, gamma), rows, validation, course.patience)
    weights = train(net, fresh(net, np.random.default_rng(seed), watch.prior_logits), course, watch, seed)
    return weights, watch.history(course.batch_size)


@pytest.mark.parametrize(("outputs", "gamma"), [(1, 0.0), (1, 2.0), (4, 0.0), (4, 1.5)])
def test_an_epoch_equals_an_epoch_of_plain_keras_fit(outputs, gamma):
    """Batch norm, a skip connection, sample weights, a smaller last batch, decay and clipping: equal weights after it."""
    net, course = Net(outputs=outputs), replace(COURSE, course="constant")
    loss = Loss(max(outputs, 2), gamma)
    rows = rows_of(classes=loss.classes)
    start = fresh(net, np.random.default_rng(1), np.zeros(outputs, "float32"))
    start[-2] = np.random.default_rng(2).normal(size=start[-2].shape).astype("float32") / 3  # as if training had begun

    logits = net.build(lambda: keras.layers.Dropout(0.0))
    logits.set_weights(start)
    model = finish(logits, course, loss)
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

    ours = train(net, start, course, EarlyStopping(loss, rows, None, 9), seed=3)
    for one, other in zip(ours, model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    proba = model.predict(rows.X, verbose=0)
    expected = loss.probabilities(predict(net, ours, rows.X))
    np.testing.assert_allclose(proba, expected[:, 1:] if outputs == 1 else expected, atol=1e-4)


@pytest.mark.parametrize(("classes", "gamma"), [(2, 0.0), (2, 0.5), (2, 3.0), (4, 0.0), (4, 2.0)])
def test_slopes_are_those_of_the_loss_also_where_rows_are_certain(classes, gamma):
    loss, rng = Loss(classes, gamma), np.random.default_rng(0)
    logits = np.concatenate([rng.normal(size=(20, loss.outputs)), 60 * rng.normal(size=(20, loss.outputs))])
    logits, y = logits.astype("float32"), rng.integers(0, classes, 40)
    slopes = loss_slopes(tf.constant(logits), tf.constant(y), tf.constant(gamma))
    np.testing.assert_allclose(slopes, loss.slopes(logits, y), atol=2e-6)


FIT = """
import sys; sys.path.insert(0, {folder!r})
from test_compiled import COURSE, Net, fit, replace, rows_of
course = replace(COURSE, epochs=3, dropout=0.3, augment=0.2)
weights, history = fit(Net(), course, rows_of(), rows_of(90, seed=1), seed=5)
print(__import__("hashlib").sha256(b"".join(one.tobytes() for one in weights)).hexdigest(), history.validation_loss)
"""


def test_same_seed_same_bytes_whatever_was_fitted_before_and_in_another_process(request):
    course = replace(COURSE, epochs=3, dropout=0.3, augment=0.2)
    first, history = fit(Net(), course, rows_of(), rows_of(90, seed=1), seed=5)
    fit(Net(), replace(course, batch_size=32), rows_of(250), seed=6)
    again, _ = fit(Net(), course, rows_of(), rows_of(90, seed=1), seed=5)
    assert all(one.tobytes() == other.tobytes() for one, other in zip(first, again, strict=True))
    other, _ = fit(Net(), course, rows_of(), rows_of(90, seed=1), seed=7)
    assert (other[0] != first[0]).any()

    code = FIT.format(folder=str(request.path.parent))
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    digest = hashlib.sha256(b"".join(one.tobytes() for one in first)).hexdigest()
    assert said == f"{digest} {history.validation_loss}\n"


def test_dropout_and_augmentation_change_the_training():
    rows = rows_of()
    plain, _ = fit(Net(), COURSE, rows)
    dropped, _ = fit(Net(), replace(COURSE, dropout=0.4), rows)
    varied, _ = fit(Net(), replace(COURSE, augment=0.5), rows)
    assert all((one[0] != plain[0]).any() for one in (dropped, varied))


def test_one_trace_serves_all_fits_of_a_shape():
    net = Net(units=9)
    for number, course in enumerate(
        [
            COURSE,
            replace(COURSE, learning_rate=1e-3, weight_decay=0.0, clip=5.0, epochs=2),
            replace(COURSE, dropout=0.5, batch_size=32, augment=0.1, course="constant"),
        ]
    ):
        weights, _ = fit(net, course, rows_of(200 + 13 * number), rows_of(70 + number), gamma=float(number))
        predict(net, weights, rows_of(10 + number).X)
    assert machine(net) is machine(Net(units=9))
    assert machine(net).epoch.experimental_get_tracing_count() == 1
    assert machine(net).infer.experimental_get_tracing_count() == 1


def test_memory_does_not_grow_with_fits_nor_without_end_with_shapes():
    """Forty fits of four shapes; more shapes than are kept."""
    psutil = pytest.importorskip("psutil")
    rows, memory = rows_of(), psutil.Process().memory_info
    for units in (16, 17, 18, 19):
        fit(Net(units), COURSE, rows)
    before = memory().rss
    for number in range(36):
        fit(Net(16 + number % 4), replace(COURSE, dropout=number / 100), rows, seed=number)
    assert memory().rss - before < 30e6
    for units in range(20, 21 + KEPT):
        machine(Net(units))
    assert machine.cache_info().currsize == KEPT


def test_the_best_epoch_is_restored():
    """A network stopped after its best epoch equals one that was never trained beyond it."""
    rows, watched = rows_of(120), rows_of(60, seed=1)
    noise = Rows(rows.X, np.random.default_rng(0).integers(0, 2, 120), rows.weight)  # every later epoch is worse
    course = replace(COURSE, learning_rate=0.02, epochs=40, patience=3, course="constant")
    stopped, history = fit(Net(64), course, noise, watched)
    assert len(history.validation_loss) == history.epoch + 3 < 40
    assert history.validation_bounded[history.epoch - 1] == min(history.validation_bounded)
    short, unwatched = fit(Net(64), replace(course, epochs=history.epoch), noise)
    assert unwatched.validation_loss == ()
    for one, other in zip(stopped, short, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_network_begins_at_the_class_shares():
    rows = rows_of(classes=3)
    watch = EarlyStopping(Loss(3), rows, None, 1)
    for start in (
        fresh(Net(outputs=3), np.random.default_rng(0), watch.prior_logits),
        built(Net(outputs=3), watch.prior_logits),
    ):
        proba = Loss(3).probabilities(predict(Net(outputs=3), start, rows.X))
        np.testing.assert_allclose(proba, np.tile(watch.shares, (len(proba), 1)), atol=1e-5)


def test_the_logits_of_an_epoch_are_in_the_order_of_the_rows():
    """With one batch of all rows they are those of the network before the step."""
    rows, net = rows_of(), Net()
    engine, order = machine(net), np.random.default_rng(1).permutation(300)
    engine.begin(fresh(net, np.random.default_rng(0), np.ones(1, "float32")), Dials(0, 0, 1, 0, 0), 300, 0)
    engine.model.weights[-2].assign(np.arange(12)[:, None] / 10)
    expected = engine.model(rows.X, training=True)
    logits, norms = engine.learn(engine.load(rows), order, np.array([0.1], "float32"), 0)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert norms.shape == (1,)


def test_a_cycle_rises_falls_to_nothing_and_is_made_to_its_end():
    course = replace(COURSE, learning_rate=0.1, epochs=8, patience=2, least_steps=100, least_patience=0)
    rates = course.rates(100)
    assert rates.argmax() == 10
    assert rates.max() == pytest.approx(0.1)
    assert rates[0] == pytest.approx(0.01)
    assert 0 < rates[-1] < 1e-4
    assert (course.stretched(64).epochs, course.stretched(64).patience) == (100, 100)
    constant = replace(course, course="constant")
    assert set(constant.rates(9)) == {np.float32(0.1)}
    assert (constant.stretched(6400).epochs, constant.stretched(6400).patience) == (8, 2)


def test_a_row_gives_the_same_numbers_whatever_stands_beside_it():
    rows = rows_of()
    weights, _ = fit(Net(), COURSE, rows)
    logits = predict(Net(), weights, rows.X)
    for part in (slice(0, 1), slice(5, 70), slice(131, 300)):
        np.testing.assert_array_equal(predict(Net(), weights, rows.X[part]), logits[part])
    assert predict(Net(), weights, rows.X[:0]).shape == (0, 1)


def test_divergence_is_told_in_one_line():
    with pytest.raises(EvenhandError, match=r"training diverged.*learning rate"):
        fit(Net(), replace(COURSE, learning_rate=1e30, epochs=3, clip=1e30), rows_of())
