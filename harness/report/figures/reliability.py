"""The reliability of results: optimism of inner scores, how certain the first rank is, what more repeats would decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from harness.report.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Calibration, then mean and half interval of the differences of log loss and of Brier.
Change: TypeAlias = tuple[str, float, float, float, float]
EntryChanges: TypeAlias = tuple[tuple[str, tuple[Change, ...]], ...]
METRIC_PANELS = (("Δ log loss", 1), ("Δ Brier", 3))  #: label, and position of the mean in a Change
OUTLIER_FACTOR = 2.0  #: intervals that reach so many times as far as nearly all others are cut off at the edge
CALIBRATION_ORDER = ("isotonic", "sigmoid", "temperature", "prior")  #: each has its colour and marker on every task


@style.styled_figure
def recalibration_figure(entries: EntryChanges) -> Figure:
    """Draw the change that each recalibration brings against none, with 95 % intervals, for log loss and Brier score.

    Parameters
    ----------
    entries : EntryChanges
        The name of every entry with its changes, the best entry first.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    figure = style.create_figure(8.2, 1.3 + 0.52 * len(entries))
    metric_panels = figure.subplots(1, 2, sharey=True)
    for axes, (metric_label, column) in zip(metric_panels, METRIC_PANELS, strict=True):
        cut_off_note = "\n◂ ▸ the interval goes on" if _draw_metric_changes(axes, entries, column) else ""
        axes.set_xlabel(f"{metric_label} against none\n(left of the line: better){cut_off_note}")
    metric_panels[0].set_yticks(
        range(len(entries)), [style.shorten_name(name) for name, _ in entries], fontsize=style.LABEL_SIZE
    )
    metric_panels[0].set_ylim(len(entries) - 0.5, -0.5)
    legend_handles, labels = metric_panels[0].get_legend_handles_labels()
    figure.legend(legend_handles, labels, loc="outside upper center", ncols=len(labels))
    return figure


def choose_axis_limit(changes: Sequence[tuple[float, float]]) -> float:
    """Choose where to cut intervals off, so that a few wide ones do not flatten all others.

    Parameters
    ----------
    changes : sequence of (mean, half_width)
        The intervals; a mean is NaN where it is not known, a half width where there is none.

    Returns
    -------
    float
        The limit on both sides of zero, beyond which no mean lies; 0 where no interval is that wide.
    """
    change_means, half_widths = np.array(changes, dtype=float).reshape(-1, 2).T
    is_known = ~np.isnan(change_means)
    if not is_known.any():
        return 0.0
    sizes = np.abs(change_means[is_known])
    interval_extents = np.sort(sizes + np.nan_to_num(half_widths[is_known]))
    axis_limit = float(max(1.15 * interval_extents[int(0.85 * (len(interval_extents) - 1))], 1.3 * sizes.max()))
    if interval_extents[-1] > OUTLIER_FACTOR * axis_limit > 0:
        return axis_limit
    return 0.0


def _draw_metric_changes(axes: Axes, entries: EntryChanges, mean_position: int) -> bool:
    """Draw the changes of one metric; returns whether an interval is cut off."""
    from matplotlib.ticker import MaxNLocator

    for row in range(1, len(entries), 2):  # bands assign marks to their entries
        axes.axhspan(row - 0.5, row + 0.5, color="0.96", zorder=0)
    axes.axvline(0, color="0.4", linewidth=1, zorder=1)
    intervals: list[tuple[float, float]] = []
    for index, calibration in enumerate(CALIBRATION_ORDER):
        points = np.array(list(_calibration_points(entries, calibration, mean_position))).reshape(-1, 3)
        intervals += map(tuple, points[:, 1:].tolist())
        heights, means, half_widths = points[~np.isnan(points[:, 1])].T
        if len(means):
            axes.errorbar(
                means, heights, xerr=np.nan_to_num(half_widths), fmt=f"{style.MARKERS[index]} ", color=style.COLOURS[index],
                label=calibration, markersize=4, elinewidth=1.1,
            )  # fmt: skip
    axis_limit = choose_axis_limit(intervals)
    if axis_limit:
        axes.set_xlim(-axis_limit, axis_limit)
        _draw_overflow_arrows(axes, entries, mean_position, axis_limit)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(visible=True, axis="x")
    return bool(axis_limit)


def _calibration_points(
    entries: EntryChanges, calibration: str, mean_position: int
) -> Iterator[tuple[float, float, float]]:
    """The height of a calibration within the row of each entry, the mean of its change, and the half width of the interval."""
    for row, (_, metric_changes) in enumerate(entries):
        for metric_change in metric_changes:
            if metric_change[0] == calibration:
                height = row + (CALIBRATION_ORDER.index(calibration) - 1.5) * 0.19
                yield height, float(metric_change[mean_position]), float(metric_change[mean_position + 1])


def _draw_overflow_arrows(axes: Axes, entries: EntryChanges, mean_position: int, axis_limit: float) -> None:
    """Arrow heads where intervals continue beyond the edges."""
    for calibration_index, calibration in enumerate(CALIBRATION_ORDER):
        for row_height, change_mean, half_width in _calibration_points(entries, calibration, mean_position):
            for edge_sign, marker in ((-1, "<"), (1, ">")):
                if edge_sign * change_mean + half_width > axis_limit:
                    axes.plot(
                        [edge_sign * axis_limit],
                        [row_height],
                        marker,
                        color=style.COLOURS[calibration_index],
                        markersize=5,
                        clip_on=False,
                    )


MAX_BARS = 10
MAX_ONE_LINE_NAME, MAX_LINE_LENGTH = 32, 40  #: characters of an entry's name, of a line of it
REPEATS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
JOINED_STAGES = ("default", "tuned", "chosen")  #: whose means are joined by a line, as more and more is selected
STAGE_LOOKS = {  # stage → colour, marker, label
    "default": ("#E69F00", "o", "default, nothing chosen"),
    "tuned": (style.BLUE, "s", "tuned, chosen by its search"),
    "chosen": ("#CC79A7", "^", "chosen among tuned ones"),
    "ensembled": ("#009E73", "D", "ensemble of tuned ones"),
}


@dataclass(frozen=True)
class OptimismPoint:
    """An entry: its stage, number of trials, inner and outer score, and the optimism of the inner score."""

    stage: str
    trials: float
    inner: float
    outer: float
    gap: float


@style.styled_figure
def optimism_figure(
    label: str,
    points: tuple[OptimismPoint, ...],
) -> Figure:
    """Draw inner against test scores, and their gap by the number of trials.

    Parameters
    ----------
    label : str
        The name of the score.
    points : tuple of OptimismPoint
        The entries with inner and outer scores.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    figure, optimism_panels = style.create_panels(2, 2, width=8.8, margin=0.3, row_height=3.3)
    _draw_inner_against_outer(label, points, optimism_panels[0])
    _draw_gap_by_trials(label, points, optimism_panels[1])
    return figure


_Points: TypeAlias = tuple[OptimismPoint, ...]


def _draw_inner_against_outer(score_label: str, optimism_points: _Points, axes: Axes) -> None:
    for stage, (colour, marker, stage_label) in STAGE_LOOKS.items():
        scores = [
            (optimism_point.outer, optimism_point.inner)
            for optimism_point in optimism_points
            if optimism_point.stage == stage
        ]
        if scores:
            point_style: dict[str, Any] = {"color": colour, "marker": marker, "s": 26, "alpha": 0.8, "zorder": 3}
            axes.scatter(*style.split_coordinates(scores), label=stage_label, **point_style)
    lowest_score = min(min(optimism_point.inner, optimism_point.outer) for optimism_point in optimism_points)
    highest_score = max(max(optimism_point.inner, optimism_point.outer) for optimism_point in optimism_points)
    axis_margin = 0.06 * (highest_score - lowest_score) or 0.01
    axis_limits = (lowest_score - axis_margin, highest_score + axis_margin)
    axes.locator_params(nbins=5)
    axes.plot(axis_limits, axis_limits, color="0.5", linewidth=1, label="believed what held")
    axes.set(
        xlim=axis_limits, ylim=axis_limits, xlabel=f"{score_label} on test rows", ylabel=f"{score_label} on inner folds"
    )
    _add_title_and_legend(axes, "What the search believed, what held")


def _draw_gap_by_trials(score_label: str, optimism_points: _Points, axes: Axes) -> None:
    stage_means = []
    for stage, (colour, marker, _) in STAGE_LOOKS.items():
        gaps_by_trials = [
            (optimism_point.trials, optimism_point.gap)
            for optimism_point in optimism_points
            if optimism_point.stage == stage
        ]
        if gaps_by_trials:
            axes.scatter(*style.split_coordinates(gaps_by_trials), color=colour, marker=marker, s=26, alpha=0.8)
        if gaps_by_trials and stage in JOINED_STAGES:
            stage_means.append(
                (
                    sum(trials for trials, _ in gaps_by_trials) / len(gaps_by_trials),
                    sum(optimism_gap for _, optimism_gap in gaps_by_trials) / len(gaps_by_trials),
                )
            )
    mean_line_style: dict[str, Any] = {"color": "black", "linewidth": 1, "marker": "_", "markersize": 14}
    axes.plot(*style.split_coordinates(sorted(stage_means)), label="mean of each kind", **mean_line_style)
    axes.axhline(0, color="0.5", linewidth=1)
    axes.set_xscale("log")
    style.set_plain_log_ticks(axes.xaxis)
    axes.margins(x=0.12)
    axes.set(xlabel="trials to choose among", ylabel=f"{score_label} believed too much")
    _add_title_and_legend(axes, "Too much belief by number of trials")


def _add_title_and_legend(axes: Axes, title: str) -> None:
    axes.set_title(title, fontweight="bold", loc="left")
    axes.legend(fontsize=style.LABEL_SIZE - 1, loc="best")
