"""prepare → strategy → encode → classifier, assembled in one place for the search, the final fit and later use.

Tables go this way; texts and images go encode → strategy → classifier, because a strategy needs numbers to act on.

Everything that learns from features is fitted on real training rows; rows that a strategy made are only transformed. What does
not depend on the trial comes from the fold's cache, what depends on neither family nor strategy from the worker's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import EvenhandError, Inapplicable
from harness.preprocessing.cache import FoldCache
from harness.preprocessing.encoder import Encoder, Encoding
from harness.preprocessing.encodings import ENCODINGS
from harness.preprocessing.resampling import resample, resample_points
from harness.preprocessing.tabular import Preparer, Rows, fit_preparer
from harness.registry.family import Family
from harness.registry.space import Choice, Space, When
from harness.registry.strategy import Strategy
from harness.registry.task import Features, take
from harness.seeding import seed_of

Labels = npt.NDArray[np.int64]
Costs = tuple[tuple[float, ...], ...] | None
STRATEGY = "strategy"  #: the parameter by which a searched cell chooses


@dataclass(frozen=True)
class PipelineSpec:
    """A family with the strategies that may be applied to it: one, or several among which the search chooses."""

    family: Family
    strategies: tuple[Strategy, ...]
    modality: str
    classes: int
    costs: Costs = None

    @property
    def encoding(self) -> Encoding:
        """How this family wants its rows."""
        if reason := inapplicable(self.family, self.modality):
            raise Inapplicable(reason, always=True)
        return ENCODINGS[self.family.encodings[self.modality]]

    @property
    def encoding_space(self) -> Space:
        """What is searched of the encoding: where the one strategy makes rows, only what gives points between which it can."""
        if len(self.strategies) > 1 or not needs_points(self.strategies[0], self.modality):
            return self.encoding.space
        if reason := inapplicable(self.family, self.modality, self.strategies[0]):
            raise Inapplicable(reason, always=True)
        return self.encoding.points or {}

    @property
    def space(self) -> Space:
        """Everything the study searches: the family's parameters bare, others as `encode.<name>` and `<strategy>.<name>`."""
        space = dict(self.family.space) | prefixed(self.encoding_space, "encode")
        several = len(self.strategies) > 1
        if several:
            names = tuple(strategy.name for strategy in self.strategies)
            space[STRATEGY] = Choice(names, "none" if "none" in names else names[0])
        for strategy in self.strategies:
            if not (strategy.uses_costs and self.costs):
                space |= prefixed(strategy.space, strategy.name, STRATEGY if several else None)
        return space

    def read(self, params: Mapping[str, Any]) -> PipelineParams:
        """Sort a trial's parameters by what they belong to."""
        name = params.get(STRATEGY, self.strategies[0].name)
        strategy = next(one for one in self.strategies if one.name == name)
        own = {key: value for key, value in params.items() if "." not in key and key != STRATEGY}
        return PipelineParams(own, _below(params, "encode"), strategy, _below(params, strategy.name))


@dataclass(frozen=True)
class PipelineParams:
    """One point of the space, sorted by what its parameters belong to."""

    family: dict[str, Any]
    encoding: dict[str, Any]
    strategy: Strategy
    strategy_params: dict[str, Any]


@dataclass(frozen=True)
class TrainingSet:
    """Training rows, and a memo of what was computed from them.

    `watched` are positions among the training rows that are kept aside for early stopping: real rows that no strategy touches.
    `shared` outlives the cell; what is kept there of these rows is found by `place`, which names them and no family or strategy.
    """

    X: Features
    y: Labels
    seed: int
    validation: Labels | None = None
    cache: FoldCache = field(default_factory=FoldCache)
    shared: FoldCache = field(default_factory=FoldCache)
    split_key: tuple[Any, ...] = ()


@dataclass(frozen=True)
class FittedPipeline:
    """A fitted pipeline; holds no training rows of its own. The counts are rows per class (sums of weights, where weighted)."""

    preparer: Preparer | None  #: of tables
    encoder: Encoder
    classifier: Any
    classes: int
    counts_before: list[float]
    counts_after: list[float]
    seconds: float

    def predict_proba(self, X: Features) -> npt.NDArray[np.float32]:
        """Probabilities (n, k) as float32: the precision in which they are stored and scored."""
        return self.predict_encoded(self.encode(X))

    def encode(self, X: Features) -> Any:
        """Raw rows as the classifier takes them."""
        return self.encoder.transform(self.preparer.transform(X) if self.preparer else X)

    def remember(self, X: Features) -> None:
        """Let an encoder that keeps what it makes of rows on disk make it now, so that no clock counts it in one cell alone."""
        if hasattr(self.encoder, "remember"):
            self.encoder.remember(X)

    def predict_encoded(self, encoded: Any) -> npt.NDArray[np.float32]:
        """Probabilities of rows that `encode` returned; raises `EvenhandError` where they are not probabilities."""
        proba = np.asarray(self.classifier.predict_proba(encoded), dtype=np.float32)
        rows = encoded.shape[0] if hasattr(encoded, "shape") else len(encoded)
        if problem := _probability_problem(proba, rows, self.classes):
            raise EvenhandError(
                f"{type(self.classifier).__name__} did not return {self.classes} finite probabilities per row "
                f"that add up to 1: {problem}"
            )
        return proba


#: How far a probability may lie outside [0, 1], and how far the sum of a row may be from 1: rounding in single precision.
RANGE_TOLERANCE = 1e-6
SUM_TOLERANCE = 1e-3


def _probability_problem(proba: npt.NDArray[np.float32], rows: int, classes: int) -> str:
    """What is wrong with probabilities of so many rows; empty where nothing is."""
    if proba.shape != (rows, classes):
        return f"expected the shape {(rows, classes)}, found {proba.shape}"
    if not rows:
        return ""
    if not np.isfinite(proba).all():
        wrong = int((~np.isfinite(proba)).any(axis=1).sum())
        return f"{wrong:,} of {rows:,} rows are not finite"
    low, high = float(proba.min()), float(proba.max())
    if low < -RANGE_TOLERANCE or high > 1 + RANGE_TOLERANCE:
        return f"expected values from 0 to 1, found {low:.6g} to {high:.6g}"
    sums = proba.sum(axis=1, dtype=np.float64)
    farthest = float(sums[np.argmax(np.abs(sums - 1))])
    if abs(farthest - 1) > SUM_TOLERANCE:
        return f"expected sums of 1 up to {SUM_TOLERANCE:g}, found a row with {farthest:.6g}"
    return ""


def fit_pipeline(recipe: PipelineSpec, params: Mapping[str, Any], training: TrainingSet) -> FittedPipeline:
    """Fit one configuration to a training set: prepare, encode, let the strategy act where it can, fit the classifier."""
    started = time.perf_counter()
    configuration = recipe.read(params)
    route = _typed_route if recipe.modality == "tabular" else _plain_route
    ready = route(recipe, configuration, training)
    given: dict[str, Any] = {"X": ready.X, "y": ready.y, "sample_weight": ready.weights}
    if recipe.family.stops_early and ready.validation is not None:
        given["validation"] = ready.validation
    classifier = _classifier(recipe.family, configuration, seed_of(training.seed, "fit"))
    classifier.fit(**given)
    after = np.bincount(ready.y, weights=ready.weights, minlength=recipe.classes)
    return FittedPipeline(
        preparer=ready.preparer,
        encoder=ready.encoder,
        classifier=classifier,
        classes=recipe.classes,
        counts_before=np.bincount(ready.real_y, minlength=recipe.classes).tolist(),
        # An ensemble of balanced subsets knows what its members saw; others saw what they were given.
        counts_after=[float(n) for n in getattr(classifier, "class_counts_", after)],
        seconds=time.perf_counter() - started + ready.saved,
    )


def scored_rows(
    recipe: PipelineSpec,
    params: Mapping[str, Any],
    training: TrainingSet,
    fitted: FittedPipeline,
    X: Features,
    name: str = "scored",
) -> Any:
    """Rows to be scored on, encoded; the same for every trial with equal encoding parameters, so kept under `name`."""
    key = tuple(sorted(recipe.read(params).encoding.items()))
    preparer = fitted.preparer
    if preparer is None:
        shared = (*training.split_key, recipe.encoding.name, training.validation is None, name, key)
        return training.shared.get(shared, lambda: fitted.encoder.transform(X))
    prepared = training.cache.get((name, "rows"), lambda: preparer.transform(X))
    return training.cache.get((name, *key), lambda: fitted.encoder.transform(prepared))


@dataclass(frozen=True)
class _Ready:
    """Training rows as the classifier takes them, and what made them; `saved` are seconds that a cache has spared."""

    X: Any
    y: Labels
    weights: npt.NDArray[np.float64] | None
    validation: tuple[Any, Labels] | None
    real_y: Labels
    encoder: Encoder
    preparer: Preparer | None = None
    saved: float = 0.0


def _typed_route(recipe: PipelineSpec, configuration: PipelineParams, training: TrainingSet) -> _Ready:
    """Of tables: the strategy acts on prepared, typed rows, and then they are encoded."""
    cache, key = training.cache, tuple(sorted(configuration.encoding.items()))
    preparer = cache.get(("preparer",), lambda: fit_preparer(training.X))

    def parts() -> tuple[Rows, Labels, tuple[Rows, Labels] | None]:
        rows = preparer.transform(training.X)
        rest, watched = _apart(training)
        aside = None if watched is None else (rows.take(watched), training.y[watched])
        return rows if watched is None else rows.take(rest), training.y[rest], aside

    rows, y, watched = cache.get(("rows",), parts)
    encoder = cache.get(
        ("encoder", key), lambda: recipe.encoding.fit(rows, y, preparer.layout, **configuration.encoding)
    )
    made, made_y, acted = rows, y, _acted(configuration)
    if configuration.strategy.kind == "resample":
        made, made_y = resample(
            configuration.strategy,
            configuration.strategy_params,
            rows,
            y,
            preparer.layout,
            _resample_seed(training),
            cache,
        )
    return _Ready(
        X=cache.get(("encoded", key, acted), lambda: encoder.transform(made)),
        y=made_y,
        weights=_weights(recipe, configuration, y),
        validation=watched and (cache.get(("watched", key), lambda: encoder.transform(watched[0])), watched[1]),
        real_y=y,
        encoder=encoder,
        preparer=preparer,
    )


def _plain_route(recipe: PipelineSpec, configuration: PipelineParams, training: TrainingSet) -> _Ready:
    """Of texts and images: rows are encoded, and the strategy acts on what comes of it."""
    encoding, cache = recipe.encoding, training.cache
    key = (encoding.name, tuple(sorted(configuration.encoding.items())))
    (rest, watched), seed = _apart(training), seed_of(*training.split_key, "encode")

    def encode() -> tuple[Encoder, Any, Any, float]:
        started = time.perf_counter()
        X, y = take(training.X, rest), training.y[rest]
        encoder = encoding.fit(X, y, seed, **configuration.encoding)
        aside = None if watched is None else encoder.transform(take(training.X, watched))
        return encoder, encoder.transform(X), aside, time.perf_counter() - started

    started = time.perf_counter()
    encoder, X, aside, seconds = training.shared.get((*training.split_key, watched is None, *key), encode)
    saved = max(0.0, seconds - (time.perf_counter() - started))
    y, made_y = training.y[rest], training.y[rest]
    if configuration.strategy.kind == "resample":
        strategy, params = configuration.strategy, configuration.strategy_params
        if not strategy.selects_existing_rows and (encoding.points is None or X.ndim != 2):
            raise Inapplicable(
                f"{strategy.name} makes rows between neighbours: {encoding.why or 'these are not points'}"
            )
        X, made_y = resample_points(strategy, params, X, y, _resample_seed(training), (cache, key))
    return _Ready(
        X=X,
        y=made_y,
        weights=_weights(recipe, configuration, y),
        validation=None if watched is None else (aside, training.y[watched]),
        real_y=y,
        encoder=encoder,
        saved=saved,
    )


def _apart(training: TrainingSet) -> tuple[Labels, Labels | None]:
    """Positions of the rows to learn from, and of those that are watched."""
    rows = np.arange(len(training.y))
    return (
        (rows, None) if training.validation is None else (np.setdiff1d(rows, training.validation), training.validation)
    )


def _acted(configuration: PipelineParams) -> tuple[Any, ...]:
    """What names the rows that a strategy leaves."""
    if configuration.strategy.kind != "resample":
        return ()
    return (configuration.strategy.name, *sorted(configuration.strategy_params.items()))


def _resample_seed(training: TrainingSet) -> int:
    """The cell's and the fold's and not the trial's, so that equal parameters find their rows in the cache."""
    return seed_of(training.seed, "resample")


def _weights(recipe: PipelineSpec, configuration: PipelineParams, y: Labels) -> npt.NDArray[np.float64] | None:
    strategy = configuration.strategy
    if strategy.kind != "weight":
        return None
    assert strategy.build is not None  # noqa: S101 -- checked where strategies are declared
    return np.asarray(strategy.build(y, recipe.costs, **configuration.strategy_params), dtype=np.float64)


def needs_points(strategy: Strategy, modality: str) -> bool:
    """Whether a strategy makes or compares rows where only encoded rows can be: of tables prepared ones always can."""
    return modality != "tabular" and strategy.kind == "resample" and not strategy.selects_existing_rows


def inapplicable(family: Family, modality: str, strategy: Strategy | None = None) -> str:
    """Why a family cannot be combined with such data, or with a strategy on them; empty where it can."""
    name = family.encodings.get(modality)
    if name is None:
        return f"{family.name} does not take {modality} data"
    if strategy is None:
        return ""
    if strategy.kind in family.limits:
        return family.limits[strategy.kind]
    if needs_points(strategy, modality) and ENCODINGS[name].points is None:
        return f"{strategy.name} makes rows between neighbours: {ENCODINGS[name].why}"
    return ""


def _classifier(family: Family, configuration: PipelineParams, seed: int) -> Any:
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
