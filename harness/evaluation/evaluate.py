"""Scores of one outer split: of the stored predictions, of their recalibrated probabilities and of ensembles.

Calibrators and ensembles are fitted on inner out-of-fold rows, and are chosen and scored on rows that they were not fitted on;
test rows are only predicted. What was fitted is cached beside the metrics, so that a second report fits and reads nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.errors import StoreError
from harness.evaluation import metric_cache
from harness.evaluation.ensembles import ENSEMBLE_KINDS, FittedEnsemble, fit_ensemble, make_positive_score
from harness.evaluation.metric_cache import LabelsAndProba, MetricCache, MetricError, MetricValues, PredictionReader
from harness.metrics import calibration
from harness.metrics.logits import Labels, Proba
from harness.metrics.metric import DEFAULT_CUT, CostMatrix, Metric, Predictions, best_threshold
from harness.processes import map_in_forks
from harness.seeding import seed_of
from harness.store.record import EntryResult, Record, StoredPredictions
from harness.store.store import Store

ScoreKey: TypeAlias = tuple[str, str, str]  #: cell id, stage of its predictions, kind of threshold

BASELINE = "majority"  #: gives all rows the same probabilities: it is neither recalibrated nor part of an ensemble
RECALIBRATED_STAGES = ("tuned",)
FIT_VERSION = 1  #: of how calibrators and ensembles are fitted: raised, they are fitted anew
ENSEMBLE_PARTS = 3
MIN_PARALLEL_CELLS = 60  #: cells to be read, from which on several processes are faster than one
MAX_PROCESSES = 4  #: each holds the predictions of one split in memory


@dataclass(frozen=True)
class OuterSplit:
    """An outer split of a task with the records of its cells, and what is known of the task."""

    task: str
    repeat: int
    fold: int
    records: tuple[Record, ...]
    classes: int
    costs: CostMatrix
    objective: Metric
    correctable: frozenset[str]  #: strategies that only change how common classes are

    @property
    def name(self) -> str:
        """What is written instead of a cell's id where several cells made the predictions."""
        return f"{self.task}/r{self.repeat}f{self.fold}"

    def derive_seed(self, purpose: str) -> int:
        """Derive the seed of what is drawn for this split; it depends on neither family nor strategy."""
        return seed_of(self.task, self.repeat, self.fold, purpose)


class SplitEnsemble(NamedTuple):
    """An ensemble of one split: its kind, the weight of each member by cell id, its score on inner rows."""

    kind: str
    weights: Mapping[str, float]
    inner: float

    @property
    def score_key_stage(self) -> str:
        """What is written instead of a stage in its score keys."""
        return f"ensembled/{self.kind}"


@dataclass(frozen=True)
class SplitScores:
    """The metrics of a split, its ensembles, the cells whose predictions cannot be read, and what is to be cached.

    `ensemble_failure` says why ensembles could not be made; it is empty where there was no error.
    """

    metric_values: dict[ScoreKey, MetricValues] = field(default_factory=dict)
    ensembles: tuple[SplitEnsemble, ...] = ()
    unreadable: dict[str, str] = field(default_factory=dict)
    cache: MetricCache = field(default_factory=dict)
    ensemble_failure: str = ""


def evaluate_all_splits(
    store: Store, splits: Sequence[OuterSplit], metrics: Mapping[str, Metric], cached: MetricCache
) -> list[SplitScores]:
    """Evaluate every split, in several processes where many cells have to be read.

    Parameters
    ----------
    store : Store
        The run folder.
    splits : sequence of OuterSplit
        The splits of all tasks.
    metrics : mapping of str to Metric
        The metrics by name.
    cached : dict
        What was computed earlier.

    Returns
    -------
    list of SplitScores
        In the order of `splits`.
    """
    request = metric_cache.MetricRequest.from_metrics(metrics)
    evaluated = [_evaluate_split_from_cache(split, request, cached) for split in splits]
    pending = [position for position, split_scores in enumerate(evaluated) if split_scores is None]
    cells = sum(len(splits[position].records) for position in pending)

    def evaluate_position(position: int) -> SplitScores:
        return evaluate_split(splits[position], store.read_predictions, request, cached)

    computed = iter(map_in_forks(evaluate_position, pending, MAX_PROCESSES if cells >= MIN_PARALLEL_CELLS else 1))
    return [next(computed) if split_scores is None else split_scores for split_scores in evaluated]


def _evaluate_split_from_cache(
    split: OuterSplit, request: metric_cache.MetricRequest, cached: MetricCache
) -> SplitScores | None:
    """Evaluate a split of which everything is cached; None if something is not."""

    def refuse_to_read(record: Record) -> StoredPredictions:
        raise LookupError(record.id)

    try:
        return evaluate_split(split, refuse_to_read, request, cached)
    except LookupError:
        return None


def evaluate_split(
    split: OuterSplit, read: PredictionReader, request: metric_cache.MetricRequest, cached: MetricCache
) -> SplitScores:
    """Evaluate all predictions of a split.

    Parameters
    ----------
    split : OuterSplit
        The split with its records.
    read : callable
        Reads the predictions of a record; called only where something is not cached.
    request : metric_cache.MetricRequest
        The metrics. One that fails has no value; ensembles cannot be made where the objective fails.
    cached : dict
        What was computed earlier.

    Returns
    -------
    SplitScores
        The scores, and what is to be cached.
    """
    read = _read_each_cell_once(read, split.classes)
    metric_values: dict[ScoreKey, MetricValues] = {}
    unreadable, used, readable = {}, MetricCache(), []
    for record in split.records:
        try:
            values, rows = metric_cache.score_cell_entries(record, split.classes, split.costs, read, request, cached)
            for stage, scored, fit_rows in _recalibrated_predictions(split, record, read, cached):
                by_kind, more_rows = metric_cache.score_predictions(scored, request, cached)
                for threshold_kind, kind_values in by_kind.items():
                    values[stage, threshold_kind] = kind_values
                rows |= fit_rows | more_rows
        except StoreError as error:
            unreadable[record.id] = str(error)
            continue
        readable.append(record)
        used |= rows
        metric_values |= {(record.id, *key): kind_values for key, kind_values in values.items()}
    ensembles, ensemble_failure = [], ""
    try:
        for ensemble, scored, fit_rows in _compute_split_ensembles(split, readable, read, cached):
            by_kind, more_rows = metric_cache.score_predictions(scored, request, cached)
            for threshold_kind, kind_values in by_kind.items():
                metric_values[split.name, ensemble.score_key_stage, threshold_kind] = kind_values
            used |= fit_rows | more_rows
            ensembles.append(ensemble)
    except (StoreError, MetricError) as error:  # predictions were deleted meanwhile, or the objective failed
        ensemble_failure = str(error)
    return SplitScores(metric_values, tuple(ensembles), unreadable, used, ensemble_failure)


def _read_each_cell_once(read: PredictionReader, classes: int) -> PredictionReader:
    """Read every cell once; raises `StoreError` where its probabilities are of another number of classes."""
    read_predictions: dict[str, StoredPredictions] = {}

    def read_cell(record: Record) -> StoredPredictions:
        if record.id not in read_predictions:
            stored = read(record)
            widths = {proba.shape[1] for proba in (*stored.test.values(), *stored.inner.values())}
            if widths - {classes}:
                wrong_width = max(widths - {classes})
                raise StoreError(f"predictions of {record.name} are of {wrong_width} classes, not of {classes}")
            read_predictions[record.id] = stored
        return read_predictions[record.id]

    return read_cell


def _recalibrated_predictions(
    split: OuterSplit, record: Record, read: PredictionReader, cached: MetricCache
) -> Iterator[tuple[str, metric_cache.ScoredPredictions, MetricCache]]:
    """A cell's recalibrated predictions by `<stage>/<calibration>`, with what is cached of the fits."""
    if record.family == BASELINE:
        return
    names: tuple[str, ...] = calibration.FITTED_CALIBRATIONS
    if record.strategy in split.correctable:
        names = (*names, calibration.PRIOR_CORRECTION)
    for outcome in record.outcomes:
        for name in names if outcome.stage in RECALIBRATED_STAGES else ():
            recalibration = _Recalibration(split, record, outcome, name, read)
            fit_key = f"{recalibration.cache_key}/fit/{split.costs or ''}"
            row = cached.get(fit_key) or recalibration.compute_fit_row()
            if row["enough"]:
                thresholds = metric_cache.thresholds_by_kind(split.classes, row["threshold"])
                key, label = recalibration.cache_key, metric_cache.cell_label(record)
                scored = metric_cache.ScoredPredictions(
                    key, label, thresholds, split.costs, recalibration.recalibrate_test_rows
                )
                yield f"{outcome.stage}/{name}", scored, {fit_key: row}


@dataclass(frozen=True)
class _Recalibration:
    """One calibration of one entry of a cell."""

    split: OuterSplit
    record: Record
    outcome: EntryResult
    name: str
    read: PredictionReader

    @property
    def cache_key(self) -> str:
        """What its predictions depend on."""
        outcome = self.outcome
        priors = f"/{outcome.counts_before}/{outcome.counts_after}" if self.name == calibration.PRIOR_CORRECTION else ""
        return f"{self.record.predictions_sha256}/{outcome.stage}/{self.name}@{FIT_VERSION}{priors}"

    def fit_calibrator(self, proba: Proba, y: Labels, weights: calibration.Weights = None) -> calibration.Calibrator:
        """Fit the calibrator on probabilities, labels and, where rows have them, weights."""
        counts = self.outcome.counts_before, self.outcome.counts_after
        calibrator = calibration.make_calibrator(self.name, proba, y, *counts, weights)
        assert calibrator is not None  # noqa: S101 -- the name is never "none"
        return calibrator

    def compute_fit_row(self) -> dict[str, Any]:
        """Whether there are enough rows, and the threshold chosen on rows that the calibrator was not fitted on."""
        proba, y, weights = self._inner_rows()
        enough, threshold = calibration.has_enough_rows(y, self.split.classes, calibration.N_FOLDS), None
        if enough and self.split.classes == 2:
            seed = self.split.derive_seed("recalibrate")
            threshold = calibration.choose_calibrated_threshold(
                self.fit_calibrator, proba, y, seed, self.split.costs, weights
            )
        return {"enough": enough, "threshold": threshold}

    def recalibrate_test_rows(self) -> LabelsAndProba:
        """The labels and recalibrated probabilities of the test rows, and their weights."""
        stored = self.read(self.record)
        recalibrated = self.fit_calibrator(*self._inner_rows())(stored.test[self.outcome.stage])
        return stored.test_y, recalibrated.astype(np.float32), stored.test_weights

    def _inner_rows(self) -> tuple[Proba, Labels, calibration.Weights]:
        stored = self.read(self.record)
        proba = stored.inner[self.outcome.stage]
        known = ~np.isnan(proba).any(axis=1)
        return proba[known], stored.train_y[known], _take_weights(stored.train_weights, known)


def _take_weights(weights: calibration.Weights, rows: Any) -> calibration.Weights:
    return None if weights is None else weights[rows]


def _compute_split_ensembles(
    split: OuterSplit, records: Sequence[Record], read: PredictionReader, cached: MetricCache
) -> Iterator[tuple[SplitEnsemble, metric_cache.ScoredPredictions, MetricCache]]:
    """The ensembles of a split's tuned entries, with what is cached of them.

    Entries of the strategy `searched` are left out, as where an entry is chosen: its strategies are candidates themselves.
    """
    candidates = list(filter(_is_ensemble_member, records))
    if len(candidates) < 2:
        return
    pool = cache(partial(_pool_members, candidates, read))
    members = [(record.family, record.strategy, record.predictions_sha256) for record in candidates]
    sources = (members, f"{split.objective.name}@{split.objective.version}", split.costs, split.classes)
    digest = hashlib.sha256(repr(sources).encode()).hexdigest()
    for kind in ENSEMBLE_KINDS:
        key = f"ensemble/{digest}/{kind}@{FIT_VERSION}"
        row = cached.get(f"{key}/fit") or _fit_ensemble_row(pool(), split, kind)
        if not row["weights"]:
            continue
        fitted = FittedEnsemble(kind, np.array([*row["weights"].values()]), np.array(row["shifts"]))

        def load_ensemble_predictions(fitted: FittedEnsemble = fitted) -> LabelsAndProba:
            return pool().test_y, fitted(pool().test).astype(np.float32), pool().test_weights

        inner = math.nan if row["inner"] is None else row["inner"]
        thresholds = metric_cache.thresholds_by_kind(split.classes, row["threshold"])
        scored = metric_cache.ScoredPredictions(
            key, f"{split.task}/{kind}/ensembled", thresholds, split.costs, load_ensemble_predictions
        )
        yield SplitEnsemble(kind, row["weights"], inner), scored, {f"{key}/fit": row}


def _is_ensemble_member(record: Record) -> bool:
    if record.family == BASELINE or record.strategy == "searched":
        return False
    return any(outcome.stage == "tuned" for outcome in record.outcomes)


class _PooledMembers(NamedTuple):
    """The members of a split that were scored on the same rows: cell ids, probabilities (M, n, k), labels and weights."""

    ids: tuple[str, ...]
    inner: Proba
    y: Labels
    test: Proba
    test_y: Labels
    weights: calibration.Weights
    test_weights: calibration.Weights


def _pool_members(records: Sequence[Record], read: PredictionReader) -> _PooledMembers:
    """Pool the members with the most common rows and labels; others cannot be weighted together with them."""
    groups: dict[tuple[bytes, ...], list[tuple[str, StoredPredictions]]] = {}
    for record in records:
        stored = read(record)
        known = ~np.isnan(stored.inner["tuned"]).any(axis=1)
        arrays = (stored.train_rows, stored.train_y, stored.test_rows, stored.test_y, known)
        groups.setdefault(tuple(array.tobytes() for array in arrays), []).append((record.id, stored))
    members = max(groups.values(), key=len)  # of equally large groups the first
    first = members[0][1]
    known = ~np.isnan(first.inner["tuned"]).any(axis=1)
    return _PooledMembers(
        tuple(cell_id for cell_id, _ in members),
        np.stack([stored.inner["tuned"][known] for _, stored in members]),
        first.train_y[known],
        np.stack([stored.test["tuned"] for _, stored in members]),
        first.test_y,
        _take_weights(first.train_weights, known),
        first.test_weights,
    )


def _fit_ensemble_row(members: _PooledMembers, split: OuterSplit, kind: str) -> dict[str, Any]:
    """Weights from all rows; inner score and threshold from parts of the rows that the weights were not fitted on.

    Without weights where there are fewer than two members or too few rows of a class.
    """
    if len(members.ids) < 2 or not calibration.has_enough_rows(members.y, split.classes, ENSEMBLE_PARTS):
        return {"weights": {}, "shifts": [], "inner": None, "threshold": None}

    def objective_value(y: Labels, proba: Proba, weights: calibration.Weights) -> float:
        predictions = Predictions(y, proba.astype(np.float32), DEFAULT_CUT, split.costs, weights)
        return metric_cache.compute_metric(split.objective, predictions, f"{split.name}/{kind}")

    def fit_to_rows(rows: npt.NDArray[Any]) -> FittedEnsemble:
        weights = _take_weights(members.weights, rows)

        def score(y: Labels, proba: Proba) -> float:
            return split.objective.sign * objective_value(y, proba, weights)

        positive_score = None
        if split.classes == 2 and weights is None:
            positive_score = make_positive_score(split.objective)
        return fit_ensemble(kind, members.inner[:, rows], members.y[rows], score, weights, positive_score)

    parts = calibration.assign_folds(members.y, ENSEMBLE_PARTS, split.derive_seed("ensemble"))
    held_out = np.empty(members.inner.shape[1:], dtype=np.float32)
    for part in range(ENSEMBLE_PARTS):
        test = parts == part
        held_out[test] = fit_to_rows(~test)(members.inner[:, test])
    fitted = fit_to_rows(np.ones(len(members.y), dtype=bool))
    inner = []
    for part in range(ENSEMBLE_PARTS):
        test = parts == part
        inner.append(objective_value(members.y[test], held_out[test], _take_weights(members.weights, test)))
    threshold = None
    if split.classes == 2:
        threshold = best_threshold(members.y, held_out, split.costs, weights=members.weights)
    return {
        "weights": dict(zip(members.ids, fitted.weights.tolist(), strict=True)),
        "shifts": fitted.shifts.tolist(),
        "inner": float(np.mean(inner)) if np.isfinite(inner).all() else None,
        "threshold": threshold,
    }
