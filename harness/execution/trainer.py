"""What a search can see of a cell: its outer training rows, their inner folds, and the fits that are made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.data.splits import Splitter
from harness.findings import Reason
from harness.metrics.metric import Metric, Predictions, best_threshold
from harness.preprocessing.cache import FoldCache
from harness.registry.protocol import EvaluationProtocol
from harness.registry.task import Table, take, take_weights
from harness.search.complexity import count_parameters_or_nodes, network_layers, pickled_size_in_bytes
from harness.search.pipeline import FittedPipeline, PipelineSpec, TrainingSet, encode_scored_rows, fit_pipeline
from harness.search.study import Configuration, TrialResult
from harness.seeding import seed_of
from harness.store.record import EntryResult

if TYPE_CHECKING:
    from harness.execution.cell import Cell

#: The share of the training rows that is set aside for early stopping.
VALIDATION_SHARE = 0.15
#: The largest size of the cache of one training set, in bytes.
CACHE_BYTES = 300_000_000
#: Metrics of the training rows that are stored with the objective, to see over-fitting.
TRAIN_METRICS = ("roc_auc", "accuracy", "log_loss")
#: The fields by which a history of `harness.networks` is recognised; this package does not import that one.
HISTORY_FIELDS = {"train_loss", "validation_loss", "validation_bounded", "epoch", "remarks"}

#: Stores the training curves of one trial or refit: its name, then arrays by `<fold>/<curve>`.
CurveWriter: TypeAlias = Callable[[str, dict[str, npt.NDArray[Any]]], None]


@dataclass(frozen=True)
class TrainingData:
    """The outer training rows of a cell and how they are searched; test rows are not in it."""

    table: Table
    splitter: Splitter
    spec: PipelineSpec
    protocol: EvaluationProtocol
    metrics: Mapping[str, Metric]
    shared: FoldCache  #: outlives the cell; entries are found by the split that their rows belong to

    @property
    def objective(self) -> Metric:
        """The metric that the search optimizes."""
        return self.metrics[self.protocol.objective_for(len(self.table.classes))]


@dataclass(frozen=True)
class RefittedEntry:
    """A configuration fitted to all training rows, with its threshold; the test rows have not been predicted yet."""

    stage: str
    configuration: Configuration
    fitted: FittedPipeline
    threshold: float | None
    train_scores: dict[str, float]
    remarks: tuple[Reason, ...]

    def entry_result(self, predict_seconds: float) -> EntryResult:
        """What is stored of the entry, given the seconds that the prediction of the test rows took."""
        chosen_configuration, fitted_pipeline, classifier = self.configuration, self.fitted, self.fitted.classifier
        return EntryResult(
            stage=self.stage,
            trial=chosen_configuration.trial,
            params=chosen_configuration.params,
            inner_score=chosen_configuration.score,
            threshold=self.threshold,
            counts_before=fitted_pipeline.counts_before,
            counts_after=fitted_pipeline.counts_after,
            fit_seconds=fitted_pipeline.seconds,
            predict_seconds=predict_seconds,
            train_scores=self.train_scores,
            parameters=count_parameters_or_nodes(classifier),
            model_bytes=pickled_size_in_bytes(fitted_pipeline),
            remarks=self.remarks,
            epoch=best_epoch_of_network(classifier),
            architecture=network_layers(classifier),
        )


class CellTrainer:
    """Fits configurations to the training rows of a cell and scores them on its inner folds.

    Parameters
    ----------
    cell : Cell
        Gives the seeds.
    training : TrainingData
        The outer training rows.
    write_curves : callable, optional
        Stores the training curves of networks; by default they are not kept.
    """

    def __init__(
        self, cell: Cell, training: TrainingData, write_curves: CurveWriter = lambda _name, _arrays: None
    ) -> None:
        self.training, self.table, self.spec = training, training.table, training.spec
        self.write_curves = write_curves
        # Inner folds belong to the task's outer fold and not to the cell: families and strategies are compared on equal ones.
        split_key = (training.protocol.seed, cell.task, cell.repeat, cell.fold)
        inner_folds = training.splitter.inner(training.protocol.inner_folds, seed_of(*split_key, "inner"))
        self.scored = [(rows, take(self.table.X, rows)) for _, rows in inner_folds]
        self.inner = [
            self._make_training_set(
                rows, seed_of(cell.seed, "inner", fold_number), (*split_key, "watched", fold_number)
            )
            for fold_number, (rows, _) in enumerate(inner_folds)
        ]
        self.outer_seed, self.outer_key = seed_of(cell.seed, "outer"), (*split_key, "watched", "outer")

    def _make_training_set(self, rows: npt.NDArray[np.int64], seed: int, split_key: tuple[Any, ...]) -> TrainingSet:
        validation_rows = None
        if self.spec.family.stops_early:
            sliced_rows = self.training.splitter.split_validation(rows, VALIDATION_SHARE, seed_of(*split_key))[1]
            validation_rows = np.flatnonzero(np.isin(rows, sliced_rows)) if len(sliced_rows) else None
        X, y = take(self.table.X, rows), self.table.y[rows]
        row_blocks, cache = self.training.splitter.blocks[rows], FoldCache(CACHE_BYTES)
        weights = take_weights(self.table.weights, rows)
        return TrainingSet(X, y, seed, validation_rows, cache, self.training.shared, split_key, row_blocks, weights)

    def score_inner(self, params: dict[str, Any], number: int) -> TrialResult:
        """Fit and score a configuration on the inner folds.

        The curves of its fits are stored, also where one of them fails.

        Parameters
        ----------
        params : dict
            The configuration.
        number : int
            The number of the trial, for the names of the curves.

        Returns
        -------
        TrialResult
            The mean objective over the inner folds, out-of-fold probabilities of all training rows (NaN where a row was never
            predicted), and remarks.
        """
        y = self.table.y
        proba = np.full((len(y), len(self.table.classes)), np.nan, dtype=np.float32)
        scores, curves = [], FitCurves()
        try:
            for fold, (training_set, (rows, X)) in enumerate(zip(self.inner, self.scored, strict=True)):
                fitted_pipeline = fit_pipeline(self.spec, params, training_set)
                curves.add_fit(f"inner_{fold}", fitted_pipeline.classifier, training_set.seed)
                proba[rows] = fitted_pipeline.predict_encoded(
                    encode_scored_rows(self.spec, params, training_set, fitted_pipeline, X)
                )
                scores.append(self._compute_metric(self.training.objective, rows, proba[rows]))
        finally:
            self._store_curves(f"trial_{number}", curves)
        return TrialResult(float(np.mean(scores)), proba, tuple(curves.remarks))

    def refit(self, stage: str, configuration: Configuration) -> RefittedEntry:
        """Fit a configuration to all training rows and choose its threshold from its inner out-of-fold probabilities."""
        fitted_pipeline, training_set, curves = self.fit(stage, configuration.params)
        y, threshold = self.table.y, None
        if len(self.table.classes) == 2:
            threshold = best_threshold(y, configuration.proba, self.spec.costs, weights=self.table.weights)
        encoded_rows = encode_scored_rows(
            self.spec, configuration.params, training_set, fitted_pipeline, self.table.X, "training"
        )
        proba = fitted_pipeline.predict_encoded(encoded_rows)
        names = dict.fromkeys([self.training.objective.name, *TRAIN_METRICS])
        rows = np.arange(len(y))
        train_scores = {name: self._compute_metric(self.training.metrics[name], rows, proba) for name in names}
        return RefittedEntry(stage, configuration, fitted_pipeline, threshold, train_scores, tuple(curves.remarks))

    def fit(self, stage: str, params: dict[str, Any]) -> tuple[FittedPipeline, TrainingSet, FitCurves]:
        """Fit a configuration to all training rows; its curves are stored.

        Every entry has a training set of its own, so that its fit time is that of one fit and nothing comes from a cache.
        """
        training_set = self._make_training_set(np.arange(len(self.table.y)), self.outer_seed, self.outer_key)
        fitted_pipeline, curves = fit_pipeline(self.spec, params, training_set), FitCurves()
        curves.add_fit("outer", fitted_pipeline.classifier, training_set.seed)
        self._store_curves(f"final_{stage}", curves)
        return fitted_pipeline, training_set, curves

    def _store_curves(self, name: str, curves: FitCurves) -> None:
        if curves.arrays:
            self.write_curves(name, curves.arrays)

    def _compute_metric(self, metric: Metric, rows: npt.NDArray[np.int64], proba: npt.NDArray[np.float32]) -> float:
        y, weights = self.table.y[rows], take_weights(self.table.weights, rows)
        return float(metric.compute(Predictions(y, proba, costs=self.spec.costs, weights=weights)))


@dataclass(frozen=True)
class FitCurves:
    """The curves of the fits of one trial or refit, by `<fold>/<curve>`, and the remarks about them."""

    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    remarks: dict[Reason, None] = field(default_factory=dict)  #: in order of appearance, each once

    def add_fit(self, fold: str, classifier: Any, seed: int) -> None:
        """Add the curves of a fitted classifier, if it has any; empty ones are left out."""
        for member, member_network in _member_networks(classifier):
            curves = {
                curve.name: getattr(member_network.history, curve.name) for curve in fields(member_network.history)
            }
            self.remarks.update(dict.fromkeys(curves.pop("remarks")))
            for name, curve in (curves | {"seed": seed}).items():
                if np.size(curve):
                    self.arrays[f"{fold}{member}/{name}"] = np.asarray(curve)


def best_epoch_of_network(classifier: Any) -> int | None:
    """The epoch whose weights a network has, counted from 1; None for an ensemble and for what is no network."""
    return next(
        (member_network.history.epoch for member, member_network in _member_networks(classifier) if not member), None
    )


def _member_networks(classifier: Any) -> Iterator[tuple[str, Any]]:
    """A network, or those in an ensemble, each with its path in the ensemble."""
    training_history = getattr(classifier, "history", None)  # other libraries have attributes of that name
    if is_dataclass(training_history) and {curve.name for curve in fields(training_history)} >= HISTORY_FIELDS:
        yield "", classifier
    members = getattr(classifier, "fitted_", None)
    if isinstance(members, list):  # LightGBM's is a bool
        for member_number, member in enumerate(members):
            for path, member_network in _member_networks(member):
                yield f"/member_{member_number}{path}", member_network
