"""Which entries and tasks are compared over all tasks, split by split, and what is missing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from harness.evaluation.ranking import BASELINE, Ranking
from harness.evaluation.scores import ANY, Entry, ScoreRows
from harness.metrics.metric import Metric

Array: TypeAlias = npt.NDArray[np.float64]
Pick: TypeAlias = Callable[[Ranking], dict[Entry, ScoreRows]]  #: who competes on a task, the majority row among them


@dataclass(frozen=True)
class Together:
    """Entries that are compared on the same splits of the same tasks; every figure is turned so that more is better.

    `figures` has an array (entries, splits) per task, `floors` the majority row's (splits,) or None where there is none.
    The majority row is no competitor: it would hold the last place nearly everywhere and make the spread that chance is
    measured by too small.
    """

    tasks: tuple[str, ...]
    metrics: tuple[Metric, ...]
    entries: tuple[Entry, ...]
    figures: tuple[Array, ...]
    floors: tuple[Array | None, ...]

    @property
    def means(self) -> Array:
        """The mean over the splits of every entry on every task, (entries, tasks)."""
        columns = [one.mean(axis=1) for one in self.figures]
        return np.column_stack(columns) if columns else np.empty((len(self.entries), 0))

    @property
    def floor_means(self) -> Array:
        """The majority row's mean on every task, NaN where it has none."""
        return np.array([np.nan if floor is None else floor.mean() for floor in self.floors])

    def ordered(self, order: Sequence[int]) -> Together:
        """The same with its entries in another order, or some of them."""
        figures = tuple(one[list(order)] for one in self.figures)
        return Together(self.tasks, self.metrics, tuple(self.entries[at] for at in order), figures, self.floors)


@dataclass(frozen=True)
class Coverage:
    """How much of everything an entry has: tasks with all their splits, and splits."""

    entry: Entry
    tasks: int
    splits: int
    lacking: int


def evaluated(rankings: Sequence[Ranking]) -> list[Ranking]:
    """The tasks on which some entry has all splits."""
    return [ranking for ranking in rankings if ranking.best is not None]


def tuned(ranking: Ranking) -> dict[Entry, ScoreRows]:
    """The splits of every tuned entry of a task that have its objective."""
    places = (place for place in ranking.entries if place.entry.stage == "tuned")
    return {place.entry: _known(ranking, place.rows) for place in places}


def families(ranking: Ranking) -> dict[Entry, ScoreRows]:
    """The same of every family, as `Ranking.family` has it."""
    names = dict.fromkeys(place.entry.family for place in ranking.entries if place.entry.family != ANY)
    places = {name: place for name in names if (place := ranking.family(name))}
    return {Entry(name, ANY, "chosen"): _known(ranking, place.rows) for name, place in places.items()}


def _known(ranking: Ranking, rows: ScoreRows) -> ScoreRows:
    column = rows[ranking.metric.name]
    return rows.at([split for split, value in zip(rows.splits, column, strict=True) if not math.isnan(value)])


def coverage(rankings: Sequence[Ranking], pick: Pick = tuned) -> list[Coverage]:
    """How much of the evaluated tasks every competing entry has, the fullest first."""
    of_task = [pick(ranking) for ranking in rankings]
    due = [len(_splits(rows)) for rows in of_task]
    found = []
    for entry in dict.fromkeys(entry for rows in of_task for entry in rows if entry.family != BASELINE):
        has = [len(rows[entry]) if entry in rows else 0 for rows in of_task]
        whole = sum(h == d for h, d in zip(has, due, strict=True))
        found.append(Coverage(entry, whole, sum(has), sum(due) - sum(has)))
    return sorted(found, key=lambda one: (-one.tasks, -one.splits, one.entry))


def shared(rankings: Sequence[Ranking], pick: Pick = tuned) -> Together:
    """The entries and tasks that make the largest table without a gap.

    An entry that lacks one task of many costs that task; one that lacks many is left out. Entries are taken in by how
    many tasks they have; of the tables so made the one with most cells (entries × tasks) is kept, the one with more
    tasks where two are as large.
    """
    of_task = [pick(ranking) for ranking in rankings]
    whole = [{entry for entry, rows in one.items() if len(rows) == len(_splits(one))} for one in of_task]
    order = [one.entry for one in coverage(rankings, pick) if one.tasks]
    tables = [
        (order[:n], [at for at, some in enumerate(whole) if some.issuperset(order[:n])])
        for n in range(1, len(order) + 1)
    ]
    kept, tasks = max(tables, key=lambda table: (len(table[0]) * len(table[1]), len(table[1])), default=([], []))
    return _together([rankings[at] for at in tasks], [of_task[at] for at in tasks], kept)


def imputed(rankings: Sequence[Ranking]) -> Together:
    """Every entry on every task whose majority row has all splits; a split that is lacking has the majority row's figure."""
    of_task = [tuned(ranking) for ranking in rankings]
    floors = [_floor(rows) for rows in of_task]
    keep = [at for at, floor in enumerate(floors) if floor is not None and len(floor) == len(_splits(of_task[at]))]
    everyone = [one.entry for one in coverage([rankings[at] for at in keep])]
    return _together([rankings[at] for at in keep], [of_task[at] for at in keep], everyone)


def _together(
    rankings: Sequence[Ranking], of_task: Sequence[Mapping[Entry, ScoreRows]], kept: Sequence[Entry]
) -> Together:
    kept = sorted(kept)
    figures, floors = [], []
    for ranking, rows in zip(rankings, of_task, strict=True):
        name, sign = ranking.metric.name, 1.0 if ranking.metric.greater_is_better else -1.0
        splits, floor = _splits(rows), _floor(rows)
        whole_floor = floor is not None and len(floor) == len(splits)
        fill = dict(zip(floor.splits, floor[name], strict=True)) if floor is not None else {}
        table = []
        for entry in kept:
            mine = rows.get(entry, ScoreRows())
            known = fill | dict(zip(mine.splits, mine[name], strict=True))
            table.append([sign * known[split] for split in splits])
        figures.append(np.array(table, dtype=float).reshape(len(kept), len(splits)))
        floors.append(sign * np.array([fill[split] for split in splits]) if whole_floor else None)
    tasks, metrics = tuple(one.task for one in rankings), tuple(one.metric for one in rankings)
    return Together(tasks, metrics, tuple(kept), tuple(figures), tuple(floors))


def _floor(rows: Mapping[Entry, ScoreRows]) -> ScoreRows | None:
    return next((found for entry, found in rows.items() if entry.family == BASELINE), None)


def _splits(rows: Mapping[Entry, ScoreRows]) -> list[tuple[int, int]]:
    """The splits that some entry has."""
    return sorted({split for one in rows.values() for split in one.splits})


SCALED = (
    "log_loss",
    "expected_cost",
    "lift_at_10",
)  #: have no common scale: told in units of the majority row's figure


def wins(means: Array) -> npt.NDArray[np.int64]:
    """First places of each entry, from `means` (entries, tasks), more being better; shared ones count for each."""
    firsts: npt.NDArray[np.int64] = (means == means.max(axis=0)).sum(axis=1)
    return firsts


def normalised(together: Together) -> Array:
    """0 at the majority row of a task or below it (where it has none: at the worst entry), 1 at the best entry.

    The mean over the tasks; those on which all are equal are left out, NaN where none remains.
    """
    means, floors = together.means, together.floor_means
    low = np.where(np.isnan(floors), means.min(axis=0), floors)
    span = means.max(axis=0) - low
    told = span > 0
    if not told.any():
        return np.full(len(means), np.nan)
    return np.asarray(np.clip((means[:, told] - low[told]) / span[told], 0, None).mean(axis=1))


def improvability(together: Together) -> Array:
    """By which part the error of an entry would fall if it were the best entry of the task; mean over the tasks.

    1 − (error of the best)/(own error), the error being 1 − score, or the score itself where less is better: Erickson et
    al., TabArena (2025). Tasks whose objective has no error that ends at 0 are left out; NaN where none remains.
    """
    told = []
    for metric, column in zip(together.metrics, together.means.T, strict=True):
        errors = 1 - column if metric.greater_is_better else -column
        if metric.name == "lift_at_10" or (errors < 0).any():
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            told.append(np.where(errors > 0, 1 - errors.min() / errors, 0.0))
    return np.asarray(np.mean(told, axis=0)) if told else np.full(len(together.entries), np.nan)


def scales(together: Together) -> Array:
    """What a difference of 1 is on each task: 1, or the majority row's figure where the objective has no common scale."""
    floors = np.abs(together.floor_means)
    scaled = np.array([metric.name in SCALED for metric in together.metrics], dtype=bool)
    return np.where(scaled, np.where(floors > 0, floors, np.nan), 1.0)
