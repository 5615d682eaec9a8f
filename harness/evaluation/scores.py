"""The scores of every entry of a run, split by split, the status of its cells, and entries by name."""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from harness.errors import EvenhandError
from harness.evaluation.evaluate import ScoreKey, SplitEnsemble
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD, TUNED_THRESHOLD, MetricValues
from harness.metrics.metric import CostMatrix, Metric
from harness.store.record import STATUSES, Record

if TYPE_CHECKING:
    from harness.evaluation.samples import SampleReader

Computed = TypeVar("Computed")
SplitKey: TypeAlias = tuple[int, int]  #: repeat and fold of an outer split

STAGES = ("default", "tuned", "chosen", "ensembled")
COMBINED_STAGES = STAGES[2:]  #: entries with the effort of several cells: they get no rank
ANY_NAME = "any"  #: the family or strategy of an entry that is chosen anew in every split, or combines all of them
EXTRA_COLUMNS = ("threshold", "fit_seconds", "predict_us_per_row", "trials", "parameters", "model_bytes")
STATUS_MISSING = "missing"  #: the status of a planned cell that has not been run


class Entry(NamedTuple):
    """A competitor: family × strategy × stage × calibration."""

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
    """The scores of one entry at one kind of threshold, one row per outer split, in the order of `splits`.

    Columns are the metrics, `EXTRA_COLUMNS`, ``inner`` and ``train`` (the objective on inner folds and on the training
    rows), ``trial`` (the number of the trial that was refitted), ``ratio`` (n_test/n_train), ``row_share`` (1 / test rows)
    and ``rare_row_share`` (1 / test rows of the rarest class). `score_keys` are the keys of `Scores.metric_values`.
    """

    splits: tuple[SplitKey, ...] = ()  #: repeat and fold
    score_keys: tuple[ScoreKey, ...] = ()
    columns: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.splits)

    def __getitem__(self, name: str) -> npt.NDArray[np.float64]:
        """A column, one score per split; NaN where it is not known."""
        return self.columns[name] if name in self.columns else np.full(len(self), np.nan)

    def mean(self, name: str) -> float:
        """Compute the unweighted mean of a column over the splits; NaN where one of them lacks it."""
        return float(self[name].mean()) if len(self) else math.nan

    def select(self, splits: Collection[SplitKey]) -> ScoreRows:
        """Select the rows of these splits."""
        is_selected = np.array([split in splits for split in self.splits], dtype=bool)
        return ScoreRows(
            tuple(compress(self.splits, is_selected)),
            tuple(compress(self.score_keys, is_selected)),
            {name: column[is_selected] for name, column in self.columns.items()},
        )


@dataclass(frozen=True)
class Scores:
    """Everything that tables are computed from: the description of the run, its planned cells, the scores of its entries.

    `ensembles` have the weights of their members by cell id; `ensemble_failures` say why ensembles could not be made.
    `samples` reads how scores vary with the test rows; without it tests know the spread between splits alone. `rope` is the
    region of practical equivalence of the objectives where it is not the usual one.
    """

    run: Mapping[str, Any]
    cells: tuple[CellStatus, ...]
    by_entry: Mapping[tuple[str, Entry, str], ScoreRows]  #: by task, entry and kind of threshold
    metric_values: Mapping[ScoreKey, MetricValues]
    metrics: Mapping[str, Metric]
    ensembles: Mapping[tuple[str, str, SplitKey], SplitEnsemble] = field(default_factory=dict)
    #: by task, kind of ensemble and split
    ensemble_failures: Mapping[tuple[str, SplitKey], str] = field(default_factory=dict)  #: by task and split
    samples: SampleReader | None = None
    rope: float | None = None
    _computed: dict[tuple[Hashable, ...], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def records(self) -> dict[str, Record]:
        """The records of the cells by cell id."""
        return {cell.record.id: cell.record for cell in self.cells if cell.record is not None}

    def compute_once(self, key: tuple[Hashable, ...], compute: Callable[[], Computed]) -> Computed:
        """Compute what several sections need once: comparisons take 0.2 s per task and are shown in some ten places.

        Parameters
        ----------
        key : tuple
            Names what is computed, and of what: a task or a ranking.
        compute : callable
            Computes it from these scores alone.

        Returns
        -------
        object
            What `compute` returned the first time.
        """
        if key not in self._computed:
            self._computed[key] = compute()
        computed_content: Computed = self._computed[key]
        return computed_content

    @property
    def metric_failures(self) -> dict[str, list[str]]:
        """The messages of metrics that raised an error, by the name of the metric: one for each set of predictions."""
        messages_by_metric: dict[str, list[str]] = {}
        for metric_values in self.metric_values.values():
            for name, message in metric_values.metric_failures.items():
                messages_by_metric.setdefault(name, []).append(message)
        return messages_by_metric

    def objective(self, task: str) -> Metric:
        """Get the metric that the search of this task optimised and its table is ranked by."""
        default_objective = "average_precision" if len(self.classes(task)) == 2 else "roc_auc"
        return (
            self.metrics.get(self.run["tasks"][task].get("objective") or default_objective)
            or self.metrics[default_objective]
        )

    def score_rows_of_entry(self, task: str, entry: Entry, threshold_kind: str) -> ScoreRows:
        """Get the scores of one entry at one kind of threshold; empty where it has none."""
        return self.by_entry.get((task, entry, threshold_kind), ScoreRows())

    def pooled_confusion(self, task: str, entry: Entry, threshold_kind: str) -> npt.NDArray[Any]:
        """Sum the confusion matrices (k, k), truth × prediction, of an entry over all its splits."""
        k = len(self.classes(task))
        keys = self.score_rows_of_entry(task, entry, threshold_kind).score_keys
        return sum((self.metric_values[key].confusion for key in keys), np.zeros((k, k), dtype=np.int64))

    def costs(self, task: str) -> CostMatrix:
        """Get the costs of decisions, truth × prediction, where the task declares them."""
        costs = self.run["tasks"][task].get("costs")
        return tuple(map(tuple, costs)) if costs else None

    def classes(self, task: str) -> list[str]:
        """Get the class names of a task, in encoded order."""
        return list(self.run["tasks"][task]["classes"])

    def threshold_kinds(self, task: str) -> tuple[str, ...]:
        """Get the kinds of threshold of a task: with several classes there is nothing to tune."""
        return (DEFAULT_THRESHOLD, TUNED_THRESHOLD) if len(self.classes(task)) == 2 else (DEFAULT_THRESHOLD,)

    def objective_threshold_kind(self, task: str) -> str:
        """Get the kind of threshold at which entries are ranked: decisions at 0.5, as in the search."""
        if self.objective(task).metric_type == "decision":
            return DEFAULT_THRESHOLD
        return self.threshold_kinds(task)[-1]

    def score_resolution(self, task: str, metric: Metric, rows: ScoreRows) -> float:
        """Compute by how much one test row can change a score, approximately: the lower bound of its spread.

        A mean over all rows moves by one of them all (times the difference between the cheapest and the most expensive
        decision if it is a cost), and so does a score of probabilities; a share of a class, or a score made of such shares,
        by one row of the rarest class. Where a ranking of each class against the rest is averaged, one row leaves its rank
        in one of them and takes a rank in another.

        Parameters
        ----------
        task : str
            Name of the task.
        metric : Metric
            What is scored.
        rows : ScoreRows
            Any entry's rows on the same splits.

        Returns
        -------
        float
            In units of the metric.
        """
        counts_all_rows = metric.over_rows or metric.metric_type == "probability"
        row_share = rows.mean("row_share" if counts_all_rows else "rare_row_share")
        costs = self.costs(task)
        if metric.needs_costs and costs:
            return row_share * (max(map(max, costs)) - min(map(min, costs)))
        if metric.metric_type == "ranking":
            return row_share * metric.span * (2 / len(self.classes(task)))
        return row_share * metric.span


def entry_statuses(scores: Scores, task: str) -> dict[Entry, str]:
    """Summarise the status of every entry of a task: `ok`, or how many of its cells ended how.

    Recalibrated entries are the same with other probabilities.
    """
    return {entry: count_statuses(statuses) for entry, statuses in _cell_statuses_by_entry(scores, task).items()}


def entries_not_run(scores: Scores, task: str) -> set[Entry]:
    """Collect the entries of a task of which no cell has been run."""
    return {
        entry for entry, statuses in _cell_statuses_by_entry(scores, task).items() if set(statuses) == {STATUS_MISSING}
    }


def count_statuses(statuses: Iterable[str]) -> str:
    """Count statuses: `ok` if all are, otherwise how many there are of each, `ok 3, timeout 2`."""
    status_counts = Counter(statuses)
    if status_counts.keys() <= {"ok"}:
        return "ok"
    return ", ".join(
        f"{status} {status_counts[status]}" for status in (*STATUSES, STATUS_MISSING) if status_counts[status]
    )


def _cell_statuses_by_entry(scores: Scores, task: str) -> dict[Entry, list[str]]:
    """The statuses of the cells of every entry of a task."""
    statuses_by_cell: dict[tuple[str, str], list[str]] = {}
    for cell in scores.cells:
        if cell.task == task:
            statuses_by_cell.setdefault((cell.family, cell.strategy), []).append(cell.status)
    statuses = {}
    for names, cell_statuses in statuses_by_cell.items():
        for entry in (Entry(*names, "default"), Entry(*names, "tuned")):
            scored_cells = len(scores.score_rows_of_entry(task, entry, DEFAULT_THRESHOLD))
            failed_refits = (
                cell_statuses.count("ok") - scored_cells
            )  # the refit of this stage failed, that of the other did not
            statuses[entry] = ["ok"] * scored_cells + ["failed"] * failed_refits + _unfinished_statuses(cell_statuses)
    splits = max(map(len, statuses_by_cell.values()), default=0)
    for (entry_task, entry, threshold_kind), rows in scores.by_entry.items():
        if (entry_task, threshold_kind) == (task, DEFAULT_THRESHOLD) and entry.stage in COMBINED_STAGES:
            statuses[entry] = ["ok"] * len(rows) + [STATUS_MISSING] * (splits - len(rows))
    return statuses


def _unfinished_statuses(statuses: Iterable[str]) -> list[str]:
    return [status for status in statuses if status != "ok"]


def find_entry_by_name(scores: Scores, name: str) -> tuple[str, Entry]:
    """Find an entry by its name.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    name : str
        ``task/family/strategy[/stage[/calibration]]``. Without a stage it is the tuned entry; the task may be left out if
        there is only one.

    Returns
    -------
    str, Entry
        The task and the entry.

    Raises
    ------
    EvenhandError
        If there is no such entry, or if it has no scores.
    """
    entries_by_name: dict[str, tuple[str, Entry, str]] = {}
    for task in scores.run["tasks"]:
        for entry, status in _statuses_of_all_entries(scores, task).items():
            names = [entry.name]
            if entry.stage == "tuned":
                names.append(entry.name.removesuffix("/tuned"))
            for entry_name in names:
                entries_by_name[f"{task}/{entry_name}"] = task, entry, status
                if len(scores.run["tasks"]) == 1:
                    entries_by_name[entry_name] = task, entry, status
    if name not in entries_by_name:
        suggested_names = difflib.get_close_matches(name, entries_by_name, n=1, cutoff=0.5)
        hint_text = f"entries are like {next(iter(entries_by_name), 'task/family/strategy')!r}"
        if suggested_names:
            hint_text = f"did you mean {suggested_names[0]!r}?"
        raise EvenhandError(f"no such entry {name!r} in this run: {hint_text}")
    task, entry, status = entries_by_name[name]
    if not len(scores.score_rows_of_entry(task, entry, DEFAULT_THRESHOLD)):
        raise EvenhandError(f"{name} has no scores to compare ({status})")
    return task, entry


def _statuses_of_all_entries(scores: Scores, task: str) -> dict[Entry, str]:
    """The entries of a task, recalibrated ones too, with their status."""
    statuses = entry_statuses(scores, task)
    scored_entries = (entry for entry_task, entry, _ in scores.by_entry if entry_task == task and entry not in statuses)
    return statuses | dict.fromkeys(scored_entries, "ok")
