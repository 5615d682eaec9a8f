"""prepare → strategy → encode → classifier, assembled in one place for the search, the final fit and later use.

Everything that learns from features is fitted on real training rows; rows that a strategy made are only transformed. What does
not depend on the trial comes from the fold's cache.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.data.prepare import Preparer, Rows, fit_preparer
from harness.declare.family import Family
from harness.declare.protocol import seed_of
from harness.declare.space import Choice, Space, When
from harness.declare.strategy import Strategy
from harness.errors import EvenhandError, Inapplicable
from harness.search.encode import ENCODINGS, Encoder, Encoding
from harness.search.fold_cache import FoldCache
from harness.search.resample import resample

if TYPE_CHECKING:
    import pandas as pd

Labels = npt.NDArray[np.int64]
Costs = tuple[tuple[float, ...], ...] | None
STRATEGY = "strategy"  #: the parameter by which a searched cell chooses


@dataclass(frozen=True)
class Recipe:
    """A family with the strategies that may be applied to it: one, or several among which the search chooses."""

    family: Family
    strategies: tuple[Strategy, ...]
    modality: str
    classes: int
    costs: Costs = None

    @property
    def encoding(self) -> Encoding:
        """How this family wants its rows."""
        name = self.family.encodings.get(self.modality)
        if name is None:
            raise Inapplicable(f"{self.family.name} does not take {self.modality} data", always=True)
        return ENCODINGS[name]

    @property
    def space(self) -> Space:
        """Everything the study searches: the family's parameters bare, others as `encode.<name>` and `<strategy>.<name>`."""
        space = dict(self.family.space) | prefixed(self.encoding.space, "encode")
        several = len(self.strategies) > 1
        if several:
            names = tuple(strategy.name for strategy in self.strategies)
            space[STRATEGY] = Choice(names, "none" if "none" in names else names[0])
        for strategy in self.strategies:
            if not (strategy.uses_costs and self.costs):
                space |= prefixed(strategy.space, strategy.name, STRATEGY if several else None)
        return space

    def read(self, params: Mapping[str, Any]) -> Configuration:
        """Sort a trial's parameters by what they belong to."""
        name = params.get(STRATEGY, self.strategies[0].name)
        strategy = next(one for one in self.strategies if one.name == name)
        own = {key: value for key, value in params.items() if "." not in key and key != STRATEGY}
        return Configuration(own, _below(params, "encode"), strategy, _below(params, strategy.name))


@dataclass(frozen=True)
class Configuration:
    """One point of the space, sorted by what its parameters belong to."""

    family: dict[str, Any]
    encoding: dict[str, Any]
    strategy: Strategy
    strategy_params: dict[str, Any]


@dataclass(frozen=True)
class TrainingSet:
    """Training rows, and a memo of what was computed from them.

    `watched` are positions among the training rows that are kept aside for early stopping: real rows that no strategy touches.
    """

    X: pd.DataFrame
    y: Labels
    seed: int
    watched: Labels | None = None
    cache: FoldCache = field(default_factory=FoldCache)


@dataclass(frozen=True)
class Fitted:
    """A fitted pipeline; holds no training rows of its own. The counts are rows per class (sums of weights, where weighted)."""

    preparer: Preparer
    encoder: Encoder
    classifier: Any
    classes: int
    counts_before: list[float]
    counts_after: list[float]
    seconds: float

    def predict_proba(self, X: pd.DataFrame) -> npt.NDArray[np.float32]:
        """Probabilities (n, k) as float32: the precision in which they are stored and scored."""
        return self.predict_encoded(self.encode(X))

    def encode(self, X: pd.DataFrame) -> Any:
        """Raw rows as the classifier takes them."""
        return self.encoder.transform(self.preparer.transform(X))

    def predict_encoded(self, encoded: Any) -> npt.NDArray[np.float32]:
        """Probabilities of rows that `encode` returned; raises `EvenhandError` where they are not probabilities."""
        proba = np.asarray(self.classifier.predict_proba(encoded), dtype=np.float32)
        if proba.shape[1] != self.classes or not np.isfinite(proba).all():
            raise EvenhandError(
                f"{type(self.classifier).__name__} did not return {self.classes} finite probabilities per row"
            )
        return proba


def fit_pipeline(recipe: Recipe, params: Mapping[str, Any], training: TrainingSet) -> Fitted:
    """Fit one configuration to a training set: prepare, let the strategy act, encode, fit the classifier."""
    started = time.perf_counter()
    configuration, cache = recipe.read(params), training.cache
    preparer = cache.get(("preparer",), lambda: fit_preparer(training.X))
    rows, y, watched = cache.get(("rows",), lambda: _real_rows(training, preparer))
    key = tuple(sorted(configuration.encoding.items()))
    encoder = cache.get(
        ("encoder", key), lambda: recipe.encoding.fit(rows, y, preparer.layout, **configuration.encoding)
    )
    acted = _act(recipe, configuration, training, preparer, (rows, y))
    encoded = cache.get(("encoded", key, acted.key), lambda: encoder.transform(acted.rows))
    given: dict[str, Any] = {"X": encoded, "y": acted.y, "sample_weight": acted.weights}
    if recipe.family.stops_early and watched is not None:
        given["validation"] = cache.get(("watched", key), lambda: encoder.transform(watched[0])), watched[1]
    classifier = _classifier(recipe.family, configuration, seed_of(training.seed, "fit"))
    classifier.fit(**given)
    after = np.bincount(acted.y, weights=acted.weights, minlength=recipe.classes)
    return Fitted(
        preparer=preparer,
        encoder=encoder,
        classifier=classifier,
        classes=recipe.classes,
        counts_before=np.bincount(y, minlength=recipe.classes).tolist(),
        # An ensemble of balanced subsets knows what its members saw; others saw what they were given.
        counts_after=[float(n) for n in getattr(classifier, "class_counts_", after)],
        seconds=time.perf_counter() - started,
    )


def scored_rows(
    recipe: Recipe, params: Mapping[str, Any], training: TrainingSet, fitted: Fitted, X: pd.DataFrame
) -> Any:
    """Rows to be scored on, encoded; the same for every trial with equal encoding parameters, so kept in the cache."""
    prepared = training.cache.get(("scored rows",), lambda: fitted.preparer.transform(X))
    key = ("scored", *sorted(recipe.read(params).encoding.items()))
    return training.cache.get(key, lambda: fitted.encoder.transform(prepared))


@dataclass(frozen=True)
class _Acted:
    """Training rows as the strategy leaves them, and a key that names what it did."""

    rows: Rows
    y: Labels
    weights: npt.NDArray[np.float64] | None = None
    key: tuple[Any, ...] = ()


def _act(
    recipe: Recipe, configuration: Configuration, training: TrainingSet, preparer: Preparer, real: tuple[Rows, Labels]
) -> _Acted:
    strategy, params = configuration.strategy, configuration.strategy_params
    rows, y = real
    if strategy.kind == "resample":
        # The seed is the cell's and the fold's and not the trial's, so that equal parameters find their rows in the cache.
        seed = seed_of(training.seed, "resample")
        made, made_y = resample(strategy, params, rows, y, preparer.layout, seed, training.cache)
        return _Acted(made, made_y, key=(strategy.name, *sorted(params.items())))
    if strategy.kind == "weight":
        assert strategy.build is not None  # noqa: S101 -- checked where strategies are declared
        return _Acted(rows, y, np.asarray(strategy.build(y, recipe.costs, **params), dtype=np.float64))
    return _Acted(rows, y)


def _real_rows(training: TrainingSet, preparer: Preparer) -> tuple[Rows, Labels, tuple[Rows, Labels] | None]:
    rows = preparer.transform(training.X)
    if training.watched is None:
        return rows, training.y, None
    rest = np.setdiff1d(np.arange(len(training.y)), training.watched)
    return rows.take(rest), training.y[rest], (rows.take(training.watched), training.y[training.watched])


def _classifier(family: Family, configuration: Configuration, seed: int) -> Any:
    """An unfitted classifier, or an ensemble of them where that is the strategy."""

    def member(member_seed: int) -> Any:
        return family.build(member_seed, **configuration.family)

    strategy = configuration.strategy
    if strategy.kind == "ensemble":
        assert strategy.build is not None  # noqa: S101 -- checked where strategies are declared
        return strategy.build(member, seed, **configuration.strategy_params)
    return member(seed)


def prefixed(space: Space, prefix: str, chosen_by: str | None = None) -> dict[str, Any]:
    """The same space with `<prefix>.` before its names; with `chosen_by` it exists only where that parameter says `prefix`."""
    named: dict[str, Any] = {}
    for name, parameter in space.items():
        if isinstance(parameter, When):
            named[f"{prefix}.{name}"] = When(f"{prefix}.{parameter.parent}", parameter.value, parameter.parameter)
        elif chosen_by is not None:
            named[f"{prefix}.{name}"] = When(chosen_by, prefix, parameter)
        else:
            named[f"{prefix}.{name}"] = parameter
    return named


def _below(params: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {key.removeprefix(prefix + "."): value for key, value in params.items() if key.startswith(prefix + ".")}
