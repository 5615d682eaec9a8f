"""One cell, start to end: hold back the test rows, search, refit, open the seal, store."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.data.splits import Fold, Splitter
from harness.errors import Inapplicable, StoreError, Unavailable, failure
from harness.execution.curves import Curves, epoch_of
from harness.metrics.metric import Metric, Predictions
from harness.metrics.threshold import best_threshold
from harness.preprocessing.cache import FoldCache
from harness.registry.protocol import EvaluationProtocol
from harness.registry.task import Features, Table, take
from harness.search.complexity import architecture, complexity, size_in_bytes
from harness.search.pipeline import FittedPipeline, PipelineSpec, TrainingSet, fit_pipeline, scored_rows
from harness.search.study import Configuration, SearchCache, SearchResult, StudyPlan, TrialResult, search
from harness.seeding import seed_of
from harness.store.record import EntryResult, Record, StoredPredictions
from harness.store.store import Store

#: The share of the training rows that is watched for early stopping.
WATCHED_SHARE = 0.15
#: What the cache of one training set may hold.
CACHE_BYTES = 300_000_000

#: Stores the training curves of one trial or refit: its name, then arrays by `<fold>/<curve>`.
KeepCurves: TypeAlias = Callable[[str, dict[str, npt.NDArray[Any]]], None]


@dataclass(frozen=True)
class Cell:
    """Task × family × strategy × repeat × outer fold: the unit that can be killed and done again."""

    id: str
    key: str
    task: str
    family: str
    strategy: str
    repeat: int
    fold: int
    seed: int

    @property
    def name(self) -> str:
        """What people call it, also the name of its study."""
        return f"{self.task}/{self.family}/{self.strategy}/r{self.repeat}f{self.fold}"

    @property
    def split_key(self) -> tuple[str, int, int]:
        """Task and split: what cells must share to share what was computed of the rows."""
        return self.task, self.repeat, self.fold

    def record(self, **values: Any) -> Record:
        """A record of this cell."""
        return Record(**asdict(self), **values)


@dataclass(frozen=True)
class CellData:
    """What a cell works on: the rows, how they are split, the recipe, the protocol and its metrics."""

    table: Table
    splitter: Splitter
    fold: Fold
    recipe: PipelineSpec
    protocol: EvaluationProtocol
    metrics: Mapping[str, Metric]
    shared: FoldCache = field(
        default_factory=FoldCache
    )  #: outlives the cell: what depends on neither family nor strategy

    @property
    def objective(self) -> Metric:
        """What the search improves."""
        return self.metrics[self.protocol.objective_for(len(self.table.classes))]


def run_cell(cell: Cell, material: CellData, store: Store) -> Record:
    """Do a cell, or finish one that was interrupted, and store it.

    A configuration that fails is a trial's result and a cell without any usable configuration a record with its reason; only
    what keeps records from being stored is raised.
    """
    started, cpu = time.monotonic(), time.process_time()
    predictions = None
    store.keep_study_of(cell.id, cell.key)
    try:
        record, predictions = _search_and_test(cell, material, store)
    except StoreError:
        raise
    except Inapplicable as reason:
        record = cell.record(status="inapplicable", reason=str(reason))
    except Unavailable as reason:
        record = cell.record(status="skipped", reason=str(reason))
    except MemoryError:
        record = cell.record(status="memory", reason="an allocation failed")
    except Exception as error:  # noqa: BLE001 -- a failure is a result: it is stored with its reason
        record = cell.record(status="failed", reason=failure(error))
    record = replace(
        record,
        n_train=len(material.fold.train),
        n_test=len(material.fold.test),
        seconds=time.monotonic() - started,
        cpu_seconds=time.process_time() - cpu,
    )
    return store.write_cell(record, predictions)


def _search_and_test(cell: Cell, material: CellData, store: Store) -> tuple[Record, StoredPredictions | None]:
    train = material.fold.train
    learner = CellTrainer(cell, material, lambda name, arrays: store.write_curves(cell.id, name, arrays))
    found = search(study_plan(cell, material, store), learner.score_inner, kept_of(cell, store))
    trials: dict[str, Any] = {
        "trials": found.complete,
        "failed_trials": sum(found.failures.values()),
        "trial_failures": found.failures,
    }
    if found.best is None:
        reason = next(iter(found.failures), "no trial was settled")
        return cell.record(status="inapplicable" if found.inapplicable else "failed", reason=reason, **trials), None
    opened = _open_test(learner, found, take(material.table.X, material.fold.test))
    stages = {outcome.stage: one for outcome in opened.outcomes if (one := getattr(found, _SOURCE[outcome.stage]))}
    predictions = StoredPredictions(
        test_rows=material.fold.test,
        test_y=material.table.y[material.fold.test],
        train_rows=train,
        train_y=material.table.y[train],
        test=opened.test,
        inner={stage: one.proba for stage, one in stages.items()},
    )
    return cell.record(status="ok", reason=opened.lost, outcomes=opened.outcomes, **trials), predictions


def study_plan(cell: Cell, material: CellData, store: Store) -> StudyPlan:
    """The study of a cell: what is searched, with how much effort, and where its journal lies."""
    recipe = material.recipe
    return StudyPlan(
        name=cell.name,
        space=recipe.space,
        trials=min((n for n in (material.protocol.trials, recipe.family.trials) if n is not None), default=None),
        budget=material.protocol.budget,
        seed=cell.seed,
        objective=material.objective.name,
        greater_is_better=material.objective.greater_is_better,
        journal=store.journal(cell.id),
        attributes={
            "task": cell.task,
            "family": cell.family,
            "strategy": cell.strategy,
            "fold": f"r{cell.repeat}f{cell.fold}",
        },
        one_strategy=len(recipe.strategies) == 1,
    )


def kept_of(cell: Cell, store: Store) -> SearchCache:
    """Where the probabilities of a cell's search are kept while it is under way."""
    return SearchCache(lambda arrays: store.write_search(cell.id, arrays), lambda: store.read_search(cell.id))


#: Which configuration of a search each stage refits: the attribute of `SearchResult`.
_SOURCE = {"default": "default", "tuned": "best"}


class _Opened(NamedTuple):
    """What came of opening the seal: the entries that could be refitted, their predictions, and why others could not."""

    outcomes: tuple[EntryResult, ...]
    test: dict[str, npt.NDArray[np.float32]]
    lost: str


def _open_test(learner: CellTrainer, found: SearchResult, X_test: Features) -> _Opened:
    """Refit the default and the best configuration on all training rows, then predict the sealed rows, once per entry.

    A configuration that cannot be refitted loses its own entry only; where none can, the first reason is raised.
    """
    fitted: dict[int, tuple[EntryResult, npt.NDArray[np.float32]]] = {}  # by trial: the best may be the default
    lost: dict[int, Exception] = {}
    outcomes, test, reasons = [], {}, []
    for stage, source in _SOURCE.items():
        one: Configuration | None = getattr(found, source)
        if one is None:
            continue
        if one.trial not in fitted and one.trial not in lost:
            try:
                fitted[one.trial] = learner.refit(stage, one, X_test)
            except (StoreError, Unavailable, MemoryError):
                raise  # they say nothing about a configuration
            except Exception as error:  # noqa: BLE001 -- whatever a refit raises is that entry's result
                lost[one.trial] = error
        if one.trial in lost:
            reasons.append(f"the refit of {stage} failed: {failure(lost[one.trial])}")
            continue
        outcome, test[stage] = fitted[one.trial]
        outcomes.append(replace(outcome, stage=stage))
    if not outcomes and lost:
        raise next(iter(lost.values()))
    return _Opened(tuple(outcomes), test, "; ".join(reasons))


class CellTrainer:
    """The outer training rows of a cell with their inner folds: all that a search can see."""

    def __init__(self, cell: Cell, material: CellData, keep: KeepCurves) -> None:
        self.recipe, self.metrics, self.objective = material.recipe, material.metrics, material.objective
        self.table = material.table.take(material.fold.train)
        self.splitter = material.splitter.take(material.fold.train)
        # Inner folds belong to the task's outer fold and not to the cell: families and strategies are compared on equal ones.
        place = (material.protocol.seed, cell.task, cell.repeat, cell.fold)
        self.shared, self.keep = material.shared, keep
        inner = self.splitter.inner(material.protocol.inner_folds, seed_of(*place, "inner"))
        self.scored = [(test, take(self.table.X, test)) for _, test in inner]
        self.inner = [
            self._training_set(train, seed_of(cell.seed, "inner", i), (*place, "watched", i))
            for i, (train, _) in enumerate(inner)
        ]
        self.final = seed_of(cell.seed, "outer"), (*place, "watched", "outer")

    def _training_set(self, rows: npt.NDArray[np.int64], seed: int, place: tuple[Any, ...]) -> TrainingSet:
        watched = None
        if self.recipe.family.stops_early:
            slice_ = self.splitter.slice_off(rows, WATCHED_SHARE, seed_of(*place))[1]
            watched = np.flatnonzero(np.isin(rows, slice_)) if len(slice_) else None
        X, y = take(self.table.X, rows), self.table.y[rows]
        return TrainingSet(X, y, seed, watched, FoldCache(CACHE_BYTES), self.shared, place)

    def score_inner(self, params: dict[str, Any], number: int) -> TrialResult:
        """A trial: the mean objective over the inner folds, out-of-fold probabilities of all training rows (NaN: never
        predicted), and remarks; the curves of its fits are stored before it is told."""
        y = self.table.y
        proba = np.full((len(y), len(self.table.classes)), np.nan, dtype=np.float32)
        scores, curves = [], Curves()
        try:
            for i, (training, (rows, X)) in enumerate(zip(self.inner, self.scored, strict=True)):
                fitted = fit_pipeline(self.recipe, params, training)
                curves.add(f"inner_{i}", fitted.classifier, training.seed)
                proba[rows] = fitted.predict_encoded(scored_rows(self.recipe, params, training, fitted, X))
                scores.append(self._compute(self.objective, y[rows], proba[rows]))
        finally:
            self._store(f"trial_{number}", curves)
        return TrialResult(float(np.mean(scores)), proba, tuple(curves.remarks))

    def _store(self, name: str, curves: Curves) -> None:
        if curves.arrays:
            self.keep(name, curves.arrays)

    def refit(self, stage: str, found: Configuration, X_test: Features) -> tuple[EntryResult, npt.NDArray[np.float32]]:
        """Fit a configuration on all training rows, choose its threshold on inner rows, only then predict the test rows."""
        fitted, final, curves = self.fit(stage, found.params)
        threshold = None
        if len(self.table.classes) == 2:
            threshold = best_threshold(self.table.y, found.proba, self.recipe.costs)
        on_training = fitted.predict_encoded(
            scored_rows(self.recipe, found.params, final, fitted, self.table.X, "training")
        )
        names = dict.fromkeys([self.objective.name, "roc_auc", "accuracy", "log_loss"])
        train_scores = {name: self._compute(self.metrics[name], self.table.y, on_training) for name in names}
        fitted.remember(X_test)
        started = time.perf_counter()
        test = fitted.predict_proba(X_test)
        outcome = EntryResult(
            stage=stage, trial=found.trial, params=found.params, inner_score=found.score, threshold=threshold,
            counts_before=fitted.counts_before, counts_after=fitted.counts_after, fit_seconds=fitted.seconds,
            predict_seconds=time.perf_counter() - started, train_scores=train_scores,
            parameters=complexity(fitted.classifier), model_bytes=size_in_bytes(fitted), remarks=tuple(curves.remarks),
            epoch=epoch_of(fitted.classifier), architecture=architecture(fitted.classifier),
        )  # fmt: skip
        return outcome, test

    def fit(self, stage: str, params: dict[str, Any]) -> tuple[FittedPipeline, TrainingSet, Curves]:
        """Fit a configuration on all training rows; its curves are stored.

        A training set of its own for each entry, so that its fit time is that of one fit and not of what another left.
        """
        final = self._training_set(np.arange(len(self.table.y)), *self.final)
        fitted, curves = fit_pipeline(self.recipe, params, final), Curves()
        curves.add("outer", fitted.classifier, final.seed)
        self._store(f"final_{stage}", curves)
        return fitted, final, curves

    def _compute(self, metric: Metric, y: npt.NDArray[np.int64], proba: npt.NDArray[np.float32]) -> float:
        return float(metric.compute(Predictions(y, proba, costs=self.recipe.costs)))
