"""What the predictions of a task's best entries look like: curves and counts per entry, computed once and cached."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from harness.errors import StoreError
from harness.evaluation.curves import (
    VERSION,
    Band,
    Bin,
    Diagnosis,
    Histogram,
    Ranks,
    Seen,
    Sweep,
    Values,
    diagnose,
)
from harness.evaluation.metric_cache import TUNED_THRESHOLD, MetricCache
from harness.evaluation.ranking import RankedEntry, Ranking
from harness.evaluation.scores import Scores
from harness.store.record import Record
from harness.store.store import Store

FAMILIES = 6  #: more lines than that cannot be told apart in one picture
KEPT = "diagnostics"  #: the file under derived/


@dataclass(frozen=True)
class Shown:
    """An entry that is shown: its line in the ranking, what its predictions show, its tuned thresholds by split."""

    place: RankedEntry
    diagnosis: Diagnosis
    tuned: Values

    @property
    def name(self) -> str:
        """What it is called in sentences, tables and pictures."""
        return self.place.entry.name


def families(ranking: Ranking) -> list[RankedEntry]:
    """The best tuned entry of each family, best first; the majority row is none of them."""
    found: dict[str, RankedEntry] = {}
    floors = {ranking.baseline.entry.family} if ranking.baseline else set()
    for place in ranking.entries:
        if place.entry.stage == "tuned" and place.entry.family not in floors and len(place.rows):
            found.setdefault(place.entry.family, place)
    return list(found.values())


def in_detail(ranking: Ranking, first: RankedEntry) -> list[RankedEntry]:
    """The first entry, and its family without any strategy where that is another one."""
    bare = first.entry._replace(strategy="none")
    return [first, *(place for place in ranking.entries if place.entry == bare != first.entry and len(place.rows))]


def look(
    store: Store, scores: Scores, ranking: Ranking, place: RankedEntry, kept: MetricCache
) -> tuple[Shown, MetricCache]:
    """What the predictions of an entry show, and the part of `kept` that says so.

    Raises `StoreError` where predictions cannot be read or are not what their records vouch for.
    """
    cells = {cell.record.id: cell.record for cell in scores.cells if cell.record}
    records = [cells[view[0]] for view in place.rows.views]
    costs = scores.run["tasks"][ranking.task].get("costs")
    made_of = repr((VERSION, place.entry.stage, costs, [(one.repeat, one.predictions_sha256) for one in records]))
    key = hashlib.sha256(made_of.encode()).hexdigest()
    row = kept.get(key)
    if row is None:
        repeats = len({one.repeat for one in records})
        row = diagnose([_seen(store, one, place.entry.stage) for one in records], repeats, costs)._asdict()
    tuned = scores.rows_of(ranking.task, place.entry, TUNED_THRESHOLD)["threshold"]
    return Shown(place, _diagnosis(row), tuple(round(float(one), 4) for one in tuned)), {key: row}


def _seen(store: Store, record: Record, stage: str) -> Seen:
    if not record.predictions_sha256:
        raise StoreError(f"cell {record.id} has no predictions: delete its folder and run again")
    predictions = store.predictions(record)
    return predictions.test_y, predictions.test[stage].astype(float)


def _diagnosis(row: dict[str, Any]) -> Diagnosis:
    """A diagnosis from what JSON made of it, or from what will become JSON."""
    return Diagnosis(
        **row
        | {
            "ranks": _ranks(row["ranks"]),
            "classes": tuple(map(_ranks, row["classes"])),
            "bins": tuple(Bin(*one) for one in row["bins"]),
            "sweep": _sweep(row["sweep"]),
            "sweep_log_odds": _sweep(row["sweep_log_odds"]),
            "scores": _histogram(row["scores"]),
            "log_odds": _histogram(row["log_odds"]),
        }
    )


def _band(values: Any) -> Band:
    return Band(*map(tuple, values))


def _ranks(values: Any) -> Ranks | None:
    if values is None:
        return None
    roc, precision, gain, *figures = values
    return Ranks(_band(roc), _band(precision), _band(gain), *figures)


def _sweep(values: Any) -> Sweep | None:
    if values is None:
        return None
    precision, recall, f1, cost = values
    return Sweep(_band(precision), _band(recall), _band(f1), cost and _band(cost))


def _histogram(values: Any) -> Histogram:
    edges, counts = values
    return Histogram(tuple(edges), tuple(map(tuple, counts)))
