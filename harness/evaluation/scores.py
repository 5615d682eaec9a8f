"""Records and predictions of a run → the figures of every entry, split by split."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.evaluation.evaluate import Combined, Split, SplitScores, View, evaluate_all
from harness.evaluation.metric_cache import (
    DEFAULT_THRESHOLD,
    TUNED_THRESHOLD,
    Figures,
    MetricCache,
    read_kept,
    write_kept,
)
from harness.metrics.calibration import CALIBRATIONS, NONE, prior_is_known
from harness.metrics.metric import Metric
from harness.store.record import STATUSES, EntryResult, Record
from harness.store.store import Store

STAGES = ("default", "tuned", "chosen", "ensembled")
MADE_OF_SEVERAL = STAGES[2:]  #: entries with the effort of several cells: they get no rank
ANY = "any"  #: stands for the family or strategy of an entry that is chosen anew in every split, or made of all
EXTRAS = ("threshold", "fit_seconds", "predict_us_per_row", "trials", "parameters", "model_bytes")
MISSING = "missing"  #: the status of a planned cell that has not been run


class Entry(NamedTuple):
    """One row that competes: family × strategy × stage × calibration."""

    family: str
    strategy: str
    stage: str
    calibration: str = "none"

    @property
    def name(self) -> str:
        """How the entry is written in tables."""
        return "/".join(self[:3] if self.calibration == "none" else self)


class CellStatus(NamedTuple):
    """A planned cell and how it ended; `record` is None where it has not been run."""

    task: str
    family: str
    strategy: str
    status: str
    reason: str
    record: Record | None


@dataclass(frozen=True)
class ScoreRows:
    """The figures of one entry at one threshold kind, one per outer split and in the order of `splits`.

    Columns are the metrics, EXTRAS, `inner` and `train` (the objective on inner folds and on the training rows), `trial`
    (which one was refitted), `ratio` (n_test/n_train), `step` and `grain` (what one test row is of them all, and one of
    the rarest class of those).
    `views` say where the confusion matrices are.
    """

    splits: tuple[tuple[int, int], ...] = ()  #: repeat and fold
    views: tuple[View, ...] = ()
    columns: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.splits)

    def __getitem__(self, name: str) -> npt.NDArray[np.float64]:
        """One figure per split; NaN where it is not known."""
        return self.columns[name] if name in self.columns else np.full(len(self), np.nan)

    def mean(self, name: str) -> float:
        """The unweighted mean over the splits; NaN where one of them lacks it."""
        return float(self[name].mean()) if len(self) else math.nan

    def at(self, splits: Collection[tuple[int, int]]) -> ScoreRows:
        """The part of these splits."""
        keep = [at for at, split in enumerate(self.splits) if split in splits]
        columns = {name: column[keep] for name, column in self.columns.items()}
        return ScoreRows(tuple(self.splits[at] for at in keep), tuple(self.views[at] for at in keep), columns)


@dataclass(frozen=True)
class Scores:
    """Everything that tables are made of: the description of the run, its planned cells, and the figures of its entries."""

    run: Mapping[str, Any]
    cells: tuple[CellStatus, ...]
    by_entry: Mapping[tuple[str, Entry, str], ScoreRows]  #: by task, entry and threshold kind
    figures: Mapping[View, Figures]
    metrics: Mapping[str, Metric]
    combined: Mapping[tuple[str, str, tuple[int, int]], Combined] = field(default_factory=dict)
    #: ensembles by task, kind and split; their weights by cell id
    uncombined: Mapping[tuple[str, tuple[int, int]], str] = field(default_factory=dict)
    #: why ensembles could not be made, by task and split

    @property
    def metric_failures(self) -> dict[str, list[str]]:
        """The messages of metrics that raised an error, by the name of the metric: a message for each set of predictions."""
        failures: dict[str, list[str]] = {}
        for figures in self.figures.values():
            for name, message in figures.metric_failures.items():
                failures.setdefault(name, []).append(message)
        return failures

    def objective(self, task: str) -> Metric:
        """The metric that the search of this task was after and its table is ranked by."""
        binary = len(self.classes(task)) == 2
        usual = "average_precision" if binary else "roc_auc"
        return self.metrics.get(self.run["tasks"][task].get("objective") or usual) or self.metrics[usual]

    def rows_of(self, task: str, entry: Entry, kind: str) -> ScoreRows:
        """The figures of one entry at one threshold kind; empty where it has none."""
        return self.by_entry.get((task, entry, kind), ScoreRows())

    def pooled(self, task: str, entry: Entry, kind: str) -> npt.NDArray[np.int64]:
        """Counts (k, k), truth × decision, of an entry over all its splits."""
        k = len(self.classes(task))
        views = self.rows_of(task, entry, kind).views
        return sum((self.figures[view].confusion for view in views), np.zeros((k, k), dtype=np.int64))

    def costs(self, task: str) -> tuple[tuple[float, ...], ...] | None:
        """What decisions cost, truth × decision, where the task says it."""
        costs = self.run["tasks"][task].get("costs")
        return tuple(tuple(row) for row in costs) if costs else None

    def classes(self, task: str) -> list[str]:
        """The class names of a task, in encoded order."""
        return list(self.run["tasks"][task]["classes"])

    def objective_kind(self, task: str) -> str:
        """The threshold kind at which entries are ranked: decisions at 0.5, where the search looked at them too."""
        return DEFAULT_THRESHOLD if self.objective(task).metric_type == "decision" else self.kinds(task)[-1]

    def grain(self, task: str, metric: Metric, rows: ScoreRows) -> float:
        """By how much one test row can change a figure, about: the floor below which no spread of it is believed.

        A mean over all rows moves by one of them all (times what lies between the cheapest and the dearest decision where
        it is a cost), and so does a figure of probabilities; a share of a class or what is made of such shares by one row
        of the rarest class. Where a ranking of each class against the rest is averaged, one row leaves the place it had
        in one and takes one in another.
        """
        moved = rows.mean("step" if metric.over_rows or metric.metric_type == "probability" else "grain")
        if metric.needs_costs and (costs := self.costs(task)):
            return moved * (max(map(max, costs)) - min(map(min, costs)))
        return moved * metric.span * (2 / len(self.classes(task)) if metric.metric_type == "ranking" else 1.0)

    def kinds(self, task: str) -> tuple[str, ...]:
        """The threshold kinds of a task: with several classes there is nothing to tune."""
        return (DEFAULT_THRESHOLD, TUNED_THRESHOLD) if len(self.classes(task)) == 2 else (DEFAULT_THRESHOLD,)


def collect(store: Store, metrics: Mapping[str, Metric]) -> Scores:
    """Read a run folder and score everything in it; figures are kept under `derived/`.

    Raises `StoreError` where the folder is no run or cannot be read.
    """
    run = store.read_run()
    records, unreadable = store.read_records()
    stored = {(record.id, record.key): record for record in records}
    # A record made from other data or other declarations has another key and does not count.
    planned = [(one, stored.get((one["id"], one["key"]))) for one in run["cells"]]
    scores = Scores(run, (), {}, {}, metrics)
    splits = _splits(scores, [record for _, record in planned if record])
    evaluated = _evaluated(store, splits, metrics)
    failed = unreadable | {at: why for one in evaluated for at, why in one.failed.items()}
    scores = replace(
        scores,
        cells=tuple(_cell(one, record, failed) for one, record in planned),
        figures={view: figures for one in evaluated for view, figures in one.figures.items()},
        combined={
            (split.task, made.kind, (split.repeat, split.fold)): made
            for split, one in zip(splits, evaluated, strict=True)
            for made in one.combined
        },
        uncombined={
            (split.task, (split.repeat, split.fold)): one.uncombined
            for split, one in zip(splits, evaluated, strict=True)
            if one.uncombined
        },
    )
    rows = [row for cell in scores.cells if cell.record for row in _rows(scores, cell.record)]
    return replace(scores, by_entry=_by_entry([*rows, *_chosen(scores, rows), *_ensembled(scores)]))


def _splits(scores: Scores, records: list[Record]) -> list[Split]:
    """The records by task and outer split, with what evaluating them needs to know."""
    found: dict[tuple[str, int, int], list[Record]] = {}
    for record in records:
        found.setdefault((record.task, record.repeat, record.fold), []).append(record)
    known = frozenset(name for name, about in scores.run["strategies"].items() if prior_is_known(about, name))
    return [
        Split(*at, tuple(some), len(scores.classes(at[0])), scores.costs(at[0]), scores.objective(at[0]), known)
        for at, some in found.items()
    ]


def _evaluated(store: Store, splits: list[Split], metrics: Mapping[str, Metric]) -> list[SplitScores]:
    """The splits evaluated, what is new of it kept and what nobody asks for any more forgotten."""
    kept, used = read_kept(store), MetricCache()
    found = evaluate_all(store, splits, metrics, kept)
    for one in found:
        used |= one.used
    if used != kept:
        write_kept(store, used)
    return found


def _cell(planned: Mapping[str, Any], record: Record | None, failed: Mapping[str, str]) -> CellStatus:
    who = (planned["task"], planned["family"], planned["strategy"])
    if planned["id"] in failed:
        return CellStatus(*who, "failed", failed[planned["id"]], None)
    if record is None:
        return CellStatus(*who, MISSING, "not run yet", None)
    return CellStatus(*who, record.status, record.reason, record)


def entries(scores: Scores, task: str) -> dict[Entry, str]:
    """Every entry of a task with its status: `ok`, or how many of its cells ended how.

    Recalibrated ones are the same entries with other probabilities; `recalibrated` tells those.
    """
    return {entry: count_statuses(ended) for entry, ended in _ended(scores, task).items()}


def recalibrated(scores: Scores, task: str) -> dict[Entry, str]:
    """Every recalibrated entry of a task with its status; `inapplicable` where a class had too few rows to fit on."""
    plain, found = _ended(scores, task), {}
    for (of, entry, kind), rows in scores.by_entry.items():
        if (of, kind) == (task, DEFAULT_THRESHOLD) and entry.calibration != "none":
            base = entry._replace(calibration="none")
            lost = len(scores.rows_of(task, base, DEFAULT_THRESHOLD)) - len(rows)
            found[entry] = count_statuses(["ok"] * len(rows) + ["inapplicable"] * lost + _not_ok(plain[base]))
    return found


def _ended(scores: Scores, task: str) -> dict[Entry, list[str]]:
    """How the cells of every entry of a task ended."""
    statuses: dict[tuple[str, str], list[str]] = {}
    for cell in scores.cells:
        if cell.task == task:
            statuses.setdefault((cell.family, cell.strategy), []).append(cell.status)
    found = {}
    for key, counted in statuses.items():
        for entry in (Entry(*key, stage) for stage in ("default", "tuned")):
            there = len(scores.rows_of(task, entry, DEFAULT_THRESHOLD))
            lost = counted.count("ok") - there  # the configuration of this stage failed where the other did not
            found[entry] = ["ok"] * there + ["failed"] * lost + _not_ok(counted)
    splits = max((len(counted) for counted in statuses.values()), default=0)
    for (of, entry, kind), rows in scores.by_entry.items():
        if (of, kind) == (task, DEFAULT_THRESHOLD) and entry.stage in MADE_OF_SEVERAL:
            found[entry] = ["ok"] * len(rows) + [MISSING] * (splits - len(rows))
    return found


def _not_ok(statuses: Iterable[str]) -> list[str]:
    return [status for status in statuses if status != "ok"]


def count_statuses(statuses: Iterable[str]) -> str:
    """`ok` where everything is, else how many ended how: `ok 3, timeout 2`."""
    counted = list(statuses)
    if all(status == "ok" for status in counted):
        return "ok"
    return ", ".join(f"{one} {counted.count(one)}" for one in (*STATUSES, MISSING) if one in counted)


class _Row(NamedTuple):
    """The figures of one entry in one split at one threshold kind."""

    task: str
    entry: Entry
    kind: str
    split: tuple[int, int]
    view: View
    figures: dict[str, float]


def _rows(scores: Scores, record: Record) -> Iterator[_Row]:
    for outcome in record.outcomes:
        extras = _extras(record, outcome, scores.objective(record.task).name)
        for calibration in CALIBRATIONS:
            stage = outcome.stage if calibration == NONE else f"{outcome.stage}/{calibration}"
            entry = Entry(record.family, record.strategy, outcome.stage, calibration)
            yield from _by_kind(scores, record.task, entry, (record.repeat, record.fold), (record.id, stage), extras)


def _by_kind(
    scores: Scores, task: str, entry: Entry, split: tuple[int, int], whose: tuple[str, str], extras: dict[str, float]
) -> Iterator[_Row]:
    """The rows of an entry in one split, one per threshold kind; none where it has no figures."""
    for kind in scores.kinds(task):
        view = (*whose, kind)
        if (found := scores.figures.get(view)) is not None:
            threshold = math.nan if found.threshold is None else found.threshold
            rarest = max(int(found.confusion.sum(axis=1).min()), 1)
            steps = {"step": 1 / max(int(found.confusion.sum()), 1), "grain": 1 / rarest}
            figures = {**found.values, **extras, **steps, "threshold": threshold}
            yield _Row(task, entry, kind, split, view, figures)


def _extras(record: Record, outcome: EntryResult, objective: str) -> dict[str, float]:
    return {
        "ratio": record.n_test / record.n_train if record.n_train else math.nan,
        "fit_seconds": outcome.fit_seconds,
        "predict_us_per_row": 1e6 * outcome.predict_seconds / record.n_test if record.n_test else math.nan,
        "trials": 1.0 if outcome.stage == "default" else float(record.trials),  # trial 0 and no search
        "parameters": math.nan if outcome.parameters is None else float(outcome.parameters),
        "model_bytes": float(outcome.model_bytes) or math.nan,
        "trial": float(outcome.trial),
        "inner": outcome.inner_score,
        "train": outcome.train_scores.get(objective, math.nan),
    }


SUMMED = ("fit_seconds", "predict_us_per_row", "parameters", "model_bytes")


def _ensembled(scores: Scores) -> Iterator[_Row]:
    """The rows of what the tuned entries make together.

    Times and sizes are the sums over the members with a weight, `trials` all that were made to have a choice.
    """
    records = {cell.record.id: cell.record for cell in scores.cells if cell.record}
    for (task, kind, split), made in scores.combined.items():
        objective = scores.objective(task).name
        members = {
            at: _extras(records[at], next(o for o in records[at].outcomes if o.stage == "tuned"), objective)
            for at in made.weights
        }
        used = [members[at] for at, weight in made.weights.items() if weight]
        extras = next(iter(members.values())) | {name: sum(one[name] for one in used) for name in SUMMED}
        extras |= {"trials": sum(one["trials"] for one in members.values()), "inner": made.inner}
        extras |= {"trial": math.nan, "train": math.nan}
        whose = (f"{task}/r{split[0]}f{split[1]}", made.stage)
        yield from _by_kind(scores, task, Entry(ANY, kind, "ensembled"), split, whose, extras)


def _chosen(scores: Scores, rows: list[_Row]) -> Iterator[_Row]:
    """The rows of what the inner scores choose: per family over its strategies, and over everything.

    Its `trials` are all that were made to be able to choose. What Optuna searched itself (`searched`) is no candidate.
    """
    pools: dict[tuple[str, str, str, tuple[int, int]], list[_Row]] = {}
    for row in rows:
        plain = row.entry.calibration == "none" and row.entry.strategy != "searched"
        if plain and row.entry.stage == "tuned" and not math.isnan(row.figures["inner"]):
            for family in (row.entry.family, ANY):
                pools.setdefault((row.task, family, row.kind, row.split), []).append(row)
    choices: dict[tuple[str, str], set[Entry]] = {}
    for (task, family, _, _), candidates in pools.items():
        choices.setdefault((task, family), set()).update(row.entry for row in candidates)
    for (task, family, _, _), candidates in pools.items():
        if len(choices[task, family]) > 1:
            sign = -1 if scores.objective(task).greater_is_better else 1
            best = min(candidates, key=lambda row: (sign * row.figures["inner"], row.entry))
            effort = sum(row.figures["trials"] for row in candidates)
            yield best._replace(entry=Entry(family, ANY, "chosen"), figures=best.figures | {"trials": effort})


def _by_entry(rows: Iterable[_Row]) -> dict[tuple[str, Entry, str], ScoreRows]:
    grouped: dict[tuple[str, Entry, str], list[_Row]] = {}
    for row in rows:
        grouped.setdefault((row.task, row.entry, row.kind), []).append(row)
    found = {}
    for key, group in grouped.items():
        group.sort(key=lambda row: row.split)
        columns = {name: np.array([row.figures[name] for row in group]) for name in group[0].figures}
        found[key] = ScoreRows(tuple(row.split for row in group), tuple(row.view for row in group), columns)
    return found
