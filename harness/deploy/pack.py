"""The parts of a fitted pipeline as they are saved: without what only training needed, and without our own wrappers.

A bundle is opened where no declaration is: nothing in it may refer to a task, a family or a strategy.
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

from harness.deploy.keras_runtime import Frozen, Network, Running, Seeing, called, read_network, seeing
from harness.deploy.lightgbm_checks import END, check_leaves
from harness.deploy.tree_checks import check_boosted, check_trees
from harness.preprocessing.encoder import Encoder
from harness.preprocessing.image import POOLED, FrozenEncoder, PrincipalEncoder
from harness.preprocessing.text import PARTS, LsaEncoder, TfidfEncoder, TokenEncoder, vectorizer
from harness.search.pipeline import FittedPipeline

Keep: TypeAlias = Callable[
    [str, Any], str
]  #: keeps a Keras model under a name like the given one, and returns that name
Read: TypeAlias = Callable[[str], bytes]  #: the content of a file of the bundle


@dataclass(frozen=True)
class Mean:
    """The mean of several classifiers."""

    members: tuple[Any, ...]

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """The members' mean probabilities, shape (n, k)."""
        return np.asarray(np.mean([one.predict_proba(X) for one in self.members], axis=0), dtype=np.float64)


@dataclass(frozen=True)
class OneThread:
    """CatBoost on one thread: by itself it takes all there are, whatever it was fitted with."""

    model: Any

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Probabilities, shape (n, k)."""
        return np.asarray(self.model.predict_proba(X, thread_count=1), dtype=np.float64)


@dataclass(frozen=True)
class Plain:
    """XGBoost on plain numbers: it looks a frame's columns through one by one, ten times as long as one row takes."""

    model: Any

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Probabilities, shape (n, k), of what the encoding makes: an array, or a frame whose categories keep their codes."""
        if hasattr(X, "columns"):
            columns = [column.array for _, column in X.items()]
            X = np.column_stack([getattr(one, "codes", one) for one in columns]).astype(np.float32)
        return np.asarray(self.model.predict_proba(X, validate_features=False))


@dataclass(frozen=True)
class Histograms:
    """HistGradientBoosting on one thread: waiting for each other, its threads took ten times as long as one on a busy machine."""

    model: Any

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Probabilities, shape (n, k)."""
        with _threads().limit(limits=1, user_api="openmp"):
            return np.asarray(self.model.predict_proba(X))


@cache
def _threads() -> Any:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # it ships no types

    return ThreadpoolController()


@dataclass(frozen=True)
class Boosted:
    """XGBoost's trees as it writes them in JSON, to the last digit.

    Its own binary form is read without looking: cut short, it ended the process.
    """

    trees: bytes

    def read(self) -> Plain:
        """The classifier. Raises `ValueError` for what XGBoost did not write."""
        from xgboost import XGBClassifier

        check_boosted(json.loads(self.trees))
        classifier = XGBClassifier(n_jobs=1)
        classifier.load_model(bytearray(self.trees))
        return Plain(classifier)


@dataclass(frozen=True)
class Leaves:
    """LightGBM's trees as it writes them, which its own reader takes without looking; `categories` as JSON."""

    trees: bytes
    categories: str
    best_iteration: int

    @classmethod
    def of(cls, booster: Any) -> Leaves:
        """The trees of a booster, without the options that it was trained with."""
        trees, end, _ = booster.model_to_string(num_iteration=-1).partition(END)
        return cls((trees + end).encode(), json.dumps(booster.pandas_categorical), booster.best_iteration)

    def read(self, classes: int) -> Any:
        """The booster. Raises `ValueError` for what LightGBM did not write."""
        from lightgbm import Booster
        from lightgbm.basic import LightGBMError

        trees = self.trees.decode()
        check_leaves(trees, classes, self.best_iteration)
        try:
            booster = Booster(model_str=trees)
        except LightGBMError as error:
            raise ValueError(str(error)) from error
        booster.best_iteration, booster.pandas_categorical = self.best_iteration, json.loads(self.categories)
        return booster


@dataclass(frozen=True)
class Strings:
    """Many strings as one: skops would make a node of each, and take seconds to read fifty thousand."""

    written: str

    @classmethod
    def of(cls, strings: Any) -> Strings:
        """Strings in their order."""
        return cls(json.dumps(list(strings)))

    def read(self) -> tuple[str, ...]:
        """The strings."""
        return tuple(json.loads(self.written))


@dataclass(frozen=True)
class Terms:
    """A fitted part of TF-IDF: its terms in the order of the columns, and how rare each is."""

    part: str
    terms: Strings
    rarity: npt.NDArray[np.floating]


def pack(fitted: FittedPipeline, keep: Keep) -> FittedPipeline:
    """A fitted pipeline as it is saved, Keras models handed to `keep`; the one given is left as it is."""
    return replace(
        fitted,
        encoder=_pack_encoder(fitted.encoder, keep),
        classifier=_pack_classifier(fitted.classifier, keep),
        seconds=0.0,  # no clock: the same fit is the same file
    )


def unpack(fitted: FittedPipeline, read: Read) -> FittedPipeline:
    """What `pack` made of a pipeline, ready to predict."""
    return replace(
        fitted, encoder=_unpack_encoder(fitted.encoder, read), classifier=_unpack_classifier(fitted.classifier, read)
    )


def _pack_encoder(encoder: Encoder, keep: Keep) -> Any:
    if isinstance(encoder, TokenEncoder):
        return replace(encoder, words=Strings.of(encoder.words))  # type: ignore[arg-type]  # as it is saved
    if isinstance(encoder, TfidfEncoder):
        return TfidfEncoder(tuple(map(_pack_terms, encoder.parts)))
    if isinstance(encoder, LsaEncoder):
        return replace(encoder, tfidf=_pack_encoder(encoder.tfidf, keep))
    if isinstance(encoder, PrincipalEncoder):
        return replace(encoder, frozen=_pack_encoder(encoder.frozen, keep))
    if isinstance(encoder, FrozenEncoder):  # the views of a picture served to learn: what is predicted is seen as it is
        return Frozen(keep("features", encoder.keras_model()), half=encoder.cut not in POOLED)
    return encoder


def _unpack_encoder(encoder: Any, read: Read) -> Encoder:
    if isinstance(encoder, TokenEncoder):
        return replace(encoder, words=encoder.words.read())  # type: ignore[attr-defined]  # as it is saved
    if isinstance(encoder, TfidfEncoder):
        return TfidfEncoder(tuple(map(_unpack_terms, encoder.parts)))
    if isinstance(encoder, LsaEncoder):
        return replace(encoder, tfidf=_unpack_encoder(encoder.tfidf, read))  # type: ignore[arg-type]
    if isinstance(encoder, PrincipalEncoder):
        return replace(encoder, frozen=_unpack_encoder(encoder.frozen, read))  # type: ignore[arg-type]
    if isinstance(encoder, Frozen):
        return Seeing(encoder, seeing(read_network(read(encoder.file), encoder.file)))
    return encoder  # type: ignore[no-any-return]


def _pack_terms(part: Any) -> Terms:
    words, characters = PARTS
    columns = sorted(part.vocabulary_, key=part.vocabulary_.__getitem__)
    return Terms(words if part.analyzer == "word" else characters, Strings.of(columns), part.idf_)


def _unpack_terms(terms: Terms) -> Any:
    part = vectorizer(terms.part).set_params(vocabulary=terms.terms.read())
    part.idf_ = terms.rarity
    return part


def _pack_classifier(classifier: Any, keep: Keep) -> Any:
    """A fitted classifier as it is saved."""
    if hasattr(classifier, "keras_logits"):
        return Network(keep("network", classifier.keras_logits()), classifier.inputs, classifier.loss)
    if isinstance(members := getattr(classifier, "fitted_", None), list):  # of LightGBM it is a bool
        return Mean(tuple(_pack_classifier(one, keep) for one in members))
    if hasattr(classifier, "model_"):
        return OneThread(_without_dates(classifier.model_))
    if type(classifier).__name__ == "XGBClassifier":
        return Boosted(bytes(classifier.get_booster().save_raw("json")))
    strip = STRIPPED.get(type(classifier).__name__)
    return strip(copy.copy(classifier)) if strip else classifier


def _unpack_classifier(classifier: Any, read: Read) -> Any:
    if isinstance(classifier, Network):
        return Running(classifier, called(read_network(read(classifier.file), classifier.file)))
    if isinstance(classifier, Mean):
        return Mean(tuple(_unpack_classifier(one, read) for one in classifier.members))
    if isinstance(classifier, Boosted):
        return classifier.read()
    if type(classifier).__name__ == "LGBMClassifier":
        leafwise = copy.copy(classifier)
        leafwise._Booster = classifier._Booster.read(classifier._n_classes)
        return leafwise
    check_trees(classifier)
    if type(classifier).__name__ == "HistGradientBoostingClassifier":
        return Histograms(classifier)
    return classifier


def _without_draws(boosting: Any) -> Any:
    """GradientBoosting without the state of the generator that every one of its trees carries."""
    boosting.estimators_ = boosting.estimators_.copy()
    for at, tree in np.ndenumerate(boosting.estimators_):
        boosting.estimators_[at] = copy.copy(tree)
        boosting.estimators_[at].random_state = None
    boosting.__dict__.pop("_rng", None)
    return boosting


def _without_dates(catboost: Any) -> Any:
    """CatBoost's model without the time and the random name of its fit."""
    copied = catboost.copy()
    about = copied.get_metadata()
    for accidental in ("train_finish_time", "model_guid"):
        about[accidental] = ""
    return copied


def _without_generator(boosting: Any) -> Any:
    """HistGradientBoosting without the generator that drew its columns."""
    boosting._feature_subsample_rng = None
    return boosting


def _with_leaves(boosting: Any) -> Any:
    """LightGBM with its trees as a value."""
    boosting._Booster = Leaves.of(boosting._Booster)
    return boosting


STRIPPED = {
    "LGBMClassifier": _with_leaves,
    "GradientBoostingClassifier": _without_draws,
    "HistGradientBoostingClassifier": _without_generator,
}
