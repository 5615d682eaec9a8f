"""The parts of a fitted pipeline as they are saved: without training state, and without our own wrapper classes.

A bundle is opened without any declaration: nothing in it may refer to a task, a family or a strategy.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import issparse
from scipy.special import softmax

from harness.deploy import keras_runtime
from harness.deploy.tree_checks import END_OF_TREES, check_lightgbm_trees, check_sklearn_trees, check_xgboost_trees
from harness.preprocessing.encodings import Encoder
from harness.preprocessing.image import VECTOR_CUTS, PretrainedEncoder, PretrainedSvdEncoder
from harness.preprocessing.text import TERM_TYPES, LsaEncoder, TfidfEncoder, TokenEncoder, make_tfidf_vectorizer
from harness.search.pipeline import FittedPipeline

#: Saves a Keras model under a name of the given kind, and returns the name of the file.
SaveNetwork: TypeAlias = Callable[[str, Any], str]
#: Returns the content of a file of the bundle.
ReadFile: TypeAlias = Callable[[str], bytes]


@dataclass(frozen=True)
class MeanClassifier:
    """The mean of several classifiers, weighted where they have weights."""

    members: tuple[Any, ...]
    weights: npt.NDArray[np.float64] | None = None  #: not stored by versions without boosted ensembles

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Predict the mean of the members' probabilities, shape (n, k)."""
        proba = [member.predict_proba(X) for member in self.members]
        return np.asarray(np.average(proba, axis=0, weights=self.weights), dtype=np.float64)


@dataclass(frozen=True)
class NaiveBayesProduct:
    """Naive Bayes of numbers and of categories, one of which may be missing; both have the same class frequencies."""

    gaussian: Any
    categorical: Any

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Predict probabilities, shape (n, k), for numbers and level codes, or for an array of numbers."""
        joint_log_proba = 0.0
        if self.gaussian is not None:
            joint_log_proba = self.gaussian.predict_joint_log_proba(getattr(X, "numbers", X))
        if self.categorical is not None:
            joint_log_proba = joint_log_proba + self.categorical.predict_joint_log_proba(X.codes)
            if self.gaussian is not None:
                joint_log_proba = joint_log_proba - self.categorical.class_log_prior_
        return np.asarray(softmax(joint_log_proba, axis=1))


@dataclass(frozen=True)
class SingleThreadCatBoost:
    """CatBoost on one thread: by default it uses all there are, whatever it was fitted with."""

    model: Any

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Predict probabilities, shape (n, k)."""
        return np.asarray(self.model.predict_proba(X, thread_count=1), dtype=np.float64)


@dataclass(frozen=True)
class PlainArrayXGBoost:
    """XGBoost on plain arrays: for a frame it inspects each column, which takes ten times as long as predicting one row."""

    model: Any

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Predict probabilities, shape (n, k), for an array or a frame, whose categories are replaced by their codes."""
        if hasattr(X, "columns"):
            columns = [column.array for _, column in X.items()]
            X = np.column_stack([getattr(column, "codes", column) for column in columns]).astype(np.float32)
        return np.asarray(self.model.predict_proba(X, validate_features=False))


@dataclass(frozen=True)
class SingleThreadHistGradientBoosting:
    """HistGradientBoosting on one thread: on a busy machine, synchronising several took ten times as long as one."""

    model: Any

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Predict probabilities, shape (n, k)."""
        with _openmp_thread_controller().limit(limits=1, user_api="openmp"):
            return np.asarray(self.model.predict_proba(X))


@cache
def _openmp_thread_controller() -> Any:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # it ships no types

    return ThreadpoolController()


@dataclass(frozen=True)
class XGBoostTrees:
    """XGBoost's trees in its JSON format, which keeps every digit.

    Its binary format is read without checks: a truncated file ended the process.
    """

    trees: bytes

    def to_classifier(self) -> PlainArrayXGBoost:
        """Build the classifier; raises `ValueError` for trees that XGBoost does not write."""
        from xgboost import XGBClassifier

        check_xgboost_trees(json.loads(self.trees))
        classifier = XGBClassifier(n_jobs=1)
        classifier.load_model(bytearray(self.trees))
        return PlainArrayXGBoost(classifier)


@dataclass(frozen=True)
class LightGBMTrees:
    """LightGBM's trees in its text format; `categories` are those of the columns, as JSON."""

    trees: bytes
    categories: str
    best_iteration: int

    @classmethod
    def from_booster(cls, booster: Any) -> LightGBMTrees:
        """Take the trees of a booster, without the parameters that it was trained with."""
        tree_text, end_marker, _ = booster.model_to_string(num_iteration=-1).partition(END_OF_TREES)
        return cls((tree_text + end_marker).encode(), json.dumps(booster.pandas_categorical), booster.best_iteration)

    def to_booster(self, classes: int) -> Any:
        """Build the booster of a classifier of so many classes; raises `ValueError` for trees that LightGBM does not write."""
        from lightgbm import Booster
        from lightgbm.basic import LightGBMError

        tree_text = self.trees.decode()
        check_lightgbm_trees(tree_text, classes, self.best_iteration)
        try:
            booster = Booster(model_str=tree_text)
        except LightGBMError as error:
            raise ValueError(str(error)) from error
        booster.best_iteration, booster.pandas_categorical = self.best_iteration, json.loads(self.categories)
        return booster


@dataclass(frozen=True)
class PackedStrings:
    """Many strings as one JSON text: skops makes a node of each string, and takes seconds to read fifty thousand."""

    json_text: str

    @classmethod
    def from_strings(cls, strings: Any) -> PackedStrings:
        """Pack strings in their order."""
        return cls(json.dumps(list(strings)))

    def to_strings(self) -> tuple[str, ...]:
        """Unpack the strings."""
        return tuple(json.loads(self.json_text))


@dataclass(frozen=True)
class PackedTerms:
    """One vectorizer of a fitted TF-IDF encoder: its terms in the order of the columns, and their inverse document frequencies."""

    part: str
    terms: PackedStrings
    idf: npt.NDArray[np.floating]


def pack_pipeline(pipeline: FittedPipeline, save_network: SaveNetwork) -> FittedPipeline:
    """Convert a fitted pipeline to what is saved.

    Parameters
    ----------
    pipeline : FittedPipeline
        The pipeline; not changed.
    save_network : callable
        Called with a kind (``"network"`` or ``"features"``) and each Keras model; returns the name of its file.

    Returns
    -------
    FittedPipeline
        A copy whose parts can be written by `object_to_skops`.
    """
    encoder = _pack_encoder(pipeline.encoder, save_network)
    classifier = _pack_classifier(pipeline.classifier, save_network)
    # Seconds are 0, so that the same fit gives the same file.
    return replace(pipeline, encoder=encoder, classifier=classifier, seconds=0.0)


def unpack_pipeline(pipeline: FittedPipeline, read_file: ReadFile) -> FittedPipeline:
    """Convert what `pack_pipeline` returned to a pipeline that can predict.

    Raises
    ------
    ValueError
        If the trees of a classifier are not what its library writes.
    """
    encoder = _unpack_encoder(pipeline.encoder, read_file)
    classifier = _unpack_classifier(pipeline.classifier, read_file)
    return replace(pipeline, encoder=encoder, classifier=classifier)


def _pack_encoder(encoder: Encoder, save_network: SaveNetwork) -> Any:
    if isinstance(encoder, TokenEncoder):
        return replace(encoder, words=PackedStrings.from_strings(encoder.words))  # type: ignore[arg-type]  # as it is saved
    if isinstance(encoder, TfidfEncoder):
        return TfidfEncoder(tuple(map(_pack_terms, encoder.vectorizers)))
    if isinstance(encoder, LsaEncoder):
        return replace(encoder, tfidf=_pack_encoder(encoder.tfidf, save_network))
    if isinstance(encoder, PretrainedSvdEncoder):
        return replace(encoder, pretrained=_pack_encoder(encoder.pretrained, save_network))
    if isinstance(encoder, PretrainedEncoder):  # augmented views served training only: images are predicted as they are
        file = save_network("features", encoder.keras_model())
        return keras_runtime.SavedImageNetwork(file, half_precision=encoder.cut not in VECTOR_CUTS)
    return encoder


def _unpack_encoder(encoder: Any, read_file: ReadFile) -> Encoder:
    if isinstance(encoder, TokenEncoder):
        return replace(encoder, words=encoder.words.to_strings())  # type: ignore[attr-defined]  # as it is saved
    if isinstance(encoder, TfidfEncoder):
        return TfidfEncoder(tuple(map(_unpack_terms, encoder.vectorizers)))
    if isinstance(encoder, LsaEncoder):
        return replace(encoder, tfidf=_unpack_encoder(encoder.tfidf, read_file))  # type: ignore[arg-type]
    if isinstance(encoder, PretrainedSvdEncoder):
        return replace(encoder, pretrained=_unpack_encoder(encoder.pretrained, read_file))  # type: ignore[arg-type]
    if isinstance(encoder, keras_runtime.SavedImageNetwork):
        keras_network = keras_runtime.read_network(read_file(encoder.file), encoder.file)
        return keras_runtime.ImageNetworkEncoder(encoder, keras_runtime.adapt_to_any_image_size(keras_network))
    return encoder  # type: ignore[no-any-return]


def _pack_terms(tfidf: Any) -> PackedTerms:
    words, characters = TERM_TYPES
    term_type = words if tfidf.analyzer == "word" else characters
    columns = sorted(tfidf.vocabulary_, key=tfidf.vocabulary_.__getitem__)
    return PackedTerms(term_type, PackedStrings.from_strings(columns), tfidf.idf_)


def _unpack_terms(packed_terms: PackedTerms) -> Any:
    tfidf = make_tfidf_vectorizer(packed_terms.part).set_params(vocabulary=packed_terms.terms.to_strings())
    tfidf.idf_ = packed_terms.idf
    return tfidf


def _pack_classifier(classifier: Any, save_network: SaveNetwork) -> Any:
    if hasattr(classifier, "keras_logits"):
        file = save_network("network", classifier.keras_logits())
        return keras_runtime.SavedNetwork(file, classifier.inputs, classifier.loss)
    members = getattr(classifier, "fitted_", None)
    if isinstance(members, list):  # LightGBM has a boolean under this name
        packed_members = tuple(_pack_classifier(member, save_network) for member in members)
        return MeanClassifier(packed_members, getattr(classifier, "member_weights_", None))
    if hasattr(classifier, "gaussian_"):
        return NaiveBayesProduct(classifier.gaussian_, classifier.categorical_)
    return _pack_library_model(getattr(classifier, "model_", classifier))


def _pack_library_model(model: Any) -> Any:
    """Convert a model of a library; others than those named here are saved as they are."""
    name = type(model).__name__
    if name == "CatBoostClassifier":
        return SingleThreadCatBoost(_remove_catboost_fit_identity(model))
    if name == "XGBClassifier":
        return XGBoostTrees(bytes(model.get_booster().save_raw("json")))
    if name not in STRIP_FUNCTIONS:
        return model
    stripped_model = copy.copy(model)
    STRIP_FUNCTIONS[name](stripped_model)
    return stripped_model


def _unpack_classifier(classifier: Any, read_file: ReadFile) -> Any:
    if isinstance(classifier, keras_runtime.SavedNetwork):
        keras_network = keras_runtime.read_network(read_file(classifier.file), classifier.file)
        return keras_runtime.TracedClassifier(classifier, keras_runtime.trace_prediction_function(keras_network))
    if isinstance(classifier, MeanClassifier):
        unpacked_members = tuple(_unpack_classifier(member, read_file) for member in classifier.members)
        return replace(classifier, members=unpacked_members)
    if isinstance(classifier, XGBoostTrees):
        return classifier.to_classifier()
    if type(classifier).__name__ == "LGBMClassifier":
        lightgbm_model = copy.copy(classifier)
        lightgbm_model._Booster = classifier._Booster.to_booster(classifier._n_classes)
        return lightgbm_model
    if type(classifier).__name__ == "KNeighborsClassifier":
        check_stored_neighbors(classifier)
    check_sklearn_trees(classifier)
    if type(classifier).__name__ == "HistGradientBoostingClassifier":
        return SingleThreadHistGradientBoosting(classifier)
    return classifier


def stores_training_rows(classifier: Any) -> bool:
    """Whether a fitted classifier, or a part of it, stores training rows: nearest neighbours, machines of support vectors."""
    pending_parts = [classifier]
    while pending_parts:
        model_part = pending_parts.pop()
        if hasattr(model_part, "_fit_X") or hasattr(model_part, "support_vectors_"):
            return True
        for name in ("fitted_", "model_", "estimator", "estimators_", "calibrated_classifiers_", "steps"):
            contained_part = getattr(model_part, name, None)
            if name == "steps" and contained_part:
                contained_part = [step for _, step in contained_part]
            if isinstance(contained_part, list):
                pending_parts += contained_part
            elif hasattr(contained_part, "predict_proba"):
                pending_parts.append(contained_part)
    return False


def check_stored_neighbors(classifier: Any) -> None:
    """Check the rows and labels that a classifier of nearest neighbours stores: compiled code reads them without checks.

    Raises
    ------
    ValueError
        If labels or columns do not exist, or rows and labels differ in number.
    """
    rows, labels = classifier._fit_X, np.asarray(classifier._y)
    if issparse(rows):
        rows.check_format(full_check=True)
    shape = (len(labels), classifier.n_features_in_)
    is_known = labels.ndim == 1 and bool(((labels >= 0) & (labels < len(classifier.classes_))).all())
    if rows.shape != shape or not is_known or not 1 <= classifier.n_neighbors <= len(labels):
        raise ValueError("these are no rows with their labels")


def _remove_catboost_fit_identity(model: Any) -> Any:
    """Copy a model of CatBoost without the time and the random identifier of its fit."""
    stripped_model = model.copy()
    metadata = stripped_model.get_metadata()
    for key in ("train_finish_time", "model_guid"):
        metadata[key] = ""
    return stripped_model


def _replace_booster_by_trees(classifier: Any) -> None:
    """Replace the booster by its trees."""
    classifier._Booster = LightGBMTrees.from_booster(classifier._Booster)


def _remove_tree_random_states(classifier: Any) -> None:
    """Remove the state of the random generator, which each tree carries."""
    classifier.estimators_ = classifier.estimators_.copy()
    for position, tree in np.ndenumerate(classifier.estimators_):
        classifier.estimators_[position] = copy.copy(tree)
        classifier.estimators_[position].random_state = None
    classifier.__dict__.pop("_rng", None)


def _remove_column_random_generator(classifier: Any) -> None:
    """Remove the random generator that sampled columns."""
    classifier._feature_subsample_rng = None


def _remove_ebm_training_state(classifier: Any) -> None:
    """Remove what an explainable boosting machine stores of its bags and of the histograms of columns for plots."""
    for name in (
        "bagged_scores_",
        "bagged_intercept_",
        "standard_deviations_",
        "histogram_edges_",
        "histogram_weights_",
    ):
        classifier.__dict__.pop(name, None)
    classifier.unique_val_counts_ = None


#: Name of a class → function that removes training state from a shallow copy of its instances.
STRIP_FUNCTIONS: dict[str, Callable[[Any], None]] = {
    "ExplainableBoostingClassifier": _remove_ebm_training_state,
    "LGBMClassifier": _replace_booster_by_trees,
    "GradientBoostingClassifier": _remove_tree_random_states,
    "HistGradientBoostingClassifier": _remove_column_random_generator,
}
