"""Records and predictions of a run → one row of scores per task, entry, outer split and decision threshold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.declare.metric import Metric
from harness.errors import StoreError
from harness.report.derived import HALF, TUNED, Figures, Kept, Views, derive, read_kept, write_kept
from harness.store.record import STATUSES, Record
from harness.store.store import Store

STAGES = ("default", "tuned", "chosen")
ANY = "any"  #: stands for the family or strategy of an entry that is chosen anew in every split
EXTRAS = ("threshold", "fit_seconds", "predict_us_per_row", "trials")
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
class Scores:
    """Everything that tables are made of.

    `run` is the description of the run. `rows` has one row per task, entry, split and threshold kind: who it is, the
    metrics, EXTRAS, `inner` and `train` (the objective on inner folds and on the training rows), `trial` (which one was
    refitted), `ratio` (n_test/n_train) and `view`, under which `figures` has the confusion matrix.
    """

    run: Mapping[str, Any]
    cells: tuple[Cell, ...]
    rows: pd.DataFrame
    figures: Mapping[tuple[str, str, str], Figures]
    metrics: Mapping[str, Metric]

    def objective(self, task: str) -> Metric:
        """The metric that the search of this task was after and its table is ranked by."""
        binary = len(self.classes(task)) == 2
        usual = "average_precision" if binary else "roc_auc"
        return self.metrics.get(self.run["tasks"][task].get("objective") or usual) or self.metrics[usual]

    @cached_property
    def by_entry(self) -> dict[tuple[str, Entry, str], pd.DataFrame]:
        """The rows of every task, entry and threshold kind, indexed by repeat and fold, in this order."""
        if self.rows.empty:
            return {}
        who = ["task", *Entry._fields, "threshold_kind"]
        found = {}
        for key, rows in self.rows.groupby(who, sort=False):
            task, *entry, kind = (str(part) for part in key)
            found[task, Entry(*entry), kind] = rows.set_index(["repeat", "fold"]).sort_index()
        return found

    def rows_of(self, task: str, entry: Entry, kind: str) -> pd.DataFrame:
        """The rows of one entry at one threshold kind; empty where it has none."""
        return self.by_entry.get((task, entry, kind), pd.DataFrame())

    def pooled(self, task: str, entry: Entry, kind: str) -> npt.NDArray[np.int64]:
        """Counts (k, k), truth × decision, of an entry over all its splits."""
        k = len(self.classes(task))
        views = self.rows_of(task, entry, kind).get("view", ())
        return sum((self.figures[view].confusion for view in views), np.zeros((k, k), dtype=np.int64))

    def classes(self, task: str) -> list[str]:
        """The class names of a task, in encoded order."""
        return list(self.run["tasks"][task]["classes"])

    def kinds(self, task: str) -> tuple[str, ...]:
        """The threshold kinds of a task: with several classes there is nothing to tune."""
        return (HALF, TUNED) if len(self.classes(task)) == 2 else (HALF,)


def collect(store: Store, metrics: Mapping[str, Metric]) -> Scores:
    """Read a run folder and score everything in it; figures are kept under `derived/`.

    Raises `StoreError` where the folder is no run or cannot be read.
    """
    run = store.read_run()
    kept, used = read_kept(store), Kept()
    figures: dict[tuple[str, str, str], Figures] = {}
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
    scores = Scores(run, tuple(cells), pd.DataFrame(), figures, metrics)
    rows = [row for cell in cells if cell.record for row in _rows(scores, cell.record)]
    return replace(scores, rows=pd.DataFrame([*rows, *_chosen(scores, rows)]))


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
    splits = max((len(counted) for counted in statuses.values()), default=0)
    for (of, entry, kind), rows in scores.by_entry.items():
        if (of, entry.stage, kind) == (task, "chosen", HALF):
            found[entry] = count_statuses(["ok"] * len(rows) + [MISSING] * (splits - len(rows)))
    return found


def count_statuses(statuses: Iterable[str]) -> str:
    """`ok` where everything is, else how many ended how: `ok 3, timeout 2`."""
    counted = list(statuses)
    if all(status == "ok" for status in counted):
        return "ok"
    return ", ".join(f"{one} {counted.count(one)}" for one in (*STATUSES, MISSING) if one in counted)


def _rows(scores: Scores, record: Record) -> Iterator[dict[str, Any]]:
    objective = scores.objective(record.task).name
    for outcome in record.outcomes:
        who = {
            "task": record.task,
            **Entry(record.family, record.strategy, outcome.stage)._asdict(),
            "repeat": record.repeat,
            "fold": record.fold,
            "ratio": record.n_test / record.n_train if record.n_train else math.nan,
            "fit_seconds": outcome.fit_seconds,
            "predict_us_per_row": 1e6 * outcome.predict_seconds / record.n_test if record.n_test else math.nan,
            "trials": float(record.trials),
            "trial": outcome.trial,
            "inner": outcome.inner_score,
            "train": outcome.train_scores.get(objective, math.nan),
        }
        for kind in scores.kinds(record.task):
            view = (record.id, outcome.stage, kind)
            if (figures := scores.figures.get(view)) is not None:
                threshold = math.nan if figures.threshold is None else figures.threshold
                yield {**who, "threshold_kind": kind, "view": view, "threshold": threshold, **figures.values}


def _chosen(scores: Scores, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows of what the inner scores choose: per family over its strategies, and over everything.

    Its `trials` are all that were made to be able to choose. What Optuna searched itself (`searched`) is no candidate.
    """
    pools: dict[tuple[Any, ...], dict[tuple[str, str], dict[str, Any]]] = {}
    for row in rows:
        if row["stage"] == "tuned" and row["strategy"] != "searched" and not math.isnan(row["inner"]):
            for family in (row["family"], ANY):
                pool = (row["task"], family, row["repeat"], row["fold"], row["threshold_kind"])
                pools.setdefault(pool, {})[row["family"], row["strategy"]] = row
    choices = {pool[:2]: max(len(c) for other, c in pools.items() if other[:2] == pool[:2]) for pool in pools}
    for pool, candidates in pools.items():
        if choices[pool[:2]] > 1:
            sign = -1 if scores.objective(pool[0]).greater_is_better else 1
            best = min(candidates, key=lambda key: (sign * candidates[key]["inner"], key))
            effort = sum(row["trials"] for row in candidates.values())
            yield {**candidates[best], **Entry(pool[1], ANY, "chosen")._asdict(), "trials": effort}
