"""Classifiers of the user that would falsify a benchmark are refused before it, with the reason."""

import shutil
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import evenhand
from harness.checks.fitted_checks import corner_configurations
from harness.registry.estimator_state import describe_fitted_part, digest_shared_state

SMALL = {
    "trials": 1,
    "folds": 2,
    "inner_folds": 2,
    "jobs": 1,
    "progress": False,
    "report": False,
    "strategies": ["none"],
}
FEATURES = np.random.default_rng(0).normal(size=(120, 2))
LABELS = np.arange(120) % 2
FITTED = GaussianNB().fit(FEATURES, LABELS)
FITS: list[int] = []


def noise() -> pd.DataFrame:
    return pd.DataFrame(FEATURES, columns=["a", "b"]).assign(y=np.where(LABELS == 1, "yes", "no"))


class MemoryOfClass(LogisticRegression):
    """Stores the rows that it was fitted to for all of its copies."""

    labels: ClassVar[dict[bytes, int]] = {}

    def fit(self, X, y, sample_weight=None):
        for features, label in zip(np.asarray(X), y, strict=True):
            self.labels[features.tobytes()] = int(label)
        return super().fit(X, y, sample_weight)


class MemoryOfModule(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        FITS.append(len(y))
        return super().fit(X, y, sample_weight)


class CenteredByChoice(LogisticRegression):
    def __init__(self, C=1.0, center="none"):
        super().__init__(C=C)
        self.center = center

    def predict_proba(self, X):
        return super().predict_proba(X - X.mean(axis=0) if self.center == "batch" else X)


class NoisyFit(LogisticRegression):
    def __init__(self, C=1.0, noise=0.0):
        super().__init__(C=C)
        self.noise = noise

    def fit(self, X, y, sample_weight=None):
        return super().fit(X + self.noise * np.random.default_rng().normal(size=X.shape), y, sample_weight)


class Prefitted(ClassifierMixin, BaseEstimator):
    """Predicts with a model that its methods refer to."""

    def __init__(self, models=None):
        self.models = models

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return self.models["best"].predict_proba(X)


class Models:
    """A container that clone does not look into."""

    def __init__(self):
        self.best = FITTED

    def __getitem__(self, name):
        return getattr(self, name)


class PrefittedOfModule(Prefitted):
    def predict_proba(self, X):
        return FITTED.predict_proba(X)


class PrefittedOfClass(Prefitted):
    best = FITTED

    def predict_proba(self, X):
        return self.best.predict_proba(X)


class Uncloned(GaussianNB):
    def __sklearn_clone__(self):
        return self


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        (MemoryOfClass(), "changed MemoryOfClass.labels"),
        (make_pipeline(StandardScaler(), MemoryOfClass()), "changed MemoryOfClass.labels"),
        (MemoryOfModule(), "changed FITS"),
        (
            (CenteredByChoice(), {"center": evenhand.choice("none", "batch", default="none")}),
            "with center='batch': a row alone",
        ),
        ((NoisyFit(), {"noise": evenhand.real(0, 1, default=0)}), "the same seed gave other probabilities"),
        (Prefitted({"best": FITTED}), "not fitted yet"),  # clone resets the classifiers of a dictionary
        (Prefitted(Models()), "GaussianNB with classes_, which was fitted before"),
        (PrefittedOfModule(), "GaussianNB with classes_, which was fitted before"),
        (PrefittedOfClass(), "GaussianNB with classes_, which was fitted before"),
        (CalibratedClassifierCV(Uncloned().fit(FEATURES, LABELS)), "Uncloned with classes_, which was fitted before"),
    ],
    ids=[
        "class",
        "step",
        "module",
        "searched batch",
        "searched noise",
        "dictionary",
        "object",
        "global",
        "attribute",
        "uncloned",
    ],
)
def test_a_classifier_that_would_falsify_scores_is_refused(family, reason, tmp_path):
    for _ in range(2):  # what the first call has stored in the process hides nothing from the second
        with pytest.raises(evenhand.DeclarationError, match=reason):
            evenhand.benchmark(noise(), target="y", families={"mine": family}, out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run" / "run.json").exists()


def test_fitted_parts_that_clone_resets_are_taken():
    assert describe_fitted_part(CalibratedClassifierCV(GaussianNB().fit(FEATURES, LABELS))) == ""
    assert describe_fitted_part(make_pipeline(StandardScaler().fit(FEATURES), LogisticRegression())) == ""


def test_installed_classes_share_no_state_of_the_user():
    assert digest_shared_state(make_pipeline(StandardScaler(), LogisticRegression())) == {}
    assert "MemoryOfClass.labels" in digest_shared_state(MemoryOfClass())
    assert "FITS" in digest_shared_state(make_pipeline(StandardScaler(), MemoryOfModule()))


def test_every_option_and_both_ends_of_a_space_are_tried():
    space = {
        "kernel": evenhand.choice("linear", "poly", "rbf", default="rbf"),
        "degree": evenhand.when("kernel", "poly", evenhand.integer(2, 5, default=3)),
        "C": evenhand.log_float(0.1, 10, default=1),
    }
    configurations = corner_configurations(space)
    assert {configuration["kernel"] for configuration in configurations} == {"linear", "poly", "rbf"}
    assert {"kernel": "poly", "degree": 3, "C": 1} in configurations
    assert {0.1, 10} <= {configuration["C"] for configuration in configurations}


def test_a_moved_run_is_exported_and_a_moved_file_is_named(tmp_path):
    families = {"families": ["logistic_regression"]}
    run = evenhand.benchmark(noise(), target="y", out=tmp_path / "frame", **families, **SMALL)
    shutil.move(run.folder, tmp_path / "moved")
    model = evenhand.open_run(tmp_path / "moved").export(tmp_path / "bundle")
    assert len(model.predict(noise())) == len(noise())

    noise().to_csv(tmp_path / "rows.csv", index=False)
    run = evenhand.benchmark(tmp_path / "rows.csv", target="y", out=tmp_path / "file", **families, **SMALL)
    shutil.move(tmp_path / "rows.csv", tmp_path / "elsewhere.csv")
    with pytest.raises(evenhand.EvenhandError, match=r"no longer at .*rows.csv: .*in Python: file=PATH"):
        run.export(tmp_path / "bundle2")
    with pytest.raises(evenhand.EvenhandError, match=r"no such file or folder: .*nowhere.csv"):
        run.export(tmp_path / "bundle2", file="nowhere.csv")
    assert len(run.export(tmp_path / "bundle2", file=tmp_path / "elsewhere.csv").predict(noise())) == len(noise())
