"""The dense network: held against Keras, and what its classifier promises."""

import dataclasses
import functools
import pickle
import subprocess
import sys

import numpy as np
import pytest
from harness.searchspaces.dense_network import FAMILY, build

from harness.data.sources import data_directory
from harness.data.table import load_table
from harness.errors import DataError, EvenhandError, Unavailable
from harness.networks.activations import ACTIVATIONS
from harness.networks.dense import (
    RATE_STEPS,
    DenseShape,
    backward,
    forward,
    infer_logits,
    new_network,
    split_flat_parameters,
)
from harness.networks.dense_classifier import DenseClassifier
from harness.networks.history import CURVES, average_precision
from harness.networks.keras_export import dense_to_keras
from harness.networks.losses import Loss
from harness.networks.optimizer import RATE_SCHEDULES, Adam, TrainConfig, train_epoch
from harness.networks.rows import MixedRows, WeightedRows
from harness.preprocessing.tabular import fit_table_preprocessor
from harness.registry.registry import load_registry
from harness.registry.space import defaults


def table(rows=400, columns=7, classes=2, seed=0):
    """Standardised columns, and uneven classes that depend on them, not on all in a straight line."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, columns)).astype("float32")
    score = X[:, :classes] @ rng.normal(size=(classes, classes)) * 2 + rng.gumbel(size=(rows, classes))
    score[:, 0] += 1 + X[:, 0] * X[:, 1]
    return X, score.argmax(axis=1)


def mixed(rows=400, classes=2, seed=0):
    """The same with the third column cut into five levels and the fourth into two."""
    X, y = table(rows, classes=classes, seed=seed)
    codes = np.column_stack([np.searchsorted([-1, -0.5, 0.5, 1], X[:, 2]), X[:, 3] > 0])
    return MixedRows(X[:, [0, 1, 4, 5, 6]], codes.astype("int32"), (5, 2)), y


def quick(seed=0, **params):
    return build(seed, **{"units": 16, "epochs": 6, "min_steps": 0, "min_patience": 0, **params})


def curves_of(fitted):
    """What a seed decides: all but the seconds."""
    return dataclasses.replace(fitted.history, seconds=())


def rows_of(X, y, weight=None):
    return WeightedRows(X, y, np.ones(len(y), "float32") if weight is None else weight.astype("float32"))


def random_network(shape):
    """A network whose last kernel is not zero, as if training had begun."""
    rng = np.random.default_rng(2)
    network = new_network(shape, rng, np.zeros(shape.outputs))
    network.weights.kernels[-1][:] = rng.normal(size=network.weights.kernels[-1].shape) / 3
    return network


def states(network):
    return [network.weights.flat.copy(), *(statistics.copy() for statistics in network.running_statistics)]


def keras_states(model, network):
    """The weights of a Keras model in the order of `states`."""
    layers = [layer.get_weights() for layer in model.layers if layer.get_weights()]
    kernels = [one[0].ravel() for one in layers if one[0].ndim == 2]  # embeddings too, which come first
    shifts = [one[1] for one in layers if len(one) > 1]
    norms = [one for one in layers if len(one) == 4]
    flat = np.concatenate([*kernels, *shifts, *(one[0] for one in norms)])
    assert flat.shape == network.weights.flat.shape
    return [flat, *(np.stack(one[2:]) for one in norms)]


def one_epoch_of_both(shape, loss, config, X, y):
    """A network after an epoch of ours, and a Keras model of the same weights after one of plain `fit`."""
    weight = np.random.default_rng(1).uniform(0.2, 3, len(y))
    network, size = random_network(shape), shape.size
    steps = 2 * -(-len(y) // config.batch_size)  # the epoch is the first half of the schedule
    model = dense_to_keras(network, config, loss, steps)
    order = np.random.default_rng(3).permutation(len(y))
    adam = Adam(config, np.zeros(size, "float32"), np.zeros(size, "float32"), steps=steps)
    train_epoch(network, adam, loss, rows_of(X, y, weight), np.random.default_rng(3))
    target = y[order][:, None] if loss.classes == 2 else np.eye(loss.classes, dtype="float32")[y[order]]
    options = {"batch_size": config.batch_size, "epochs": 1, "shuffle": False, "verbose": 0}
    model.fit(X[order], target, sample_weight=weight[order], **options)
    return network, model


#: A smaller last batch, decay and clipping; sample weights are drawn where the epoch is made.
HARD = {"batch_size": 64, "dropout": 0.0, "weight_decay": 0.05, "clip": 0.3, "learning_rate": 5e-3}


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(("classes", "gamma"), [(2, 0.0), (2, 2.0), (4, 0.0), (4, 1.5)])
def test_an_epoch_equals_an_epoch_of_plain_keras_fit(batch_norm, classes, gamma):
    """Equal weights, batches and sample weights: equal weights after it, and equal predictions."""
    pytest.importorskip("tensorflow")
    X, y = table(rows=300, classes=classes)
    loss = Loss(classes, gamma)
    network, model = one_epoch_of_both(
        DenseShape(7, (12, 9), loss.outputs, batch_norm), loss, TrainConfig(**HARD), X, y
    )
    for ours, theirs in zip(states(network), keras_states(model, network), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize(
    ("schedule", "activation", "batch_norm", "levels"),
    [
        ("constant", "selu", True, ()),
        ("cosine", "gelu", False, ()),
        ("one_cycle", "relu", True, ()),
        ("constant", "selu", True, (3, 5)),
        ("cosine", "gelu", True, (3, 5)),
        ("one_cycle", "relu", True, (3, 5)),
    ],
)
def test_so_does_one_with_skip_connections_other_activations_embeddings_and_a_schedule(
    schedule, activation, batch_norm, levels
):
    pytest.importorskip("tensorflow")
    X, y = table(rows=320)
    rng = np.random.default_rng(4)
    codes = [start + rng.integers(0, count, len(y)) for start, count in zip((0, 3), levels, strict=False)]
    X = np.column_stack([X, *codes]).astype("float32")
    shape = DenseShape(7, (12, 12), 1, batch_norm, activation, skip=True, levels=levels, embedding=4 if levels else 0)
    # Keras clips by a norm in which a level that a batch repeats counts as several gradients, not as their sum.
    config = TrainConfig(**(HARD | {"clip": 1e6 if levels else 0.3}), rate_schedule=schedule)
    network, model = one_epoch_of_both(shape, Loss(2), config, X, y)
    for ours, theirs in zip(states(network), keras_states(model, network), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    proba = Loss(2).probabilities(infer_logits(network, X))[:, 1]
    np.testing.assert_allclose(proba, model.predict(X, verbose=0)[:, 0], atol=1e-4)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_those_that_keras_calls_by_these_names(name):
    keras = pytest.importorskip("keras")
    z = np.linspace(-12, 12, 4001, dtype="float32")
    x, _ = ACTIVATIONS[name].with_derivative(z.copy())
    np.testing.assert_allclose(x, np.asarray(keras.activations.get(name)(z)), atol=1e-6)
    np.testing.assert_array_equal(x, ACTIVATIONS[name].function(z.copy()))
    middle = (z[1:] + z[:-1]) / 2
    smooth = np.abs(middle) > 0.01
    rise = np.diff(x.astype("float64")) / np.diff(z)
    np.testing.assert_allclose(ACTIVATIONS[name].with_derivative(middle.copy())[1][smooth], rise[smooth], atol=1e-3)


def test_schedules_start_as_they_should_and_decaying_ones_end_near_zero():
    assert [schedule(1.0) for schedule in RATE_SCHEDULES.values()] == pytest.approx([1, 0, 0])
    assert RATE_SCHEDULES["one_cycle"](0.0) == pytest.approx(0.1)
    assert RATE_SCHEDULES["one_cycle"](0.1) == pytest.approx(1)
    X, y = table()
    fitted = quick(course="one_cycle", epochs=40).fit(X, y)
    rates = fitted.history.learning_rate
    assert len(rates) == 20
    assert max(rates) == pytest.approx(2e-3, rel=0.05)
    assert 0 < rates[-1] < 2e-3 / 100, "that of the last step, one before nothing"


def test_dropout_is_a_mask_that_keras_would_apply_alike():
    """Two layers under the same masks: the gradient of the loss equals TensorFlow's."""
    tf = pytest.importorskip("tensorflow")
    X, y = table(rows=50)
    loss, rate = Loss(2), 0.25
    network = random_network(DenseShape(7, (12, 9), 1))
    logits, cache = forward(network, X, rate, np.random.default_rng(5))
    gradient = split_flat_parameters(network.shape, np.empty(network.shape.size, "float32"))
    backward(network, X, cache, loss.gradient(logits, y) / np.float32(len(y)), gradient)

    rng = np.random.default_rng(5)
    masks = []
    for units in network.shape.units:
        words = rng.bit_generator.random_raw(-(-50 * units // 8)).view("uint8")[: 50 * units]
        masks.append((words >= rate * RATE_STEPS).reshape(50, units).astype("float32") / (1 - rate))
    variables = [tf.Variable(array) for array in (*network.weights.kernels, *network.weights.shifts)]
    with tf.GradientTape() as tape:
        h = tf.nn.relu(X @ variables[0] + variables[3]) * masks[0]
        h = tf.nn.relu(h @ variables[1] + variables[4]) * masks[1]
        logits = (h @ variables[2] + variables[5])[:, 0]
        mean_loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y.astype("float32"), logits))
    expected = np.concatenate([np.ravel(gradient) for gradient in tape.gradient(mean_loss, variables)])
    np.testing.assert_allclose(gradient.flat, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("classes", "params"),
    [
        (2, {"skip": False, "batch_norm": False}),
        (3, {"skip": False, "activation": "gelu"}),
        (3, {"embedding": 4}),
        (2, {"embedding": 4, "activation": "selu", "course": "cosine"}),
    ],
)
def test_the_keras_model_predicts_what_the_classifier_predicts(classes, params, tmp_path):
    keras = pytest.importorskip("keras")
    X, y = mixed(classes=classes)
    fitted = quick(layers=3, **params).fit(X, y, validation=(X[:100], y[:100]))
    model = fitted.keras_model()
    model.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    proba = again.predict(fitted.inputs(X), verbose=0)
    np.testing.assert_allclose(
        fitted.predict_proba(X)[:, 1] if classes == 2 else fitted.predict_proba(X),
        proba[:, 0] if classes == 2 else proba,
        atol=1e-5,
    )
    dense = [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert dense == [16] * (3 + fitted.skip) + [1 if classes == 2 else 3]
    assert fitted.parameters == sum(int(np.prod(one.shape)) for one in model.trainable_weights)
    again.fit(fitted.inputs(X), y if classes == 2 else np.eye(3)[y], verbose=0)  # and plain fit continues it


def test_categories_are_columns_or_vectors_and_two_levels_one_column_in_any_case():
    rows = MixedRows(np.array([[0.5], [2.0]], "float32"), np.array([[2, 1, 0, 1], [0, 0, 0, 2]], "int32"), (3, 2, 1, 4))
    assert rows.one_hot().tolist() == [[0.5, 0, 0, 1, 1, 0, 1, 0, 0], [2, 1, 0, 0, 0, 0, 0, 1, 0]]
    assert rows.index_encoded().tolist() == [[0.5, 1, 2, 3 + 1], [2, 0, 0, 3 + 2]]
    assert rows.embedded_categories == (0, 3)
    assert rows[np.array([1])].one_hot().tolist() == rows.one_hot()[1:].tolist()


def test_embeddings_learn_what_levels_mean():
    """Forty levels in two kinds, and which kind tells the class."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 40, (3000, 1)).astype("int32")
    y = ((codes[:, 0] * 7 % 40 < 20) ^ (rng.random(3000) < 0.05)).astype(int)
    X = MixedRows(rng.normal(size=(3000, 2)).astype("float32"), codes, (40,))
    fitted = build(0, embedding=4).fit(X[:2000], y[:2000], validation=(X[2000:2500], y[2000:2500]))
    assert (fitted.predict(X[2500:]) == y[2500:]).mean() > 0.93
    with pytest.raises(DataError, match="expected 3 columns"):
        fitted.predict_proba(X.one_hot())


@pytest.mark.parametrize(("classes", "gamma"), [(2, 0.0), (2, 0.5), (2, 3.0), (4, 0.0), (4, 2.0)])
def test_gradients_are_the_derivatives_of_the_losses(classes, gamma):
    loss, rng = Loss(classes, gamma), np.random.default_rng(0)
    logits = rng.normal(size=(20, loss.outputs))
    y = rng.integers(0, classes, 20)
    for column in range(loss.outputs):
        step = np.zeros(loss.outputs)
        step[column] = 1e-2
        rise = (loss.row_losses(logits + step, y) - loss.row_losses(logits - step, y)) / 2e-2
        np.testing.assert_allclose(loss.gradient(logits, y)[:, column], rise, atol=2e-4)


def test_gradients_stay_finite_for_rows_that_are_certain():
    y = np.array([1, 0, 1, 0])
    logits = np.array([[90.0], [-90.0], [-90.0], [90.0]], "float32")
    for gamma in (0.0, 0.5, 2.0):
        loss = Loss(2, gamma)
        assert np.isfinite(loss.gradient(logits, y)).all()
        assert np.isfinite(loss.row_losses(logits, y)).all()
        np.testing.assert_allclose(loss.gradient(logits, y)[:, 0], [0, 0, -1, 1], atol=1e-6)


def test_focal_loss_of_no_focus_is_cross_entropy():
    X, y = table()
    plain, focal = quick(), quick(loss="focal", gamma=0.0)
    assert (plain.fit(X, y).predict_proba(X) == focal.fit(X, y).predict_proba(X)).all()
    assert (quick(loss="focal").fit(X, y).predict_proba(X) != plain.predict_proba(X)).any()


@pytest.mark.parametrize("params", [{}, {"batch_norm": False}, {"loss": "focal"}, {"layers": 1}, {"dropout": 0.0}])
def test_a_fit_is_to_the_byte_the_same_whatever_was_fitted_before(params):
    """Unequal folds, weighted ones and ones without validation."""
    X, y = table()
    fits = [
        {"X": X[:300], "y": y[:300], "sample_weight": None, "validation": (X[300:], y[300:])},
        {"X": X[100:], "y": y[100:], "sample_weight": 1 + 3.0 * y[100:], "validation": (X[:100], y[:100])},
        {"X": X[50:307], "y": y[50:307], "sample_weight": None, "validation": None},
    ]
    together = [quick(seed, **params).fit(**fit) for seed, fit in zip([4, 5, 6], fits, strict=True)]
    for seed, fit, one in reversed(list(zip([4, 5, 6], fits, together, strict=True))):
        alone = quick(seed, **params).fit(**fit)
        assert alone.predict_proba(X).tobytes() == one.predict_proba(X).tobytes()
        assert curves_of(alone) == curves_of(one)
    assert (quick(9, **params).fit(**fits[0]).predict_proba(X) != together[0].predict_proba(X)).any()


def test_the_best_epoch_is_restored():
    """A network stopped after its best epoch equals one that was never trained beyond it."""
    X, y = table(rows=200)
    rng = np.random.default_rng(0)
    noise = (X[:150], rng.integers(0, 2, 150))  # nothing to learn: every later epoch is worse
    params = {"learning_rate": 0.02, "dropout": 0.0, "units": 64, "batch_norm": True, "patience": 3}
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
    repeated = np.repeat(train, weight.astype(int))
    share = weight[y[train] == 1].sum() / weight.sum()
    for rows, weights in ((train, weight), (repeated, None)):
        fitted = quick(epochs=1).fit(X[rows], y[rows], weights, (X[held], y[held]))
        proba = fitted.predict_proba(X[held])
        losses = -np.log(proba[held, y[held]])
        expected = (1 - share) * losses[y[held] == 0].mean() + share * losses[y[held] == 1].mean()
        assert fitted.history.validation_loss[0] == pytest.approx(expected, rel=1e-4)


def test_one_odd_row_among_few_of_a_rare_class_does_not_end_a_training_that_still_improves():
    rng = np.random.default_rng(2)
    y = (np.arange(500) % 10 == 0).astype(np.int64)
    X = rng.normal(size=(500, 8)).astype(np.float32)
    X[:, 0] += 3 * y
    validation_X, validation_y = X[:150].copy(), y[:150]
    odd = np.flatnonzero(validation_y)[0]
    validation_X[odd, 0] = -6  # a positive row that looks as negative as can be: its loss grows as all others' falls
    weight = np.where(y[150:] == 1, 9.0, 1.0)
    history = (
        quick(learning_rate=0.01, epochs=150, patience=30)
        .fit(X[150:], y[150:], weight, (validation_X, validation_y))
        .history
    )
    assert np.argmin(history.validation_loss) + 1 < history.epoch
    assert history.validation_bounded[history.epoch - 1] == min(history.validation_bounded)


def test_a_focal_loss_is_validated_as_such():
    """It makes probabilities timid on purpose: their squared error grows from the first epoch on while ranking improves."""
    X, y = table(rows=900)
    history = (
        quick(loss="focal", gamma=3.0, learning_rate=1e-3, epochs=30)
        .fit(X[:600], y[:600], None, (X[600:], y[600:]))
        .history
    )
    assert history.epoch > 3
    assert history.validation_bounded[history.epoch - 1] == min(history.validation_bounded)


def test_small_tables_get_enough_steps():
    """An epoch of few steps is not the end of patience."""
    small, large = TrainConfig().scaled_to(200), TrainConfig().scaled_to(100_000)
    assert (small.epochs, small.patience) == (400, 40)
    assert (large.epochs, large.patience) == (TrainConfig().epochs, TrainConfig().patience)


def test_weights_count_relative_to_each_other():
    X, y = table()
    weight = np.where(y == 1, 4.0, 1.0)
    ones = quick().fit(X, y, np.ones(len(y))).predict_proba(X)
    np.testing.assert_array_equal(quick().fit(X, y).predict_proba(X), ones)
    np.testing.assert_array_equal(
        quick().fit(X, y, weight).predict_proba(X), quick().fit(X, y, 8 * weight).predict_proba(X)
    )
    assert quick().fit(X, y, weight).predict_proba(X)[:, 1].mean() > ones[:, 1].mean() + 0.05


@pytest.mark.parametrize("classes", [2, 4])
def test_probabilities_are_float32_and_sum_to_one_in_the_order_of_the_classes(classes):
    X, y = table(rows=3000, classes=classes)
    names = np.array(["d", "a", "c", "b"])[y]
    fitted = build(0, epochs=15).fit(X, names, validation=(X[:500], names[:500]))
    proba = fitted.predict_proba(X)
    assert proba.dtype == np.float32
    assert list(fitted.classes_) == sorted(set(names))
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    assert (fitted.predict(X) == names).mean() > 0.7
    np.testing.assert_allclose(fitted.predict_proba(X[:1]), proba[:1], atol=1e-6)


def test_a_validation_row_of_a_class_that_was_never_trained_on_is_left_out():
    X, y = table(classes=3)
    seen = y < 2
    with_it = quick().fit(X[seen], y[seen], validation=(X, y))
    without = quick().fit(X[seen], y[seen], validation=(X[seen], y[seen]))
    assert curves_of(with_it) == curves_of(without)


def test_divergence_and_rows_that_cannot_be_learned_from_are_reported_in_one_line():
    X, y = table()
    with pytest.raises(EvenhandError, match=r"training diverged.*learning rate 1e\+30"):
        quick(learning_rate=1e30).fit(X, y)
    with pytest.raises(DataError, match="two classes"):
        quick().fit(X, np.zeros(len(y), int))
    with pytest.raises(DataError, match="NaN or infinite"):
        quick().fit(np.where(X > 2, np.nan, X), y)
    with pytest.raises(DataError, match="differ in length"):
        quick().fit(X, y[1:])
    with pytest.raises(DataError, match="weights"):
        quick().fit(X, y, -np.ones(len(y)))
    with pytest.raises(DataError, match="expected 7 columns"):
        quick().fit(X, y).predict_proba(X[:, 1:])


@functools.cache
def wine():
    """Real rows: 1,599 red wines, 53 of them called poor; standardised numbers."""
    try:
        rows = load_table(load_registry().task("keel_winequality_red_4"), data_directory())
    except Unavailable as reason:
        pytest.skip(str(reason))
    return fit_table_preprocessor(rows.X).transform(rows.X).numbers.astype("float32"), rows.y


@pytest.mark.parametrize(
    ("params", "what"),
    [
        ({"learning_rate": 1.0, "batch_norm": False}, r"gradients explode \(norm .*, at first .*learning rate 1;"),
        ({"learning_rate": 1e3}, r"gradients explode .*learning rate 1e\+03;"),
        ({"learning_rate": 1e15, "batch_norm": False}, r"the loss is nan|a gradient is no longer finite"),
    ],
)
def test_a_learning_rate_far_too_high_is_reported_and_never_scored(params, what):
    X, y = wine()
    with pytest.raises(EvenhandError, match=rf"^training diverged: ({what}).*lower the learning rate"):
        build(0, weight_decay=0.0, **params).fit(X[::2], y[::2], validation=(X[1::2], y[1::2]))


def test_a_feature_of_boundless_size_is_reported():
    X, y = wine()
    huge = X * np.where(np.arange(X.shape[1]) == 3, np.float32(1e25), np.float32(1))
    with pytest.raises(EvenhandError, match=r"^training diverged: .*extreme values in the features"):
        build(0).fit(huge[::2], y[::2], validation=(huge[1::2], y[1::2]))


def test_a_class_that_most_batches_do_not_have_is_remarked():
    X, y = wine()
    few = np.concatenate([np.flatnonzero(y == 1)[:3], np.flatnonzero(y == 0)])
    fitted = build(0, batch_size=128, epochs=5, min_steps=0).fit(X[few], y[few])
    (remark,) = fitted.history.remarks
    assert remark.message == "about 77% of the batches of 128 rows have none of the rarest class (3 rows)"
    order = [np.random.default_rng(seed).permutation(len(few))[:128] for seed in range(2000)]
    assert np.mean([(batch > 2).all() for batch in order]) == pytest.approx(0.77, abs=0.03)
    assert np.isfinite(fitted.predict_proba(X)).all()
    assert build(0, epochs=1).fit(X, y).history.remarks == ()


def test_every_epoch_leaves_its_curves():
    sklearn = pytest.importorskip("sklearn.metrics")
    X, y = table(classes=3)
    fitted = quick(epochs=30, min_patience=40).fit(X[:300], y[:300], validation=(X[300:], y[300:]))
    history, held = fitted.history, fitted.predict_proba(X[300:])
    best = history.epoch - 1
    assert history.validation_average_precision[best] == pytest.approx(
        sklearn.average_precision_score(np.eye(3)[y[300:]], held), abs=1e-6
    )
    assert history.validation_accuracy[best] == pytest.approx((fitted.predict(X[300:]) == y[300:]).mean())
    curves = {len(getattr(history, name)) for name in CURVES}
    assert curves == {len(history.train_loss)}
    assert pickle.loads(pickle.dumps(fitted)).history == history  # noqa: S301 -- made in this line


def test_average_precision_is_scikit_learns_where_scores_are_equal_too():
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    for _ in range(50):
        y, scores = np.append(rng.integers(0, 2, 40), 1), rng.integers(0, 9, (41, 1)).astype("float32")
        assert average_precision(scores, y) == pytest.approx(sklearn.average_precision_score(y, scores[:, 0]), abs=1e-9)


def test_training_and_predicting_need_no_tensorflow():
    """Importing it takes seconds: only `keras_model` does."""
    code = (
        "import sys, numpy as np; from harness.searchspaces.dense_network import build;"
        "X = np.eye(4, dtype='float32'); build(0, epochs=1).fit(X, [0, 1, 0, 1]).predict_proba(X);"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_declared_defaults_are_the_defaults_of_the_classifier():
    assert build(0, **defaults(FAMILY.space)).__dict__ == DenseClassifier(0, batch_norm=True, skip=True).__dict__


@pytest.mark.parametrize(
    "params", [{}, {"batch_norm": False, "skip": False}, {"embedding": 4}, {"dropout": 0.0, "layers": 3}]
)
def test_the_layers_that_are_listed_are_those_of_the_keras_model(params):
    pytest.importorskip("tensorflow")
    X, y = table()
    rows = (
        MixedRows(X, np.stack([np.arange(len(y)) % 3, np.arange(len(y)) % 5], axis=1), (3, 5))
        if "embedding" in params
        else X
    )
    fitted = quick(**params).fit(rows, y)
    layers, model = fitted.architecture, fitted.keras_model()
    assert sum(layer.parameters for layer in layers) == fitted.parameters
    assert all(model.get_layer(layer.name) for layer in layers)
    assert {layer.name for layer in model.layers if layer.count_params()} == {
        one.name for one in layers if one.parameters
    }
