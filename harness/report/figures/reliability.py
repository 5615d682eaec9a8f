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
PANELS = (("Δ log loss", 1), ("Δ Brier", 3))  #: label, and position of the mean in a Change
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
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (label, column) in zip(panels, PANELS, strict=True):
        cut_off = "\n◂ ▸ the interval goes on" if _draw_metric_changes(axes, entries, column) else ""
        axes.set_xlabel(f"{label} against none\n(left of the line: better){cut_off}")
    panels[0].set_yticks(
        range(len(entries)), [style.shorten_name(name) for name, _ in entries], fontsize=style.LABEL_SIZE
    )
    panels[0].set_ylim(len(entries) - 0.5, -0.5)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
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
    means, half_widths = np.array(changes, dtype=float).reshape(-1, 2).T
    known = ~np.isnan(means)
    if not known.any():
        return 0.0
    sizes = np.abs(means[known])
    extents = np.sort(sizes + np.nan_to_num(half_widths[known]))
    limit = float(max(1.15 * extents[int(0.85 * (len(extents) - 1))], 1.3 * sizes.max()))
    if extents[-1] > OUTLIER_FACTOR * limit > 0:
        return limit
    return 0.0


def _draw_metric_changes(axes: Axes, entries: EntryChanges, column: int) -> bool:
    """Draw the changes of one metric; returns whether an interval is cut off."""
    from matplotlib.ticker import MaxNLocator

    for row in range(1, len(entries), 2):  # bands assign marks to their entries
        axes.axhspan(row - 0.5, row + 0.5, color="0.96", zorder=0)
    axes.axvline(0, color="0.4", linewidth=1, zorder=1)
    intervals: list[tuple[float, float]] = []
    for index, calibration in enumerate(CALIBRATION_ORDER):
        points = np.array(list(_calibration_points(entries, calibration, column))).reshape(-1, 3)
        intervals += map(tuple, points[:, 1:].tolist())
        heights, means, half_widths = points[~np.isnan(points[:, 1])].T
        if len(means):
            axes.errorbar(
                means, heights, xerr=np.nan_to_num(half_widths), fmt=f"{style.MARKERS[index]} ", color=style.COLOURS[index],
                label=calibration, markersize=4, elinewidth=1.1,
            )  # fmt: skip
    limit = choose_axis_limit(intervals)
    if limit:
        axes.set_xlim(-limit, limit)
        _draw_overflow_arrows(axes, entries, column, limit)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(visible=True, axis="x")
    return bool(limit)


def _calibration_points(entries: EntryChanges, calibration: str, column: int) -> Iterator[tuple[float, float, float]]:
    """The height of a calibration within the row of each entry, the mean of its change, and the half width of the interval."""
    for row, (_, changes) in enumerate(entries):
        for change in changes:
            if change[0] == calibration:
                height = row + (CALIBRATION_ORDER.index(calibration) - 1.5) * 0.19
                yield height, float(change[column]), float(change[column + 1])


def _draw_overflow_arrows(axes: Axes, entries: EntryChanges, column: int, limit: float) -> None:
    """Arrow heads where intervals continue beyond the edges."""
    for index, calibration in enumerate(CALIBRATION_ORDER):
        for height, mean, half_width in _calibration_points(entries, calibration, column):
            for sign, marker in ((-1, "<"), (1, ">")):
                if sign * mean + half_width > limit:
                    axes.plot([sign * limit], [height], marker, color=style.COLOURS[index], markersize=5, clip_on=False)


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
    figure, panels = style.create_panels(2, 2, width=8.8, margin=0.3, row_height=3.3)
    _draw_inner_against_outer(label, points, panels[0])
    _draw_gap_by_trials(label, points, panels[1])
    return figure


_Points: TypeAlias = tuple[OptimismPoint, ...]


def _draw_inner_against_outer(label: str, points: _Points, axes: Axes) -> None:
    for stage, (colour, marker, stage_label) in STAGE_LOOKS.items():
        scores = [(point.outer, point.inner) for point in points if point.stage == stage]
        if scores:
            look: dict[str, Any] = {"color": colour, "marker": marker, "s": 26, "alpha": 0.8, "zorder": 3}
            axes.scatter(*style.split_coordinates(scores), label=stage_label, **look)
    low = min(min(point.inner, point.outer) for point in points)
    high = max(max(point.inner, point.outer) for point in points)
    margin = 0.06 * (high - low) or 0.01
    limits = (low - margin, high + margin)
    axes.locator_params(nbins=5)
    axes.plot(limits, limits, color="0.5", linewidth=1, label="believed what held")
    axes.set(xlim=limits, ylim=limits, xlabel=f"{label} on test rows", ylabel=f"{label} on inner folds")
    _add_title_and_legend(axes, "What the search believed, what held")


def _draw_gap_by_trials(label: str, points: _Points, axes: Axes) -> None:
    means = []
    for stage, (colour, marker, _) in STAGE_LOOKS.items():
        gaps = [(point.trials, point.gap) for point in points if point.stage == stage]
        if gaps:
            axes.scatter(*style.split_coordinates(gaps), color=colour, marker=marker, s=26, alpha=0.8)
        if gaps and stage in JOINED_STAGES:
            means.append((sum(trials for trials, _ in gaps) / len(gaps), sum(gap for _, gap in gaps) / len(gaps)))
    look: dict[str, Any] = {"color": "black", "linewidth": 1, "marker": "_", "markersize": 14}
    axes.plot(*style.split_coordinates(sorted(means)), label="mean of each kind", **look)
    axes.axhline(0, color="0.5", linewidth=1)
    axes.set_xscale("log")
    style.set_plain_log_ticks(axes.xaxis)
    axes.margins(x=0.12)
    axes.set(xlabel="trials to choose among", ylabel=f"{label} believed too much")
    _add_title_and_legend(axes, "Too much belief by number of trials")


def _add_title_and_legend(axes: Axes, title: str) -> None:
    axes.set_title(title, fontweight="bold", loc="left")
    axes.legend(fontsize=style.LABEL_SIZE - 1, loc="best")
