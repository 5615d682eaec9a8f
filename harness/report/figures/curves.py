"""Curves averaged over splits: how well rows are ranked, and whether probabilities are reliable."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from math import exp, log
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from harness.evaluation.curves import MAX_LOG_ODDS, CalibrationBin, MeanCurve, RankCurves, ScoreHistogram
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
    shaded = len(lines) <= len(style.COLOURS)
    figure = style.create_figure(FIGURE_WIDTH, 3.5 + 0.19 * (len(lines) + 2))
    roc, precision = figure.subplots(1, 2)
    for index, (name, ranks) in enumerate(lines):
        label = f"{style.shorten_name(name)}  ({ranks.roc_auc:.3f}; {ranks.average_precision:.3f})"
        _draw_mean_curve(roc, _start_curve_at_origin(ranks.roc), index, label=label, shaded=shaded)
        _draw_mean_curve(precision, ranks.precision, index, steps=True, shaded=shaded)
    roc_gap = 1 - min(ranks.roc_auc for _, ranks in lines)
    precision_gap = 1 - min(ranks.average_precision for _, ranks in lines)
    zoomed = max(roc_gap, precision_gap) < 1 - ZOOM_AREA
    roc.plot((0, 1), (0, 1), label=None if zoomed else reference, **REFERENCE)
    if shaded:
        for prevalence in sorted({ranks.prevalence for _, ranks in lines}):
            precision.axhline(prevalence, **REFERENCE)
    _limit_axes_to_unit_range(roc, precision)
    roc.set(title="ROC", ylabel="share found (recall)", xlabel="share of the others called (false alarms)")
    precision.set(title="Precision and recall", xlabel="share found (recall)", ylabel="share right (precision)")
    if roc_gap < 1 - ZOOM_AREA:
        width, height = max(12 * roc_gap, 0.02), max(20 * roc_gap, 0.1)
        roc.set(xlim=(-0.01 * width, width), ylim=(1 - height, 1 + 0.03 * height), title="ROC, upper left part")
    if precision_gap < 1 - ZOOM_AREA:
        width = max(20 * precision_gap, 0.2)
        precision.set(xlim=(1 - width, 1 + 0.01 * width), ylim=(1 - width, 1 + 0.03 * width))
        precision.set_title("Precision and recall, upper right part")
    top = max(_highest_band_point(ranks.precision) for _, ranks in lines)
    if top < LOW_PRECISION:
        precision.set_ylim(-0.01 * top, 1.1 * top)
    spread = shaded and bool(lines[0][1].roc.spread)
    _add_legend(figure, roc, spread=spread, title="(area under ROC; average precision)")
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
    gain, lift = figure.subplots(1, 2)
    ranks = lines[0][1]
    perfect = {"color": "0.45", "linewidth": 1.0, "linestyle": (0, (6, 2))}
    max_lift = 0.0
    for index, (name, line) in enumerate(lines):
        lift_curve = _gain_to_lift(line.gain)
        _draw_mean_curve(gain, line.gain, index, label=style.shorten_name(name))
        _draw_mean_curve(lift, lift_curve, index)
        max_lift = max(max_lift, _highest_band_point(lift_curve))
    gain.plot((0, ranks.prevalence, 1), (0, 1, 1), label="perfect order", **perfect)
    gain.plot((0, 1), (0, 1), label="no order", **REFERENCE)
    shares = np.array(_gain_to_lift(ranks.gain).x)
    lift.plot(shares, np.minimum(1 / shares, 1 / ranks.prevalence), **perfect)
    lift.axhline(1, **REFERENCE)
    gain.set(title="Gain", xlabel="rows called, highest scores first", ylabel="share found (recall)")
    lift.set(title="Lift", xlabel="rows called, highest scores first", ylabel="times the share by chance")
    lift.set(xlim=(-0.01, 1.01), ylim=(0, 1.1 * max_lift))  # the perfect lift may be far above
    lift.grid(visible=True)
    _limit_axes_to_unit_range(gain)
    _add_legend(figure, gain, spread=bool(ranks.gain.spread))
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
    panels = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[2.6, 1] * rows)
    pairs = [panels[2 * row : 2 * row + 2, column] for row, column in product(range(rows), range(columns))]
    for index, ((name, bins, scores, log_odds), (diagram, histogram)) in enumerate(zip(entries, pairs, strict=False)):
        _draw_calibration_bins(diagram, bins, log_odds=log_odds)
        _draw_score_histogram(histogram, scores, groups)
        diagram.set_title(format_entry_title(name))
        diagram.set_xlim(histogram.get_xlim())
        if log_odds:
            for scale in (diagram.xaxis, histogram.xaxis, diagram.yaxis):
                set_log_odds_ticks(scale)
        diagram.tick_params(labelbottom=False)
        label = style.shorten_name(axis, MAX_TWO_COLUMN_LABEL - 10)
        histogram.set_xlabel(f"{label}, log-odds scale" if log_odds else label)
        if index % columns == 0:
            diagram.set_ylabel("share that was so")
            histogram.set_ylabel("rows")
    for unused in pairs[len(entries) :]:
        for axes in unused:
            axes.remove()
    handles = style.collect_legend_handles(pairs[0].tolist())
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=2)
    return figure


def shade_band(axes: Axes, curve: MeanCurve, colour: str, *, steps: bool = False) -> None:
    """Shade one standard deviation on both sides of a mean, where there are several splits; every second point is enough."""
    if not curve.spread:
        return
    x, mean, spread = np.array(curve)[:, ::2]
    look: dict[str, Any] = {"color": colour, "alpha": 0.15, "linewidth": 0, "step": "pre" if steps else None}
    axes.fill_between(x, mean - spread, mean + spread, **look)


def axis_position(score: float, *, log_odds: bool) -> float:
    """The position of a score on its axis; on an axis of log-odds those beyond its ends are moved to the end."""
    if not log_odds:
        return score
    lowest = 1 / (1 + exp(MAX_LOG_ODDS))
    inside = min(max(score, lowest), 1 - lowest)
    return log(inside / (1 - inside))


def set_log_odds_ticks(axis: Axis) -> None:
    """Label an axis of log-odds with scores; its ends stand for the scores beyond them too."""
    low, high = axis.get_view_interval()
    texts = ["≤.001", *(f"{score:g}" for score in ODDS_TICKS[1:-1]), "≥.999"]
    ticks = {}
    for score, text in zip(ODDS_TICKS, texts, strict=True):
        position = axis_position(score, log_odds=True)
        if low <= position <= high:
            ticks[position] = text
    axis.set_ticks(list(ticks), list(ticks.values()), fontsize=8)


def _draw_mean_curve(
    axes: Axes, curve: MeanCurve, index: int, *, label: str = "", steps: bool = False, shaded: bool = True
) -> None:
    """A mean curve and its band; with `steps` a value holds from the previous x up to its own."""
    colour = style.line_colour(index)
    line_style = LINE_STYLES[(index % len(style.COLOURS) + index // len(style.COLOURS)) % len(LINE_STYLES)]
    axes.plot(
        curve.x, curve.mean, color=colour, linestyle=line_style, linewidth=1.5, label=label or None,
        zorder=3 - index / 100, drawstyle="steps-pre" if steps else "default",
    )  # fmt: skip
    if shaded:
        shade_band(axes, curve, colour, steps=steps)


def _start_curve_at_origin(curve: MeanCurve) -> MeanCurve:
    """A ROC curve with the vertical line before its first false alarm."""
    return MeanCurve((0.0, *curve.x), (0.0, *curve.mean), (0.0, *curve.spread) if curve.spread else ())


def _gain_to_lift(gain: MeanCurve) -> MeanCurve:
    """Lift is gain divided by the share of rows."""
    x, mean, spread = map(np.array, gain)
    positive = x > 0
    x = x[positive]
    spreads = spread[positive] / x if spread.size else ()
    return MeanCurve(tuple(x), tuple(mean[positive] / x), tuple(spreads))


def _highest_band_point(curve: MeanCurve) -> float:
    """The greatest height of a band."""
    return float(np.max(np.add(curve.mean, curve.spread or 0.0)))


def _limit_axes_to_unit_range(*panels: Axes) -> None:
    for axes in panels:
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))
        axes.grid(visible=True)


def _add_legend(figure: Figure, axes: Axes, *, spread: bool, title: str = "") -> None:
    from matplotlib.patches import Patch

    handles, labels = axes.get_legend_handles_labels()
    if spread:
        handles, labels = [*handles, Patch(color="0.5", alpha=0.3, linewidth=0)], [*labels, SPREAD_LABEL]
    columns = 1 if max(map(len, labels)) > MAX_TWO_COLUMN_LABEL else 2
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, title=title or None)


def _draw_calibration_bins(axes: Axes, bins: Sequence[CalibrationBin], *, log_odds: bool) -> None:
    position = partial(axis_position, log_odds=log_odds)
    diagonal = (position(0), position(1))
    axes.plot(diagonal, diagonal, label="said and so are equal", **REFERENCE)
    rows = [[*map(position, (part.predicted, part.observed, part.low, part.high))] for part in bins]
    predicted, observed, lows, highs = np.array(rows).T
    axes.errorbar(
        predicted, observed, [observed - lows, highs - observed], color=style.COLOURS[0], marker=style.MARKERS[0], markersize=4,
        linewidth=0.8, elinewidth=1.1, capsize=2, label="bins of as many rows, with 95 % intervals",
    )  # fmt: skip
    low, high = min(predicted.min(), lows.min()), max(predicted.max(), highs.max())
    axes.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    axes.grid(visible=True)


def _draw_score_histogram(axes: Axes, scores: ScoreHistogram, groups: tuple[str, str]) -> None:
    """How many rows of each group have which score, on a logarithmic axis that includes 0; as wide as the scores."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    for group, counts, colour, line_style in zip(
        groups, scores.counts, (style.COLOURS[5], style.COLOURS[1]), ("-", "--"), strict=True
    ):
        label = style.shorten_name(group, 30)
        axes.stairs(counts, scores.edges, color=colour, linestyle=line_style, linewidth=1.2, label=label)
    axes.set_yscale("symlog", linthresh=1)
    max_count = max(map(max, scores.counts))
    axes.yaxis.set_major_locator(FixedLocator([0, *(10**power for power in range(len(str(max_count))))]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:,.0f}"))
    axes.set_ylim(0, 1.3 * max_count)
    filled = np.flatnonzero(np.any(scores.counts, axis=0))
    low, high = scores.edges[filled[0]], scores.edges[filled[-1] + 1]
    axes.set_xlim(low - 0.015 * (high - low), high + 0.015 * (high - low))
