"""prepare → strategy → encode → classifier, assembled in one place for the search, the final fit and later use.

Tables are processed in this order; texts and images are encoded before the strategy acts, because it needs numbers.
Everything that learns from features is fitted on real training rows; rows that a strategy made are only transformed. What does
not depend on the trial comes from the fold's cache, what depends on neither family nor strategy from the worker's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import EvenhandError, Inapplicable
from harness.preprocessing.cache import FoldCache
from harness.preprocessing.encodings import CATEGORIES, ENCODINGS, FREQUENT, Encoder, Encoding
from harness.preprocessing.resampling import resample_encoded_rows, resample_table_rows
from harness.preprocessing.tabular import TabularPreprocessor
from harness.registry.family import Family
from harness.registry.space import Choice, Space, add_prefix, strip_prefix
from harness.registry.strategy import Strategy
from harness.registry.task import Features, fill_empty_columns, take, take_weights
from harness.search.applicability import (
    UNSUPPORTED_MODALITY,
    UNSUPPORTED_STRATEGY,
    UNSUPPORTED_WEIGHTS,
    inapplicable_reason,
    needs_interpolation,
    unweightable_reason,
)
from harness.search.classifiers import build_classifier, limit_leaves
from harness.search.probabilities import find_probability_problem
from harness.search.row_weights import (
    compute_fit_weights,
    count_rows_per_class,
    expand_weighted_rows,
    repeat_weighted_rows,
)
from harness.search.table_preparation import prepare_table, raise_bins
from harness.seeding import seed_of

Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Costs = tuple[tuple[float, ...], ...] | None
#: The parameter by which a search over several strategies chooses one, and the prefix of the encoding's parameters.
STRATEGY, ENCODE = "strategy", "encode"


@dataclass(frozen=True)
class PipelineSpec:
    """A family with the strategies that may be applied to it: one, or several among which the search chooses."""

    family: Family
    strategies: tuple[Strategy, ...]
    modality: str
    classes: int
    costs: Costs = None
    many_levels: bool = False  #: whether a category of the table has many levels

    @property
    def encoding(self) -> Encoding:
        """The encoding of the family for this modality; raises `Inapplicable` where it has none."""
        if reason := inapplicable_reason(self.family, self.modality):
            raise Inapplicable(reason, always=True, code=UNSUPPORTED_MODALITY)
        return ENCODINGS[self.family.encodings[self.modality]]

    @property
    def encoding_space(self) -> Space:
        """What is searched of the encoding: where the strategy interpolates rows, only what allows that."""
        if len(self.strategies) > 1 or not needs_interpolation(self.strategies[0], self.modality):
            return self.encoding.space_of(self.many_levels)
        if reason := inapplicable_reason(self.family, self.modality, self.strategies[0]):
            raise Inapplicable(reason, always=True, code=UNSUPPORTED_STRATEGY)
        return self.encoding.interpolation_space or {}

    @property
    def space(self) -> Space:
        """Everything that the study searches.

        The family's parameters have their own names, others are `encode.<name>` and `<strategy>.<name>`.
        """
        space = dict(self.family.space) | add_prefix(self.encoding_space, ENCODE)
        selector = None
        if len(self.strategies) > 1:
            selector = STRATEGY
            names = tuple(strategy.name for strategy in self.strategies)
            space[STRATEGY] = Choice(names, "none" if "none" in names else names[0])
        for strategy in self.strategies:
            if not (strategy.uses_costs and self.costs):
                space |= add_prefix(strategy.space, strategy.name, selector)
        return space

    def split_params_by_step(self, params: Mapping[str, Any]) -> PipelineParams:
        """Divide the parameters of a trial by the step of the pipeline that they belong to."""
        name = params.get(STRATEGY, self.strategies[0].name)
        strategy = next(strategy for strategy in self.strategies if strategy.name == name)
        family_params = {key: setting for key, setting in params.items() if "." not in key and key != STRATEGY}
        return PipelineParams(family_params, strip_prefix(params, ENCODE), strategy, strip_prefix(params, name))


@dataclass(frozen=True)
class PipelineParams:
    """One configuration, divided by the steps of the pipeline."""

    family: dict[str, Any]
    encoding: dict[str, Any]
    strategy: Strategy
    strategy_params: dict[str, Any]

    @property
    def encoder(self) -> dict[str, Any]:
        """The parameters of the encoder: those of the encoding without that of the preparation."""
        return {name: setting for name, setting in self.encoding.items() if name != CATEGORIES}

    @property
    def categories(self) -> str:
        """How categories with many levels are prepared."""
        return str(self.encoding.get(CATEGORIES, FREQUENT))

    @property
    def encoding_key(self) -> tuple[tuple[str, Any], ...]:
        """The parameters of the encoding as a key of a cache."""
        return tuple(sorted(self.encoding.items()))

    @property
    def resampling_key(self) -> tuple[Any, ...]:
        """What identifies the rows that a resampling strategy returns; empty for other strategies."""
        if self.strategy.kind != "resample":
            return ()
        return (self.strategy.name, *sorted(self.strategy_params.items()))


@dataclass(frozen=True)
class TrainingSet:
    """Training rows, and caches of what was computed from them.

    `validation` are positions among the training rows that are set aside for early stopping: real rows that no strategy
    changes. `shared` outlives the cell; its entries about these rows are found by `split_key`, which identifies the rows and
    neither a family nor a strategy.
    """

    X: Features
    y: Labels
    seed: int
    validation: Labels | None = None
    cache: FoldCache = field(default_factory=FoldCache)
    shared: FoldCache = field(default_factory=FoldCache)
    split_key: tuple[Any, ...] = ()
    blocks: Labels | None = None  #: block of each row: rows of a block are on one side of every split
    weights: Floats | None = None  #: weight of each row, above 0; None where all count the same

    @property
    def fitted_row_positions(self) -> Labels:
        """Positions of the rows that classifiers are fitted on."""
        rows = np.arange(len(self.y))
        return rows if self.validation is None else np.setdiff1d(rows, self.validation)

    def make_validation(self, encoded: Any) -> tuple[Any, ...]:
        """The encoded validation rows with their labels and, where rows have weights, these."""
        labels = self.y[self.validation]
        if self.weights is None:
            return encoded, labels
        return encoded, labels, self.weights[self.validation]

    @property
    def resampling_seed(self) -> int:
        """It depends on cell and fold and not on the trial, so that equal parameters find their rows in the cache."""
        return seed_of(self.seed, "resample")


@dataclass(frozen=True)
class FittedPipeline:
    """A fitted pipeline without any training row; the counts are rows per class (sums of weights, where weighted)."""

    preparer: TabularPreprocessor | None  #: of tables
    encoder: Encoder
    classifier: Any
    classes: int
    counts_before: list[float]
    counts_after: list[float]
    seconds: float

    def predict_proba(self, X: Features) -> npt.NDArray[np.float32]:
        """Predict probabilities (n, k) as float32: the precision in which they are stored and scored."""
        return self.predict_encoded(self.encode(X))

    def encode(self, X: Features) -> Any:
        """Convert raw rows to the input of the classifier."""
        if self.preparer is None:
            return self.encoder.transform(X)
        unscaled = getattr(self.encoder, "reads_unscaled", False)
        return self.encoder.transform(self.preparer.transform(X, unscaled=unscaled))

    def fill_cache(self, X: Features) -> None:
        """Let an encoder with a cache on disk fill it now, so that its time does not count for the first cell alone."""
        if hasattr(self.encoder, "fill_cache"):
            self.encoder.fill_cache(X)

    def predict_encoded(self, encoded: Any) -> npt.NDArray[np.float32]:
        """Predict the rows that `encode` returned; raises `EvenhandError` where these are no probabilities."""
        proba = np.asarray(self.classifier.predict_proba(encoded), dtype=np.float32)
        rows = encoded.shape[0] if hasattr(encoded, "shape") else len(encoded)
        if problem := find_probability_problem(proba, rows, self.classes):
            raise EvenhandError(
                f"{type(self.classifier).__name__} did not return {self.classes} finite probabilities per row "
                f"that add up to 1: {problem}"
            )
        return proba


def fit_pipeline(spec: PipelineSpec, params: Mapping[str, Any], training: TrainingSet) -> FittedPipeline:
    """Fit one configuration to a training set: prepare, encode, let the strategy act where it can, fit the classifier.

    Parameters
    ----------
    spec : PipelineSpec
        The family and its strategies.
    params : mapping
        A configuration of `spec.space`.
    training : TrainingSet
        The rows; they are not changed.

    Returns
    -------
    FittedPipeline
        The fitted steps; its seconds include what caches have saved.

    Raises
    ------
    Inapplicable
        If the family or strategy cannot be used with these rows.
    """
    started = time.perf_counter()
    parsed = spec.split_params_by_step(params)
    if training.weights is not None and (reason := unweightable_reason(spec.family, parsed.strategy)):
        raise Inapplicable(reason, code=UNSUPPORTED_WEIGHTS)
    encode = _encode_table if spec.modality == "tabular" else _encode_texts_or_images
    encoded = encode(spec, parsed, training)
    weights = compute_fit_weights(parsed.strategy, parsed.strategy_params, encoded.y, spec.costs, encoded.weights)
    fit_arguments: dict[str, Any] = {"X": fill_empty_columns(encoded.X), "y": encoded.y, "sample_weight": weights}
    if spec.family.stops_early and encoded.validation is not None:
        fit_arguments["validation"] = encoded.validation
    family_params = limit_leaves(parsed.strategy, parsed.family, encoded.y, len(encoded.real_y))
    build = partial(_build_member, spec.family, family_params, encoded.X)
    classifier = build_classifier(build, (parsed.strategy, parsed.strategy_params), seed_of(training.seed, "fit"))
    classifier.fit(**fit_arguments)
    counts_after = count_rows_per_class(encoded.y, weights, spec.classes)
    return FittedPipeline(
        preparer=encoded.preparer,
        encoder=encoded.encoder,
        classifier=classifier,
        classes=spec.classes,
        counts_before=count_rows_per_class(encoded.real_y, encoded.real_weights, spec.classes),
        # An ensemble of balanced subsets knows the counts of its members; the counts of others are those of their rows.
        counts_after=list(map(float, getattr(classifier, "class_counts_", counts_after))),
        seconds=time.perf_counter() - started + encoded.seconds_saved,
    )


def encode_scored_rows(
    spec: PipelineSpec,
    params: Mapping[str, Any],
    training: TrainingSet,
    fitted: FittedPipeline,
    X: Features,
    name: str = "scored",
) -> Any:
    """Encode rows that are to be scored; they are kept under `name`, being the same for equal encoding parameters."""
    parsed, preparer = spec.split_params_by_step(params), fitted.preparer
    key = parsed.encoding_key
    if preparer is None:
        shared_key = (*training.split_key, spec.encoding.name, training.validation is None, name, key)
        return training.shared.get(shared_key, lambda: fitted.encoder.transform(X))
    rows_key = (name, "rows", parsed.categories)
    prepared = training.cache.get(rows_key, lambda: preparer.transform(X, unscaled=spec.encoding.unscaled))
    return training.cache.get((name, *key), lambda: fitted.encoder.transform(prepared))


@dataclass(frozen=True)
class _EncodedTraining:
    """The input of a classifier with the labels of the real rows, and the fitted steps that made it."""

    X: Any
    y: Labels
    validation: tuple[Any, ...] | None
    real_y: Labels
    encoder: Encoder
    weights: Floats | None = None
    real_weights: Floats | None = None
    preparer: TabularPreprocessor | None = None
    seconds_saved: float = 0.0  #: by a cache that outlives the cell


def _encode_table(spec: PipelineSpec, parsed: PipelineParams, training: TrainingSet) -> _EncodedTraining:
    """Encode the rows of a table after the strategy has acted on prepared, typed rows."""
    cache, key, strategy, rows_key = training.cache, parsed.encoding_key, parsed.strategy, ("rows", parsed.categories)
    prepared = cache.get(rows_key, lambda: prepare_table(spec.encoding, parsed.categories, training))
    preparer, rows, y, validation_rows = prepared
    encoder = cache.get(("encoder", key), lambda: spec.encoding.fit(rows, y, preparer.layout, **parsed.encoder))
    counted, counted_y = repeat_weighted_rows(strategy, rows, y)
    resampled, resampled_y = counted, counted_y
    if strategy.kind == "resample":
        resampled, resampled_y = resample_table_rows(
            strategy, parsed.strategy_params, counted, counted_y, preparer.layout, training.resampling_seed, cache
        )
    validation = None
    if training.validation is not None:
        validation_X = cache.get(("validation", key), lambda: encoder.transform(validation_rows))
        validation = training.make_validation(validation_X)
    return _EncodedTraining(
        X=cache.get(
            ("encoded", key, parsed.resampling_key, len(counted_y)), lambda: encoder.transform(rows.unscale(resampled))
        ),
        y=resampled_y,
        validation=validation,
        real_y=y,
        encoder=encoder,
        weights=resampled.weights,
        real_weights=rows.weights,
        preparer=preparer,
    )


def _encode_texts_or_images(spec: PipelineSpec, parsed: PipelineParams, training: TrainingSet) -> _EncodedTraining:
    """Encode texts or images; the strategy acts on the encoded rows."""
    encoding, strategy, rows = spec.encoding, parsed.strategy, training.fitted_row_positions
    key = (encoding.name, parsed.encoding_key)
    y = training.y[rows]

    def encode() -> tuple[Encoder, Any, Any, float]:
        started = time.perf_counter()
        X, seed = take(training.X, rows), seed_of(*training.split_key, "encode")
        encoder = encoding.fit(X, y, seed, **parsed.encoding)
        validation_X = None
        if training.validation is not None:
            validation_X = encoder.transform(take(training.X, training.validation))
        return encoder, encoder.transform(X), validation_X, time.perf_counter() - started

    started = time.perf_counter()
    shared_key = (*training.split_key, training.validation is None, *key)
    encoder, X, validation_X, seconds = training.shared.get(shared_key, encode)
    seconds_saved = max(0.0, seconds - (time.perf_counter() - started))
    resampled_y = y
    real_weights = weights = take_weights(training.weights, rows)
    if weights is not None and strategy.counts_rows:
        copies, weights = expand_weighted_rows(weights)
        X, resampled_y = X[copies], y[copies]
    if strategy.kind == "resample":
        X, resampled_y, weights = _resample_encoded(spec, parsed, training, X, resampled_y, weights)
    return _EncodedTraining(
        X=X,
        y=resampled_y,
        validation=None if training.validation is None else training.make_validation(validation_X),
        real_y=y,
        encoder=encoder,
        weights=weights,
        real_weights=real_weights,
        seconds_saved=seconds_saved,
    )


def _resample_encoded(
    spec: PipelineSpec, parsed: PipelineParams, training: TrainingSet, X: Any, y: Labels, weights: Floats | None
) -> tuple[Any, Labels, Floats | None]:
    """Resample encoded texts or images; rows that are selected keep their weights."""
    encoding, strategy = spec.encoding, parsed.strategy
    if not strategy.selects_existing_rows and (encoding.interpolation_space is None or X.ndim != 2):
        raise Inapplicable(
            f"{strategy.name} makes rows between neighbours: {encoding.reason or 'these are not points'}",
            code=UNSUPPORTED_STRATEGY,
        )
    points, key = X, (encoding.name, parsed.encoding_key)
    if weights is not None:
        points, key = np.arange(len(y)), ("positions", ())
    resampled, resampled_y = resample_encoded_rows(
        strategy, parsed.strategy_params, points, y, training.resampling_seed, (training.cache, key)
    )
    if weights is None:
        return resampled, resampled_y, None
    return X[resampled], resampled_y, weights[resampled]


def _build_member(family: Family, params: dict[str, Any], X: Any, seed: int) -> Any:
    """An unfitted classifier for these rows."""
    return raise_bins(family.build(seed, **params), X)
