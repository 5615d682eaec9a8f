"""A fitted pipeline on disk and back: the same answers, nothing that it learnt from, and nothing but data in the files."""

from functools import cache

import numpy as np
import pytest

from harness.checks.small import small
from harness.declare.calibration import CALIBRATIONS, calibrator_of
from harness.declare.family import missing_packages
from harness.declare.registry import load_registry
from harness.declare.space import defaults
from harness.deploy.model import load_model, save_model
from harness.search.encodings import ENCODINGS
from harness.search.pipeline import Recipe, TrainingSet, fit_pipeline

LEARNED = 160
REGISTRY = load_registry()
TABULAR = [name for name, family in REGISTRY.families.items() if "tabular" in family.encodings and not family.network]


@cache
def fitted(family, modality="tabular", classes=2, strategy="none", **params):
    """A family fitted to small data; skipped where a package is not here."""
    family = REGISTRY.family(family)
    if missing := missing_packages(family, ENCODINGS[family.encodings[modality]].needs):
        pytest.skip(missing)
    rows = small(modality, classes)
    recipe = Recipe(family, (REGISTRY.strategy(strategy),), modality, classes)
    watched = np.arange(0, LEARNED, 5) if family.stops_early else None
    training = TrainingSet(rows.X[:LEARNED], rows.y[:LEARNED], 3, watched)
    return fit_pipeline(recipe, defaults(recipe.space) | params, training)


def reader(folder):
    return lambda name: (folder / name).read_bytes()


def there_and_back(pipeline, folder, calibrator=None):
    save_model(pipeline, calibrator, folder)
    return load_model(reader(folder))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("family", TABULAR)
def test_a_loaded_model_answers_as_the_saved_one(family, classes, tmp_path):
    pipeline, rows = fitted(family, classes=classes), small("tabular", classes)
    model = there_and_back(pipeline, tmp_path)
    before = pipeline.predict_proba(rows.X)
    assert np.abs(model.predict_proba(rows.X) - before).max() <= 1e-6
    assert np.abs(model.predict_proba(rows.X[:1]) - before[:1]).max() <= 1e-6
    assert model.predict_proba(rows.X[:0]).shape == (0, classes)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_a_calibrator_comes_along(calibration, classes, tmp_path):
    pipeline, rows = fitted("logistic_regression", classes=classes), small("tabular", classes)
    proba, before = pipeline.predict_proba(rows.X), np.bincount(rows.y).astype(float)
    calibrator = calibrator_of(calibration, proba, rows.y, before, before[::-1])
    model = there_and_back(pipeline, tmp_path, calibrator)
    expected = calibrator(proba) if calibrator else proba
    assert model.predict_proba(rows.X) == pytest.approx(expected, abs=1e-6)


def test_saving_leaves_the_pipeline_as_it_is(tmp_path):
    classic, histograms = fitted("classic_gradient_boosting"), fitted("gradient_boosting")
    for pipeline in (classic, histograms):
        save_model(pipeline, None, tmp_path)
    assert all(tree.random_state is not None for tree in classic.classifier.estimators_.ravel())
    assert histograms.classifier._feature_subsample_rng is not None


@pytest.mark.parametrize("family", ["logistic_regression", "catboost"])
def test_a_balanced_ensemble_is_the_mean_of_its_members(family, tmp_path):
    pipeline, rows = fitted(family, strategy="balanced_ensemble"), small("tabular", 2)
    model = there_and_back(pipeline, tmp_path)
    assert np.abs(model.predict_proba(rows.X) - pipeline.predict_proba(rows.X)).max() <= 1e-6


@pytest.mark.parametrize("family", [name for name, one in REGISTRY.families.items() if "text" in one.encodings])
def test_a_model_of_texts_answers_as_the_saved_one(family, tmp_path):
    holds(family, "text", 2, tmp_path)


@pytest.mark.parametrize(
    ("family", "params"),
    [
        ("logistic_regression", {}),
        ("logistic_regression", {"encode.cut": "features"}),
        ("gradient_boosting", {}),
        ("majority", {}),
        ("dense_network", {}),
        ("small_convolutional_network", {}),
        ("small_convolutional_network", {"batch_norm": False, "blocks": 2}),
        ("pretrained_network", {}),
        ("pretrained_network", {"units": 32}),
        ("pretrained_network", {"encode.cut": "last_blocks", "encode.views": 1}),
    ],
)
def test_a_model_of_pictures_answers_as_the_saved_one(family, params, tmp_path):
    holds(family, "image", 3, tmp_path, **params)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    ("family", "modality", "params"),
    [
        ("dense_network", "tabular", {}),
        ("dense_network", "tabular", {"embedding": 4, "skip": False, "batch_norm": False, "activation": "gelu"}),
        ("dense_network", "tabular", {"loss": "focal", "activation": "selu", "encode.scaling": "piecewise"}),
        ("network_from_scratch", "tabular", {}),
        ("recurrent_network", "text", {"cell": "lstm", "bidirectional": True}),
    ],
)
def test_a_network_answers_as_the_saved_one(family, modality, params, classes, tmp_path):
    holds(family, modality, classes, tmp_path, **params)


def holds(family, modality, classes, folder, **params):
    """Saved and loaded, a model gives the same probabilities within 1e-6, to many rows and to one."""
    pipeline, rows = fitted(family, modality, classes, **params), small(modality, classes)
    model, before = there_and_back(pipeline, folder), pipeline.predict_proba(rows.X)
    assert np.abs(model.predict_proba(rows.X) - before).max() <= 1e-6
    for row in (slice(0, 1), slice(5, 8)):
        assert np.abs(model.predict_proba(rows.X[row]) - before[row]).max() <= 1e-6
    assert model.predict_proba(rows.X[:0]).shape == (0, classes)
