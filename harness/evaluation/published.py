"""Published results beside those of a run, and whether the published numbers of a row are consistent with each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.evaluation.metric_cache import DEFAULT_THRESHOLD
from harness.evaluation.ranking import BASELINE
from harness.evaluation.scores import Entry, Scores, entry_statuses
from harness.metrics.classification import class_report

#: Metrics that are computed from the counts of all splits → position in `class_report`, class with two classes.
COUNT_METRICS = {
    "precision": (0, 1),
    "recall": (1, 1),
    "f1": (2, 1),
    "precision_negative": (0, 0),
    "recall_negative": (1, 0),
    "f1_negative": (2, 0),
}
RECALL_STEPS = 21  #: recalls that are tried within the rounding of the published ones


@dataclass(frozen=True)
class PublishedAndRunValue:
    """A published value with its decimals, NaN where there is none, and the value of the run."""

    metric: str
    published: float
    decimals: int
    run: float


@dataclass(frozen=True)
class PublishedAndRunRow:
    """A row of a published table.

    Attributes
    ----------
    label : str
        What the publication calls it.
    entry : Entry
        The entry of the run that corresponds to it.
    status : str
        Why the run has no values for it; empty where it has.
    values : tuple of PublishedAndRunValue
        A value per column.
    """

    label: str
    entry: Entry
    status: str
    values: tuple[PublishedAndRunValue, ...]


@dataclass(frozen=True)
class PublishedAndRunTable:
    """A published table of a task with the values of the run; for its texts see `harness.registry.published`."""

    task: str
    title: str
    source: str
    protocol: str
    label_heading: str
    columns: tuple[str, ...]
    rows: tuple[PublishedAndRunRow, ...]

    @property
    def has_numbers(self) -> bool:
        """Whether the publication has any number."""
        return any(not math.isnan(cell.published) for row in self.rows for cell in row.values)

    def values_by_entry(self) -> dict[Entry, tuple[str, dict[str, PublishedAndRunValue]]]:
        """The label and the values by metric of every entry; the label of the first row where an entry has several."""
        entries: dict[Entry, tuple[str, dict[str, PublishedAndRunValue]]] = {}
        for row in self.rows:
            _, values_by_metric = entries.setdefault(row.entry, (row.label, {}))
            values_by_metric.update({cell.metric: cell for cell in row.values if cell.metric})
        return entries


def compare_published_tables(scores: Scores, task: str) -> list[PublishedAndRunTable]:
    """Put the published tables of a task beside the values of the run.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    task : str
        The task.

    Returns
    -------
    list of PublishedAndRunTable
        The tables; values of the run are those of tuned entries at threshold 0.5. Accuracy, precision, recall and F1 are
        computed from the counts of all outer splits, other metrics are means over the splits.
    """
    statuses = entry_statuses(scores, task)
    compared_tables = []
    for table in scores.run["tasks"][task].get("published", ()):
        rows = tuple(_compare_published_row(scores, task, row, statuses) for row in table["rows"])
        texts = {name: str(table[name]) for name in ("title", "source", "protocol", "label_heading")}
        compared_tables.append(PublishedAndRunTable(task=task, columns=tuple(table["columns"]), rows=rows, **texts))
    return compared_tables


def _compare_published_row(
    scores: Scores, task: str, row: Mapping[str, Any], statuses: Mapping[Entry, str]
) -> PublishedAndRunRow:
    entry = Entry(row["family"], row["strategy"], "tuned")
    status = ""
    if not len(scores.score_rows_of_entry(task, entry, DEFAULT_THRESHOLD)):
        status = statuses.get(entry, "not part of this run")
    published_texts = row["values"] or [""] * len(row["metrics"])
    compared_values = []
    for metric, text in zip(row["metrics"], published_texts, strict=True):
        decimals = len(str(text).partition(".")[2])
        compared_values.append(
            PublishedAndRunValue(metric, _to_float(text), decimals, compute_run_value(scores, task, entry, metric))
        )
    return PublishedAndRunRow(row["label"], entry, status, tuple(compared_values))


def _to_float(text: str) -> float:
    return float(text) if text else math.nan


def compute_run_value(scores: Scores, task: str, entry: Entry, metric: str) -> float:
    """Compute a metric of an entry at threshold 0.5 from the counts of all splits, or its mean over the splits.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    task : str
        The task.
    entry : Entry
        The entry.
    metric : str
        The name of the metric.

    Returns
    -------
    float
        NaN where the entry was not evaluated; precision is NaN where no row was predicted as its class.
    """
    rows = scores.score_rows_of_entry(task, entry, DEFAULT_THRESHOLD)
    if not len(rows) or not metric:
        return math.nan
    pooled_confusion = scores.pooled_confusion(task, entry, DEFAULT_THRESHOLD)
    if metric == "accuracy":
        return float(pooled_confusion.trace() / pooled_confusion.sum())
    if metric not in COUNT_METRICS:
        return rows.mean(metric)
    report = np.array(class_report(pooled_confusion), dtype=float)
    report[0, pooled_confusion.sum(axis=0) == 0] = math.nan
    position, class_label = COUNT_METRICS[metric]
    return float(report[position, class_label] if len(pooled_confusion) == 2 else report[position].mean())


def majority_accuracy(scores: Scores, task: str) -> float:
    """The accuracy of always predicting the largest class; NaN where the baseline was not evaluated."""
    return compute_run_value(scores, task, Entry(BASELINE, "none", "tuned"), "accuracy")


def implied_positive_shares(values: Mapping[str, PublishedAndRunValue]) -> dict[str, float]:
    """Compute what share of the positive class follows from published accuracy and precisions, given both recalls.

    Parameters
    ----------
    values : mapping of str to PublishedAndRunValue
        The values of one entry by metric.

    Returns
    -------
    dict of str to float
        By metric; empty without the recalls of both classes.
    """
    if not _has_published_numbers(values, "recall", "recall_negative"):
        return {}
    recall = np.array([values["recall"].published])
    recall_negative = np.array([values["recall_negative"].published])
    share_by_metric = {}
    for metric in ("accuracy", "precision", "precision_negative"):
        if _has_published_numbers(values, metric):
            positive_share = float(_solve_positive_share(metric, values[metric].published, recall, recall_negative)[0])
            if not math.isnan(positive_share):
                share_by_metric[metric] = positive_share
    return share_by_metric


def are_published_values_consistent(values: Mapping[str, PublishedAndRunValue]) -> bool | None:
    """Decide whether a share of the positive class exists that fits all published values of one entry, up to rounding.

    Accuracy and the precisions of both classes each determine the share, given the recalls: accuracy = s·r₁ + (1−s)·r₀.

    Parameters
    ----------
    values : mapping of str to PublishedAndRunValue
        The values of one entry by metric.

    Returns
    -------
    bool or None
        None where there are too few values to tell.
    """
    metrics = list(implied_positive_shares(values))
    if len(metrics) < 2:
        return None
    recall, recall_negative = np.meshgrid(
        _range_before_rounding(values["recall"]), _range_before_rounding(values["recall_negative"])
    )
    lowest_shares, highest_shares = np.zeros(recall.shape), np.ones(recall.shape)
    for metric in metrics:
        rounding_ends = _range_before_rounding(values[metric])[[0, -1]]
        end_shares = [
            _solve_positive_share(metric, float(rounding_end), recall, recall_negative)
            for rounding_end in rounding_ends
        ]
        lowest_shares, highest_shares = (
            np.fmax(lowest_shares, np.fmin(*end_shares)),
            np.fmin(highest_shares, np.fmax(*end_shares)),
        )
    return bool((lowest_shares <= highest_shares).any())


def _has_published_numbers(values_by_metric: Mapping[str, PublishedAndRunValue], *metrics: str) -> bool:
    return all(metric in values_by_metric and not math.isnan(values_by_metric[metric].published) for metric in metrics)


def _range_before_rounding(published_value: PublishedAndRunValue) -> npt.NDArray[np.float64]:
    """Numbers that are rounded to a published one."""
    half_step = 0.5 * 10.0**-published_value.decimals
    range_low, range_high = (
        max(0.0, published_value.published - half_step),
        min(1.0, published_value.published + half_step),
    )
    return np.linspace(range_low, range_high, RECALL_STEPS)


def _solve_positive_share(
    metric: str,
    published_value: float,
    recall_positive: npt.NDArray[np.float64],
    recall_negative: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """The share of the positive class at which a metric has this value, NaN where every share gives it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if metric == "accuracy":
            return np.asarray((published_value - recall_negative) / (recall_positive - recall_negative))
        if metric == "precision":
            positive_odds = np.divide(published_value, 1 - published_value) * (1 - recall_negative) / recall_positive
        else:
            positive_odds = np.divide(1 - published_value, published_value) * recall_negative / (1 - recall_positive)
        return np.asarray(1 / (1 + 1 / positive_odds))
