"""Records and predictions of a run → the figures of every entry, split by split."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.declare.metric import Metric
from harness.errors import StoreError
from harness.report.derived import HALF, TUNED, Figures, Kept, Views, derive, read_kept, write_kept
from harness.store.record import STATUSES, Record
from harness.store.store import Store

STAGES = ("default", "tuned", "chosen")
ANY = "any"  #: stands for the family or strategy of an entry that is chosen anew in every split
EXTRAS = ("threshold", "fit_seconds", "predict_us_per_row", "trials", "parameters", "model_bytes")
View: TypeAlias = tuple[str, str, str]  #: cell id, stage of its predictions, threshold kind
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
        return "/".join(self[:3])


class Cell(NamedTuple):
    """A planned cell and how it ended; `record` is None where it has not been run."""

    task: str
    family: str
    strategy: str
    status: str
    reason: str
    record: Record | None


@dataclass(frozen=True)
class Rows:
    """The figures of one entry at one threshold kind, one per outer split and in the order of `splits`.

    Columns are the metrics, EXTRAS, `inner` and `train` (the objective on inner folds and on the training rows), `trial`
    (which one was refitted), `ratio` (n_test/n_train) and `grain` (what one test row of the rarest class is of them).
    `views` say where the confusion matrices are.
    """

    splits: tuple[tuple[int, int], ...] = ()  #: repeat and fold
    views: tuple[View, ...] = ()
    columns: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.splits)

    def __getitem__(self, name: str) -> npt.NDArray[np.float64]:
        """One figure per split; NaN where it is not known."""
        return self.columns.get(name, np.full(len(self), np.nan))

    def mean(self, name: str) -> float:
        """The unweighted mean over the splits; NaN where one of them lacks it."""
        return float(self[name].mean()) if len(self) else math.nan

    def at(self, splits: Collection[tuple[int, int]]) -> Rows:
        """The part of these splits."""
        keep = [at for at, split in enumerate(self.splits) if split in splits]
        columns = {name: column[keep] for name, column in self.columns.items()}
        return Rows(tuple(self.splits[at] for at in keep), tuple(self.views[at] for at in keep), columns)


@dataclass(frozen=True)
class Scores:
    """Everything that tables are made of: the description of the run, its planned cells, and the figures of its entries."""

    run: Mapping[str, Any]
    cells: tuple[Cell, ...]
    by_entry: Mapping[tuple[str, Entry, str], Rows]  #: by task, entry and threshold kind
    figures: Mapping[View, Figures]
    metrics: Mapping[str, Metric]

    def objective(self, task: str) -> Metric:
        """The metric that the search of this task was after and its table is ranked by."""
        binary = len(self.classes(task)) == 2
        usual = "average_precision" if binary else "roc_auc"
        return self.metrics.get(self.run["tasks"][task].get("objective") or usual) or self.metrics[usual]

    def rows_of(self, task: str, entry: Entry, kind: str) -> Rows:
        """The figures of one entry at one threshold kind; empty where it has none."""
        return self.by_entry.get((task, entry, kind), Rows())

    def pooled(self, task: str, entry: Entry, kind: str) -> npt.NDArray[np.int64]:
        """Counts (k, k), truth × decision, of an entry over all its splits."""
        k = len(self.classes(task))
        views = self.rows_of(task, entry, kind).views
        return sum((self.figures[view].confusion for view in views), np.zeros((k, k), dtype=np.int64))

    def classes(self, task: str) -> list[str]:
        """The class names of a task, in encoded order."""
        return list(self.run["tasks"][task]["classes"])

    def objective_kind(self, task: str) -> str:
        """The threshold kind at which entries are ranked: decisions at 0.5, where the search looked at them too."""
        return HALF if self.objective(task).face == "decision" else self.kinds(task)[-1]

    def grain(self, task: str, metric: Metric, rows: Rows) -> float:
        """The step in which one row can change a figure of decisions; 0 for figures that have no steps."""
        if metric.face != "decision":
            return 0.0
        costs = self.run["tasks"][task].get("costs") if metric.needs_costs else None
        return rows.mean("grain") * (max(map(max, costs)) if costs else 1.0)

    def kinds(self, task: str) -> tuple[str, ...]:
        """The threshold kinds of a task: with several classes there is nothing to tune."""
        return (HALF, TUNED) if len(self.classes(task)) == 2 else (HALF,)


def collect(store: Store, metrics: Mapping[str, Metric]) -> Scores:
    """Read a run folder and score everything in it; figures are kept under `derived/`.

    Raises `StoreError` where the folder is no run or cannot be read.
    """
    run = store.read_run()
    kept, used = read_kept(store), Kept()
    figures: dict[View, Figures] = {}
    cells = []
    stored = {(record.id, record.key): record for record in store.records()}
    for planned in run["cells"]:
        who = (planned["task"], planned["family"], planned["strategy"])
        # A record made from other data or other declarations has another key and does not count.
        record = stored.get((planned["id"], planned["key"]))
        if record is None:
            cells.append(Cell(*who, MISSING, "not run yet", None))
            continue
        about = run["tasks"][record.task]
        costs = tuple(tuple(row) for row in about["costs"]) if about.get("costs") else None
        try:
            found, parts = derive(store, Views(record, len(about["classes"]), costs), metrics, kept)
        except StoreError as error:
            cells.append(Cell(*who, "failed", str(error), None))
            continue
        cells.append(Cell(*who, record.status, record.reason, record))
        used |= parts
        figures |= {(record.id, stage, kind): one for (stage, kind), one in found.items()}
    if used != kept:
        write_kept(store, used)
    scores = Scores(run, tuple(cells), {}, figures, metrics)
    rows = [row for cell in cells if cell.record for row in _rows(scores, cell.record)]
    return replace(scores, by_entry=_by_entry([*rows, *_chosen(scores, rows)]))


def entries(scores: Scores, task: str) -> dict[Entry, str]:
    """Every entry of a task with its status: `ok`, or how many of its cells ended how."""
    statuses: dict[tuple[str, str], list[str]] = {}
    for cell in scores.cells:
        if cell.task == task:
            statuses.setdefault((cell.family, cell.strategy), []).append(cell.status)
    found = {
        Entry(*key, stage): count_statuses(counted)
        for key, counted in statuses.items()
        for stage in ("default", "tuned")
    }
    for entry, counted in ((entry, statuses[entry.family, entry.strategy]) for entry in found):
        lost = counted.count("ok") - len(scores.rows_of(task, entry, HALF))
        if lost:  # the configuration of this stage failed where the other did not
            found[entry] = count_statuses(["failed"] * lost + ["ok"] * (counted.count("ok") - lost) + _not_ok(counted))
    splits = max((len(counted) for counted in statuses.values()), default=0)
    for (of, entry, kind), rows in scores.by_entry.items():
        if (of, entry.stage, kind) == (task, "chosen", HALF):
            found[entry] = count_statuses(["ok"] * len(rows) + [MISSING] * (splits - len(rows)))
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
    objective = scores.objective(record.task).name
    for outcome in record.outcomes:
        extras = {
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
        entry = Entry(record.family, record.strategy, outcome.stage)
        for kind in scores.kinds(record.task):
            view = (record.id, outcome.stage, kind)
            if (found := scores.figures.get(view)) is not None:
                threshold = math.nan if found.threshold is None else found.threshold
                rarest = max(int(found.confusion.sum(axis=1).min()), 1)
                figures = {**found.values, **extras, "threshold": threshold, "grain": 1 / rarest}
                yield _Row(record.task, entry, kind, (record.repeat, record.fold), view, figures)


def _chosen(scores: Scores, rows: list[_Row]) -> Iterator[_Row]:
    """The rows of what the inner scores choose: per family over its strategies, and over everything.

    Its `trials` are all that were made to be able to choose. What Optuna searched itself (`searched`) is no candidate.
    """
    pools: dict[tuple[str, str, str, tuple[int, int]], list[_Row]] = {}
    for row in rows:
        if row.entry.stage == "tuned" and row.entry.strategy != "searched" and not math.isnan(row.figures["inner"]):
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


def _by_entry(rows: Iterable[_Row]) -> dict[tuple[str, Entry, str], Rows]:
    grouped: dict[tuple[str, Entry, str], list[_Row]] = {}
    for row in rows:
        grouped.setdefault((row.task, row.entry, row.kind), []).append(row)
    found = {}
    for key, group in grouped.items():
        group.sort(key=lambda row: row.split)
        columns = {name: np.array([row.figures[name] for row in group]) for name in group[0].figures}
        found[key] = Rows(tuple(row.split for row in group), tuple(row.view for row in group), columns)
    return found
