"""Curves averaged over splits: how well rows are ranked, and whether probabilities are reliable."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from math import exp, log
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from harness.evaluation.calibration_bins import CalibrationBin
from harness.evaluation.curves import MAX_LOG_ODDS, MeanCurve, RankCurves, ScoreHistogram
from harness.report.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

FIGURE_WIDTH = 6.2  #: inches, two panels: readable on a phone too
LINE_STYLES: tuple[Any, ...] = ("-", "--", "-.", (0, (4, 1, 1, 1, 1, 1)))  # dots are for references
MAX_TWO_COLUMN_LABEL = 38  #: characters of a label where two are beside each other
MAX_TITLE_LENGTH = 28  #: characters of a line above a panel
ZOOM_AREA = 0.97  #: where the area under every curve is larger, only the part near the corner is shown
LOW_PRECISION = 0.5  #: a precision that is nowhere higher is drawn on a larger scale
SPREAD_LABEL = "± 1 standard deviation over splits"
REFERENCE: dict[str, Any] = {"color": "0.45", "linewidth": 1.0, "linestyle": (0, (1, 2))}
ODDS_TICKS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)  #: on an axis of log-odds
RankingLine: TypeAlias = tuple[str, RankCurves]  #: an entry or a class with its curves
#: Name, bins and histogram of an entry, and whether its scores are log-odds.
Reliability: TypeAlias = tuple[str, tuple[CalibrationBin, ...], ScoreHistogram, bool]


def format_entry_title(name: str) -> str:
    """The name of an entry as a title: family on the first line, strategy and the remaining parts below it."""
    return style.shorten_lines(name.replace("/", "\n", 1), MAX_TITLE_LENGTH)


@style.styled_figure
def ranking_curves_figure(lines: Sequence[RankingLine], reference: str) -> Figure:
    """Draw ROC and precision-recall curves with bands of one standard deviation over the splits.

    Where all curves are near the best corner, only that part is shown.

    Parameters
    ----------
    lines : sequence of RankingLine
        The curves of every entry or class.
    reference : str
        The label of the dotted lines, which are those of rows in random order.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    is_shaded = len(lines) <= len(style.COLOURS)
    figure = style.create_figure(FIGURE_WIDTH, 3.5 + 0.19 * (len(lines) + 2))
    roc_axes, precision_axes = figure.subplots(1, 2)
    for line_index, (name, rank_curves) in enumerate(lines):
        line_label = f"{style.shorten_name(name)}  ({rank_curves.roc_auc:.3f}; {rank_curves.average_precision:.3f})"
        _draw_mean_curve(
            roc_axes, _start_curve_at_origin(rank_curves.roc), line_index, curve_label=line_label, is_shaded=is_shaded
        )
        _draw_mean_curve(precision_axes, rank_curves.precision, line_index, in_steps=True, is_shaded=is_shaded)
    roc_gap = 1 - min(rank_curves.roc_auc for _, rank_curves in lines)
    precision_gap = 1 - min(rank_curves.average_precision for _, rank_curves in lines)
    is_zoomed = max(roc_gap, precision_gap) < 1 - ZOOM_AREA
    roc_axes.plot((0, 1), (0, 1), label=None if is_zoomed else reference, **REFERENCE)
    if is_shaded:
        for prevalence in sorted({rank_curves.prevalence for _, rank_curves in lines}):
            precision_axes.axhline(prevalence, **REFERENCE)
    _limit_axes_to_unit_range(roc_axes, precision_axes)
    roc_axes.set(title="ROC", ylabel="share found (recall)", xlabel="share of the others called (false alarms)")
    precision_axes.set(title="Precision and recall", xlabel="share found (recall)", ylabel="share right (precision)")
    if roc_gap < 1 - ZOOM_AREA:
        width, height = max(12 * roc_gap, 0.02), max(20 * roc_gap, 0.1)
        roc_axes.set(xlim=(-0.01 * width, width), ylim=(1 - height, 1 + 0.03 * height), title="ROC, upper left part")
    if precision_gap < 1 - ZOOM_AREA:
        width = max(20 * precision_gap, 0.2)
        precision_axes.set(xlim=(1 - width, 1 + 0.01 * width), ylim=(1 - width, 1 + 0.03 * width))
        precision_axes.set_title("Precision and recall, upper right part")
    highest_point = max(_highest_band_point(rank_curves.precision) for _, rank_curves in lines)
    if highest_point < LOW_PRECISION:
        precision_axes.set_ylim(-0.01 * highest_point, 1.1 * highest_point)
    shows_spread = is_shaded and bool(lines[0][1].roc.spread)
    _add_legend(figure, roc_axes, shows_spread=shows_spread, title="(area under ROC; average precision)")
    return figure


@style.styled_figure
def gain_and_lift_figure(lines: Sequence[RankingLine]) -> Figure:
    """Draw gain and lift: which share of the class is found among how many rows, and how much more than by chance.

    Parameters
    ----------
    lines : sequence of RankingLine
        The curves of every entry.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    figure = style.create_figure(FIGURE_WIDTH, 4.2)
    gain_axes, lift_axes = figure.subplots(1, 2)
    ranks = lines[0][1]
    perfect_line_style = {"color": "0.45", "linewidth": 1.0, "linestyle": (0, (6, 2))}
    max_lift = 0.0
    for line_index, (name, line) in enumerate(lines):
        lift_curve = _gain_to_lift(line.gain)
        _draw_mean_curve(gain_axes, line.gain, line_index, curve_label=style.shorten_name(name))
        _draw_mean_curve(lift_axes, lift_curve, line_index)
        max_lift = max(max_lift, _highest_band_point(lift_curve))
    gain_axes.plot((0, ranks.prevalence, 1), (0, 1, 1), label="perfect order", **perfect_line_style)
    gain_axes.plot((0, 1), (0, 1), label="no order", **REFERENCE)
    row_shares = np.array(_gain_to_lift(ranks.gain).x)
    lift_axes.plot(row_shares, np.minimum(1 / row_shares, 1 / ranks.prevalence), **perfect_line_style)
    lift_axes.axhline(1, **REFERENCE)
    gain_axes.set(title="Gain", xlabel="rows called, highest scores first", ylabel="share found (recall)")
    lift_axes.set(title="Lift", xlabel="rows called, highest scores first", ylabel="times the share by chance")
    lift_axes.set(xlim=(-0.01, 1.01), ylim=(0, 1.1 * max_lift))  # the perfect lift may be far above
    lift_axes.grid(visible=True)
    _limit_axes_to_unit_range(gain_axes)
    _add_legend(figure, gain_axes, shows_spread=bool(ranks.gain.spread))
    return figure


@style.styled_figure
def reliability_figure(entries: Sequence[Reliability], axis: str, groups: tuple[str, str]) -> Figure:
    """Draw reliability diagrams: predicted against observed shares in bins of equal size, above histograms of the scores.

    Parameters
    ----------
    entries : sequence of Reliability
        Name, bins and histogram of every entry, and whether its scores are shown on log-odds.
    axis : str
        The label of the scores.
    groups : tuple of str
        The labels of the two histograms of an entry.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    columns = min(len(entries), 2)
    rows = -(-len(entries) // columns)
    figure = style.create_figure(FIGURE_WIDTH if columns == 2 else 4.4, 0.7 + 3.75 * rows)
    axes_grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[2.6, 1] * rows)
    panel_pairs = [axes_grid[2 * row : 2 * row + 2, column] for row, column in product(range(rows), range(columns))]
    for panel_index, ((name, bins, scores, log_odds), (diagram_axes, histogram_axes)) in enumerate(
        zip(entries, panel_pairs, strict=False)
    ):
        _draw_calibration_bins(diagram_axes, bins, log_odds=log_odds)
        _draw_score_histogram(histogram_axes, scores, groups)
        diagram_axes.set_title(format_entry_title(name))
        diagram_axes.set_xlim(histogram_axes.get_xlim())
        if log_odds:
            for score_axis in (diagram_axes.xaxis, histogram_axes.xaxis, diagram_axes.yaxis):
                set_log_odds_ticks(score_axis)
        diagram_axes.tick_params(labelbottom=False)
        axis_label = style.shorten_name(axis, MAX_TWO_COLUMN_LABEL - 10)
        histogram_axes.set_xlabel(f"{axis_label}, log-odds scale" if log_odds else axis_label)
        if panel_index % columns == 0:
            diagram_axes.set_ylabel("share that was so")
            histogram_axes.set_ylabel("rows")
    for unused_panels in panel_pairs[len(entries) :]:
        for axes in unused_panels:
            axes.remove()
    legend_handles = style.collect_legend_handles(panel_pairs[0].tolist())
    figure.legend(list(legend_handles.values()), list(legend_handles), loc="outside lower center", ncols=2)
    return figure


def shade_band(axes: Axes, curve: MeanCurve, colour: str, *, steps: bool = False) -> None:
    """Shade one standard deviation on both sides of a mean, where there are several splits; every second point is enough."""
    if not curve.spread:
        return
    x, band_mean, band_spread = np.array(curve)[:, ::2]
    band_style: dict[str, Any] = {"color": colour, "alpha": 0.15, "linewidth": 0, "step": "pre" if steps else None}
    axes.fill_between(x, band_mean - band_spread, band_mean + band_spread, **band_style)


def axis_position(score: float, *, log_odds: bool) -> float:
    """The position of a score on its axis; on an axis of log-odds those beyond its ends are moved to the end."""
    if not log_odds:
        return score
    lowest_score = 1 / (1 + exp(MAX_LOG_ODDS))
    score_inside = min(max(score, lowest_score), 1 - lowest_score)
    return log(score_inside / (1 - score_inside))


def set_log_odds_ticks(axis: Axis) -> None:
    """Label an axis of log-odds with scores; its ends stand for the scores beyond them too."""
    axis_low, axis_high = axis.get_view_interval()
    texts = ["≤.001", *(f"{score:g}" for score in ODDS_TICKS[1:-1]), "≥.999"]
    ticks = {}
    for score, text in zip(ODDS_TICKS, texts, strict=True):
        position = axis_position(score, log_odds=True)
        if axis_low <= position <= axis_high:
            ticks[position] = text
    axis.set_ticks(list(ticks), list(ticks.values()), fontsize=8)


def _draw_mean_curve(
    axes: Axes,
    curve: MeanCurve,
    line_index: int,
    *,
    curve_label: str = "",
    in_steps: bool = False,
    is_shaded: bool = True,
) -> None:
    """A mean curve and its band; with `in_steps` a value holds from the previous x up to its own."""
    colour = style.line_colour(line_index)
    line_style = LINE_STYLES[(line_index % len(style.COLOURS) + line_index // len(style.COLOURS)) % len(LINE_STYLES)]
    axes.plot(
        curve.x, curve.mean, color=colour, linestyle=line_style, linewidth=1.5, label=curve_label or None,
        zorder=3 - line_index / 100, drawstyle="steps-pre" if in_steps else "default",
    )  # fmt: skip
    if is_shaded:
        shade_band(axes, curve, colour, steps=in_steps)


def _start_curve_at_origin(curve: MeanCurve) -> MeanCurve:
    """A ROC curve with the vertical line before its first false alarm."""
    return MeanCurve((0.0, *curve.x), (0.0, *curve.mean), (0.0, *curve.spread) if curve.spread else ())


def _gain_to_lift(gain_curve: MeanCurve) -> MeanCurve:
    """Lift is gain divided by the share of rows."""
    x, gain_mean, gain_spread = map(np.array, gain_curve)
    is_positive = x > 0
    x = x[is_positive]
    lift_spreads = gain_spread[is_positive] / x if gain_spread.size else ()
    return MeanCurve(tuple(x), tuple(gain_mean[is_positive] / x), tuple(lift_spreads))


def _highest_band_point(curve: MeanCurve) -> float:
    """The greatest height of a band."""
    return float(np.max(np.add(curve.mean, curve.spread or 0.0)))


def _limit_axes_to_unit_range(*panels: Axes) -> None:
    for axes in panels:
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))
        axes.grid(visible=True)


def _add_legend(figure: Figure, axes: Axes, *, shows_spread: bool, title: str = "") -> None:
    from matplotlib.patches import Patch

    legend_handles, labels = axes.get_legend_handles_labels()
    if shows_spread:
        legend_handles, labels = [*legend_handles, Patch(color="0.5", alpha=0.3, linewidth=0)], [*labels, SPREAD_LABEL]
    columns = 1 if max(map(len, labels)) > MAX_TWO_COLUMN_LABEL else 2
    figure.legend(legend_handles, labels, loc="outside lower center", ncols=columns, title=title or None)


def _draw_calibration_bins(axes: Axes, bins: Sequence[CalibrationBin], *, log_odds: bool) -> None:
    position = partial(axis_position, log_odds=log_odds)
    diagonal_ends = (position(0), position(1))
    axes.plot(diagonal_ends, diagonal_ends, label="said and so are equal", **REFERENCE)
    rows = [
        [
            *map(
                position,
                (calibration_bin.predicted, calibration_bin.observed, calibration_bin.low, calibration_bin.high),
            )
        ]
        for calibration_bin in bins
    ]
    predicted, observed, lows, highs = np.array(rows).T
    axes.errorbar(
        predicted, observed, [observed - lows, highs - observed], color=style.COLOURS[0], marker=style.MARKERS[0], markersize=4,
        linewidth=0.8, elinewidth=1.1, capsize=2, label="bins of as many rows, with 95 % intervals",
    )  # fmt: skip
    axis_low, axis_high = (
        min(predicted.min(), lows.min()),
        max(predicted.max(), highs.max()),
    )
    axes.set_ylim(axis_low - 0.06 * (axis_high - axis_low), axis_high + 0.06 * (axis_high - axis_low))
    axes.grid(visible=True)


def _draw_score_histogram(axes: Axes, scores: ScoreHistogram, group_names: tuple[str, str]) -> None:
    """How many rows of each group have which score, on a logarithmic axis that includes 0; as wide as the scores."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    for group, bin_counts, colour, line_style in zip(
        group_names, scores.counts, (style.COLOURS[5], style.COLOURS[1]), ("-", "--"), strict=True
    ):
        group_label = style.shorten_name(group, 30)
        axes.stairs(bin_counts, scores.edges, color=colour, linestyle=line_style, linewidth=1.2, label=group_label)
    axes.set_yscale("symlog", linthresh=1)
    max_count = max(map(max, scores.counts))
    axes.yaxis.set_major_locator(FixedLocator([0, *(10**power_of_ten for power_of_ten in range(len(str(max_count))))]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:,.0f}"))
    axes.set_ylim(0, 1.3 * max_count)
    filled_bins = np.flatnonzero(np.any(scores.counts, axis=0))
    axis_low, axis_high = scores.edges[filled_bins[0]], scores.edges[filled_bins[-1] + 1]
    axes.set_xlim(axis_low - 0.015 * (axis_high - axis_low), axis_high + 0.015 * (axis_high - axis_low))
