"""The leaderboard of a task for the HTML report: a row per entry, every cell with the value that it is sorted by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from harness.evaluation.decision import recommend_entry
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD, TUNED_THRESHOLD
from harness.evaluation.ranking import BASELINE, RankedEntry, Ranking, choose_decimals
from harness.evaluation.scores import Scores
from harness.metrics.metric import Metric
from harness.report.content import MIN_COMPARED_ROWS, ReportColumn
from harness.report.leaderboard import format_verdict
from harness.report.render.cells import MISSING_DASH, format_estimate, format_number, format_quantity, format_value
from harness.report.render.html import VERDICT_CLASSES
from harness.report.render.markdown import metric_name
from harness.report.sections.ranking import format_rank, list_probability_metrics, list_quality_metrics

BAR_WIDTH, BAR_HEIGHT = 90, 18  #: pixels
BAR_MARGIN = 6  #: pixels between the ends of a bar and those of its scale
COLUMN_GROUPS = {
    "decisions": "ranking and decisions",
    "probabilities": "probabilities, over-fitting",
    "effort": "effort",
}
EFFORT_COLUMNS = {  # column → heading, description, unit
    "fit_seconds": ("Fit s", "seconds of one refit on all training rows", 1.0),
    "predict_us_per_row": ("Predict µs/row", "microseconds to predict one row", 1.0),
    "trials": ("Trials", "trials that the search made", 1.0),
    "parameters": ("Parameters", "what a network trained, coefficients of a linear model, nodes of trees", 1.0),
    "model_bytes": ("Size kB", "encoder and classifier, pickled", 1e-3),
}
THRESHOLD_TEXTS = {DEFAULT_THRESHOLD: ", deciding at 0.5", TUNED_THRESHOLD: ", deciding at the tuned threshold"}


@dataclass(frozen=True)
class LeaderboardColumn:
    """A column of the leaderboard.

    Attributes
    ----------
    label : str
        The heading.
    description : str
        What the column shows.
    group : str
        The group of columns with which it is shown and hidden, a key of `COLUMN_GROUPS`.
    kind : str
        The threshold kind at which its decisions are made; empty where there is only one.
    numeric : bool, default True
        Whether it holds numbers.
    """

    label: str
    description: str
    group: str
    kind: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class LeaderboardCell:
    """A cell: its text, the value it is sorted by (empty where there is none), whether it is the best, the class of a verdict."""

    text: str
    sort_key: str = ""
    best: bool = False
    verdict: str = ""


@dataclass(frozen=True)
class IntervalBar:
    """A confidence interval, drawn as a dot at the mean and a line over the interval.

    Attributes
    ----------
    low, mean, high : float
        The ends and the mean of the interval, in pixels from the left end of the scale.
    overflow : int
        -1 or 1 where the mean lies to the left or right of the scale, else 0.
    alt_text : str
        The interval in words.
    """

    low: float
    mean: float
    high: float
    overflow: int
    alt_text: str


@dataclass(frozen=True)
class LeaderboardRow:
    """A row of the leaderboard; `cells` has a cell for every column after score and bar."""

    ranked: RankedEntry
    recommended: bool
    mark: str
    score: LeaderboardCell
    bar: IntervalBar | None
    cells: tuple[LeaderboardCell, ...]


@dataclass(frozen=True)
class LeaderboardView:
    """The leaderboard of a task.

    Attributes
    ----------
    label : str
        The heading of the score that entries are ranked by.
    limits : tuple of str
        The lower and the upper end of the scale of the intervals.
    columns : tuple of LeaderboardColumn
        The columns after score and bar.
    rows : tuple of LeaderboardRow
        The entries in the order of their ranks.
    kinds : tuple of str
        The threshold kinds that a reader can choose from.
    shared : str
        The columns whose cells are all the same, with what they hold; they are no columns of the table.
    """

    label: str
    limits: tuple[str, str]
    columns: tuple[LeaderboardColumn, ...]
    rows: tuple[LeaderboardRow, ...]
    kinds: tuple[str, ...]
    shared: str = ""

    def names(self, part: str) -> list[str]:
        """The names of one part of the entries (family, strategy or stage), in the order of their best entry."""
        return list(dict.fromkeys(getattr(row.ranked.entry, part) for row in self.rows))


_FilledColumn: TypeAlias = tuple[LeaderboardColumn, list[LeaderboardCell]]


def build_leaderboard(scores: Scores, ranking: Ranking) -> LeaderboardView:
    """Build the leaderboard of a task.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    ranking : Ranking
        The ranking of the task.

    Returns
    -------
    LeaderboardView
        The entries that were scored, in the order of their ranks.
    """
    entries = [entry for entry in ranking.entries if entry.score.n]
    filled_columns = _make_verdict_columns(ranking, entries) + _make_metric_columns(scores, ranking, entries)
    filled_columns += _make_inner_and_training_columns(ranking, entries) + _make_effort_columns(ranking, entries)
    filled_columns, shared_texts = _split_constant_columns(filled_columns)
    columns, cell_columns = zip(*filled_columns, strict=True)
    scale_limits = _find_scale_limits(entries)
    recommended_entry = recommend_entry(scores, ranking).entry
    rows = []
    for entry, *cells in zip(entries, *cell_columns, strict=True):
        text = format_estimate(entry.score, digits=ranking.digits)
        score = LeaderboardCell(text, f"{entry.score.mean:.9g}", entry.rank == 1)
        bar = _make_interval_bar(entry, scale_limits, ranking.digits)
        rank_mark = format_value(ReportColumn("#", "count"), format_rank(entry))
        recommended = recommended_entry is not None and recommended_entry.name == entry.name
        rows.append(LeaderboardRow(entry, recommended, rank_mark, score, bar, tuple(cells)))
    limit_texts = ("", "")
    if scale_limits is not None:
        limit_texts = (format_number(scale_limits[0], ranking.digits), format_number(scale_limits[1], ranking.digits))
    metric_label = metric_name(ranking.metric)
    return LeaderboardView(
        metric_label, limit_texts, columns, tuple(rows), scores.threshold_kinds(ranking.task), shared_texts
    )


def _split_constant_columns(filled_columns: Sequence[_FilledColumn]) -> tuple[list[_FilledColumn], str]:
    """The columns that say something of single entries, and the others in words: ``Trials 5; Splits 3/3``."""
    varied_columns, shared_texts = [], []
    for column, cells in filled_columns:
        texts = {cell.text for cell in cells}
        if len(texts) > 1 or len(cells) < MIN_COMPARED_ROWS:
            varied_columns.append((column, cells))
        elif texts != {MISSING_DASH}:
            shared_texts.append(f"{column.label} {texts.pop()}")
    return varied_columns or list(filled_columns[:1]), "; ".join(shared_texts)


def _make_verdict_columns(ranking: Ranking, entries: Sequence[RankedEntry]) -> list[_FilledColumn]:
    """The comparison of every entry with the first; no column where nothing is tested."""
    if ranking.no_test_reason:
        return []
    column_description = "the first entry against the others, simultaneous 95 % intervals over all pairs"
    cells = []
    for entry in entries:
        verdict_text = format_verdict(ranking, entry)
        cells.append(
            LeaderboardCell(verdict_text or MISSING_DASH, verdict_text, verdict=VERDICT_CLASSES.get(verdict_text, ""))
        )
    return [(LeaderboardColumn("Against the best", column_description, "decisions", numeric=False), cells)]


def _make_metric_columns(scores: Scores, ranking: Ranking, entries: Sequence[RankedEntry]) -> list[_FilledColumn]:
    """The columns of metrics; those of decisions once for every threshold kind."""
    task = ranking.task
    columns = []
    for metric in (*list_quality_metrics(scores, task), *list_probability_metrics(scores, task)):
        if metric.name == ranking.metric.name:
            continue
        threshold_kinds: tuple[str, ...] = ("",)
        if metric.metric_type == "decision":
            threshold_kinds = scores.threshold_kinds(task)
        for threshold_kind in threshold_kinds:
            column = LeaderboardColumn(
                metric_name(metric),
                metric.description + THRESHOLD_TEXTS.get(threshold_kind, ""),
                "probabilities" if metric.metric_type == "probability" else "decisions",
                threshold_kind if len(threshold_kinds) > 1 else "",
            )
            columns.append((column, _make_metric_cells(scores, task, entries, metric, threshold_kind)))
    return columns


def _make_metric_cells(
    scores: Scores, task: str, entries: Sequence[RankedEntry], metric: Metric, threshold_kind: str
) -> list[LeaderboardCell]:
    """The means of a metric over the splits; the best is marked, among entries with all splits and without the baseline."""
    metric_means, compared_means = [], []
    for entry in entries:
        rows = entry.rows
        if threshold_kind in THRESHOLD_TEXTS:
            rows = scores.score_rows_of_entry(task, entry.entry, threshold_kind)
        metric_means.append(rows.mean(metric.name))
        is_comparable = entry.complete and entry.entry.family != BASELINE
        compared_means.append(metric_means[-1] if is_comparable else math.nan)
    digits = choose_decimals(compared_means, greater_is_better=metric.greater_is_better)
    cells = _make_number_cells(metric_means, partial(format_number, digits=digits))
    if np.isnan(compared_means).all():
        return cells
    best_position = np.nanargmax(compared_means) if metric.greater_is_better else np.nanargmin(compared_means)
    for row in np.flatnonzero(~np.isnan(compared_means)):
        if cells[row].text == cells[best_position].text:
            cells[row] = replace(cells[row], best=True)
    return cells


def _make_inner_and_training_columns(ranking: Ranking, entries: Sequence[RankedEntry]) -> list[_FilledColumn]:
    """The objective on the inner folds and on the training rows."""
    metric_label = metric_name(ranking.metric)
    columns = []
    for name, heading, rows in (
        ("inner", "inner", "inner folds: what the search saw"),
        ("train", "training", "training rows"),
    ):
        column = LeaderboardColumn(f"{metric_label} {heading}", f"{metric_label} on the {rows}", "probabilities")
        entry_means = [entry.rows.mean(name) for entry in entries]
        columns.append((column, _make_number_cells(entry_means, partial(format_number, digits=ranking.digits))))
    return columns


def _make_effort_columns(ranking: Ranking, entries: Sequence[RankedEntry]) -> list[_FilledColumn]:
    """Time, size and trials, the number of splits, and the status."""
    columns = []
    for name, (column_label, column_description, column_unit) in EFFORT_COLUMNS.items():
        cells = _make_number_cells([entry.rows.mean(name) * column_unit for entry in entries], format_quantity)
        columns.append((LeaderboardColumn(column_label, column_description, "effort"), cells))
    splits = [LeaderboardCell(f"{entry.score.n}/{ranking.splits}", str(entry.score.n)) for entry in entries]
    columns.append((LeaderboardColumn("Splits", "splits with scores, of those planned", "effort"), splits))
    statuses = [LeaderboardCell(entry.status, entry.status) for entry in entries]
    columns.append((LeaderboardColumn("Status", "how its cells ended", "effort", numeric=False), statuses))
    return columns


def _make_number_cells(cell_numbers: Sequence[float], format_text: Callable[[float], str]) -> list[LeaderboardCell]:
    cells = []
    for cell_number in cell_numbers:
        sort_key = "" if math.isnan(cell_number) else f"{cell_number:.9g}"
        cells.append(LeaderboardCell(format_text(cell_number), sort_key))
    return cells


def _find_scale_limits(entries: Sequence[RankedEntry]) -> tuple[float, float] | None:
    """The least and the greatest end of the intervals of competitors: the baseline is often far from them, and what is combined
    of others has wide intervals.
    """
    competing_entries = list(filter(_is_competitor, entries)) or entries
    entry_means = np.array([entry.score.mean for entry in competing_entries])
    interval_lows = [
        entry.score.mean if math.isnan(entry.score.low) else entry.score.low for entry in competing_entries
    ]
    interval_highs = [
        entry.score.mean if math.isnan(entry.score.high) else entry.score.high for entry in competing_entries
    ]
    if np.isnan(entry_means).all():
        return None
    return float(np.nanmin(interval_lows)), float(np.nanmax(interval_highs))


def _is_competitor(entry: RankedEntry) -> bool:
    return entry.rank is not None and entry.entry.family != BASELINE


def _make_interval_bar(entry: RankedEntry, scale_limits: tuple[float, float] | None, digits: int) -> IntervalBar | None:
    mean_score, interval_low, interval_high = entry.score.mean, entry.score.low, entry.score.high
    if scale_limits is None or math.isnan(mean_score):
        return None
    alt_text = format_number(mean_score, digits)
    if math.isnan(interval_low):
        interval_low = interval_high = mean_score
    else:
        alt_text += f", 95 % interval {format_number(interval_low, digits)} to {format_number(interval_high, digits)}"
    return IntervalBar(
        low=_score_to_pixels(interval_low, scale_limits),
        mean=_score_to_pixels(mean_score, scale_limits),
        high=_score_to_pixels(interval_high, scale_limits),
        overflow=int(mean_score > scale_limits[1]) - int(mean_score < scale_limits[0]),
        alt_text=alt_text,
    )


def _score_to_pixels(score: float, scale_limits: tuple[float, float]) -> float:
    """The position of a score on the scale; one beyond its ends is moved to the end."""
    scale_low, scale_high = scale_limits
    scale_share = 0.5
    if scale_high > scale_low:
        scale_share = (min(max(score, scale_low), scale_high) - scale_low) / (scale_high - scale_low)
    return round(BAR_MARGIN + scale_share * (BAR_WIDTH - 2 * BAR_MARGIN), 1)
