"""Read the records and predictions of a run, and compute the scores of every entry, split by split."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from harness.evaluation.evaluate import OuterSplit, ScoreKey, SplitEnsemble, SplitScores, evaluate_all_splits
from harness.evaluation.metric_cache import MetricCache, MetricValues, read_cache, write_cache
from harness.evaluation.preferences import stored_rope
from harness.evaluation.samples import SampleReader
from harness.evaluation.scores import ANY_NAME, STATUS_MISSING, CellStatus, Entry, ScoreRows, Scores, SplitKey
from harness.metrics.calibration import CALIBRATIONS, NO_CALIBRATION, has_known_prior
from harness.metrics.metric import Metric
from harness.store.record import EntryResult, Record
from harness.store.store import Store

SUMMED_COLUMNS = ("fit_seconds", "predict_us_per_row", "parameters", "model_bytes")  #: over the members of an ensemble


class _ScoreRow(NamedTuple):
    """The scores of one entry in one split at one kind of threshold."""

    task: str
    entry: Entry
    threshold_kind: str
    split: SplitKey
    score_key: ScoreKey
    columns: dict[str, float]


def collect_scores(store: Store, metrics: Mapping[str, Metric]) -> Scores:
    """Read a run folder and score everything in it; the values of metrics are cached under `derived/`.

    Parameters
    ----------
    store : Store
        The run folder.
    metrics : mapping of str to Metric
        The metrics to compute, by name.

    Returns
    -------
    Scores
        The scores of all entries.

    Raises
    ------
    StoreError
        If the folder is no run or cannot be read.
    """
    run = store.read_run()
    records, failures_by_cell = store.read_readable_records()
    records_by_key = {(record.id, record.key): record for record in records}
    # A record made from other data or other declarations has another key and does not count.
    planned_cells = [(cell, records_by_key.get((cell["id"], cell["key"]))) for cell in run["cells"]]
    splits = _group_records_by_outer_split(
        Scores(run, (), {}, {}, metrics), filter(None, (record for _, record in planned_cells))
    )
    metric_values: dict[ScoreKey, MetricValues] = {}
    ensembles_by_split: dict[tuple[str, str, SplitKey], SplitEnsemble] = {}
    ensemble_failures: dict[tuple[str, SplitKey], str] = {}
    for split, split_scores in zip(splits, _evaluate_splits(store, splits, metrics), strict=True):
        failures_by_cell = failures_by_cell | split_scores.unreadable
        metric_values |= split_scores.metric_values
        position = (split.repeat, split.fold)
        for split_ensemble in split_scores.ensembles:
            ensembles_by_split[split.task, split_ensemble.kind, position] = split_ensemble
        if split_scores.ensemble_failure:
            ensemble_failures[split.task, position] = split_scores.ensemble_failure
    cells = tuple(_cell_status(cell, record, failures_by_cell) for cell, record in planned_cells)
    scores = Scores(
        run,
        cells,
        {},
        metric_values,
        metrics,
        ensembles_by_split,
        ensemble_failures,
        SampleReader(store),
        stored_rope(run),
    )
    rows: list[_ScoreRow] = []
    for cell in cells:
        if cell.record:
            rows += _score_rows_of_cell(scores, cell.record)
    return replace(
        scores,
        by_entry=_group_rows_by_entry(
            [*rows, *_score_rows_of_chosen_entries(scores, rows), *_score_rows_of_ensembles(scores)]
        ),
    )


def _group_records_by_outer_split(scores: Scores, records: Iterable[Record]) -> list[OuterSplit]:
    """The records by task and outer split, with what evaluating them needs."""
    records_by_split: dict[tuple[str, int, int], list[Record]] = {}
    for record in records:
        records_by_split.setdefault((record.task, record.repeat, record.fold), []).append(record)
    strategies = scores.run["strategies"]
    correctable_strategies = frozenset(name for name in strategies if has_known_prior(strategies[name], name))
    splits = []
    for (task, repeat, fold), split_records in records_by_split.items():
        classes, costs, task_objective = len(scores.classes(task)), scores.costs(task), scores.objective(task)
        splits.append(
            OuterSplit(task, repeat, fold, tuple(split_records), classes, costs, task_objective, correctable_strategies)
        )
    return splits


def _evaluate_splits(store: Store, splits: list[OuterSplit], metrics: Mapping[str, Metric]) -> list[SplitScores]:
    """Evaluate the splits, and write the cache if something was computed or is no longer needed."""
    cached_metrics, used_metrics = read_cache(store), MetricCache()
    evaluated_splits = evaluate_all_splits(store, splits, metrics, cached_metrics)
    for split_scores in evaluated_splits:
        used_metrics |= split_scores.cache
    if used_metrics != cached_metrics:
        write_cache(store, used_metrics)
    return evaluated_splits


def _cell_status(
    planned_cell: Mapping[str, Any], record: Record | None, failures_by_cell: Mapping[str, str]
) -> CellStatus:
    names = (planned_cell["task"], planned_cell["family"], planned_cell["strategy"])
    if planned_cell["id"] in failures_by_cell:
        return CellStatus(*names, "failed", failures_by_cell[planned_cell["id"]], None)
    if record is None:
        return CellStatus(*names, STATUS_MISSING, "not run yet", None)
    return CellStatus(*names, record.status, record.reason, record)


def _score_rows_of_cell(scores: Scores, record: Record) -> Iterator[_ScoreRow]:
    """The rows of the entries of a cell, with those of their recalibrated probabilities."""
    for entry_outcome in record.outcomes:
        extra_columns = _extra_score_columns(record, entry_outcome, scores.objective(record.task).name)
        for calibration in CALIBRATIONS:
            stage = entry_outcome.stage if calibration == NO_CALIBRATION else f"{entry_outcome.stage}/{calibration}"
            entry = Entry(record.family, record.strategy, entry_outcome.stage, calibration)
            yield from _score_rows_of_entry(
                scores, record.task, entry, (record.repeat, record.fold), (record.id, stage), extra_columns
            )


def _score_rows_of_entry(
    scores: Scores,
    task: str,
    entry: Entry,
    split: SplitKey,
    predictions: tuple[str, str],
    extra_columns: dict[str, float],
) -> Iterator[_ScoreRow]:
    """The rows of an entry in one split, one per kind of threshold; none where it has no scores."""
    for threshold_kind in scores.threshold_kinds(task):
        key = (*predictions, threshold_kind)
        metric_values = scores.metric_values.get(key)
        if metric_values is None:
            continue
        confusion, threshold = metric_values.confusion, metric_values.threshold
        columns = {
            **metric_values.values,
            **extra_columns,
            "row_share": 1 / max(int(confusion.sum()), 1),
            "rare_row_share": 1 / max(int(confusion.sum(axis=1).min()), 1),
            "threshold": math.nan if threshold is None else threshold,
        }
        yield _ScoreRow(task, entry, threshold_kind, split, key, columns)


def _extra_score_columns(record: Record, entry_outcome: EntryResult, objective_name: str) -> dict[str, float]:
    return {
        "ratio": record.n_test / record.n_train if record.n_train else math.nan,
        "fit_seconds": entry_outcome.fit_seconds,
        "predict_us_per_row": 1e6 * entry_outcome.predict_seconds / record.n_test if record.n_test else math.nan,
        "trials": 1.0 if entry_outcome.stage == "default" else float(record.trials),  # trial 0 and no search
        "parameters": math.nan if entry_outcome.parameters is None else float(entry_outcome.parameters),
        "model_bytes": float(entry_outcome.model_bytes) or math.nan,
        "trial": float(entry_outcome.trial),
        "inner": entry_outcome.inner_score,
        "train": entry_outcome.train_scores.get(objective_name, math.nan),
    }


def _score_rows_of_ensembles(scores: Scores) -> Iterator[_ScoreRow]:
    """The rows of the ensembles of the tuned entries.

    Times and sizes are the sums over the members with a weight; `trials` are those of all candidates.
    """
    records = {cell.record.id: cell.record for cell in scores.cells if cell.record}
    for (task, ensemble_kind, split), split_ensemble in scores.ensembles.items():
        objective_name = scores.objective(task).name
        extra_columns: dict[str, float] = {}
        for cell_id, member_weight in split_ensemble.weights.items():
            member_outcome = next(
                member_outcome for member_outcome in records[cell_id].outcomes if member_outcome.stage == "tuned"
            )
            member = _extra_score_columns(records[cell_id], member_outcome, objective_name)
            if not extra_columns:
                extra_columns = member | dict.fromkeys((*SUMMED_COLUMNS, "trials"), 0)
            extra_columns["trials"] += member["trials"]
            if member_weight:
                for name in SUMMED_COLUMNS:
                    extra_columns[name] += member[name]
        extra_columns |= {"inner": split_ensemble.inner, "trial": math.nan, "train": math.nan}
        predictions = (f"{task}/r{split[0]}f{split[1]}", split_ensemble.score_key_stage)
        yield from _score_rows_of_entry(
            scores, task, Entry(ANY_NAME, ensemble_kind, "ensembled"), split, predictions, extra_columns
        )


def _score_rows_of_chosen_entries(scores: Scores, rows: list[_ScoreRow]) -> Iterator[_ScoreRow]:
    """The rows of the entries with the best inner score in each split: per family over its strategies, and over all.

    Their `trials` are those of all candidates. Entries of the strategy `searched` are no candidates.
    """
    candidate_rows: dict[tuple[str, str, str, SplitKey], list[_ScoreRow]] = {}
    chosen_entries: dict[tuple[str, str], set[Entry]] = {}
    for row in rows:
        family, strategy, *stage = row.entry
        if stage == ["tuned", "none"] and strategy != "searched" and not math.isnan(row.columns["inner"]):
            for name in (family, ANY_NAME):
                candidate_rows.setdefault((row.task, name, row.threshold_kind, row.split), []).append(row)
                chosen_entries.setdefault((row.task, name), set()).add(row.entry)
    for (task, family, _, _), split_rows in candidate_rows.items():
        if len(chosen_entries[task, family]) > 1:
            sort_sign = -scores.objective(task).sign
            best_row = min(split_rows, key=lambda row: (sort_sign * row.columns["inner"], row.entry))
            trials = sum(row.columns["trials"] for row in split_rows)
            yield best_row._replace(
                entry=Entry(family, ANY_NAME, "chosen"), columns=best_row.columns | {"trials": trials}
            )


def _group_rows_by_entry(rows: Iterable[_ScoreRow]) -> dict[tuple[str, Entry, str], ScoreRows]:
    grouped_rows: dict[tuple[str, Entry, str], list[_ScoreRow]] = {}
    for row in rows:
        grouped_rows.setdefault((row.task, row.entry, row.threshold_kind), []).append(row)
    rows_by_entry = {}
    for key, group in grouped_rows.items():
        group.sort(key=lambda row: row.split)
        _, _, _, splits, score_keys, columns = zip(*group, strict=True)
        table = {name: np.array(list(map(itemgetter(name), columns))) for name in columns[0]}
        rows_by_entry[key] = ScoreRows(splits, score_keys, table)
    return rows_by_entry
