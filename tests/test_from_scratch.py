"""The network written to be read: its derivatives, its descent, its classifier, and the walk-through."""

import subprocess
import sys
from itertools import chain

import numpy as np
import pytest
from harness.searchspaces.network_from_scratch import FAMILY, build

from harness.errors import DataError, EvenhandError
from harness.networks.from_scratch import (
    SCRATCH_ACTIVATIONS,
    AdamState,
    DescentConfig,
    ScratchClassifier,
    backward,
    cross_entropy,
    forward,
    make_adam_step,
    map_networks,
    new_network,
    run_gradient_descent,
)
from harness.networks.rows import WeightedRows
from harness.networks.walkthrough import finite_differences, train_on_spirals
from harness.registry.space import defaults


def table(rows=400, columns=7, classes=2, seed=0):
    """Standardised columns, and uneven classes that depend on them, not on all in a straight line."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, columns)).astype("float32")
    score = X[:, :classes] @ rng.normal(size=(classes, classes)) * 2 + rng.gumbel(size=(rows, classes))
    score[:, 0] += 1 + X[:, 0] * X[:, 1]
    return X, score.argmax(axis=1)


def lesson(classes, activation):
    """A small network with hidden layers of different widths, and weighted rows."""
    X, y = table(rows=40, classes=classes)
    weight = np.random.default_rng(1).uniform(0.2, 3, len(y))
    network = new_network([7, 6, 5, classes], SCRATCH_ACTIVATIONS[activation], np.random.default_rng(2))
    return network, X.astype("float64"), y, weight


def quick(seed=0, **params):
    return build(seed, **{"units": 16, "epochs": 6, **params})


def same(one, other, **tolerance):
    for a, b in zip(chain(*one), chain(*other), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


@pytest.mark.parametrize("activation", SCRATCH_ACTIVATIONS)
@pytest.mark.parametrize("classes", [2, 3])
def test_one_walk_back_gives_what_moving_every_weight_gives(classes, activation):
    network, X, y, weight = lesson(classes, activation)
    activation_function = SCRATCH_ACTIVATIONS[activation]
    fast = backward(network, activation_function, forward(network, activation_function, X), y, weight)
    slow = finite_differences(
        lambda moved: cross_entropy(forward(moved, activation_function, X)[-1], y, weight), network
    )
    same(fast, slow, rtol=1e-6, atol=1e-10)
    assert all(np.abs(array).max() > 1e-3 for array in chain(*fast)), "derivatives of nothing would agree as well"


@pytest.mark.parametrize("activation", SCRATCH_ACTIVATIONS)
@pytest.mark.parametrize("classes", [2, 3])
def test_tensorflow_finds_the_same_loss_and_derivatives(classes, activation):
    tf = pytest.importorskip("tensorflow")
    network, X, y, weight = lesson(classes, activation)
    activation_function, variables = SCRATCH_ACTIVATIONS[activation], [tf.Variable(one) for one in chain(*network)]
    with tf.GradientTape() as tape:
        h = X
        for kernel, bias in zip(variables[:-2:2], variables[1:-2:2], strict=True):
            h = getattr(tf.nn, activation)(h @ kernel + bias)
        each_row = tf.nn.sparse_softmax_cross_entropy_with_logits(y, h @ variables[-2] + variables[-1])
        value = tf.reduce_mean(each_row * weight)
    stages = forward(network, activation_function, X)
    assert cross_entropy(stages[-1], y, weight) == pytest.approx(float(value), rel=1e-12)
    theirs = [one.numpy() for one in tape.gradient(value, variables)]
    same(backward(network, activation_function, stages, y, weight), [theirs], rtol=1e-9, atol=1e-15)


def test_adam_takes_the_steps_of_keras():
    keras = pytest.importorskip("keras")
    network, X, y, weight = lesson(3, "tanh")
    variables = [keras.Variable(one, dtype="float64") for one in chain(*network)]
    theirs = keras.optimizers.Adam(0.01, epsilon=1e-12)
    zeros = map_networks(np.zeros_like, network)
    state = AdamState(zeros, zeros)
    for _ in range(5):
        gradient = backward(
            network, SCRATCH_ACTIVATIONS["tanh"], forward(network, SCRATCH_ACTIVATIONS["tanh"], X), y, weight
        )
        theirs.apply_gradients(zip(map(keras.ops.convert_to_tensor, chain(*gradient)), variables, strict=True))
        network, state = make_adam_step(network, gradient, state, 0.01)
    same(network, [[one.numpy() for one in variables]], rtol=1e-5, atol=1e-6)


def test_logits_of_any_size_have_a_finite_loss():
    y, weight = np.array([0, 1]), np.ones(2)
    assert cross_entropy(np.zeros((2, 2)), y, weight) == pytest.approx(np.log(2))
    assert cross_entropy(np.array([[1e4, -1e4], [-1e4, 1e4]]), y, weight) == 0
    assert cross_entropy(np.array([[-1e4, 1e4], [-1e4, 1e4]]), y, weight) == 1e4


def test_descending_changes_no_network_in_place():
    network, X, y, weight = lesson(2, "relu")
    before = map_networks(np.copy, network)
    rows = WeightedRows(X.astype("float32"), y, weight.astype("float32"))
    epochs = list(
        run_gradient_descent(
            network, SCRATCH_ACTIVATIONS["relu"], rows, DescentConfig(epochs=30), np.random.default_rng(0)
        )
    )
    same(network, before, rtol=0)
    assert epochs[-1][1] < epochs[0][1] / 1.2


@pytest.mark.parametrize("activation", SCRATCH_ACTIVATIONS)
@pytest.mark.parametrize("classes", [2, 3])
def test_the_keras_model_predicts_the_same_and_can_be_trained_on(classes, activation, tmp_path):
    keras = pytest.importorskip("keras")
    X, y = table(classes=classes)
    fitted = quick(activation=activation, layers=3).fit(X, y)
    fitted.keras_model().save(tmp_path / "network.keras")
    model = keras.saving.load_model(tmp_path / "network.keras")
    proba = model.predict(X, verbose=0)
    ours = fitted.predict_proba(X)
    np.testing.assert_allclose(ours[:, 1:] if classes == 2 else ours, proba, atol=1e-5)
    model.fit(X, y if classes == 2 else np.eye(3)[y], verbose=0)


def test_curves_are_those_of_every_network():
    X, y = table()
    history = quick().fit(X[:300], y[:300], validation=(X[300:], y[300:])).history
    assert len(history.gradient_norm) == len(history.train_average_precision) == len(history.seconds) == 6
    assert min(history.gradient_norm) > 0
    assert set(history.learning_rate) == {2e-3}
    assert history.train_loss[-1] < history.train_loss[0]


def test_a_penalty_makes_kernels_small():
    X, y = table()
    size = {p: abs(quick(penalty=p, epochs=40).fit(X, y).network_[0].kernel).mean() for p in (1e-4, 0.3)}
    assert size[0.3] < size[1e-4] / 2


def test_the_best_epoch_is_restored():
    """A network stopped after its best epoch equals one that was never trained beyond it."""
    X, y = table(rows=200)
    noise = (X[:150], np.random.default_rng(0).integers(0, 2, 150))  # nothing to learn: later epochs are worse
    params = {"learning_rate": 0.02, "penalty": 1e-4, "patience": 3}
    stopped = quick(**params, epochs=50).fit(*noise, validation=(X[150:], y[150:]))
    history = stopped.history
    assert len(history.train_loss) == len(history.validation_loss) == history.epoch + 3 < 50
    assert history.validation_bounded[history.epoch - 1] == min(history.validation_bounded)
    short = quick(**params, epochs=history.epoch).fit(*noise)
    assert short.history.validation_loss == ()
    assert (short.predict_proba(X) == stopped.predict_proba(X)).all()


def test_a_moved_prior_alone_does_not_stop_a_network():
    """Validation rows count as if their classes had the shares of the weighted or resampled training rows."""
    X, y = table(rows=600)
    held, train = np.arange(100), np.arange(100, 600)
    weight = np.where(y[train] == 1, 9.0, 1.0)
    share = weight[y[train] == 1].sum() / weight.sum()
    for rows, weights in ((train, weight), (np.repeat(train, weight.astype(int)), None)):
        fitted = quick(epochs=1).fit(X[rows], y[rows], weights, (X[held], y[held]))
        losses = -np.log(fitted.predict_proba(X[held])[held, y[held]])
        expected = (1 - share) * losses[y[held] == 0].mean() + share * losses[y[held] == 1].mean()
        assert fitted.history.validation_loss[0] == pytest.approx(expected, rel=1e-4)


def test_weights_count_relative_to_each_other():
    X, y = table()
    weight = np.where(y == 1, 4.0, 1.0)
    plain = quick().fit(X, y).predict_proba(X)
    heavy = quick().fit(X, y, weight).predict_proba(X)
    np.testing.assert_array_equal(quick().fit(X, y, np.ones(len(y))).predict_proba(X), plain)
    np.testing.assert_array_equal(quick().fit(X, y, 8 * weight).predict_proba(X), heavy)
    assert heavy[:, 1].mean() > plain[:, 1].mean() + 0.05


@pytest.mark.parametrize("classes", [2, 4])
def test_probabilities_are_float32_and_sum_to_one_in_the_order_of_the_classes(classes):
    X, y = table(rows=5000, classes=classes)
    names = np.array(["d", "a", "c", "b"])[y]
    fitted = build(0, epochs=15).fit(X, names, validation=(X[:500], names[:500]))
    proba = fitted.predict_proba(X)
    assert proba.dtype == np.float32
    assert list(fitted.classes_) == sorted(set(names))
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-6)
    assert (fitted.predict(X) == names).mean() > 0.7
    np.testing.assert_allclose(fitted.predict_proba(X[4500:4501]), proba[4500:4501], atol=1e-6)
    assert fitted.parameters == 7 * 32 + 32 + 32 * 32 + 32 + 32 * classes + classes


def test_a_seed_decides_everything():
    X, y = table()
    first, second, other = (quick(seed).fit(X, y).predict_proba(X) for seed in (3, 3, 4))
    assert first.tobytes() == second.tobytes()
    assert (first != other).any()


def test_divergence_and_rows_that_cannot_be_learned_from_are_reported_in_one_line():
    X, y = table()
    with pytest.raises(EvenhandError, match=r"training diverged.*learning rate 1e\+200"):
        quick(learning_rate=1e200, activation="relu").fit(X, y)
    with pytest.raises(DataError, match="two classes"):
        quick().fit(X, np.zeros(len(y), int))
    with pytest.raises(DataError, match="NaN or infinite"):
        quick().fit(np.where(X > 2, np.nan, X), y)
    with pytest.raises(DataError, match="expected 7 columns"):
        quick().fit(X, y).predict_proba(X[:, 1:])


def test_the_declared_defaults_are_the_defaults_of_the_classifier():
    assert build(0, **defaults(FAMILY.space)).__dict__ == ScratchClassifier(0).__dict__


def test_neither_the_family_nor_the_walk_through_needs_tensorflow_or_scikit_learn():
    code = (
        "import sys, numpy as np; from harness.searchspaces.network_from_scratch import FAMILY, build;"
        "import harness.networks.walkthrough; assert not FAMILY.needs;"
        "X = np.eye(4, dtype='float32'); build(0, epochs=1).fit(X, [0, 1, 0, 1]).predict_proba(X);"
        "sys.exit(bool({'tensorflow', 'keras', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_spirals_are_learned_and_new_rows_of_them_recognised():
    lesson = train_on_spirals()
    assert lesson.accuracy(0, lesson.test) < 0.6
    assert lesson.accuracy(-1, lesson.test) > 0.95


def test_the_walk_through_is_the_same_every_time_and_is_written_where_it_is_asked_for(evenhand, tmp_path):
    code, said, _ = evenhand("explain", "backprop")
    assert code == 0
    assert [line[0] for line in said.splitlines() if line[1:3] == ". "] == list("123456")
    assert max(map(len, said.splitlines())) <= 120
    assert "p = softmax(z) = (0.559, 0.441)" in said  # exp(0.5677) / (exp(0.5677) + exp(0.3308))
    differences = [
        float(line.split()[-1]) for line in said.splitlines() if line.startswith(("   1 ", "   2 ")) and "(" in line
    ]
    assert len(differences) == 17
    assert max(differences) < 1e-6
    code, again, _ = evenhand("explain", "backprop", "--out", "here")
    assert code == 0
    written = (tmp_path / "here" / "backprop.txt").read_text(encoding="utf-8")
    assert said.startswith(written)
    assert again.startswith(written)


def test_the_picture_is_drawn_beside_the_text(evenhand, tmp_path):
    evenhand("explain", "backprop", "--out", "with")
    assert (tmp_path / "with" / "backprop.png").read_bytes().startswith(b"\x89PNG")


def test_topics_are_listed_and_what_cannot_be_explained_is_said_in_a_line(evenhand, tmp_path):
    assert evenhand("explain")[1].startswith("backprop ")
    code, _, said = evenhand("explain", "backdrop")
    assert (code, said) == (2, "evenhand: unknown topic 'backdrop': did you mean 'backprop'? (evenhand explain)\n")
    (tmp_path / "file").write_text("in the way")
    code, _, said = evenhand("explain", "backprop", "--out", "file")
    assert code == 2
    assert said.startswith("evenhand: cannot write file/backprop.txt")
    assert "evenhand explain backprop" in evenhand("explain", "--help")[1]


def test_the_layers_that_are_listed_hold_all_parameters():
    X, y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3
    fitted = ScratchClassifier(0, (5, 6)).fit(X, y)
    assert [layer.shape for layer in fitted.architecture] == [(4,), (5,), (6,), (3,)]
    assert sum(layer.parameters for layer in fitted.architecture) == fitted.parameters
