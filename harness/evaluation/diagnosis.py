"""What the predictions of a task's best entries show: curves and counts per entry, computed once and cached."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from harness.errors import StoreError
from harness.evaluation import curves
from harness.evaluation.curves import CalibrationBin, Diagnosis, MeanCurve, RankCurves, ScoreHistogram, ThresholdCurves
from harness.evaluation.metric_cache import TUNED_THRESHOLD, MetricCache
from harness.evaluation.ranking import RankedEntry, Ranking
from harness.evaluation.scores import Scores
from harness.store.record import Record
from harness.store.store import Store

MAX_FAMILIES = 6  #: more lines cannot be distinguished in one figure
CACHE_NAME = "diagnostics"  #: the file under derived/


@dataclass(frozen=True)
class EntryDiagnosis:
    """An entry that is shown: its line in the ranking, what its predictions show, its tuned thresholds by split."""

    ranked: RankedEntry
    diagnosis: Diagnosis
    tuned_thresholds: curves.FloatTuple

    @property
    def name(self) -> str:
        """The name in text, tables and figures."""
        return self.ranked.entry.name


def best_of_families(ranking: Ranking) -> list[RankedEntry]:
    """Select the best tuned entry of each family, best first, without the majority baseline."""
    best: dict[str, RankedEntry] = {}
    baseline = ranking.baseline.entry.family if ranking.baseline else None
    for ranked in ranking.entries:
        if ranked.entry.stage == "tuned" and ranked.entry.family != baseline and len(ranked.rows):
            best.setdefault(ranked.entry.family, ranked)
    return list(best.values())


def select_entries_for_details(ranking: Ranking, first: RankedEntry) -> list[RankedEntry]:
    """Select the first entry, and its family without any strategy where that is another entry."""
    plain = first.entry._replace(strategy="none")
    return [first, *(ranked for ranked in ranking.entries if ranked.entry == plain != first.entry and len(ranked.rows))]


def diagnose_entry(
    store: Store, scores: Scores, ranking: Ranking, ranked: RankedEntry, cache: MetricCache
) -> tuple[EntryDiagnosis, MetricCache]:
    """Diagnose the predictions of an entry, or look the diagnosis up.

    Parameters
    ----------
    store : Store
        The run folder.
    scores : Scores
        The scores of the run.
    ranking : Ranking
        The ranking of the task.
    ranked : RankedEntry
        The entry.
    cache : dict
        Diagnoses of earlier reports.

    Returns
    -------
    EntryDiagnosis, dict
        The diagnosis, and the part of the cache that holds it.

    Raises
    ------
    StoreError
        If predictions cannot be read or do not match the checksums of their records.
    """
    cells = {cell.record.id: cell.record for cell in scores.cells if cell.record}
    records = [cells[cell_id] for cell_id, *_ in ranked.rows.score_keys]
    costs = scores.run["tasks"][ranking.task].get("costs")
    sources = [(record.repeat, record.predictions_sha256) for record in records]
    key = hashlib.sha256(repr((curves.VERSION, ranked.entry.stage, costs, sources)).encode()).hexdigest()
    row = cache.get(key)
    if row is None:
        splits = [_read_labels_and_probabilities(store, record, ranked.entry.stage) for record in records]
        row = curves.diagnose_predictions(splits, len({record.repeat for record in records}), costs)._asdict()
    thresholds = scores.score_rows_of_entry(ranking.task, ranked.entry, TUNED_THRESHOLD)["threshold"]
    rounded = tuple(round(float(threshold), 4) for threshold in thresholds)
    return EntryDiagnosis(ranked, _diagnosis_from_json(row), rounded), {key: row}


def _read_labels_and_probabilities(store: Store, record: Record, stage: str) -> curves.LabeledProba:
    if not record.predictions_sha256:
        raise StoreError(f"cell {record.id} has no predictions: delete its folder and run again")
    predictions = store.read_predictions(record)
    return predictions.test_y, predictions.test[stage].astype(float)


def _diagnosis_from_json(row: dict[str, Any]) -> Diagnosis:
    """A diagnosis from what was read from JSON, or will be written to JSON."""
    return Diagnosis(
        **row
        | {
            "rank_curves": _rank_curves_from_json(row["rank_curves"]),
            "classes": tuple(map(_rank_curves_from_json, row["classes"])),
            "bins": tuple(CalibrationBin(*values) for values in row["bins"]),
            "sweep": _threshold_curves_from_json(row["sweep"]),
            "sweep_log_odds": _threshold_curves_from_json(row["sweep_log_odds"]),
            "scores": _histogram_from_json(row["scores"]),
            "log_odds": _histogram_from_json(row["log_odds"]),
        }
    )


def _curve_from_json(values: Any) -> MeanCurve:
    return MeanCurve(*map(tuple, values))


def _rank_curves_from_json(values: Any) -> RankCurves | None:
    if values is None:
        return None
    roc, precision, gain, *numbers = values
    return RankCurves(_curve_from_json(roc), _curve_from_json(precision), _curve_from_json(gain), *numbers)


def _threshold_curves_from_json(values: Any) -> ThresholdCurves | None:
    if values is None:
        return None
    precision, recall, f1, cost = values
    return ThresholdCurves(
        _curve_from_json(precision), _curve_from_json(recall), _curve_from_json(f1), cost and _curve_from_json(cost)
    )


def _histogram_from_json(values: Any) -> ScoreHistogram:
    edges, counts = values
    return ScoreHistogram(tuple(edges), tuple(map(tuple, counts)))
