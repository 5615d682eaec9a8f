"""What the predictions of a task's best entries show: curves and counts per entry, computed once and cached."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from harness.errors import StoreError
from harness.evaluation import curves
from harness.evaluation.calibration_bins import CalibrationBin
from harness.evaluation.curves import Diagnosis, MeanCurve, RankCurves, ScoreHistogram, ThresholdCurves
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
    best_by_family: dict[str, RankedEntry] = {}
    baseline_family = ranking.baseline.entry.family if ranking.baseline else None
    for ranked_entry in ranking.entries:
        if (
            ranked_entry.entry.stage == "tuned"
            and ranked_entry.entry.family != baseline_family
            and len(ranked_entry.rows)
        ):
            best_by_family.setdefault(ranked_entry.entry.family, ranked_entry)
    return list(best_by_family.values())


def select_entries_for_details(ranking: Ranking, first: RankedEntry) -> list[RankedEntry]:
    """Select the first entry, and its family without any strategy where that is another entry."""
    plain_entry = first.entry._replace(strategy="none")
    return [
        first,
        *(
            ranked_entry
            for ranked_entry in ranking.entries
            if ranked_entry.entry == plain_entry != first.entry and len(ranked_entry.rows)
        ),
    ]


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
    record_sources = [(record.repeat, record.predictions_sha256) for record in records]
    key = hashlib.sha256(repr((curves.VERSION, ranked.entry.stage, costs, record_sources)).encode()).hexdigest()
    row = cache.get(key)
    if row is None:
        splits = [_read_test_predictions(store, record, ranked.entry.stage) for record in records]
        row = curves.diagnose_predictions(splits, len({record.repeat for record in records}), costs)._asdict()
    thresholds = scores.score_rows_of_entry(ranking.task, ranked.entry, TUNED_THRESHOLD)["threshold"]
    rounded_thresholds = tuple(round(float(threshold), 4) for threshold in thresholds)
    return EntryDiagnosis(ranked, _diagnosis_from_json(row), rounded_thresholds), {key: row}


def _read_test_predictions(store: Store, record: Record, stage: str) -> curves.SplitPredictions:
    if not record.predictions_sha256:
        raise StoreError(f"cell {record.id} has no predictions: delete its folder and run again")
    predictions = store.read_predictions(record)
    return curves.SplitPredictions(predictions.test_y, predictions.test[stage].astype(float), predictions.test_weights)


def _diagnosis_from_json(diagnosis_values: dict[str, Any]) -> Diagnosis:
    """A diagnosis from what was read from JSON, or will be written to JSON."""
    return Diagnosis(
        **diagnosis_values
        | {
            "rank_curves": _rank_curves_from_json(diagnosis_values["rank_curves"]),
            "classes": tuple(map(_rank_curves_from_json, diagnosis_values["classes"])),
            "bins": tuple(CalibrationBin(*bin_values) for bin_values in diagnosis_values["bins"]),
            "sweep": _threshold_curves_from_json(diagnosis_values["sweep"]),
            "sweep_log_odds": _threshold_curves_from_json(diagnosis_values["sweep_log_odds"]),
            "scores": _histogram_from_json(diagnosis_values["scores"]),
            "log_odds": _histogram_from_json(diagnosis_values["log_odds"]),
        }
    )


def _curve_from_json(curve_values: Any) -> MeanCurve:
    return MeanCurve(*map(tuple, curve_values))


def _rank_curves_from_json(rank_curve_values: Any) -> RankCurves | None:
    if rank_curve_values is None:
        return None
    roc_values, precision_values, gain_values, *area_numbers = rank_curve_values
    return RankCurves(
        _curve_from_json(roc_values), _curve_from_json(precision_values), _curve_from_json(gain_values), *area_numbers
    )


def _threshold_curves_from_json(sweep_values: Any) -> ThresholdCurves | None:
    if sweep_values is None:
        return None
    precision, recall, f1, cost = sweep_values
    return ThresholdCurves(
        _curve_from_json(precision), _curve_from_json(recall), _curve_from_json(f1), cost and _curve_from_json(cost)
    )


def _histogram_from_json(histogram_values: Any) -> ScoreHistogram:
    bin_edges, bin_counts = histogram_values
    return ScoreHistogram(tuple(bin_edges), tuple(map(tuple, bin_counts)))
