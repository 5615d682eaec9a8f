"""Decisions: confusion matrices, scores by class, and precision, recall and cost at every threshold."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from harness.evaluation.curves import MAX_LOG_ODDS, MeanCurve, ScoreHistogram, ThresholdCurves
from harness.report.figures import curves, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Counts: TypeAlias = tuple[tuple[int, ...], ...]
MAX_SMALL_CLASSES = 4  #: with more classes, matrices are below each other
SWEPT_METRICS = (("precision", style.BLUE, "-"), ("recall", style.ORANGE, "--"), ("F1", style.COLOURS[2], "-."))


class ThresholdSweep(NamedTuple):
    """Metrics of an entry over all thresholds: its scores by class, the curves, the tuned thresholds of the splits."""

    name: str
    scores: ScoreHistogram
    sweep: ThresholdCurves
    tuned: tuple[float, ...]


@style.styled_figure
def confusion_figure(matrices: Sequence[tuple[str, Counts]], classes: Sequence[str]) -> Figure:
    """Draw confusion matrices: counts, and shares of the true class, which the colours show too.

    Parameters
    ----------
    matrices : sequence of (str, Counts)
        The name of every entry, and its counts by true and by predicted class.
    classes : sequence of str
        The names of the classes.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    columns = min(len(matrices), 2)
    width, height = (curves.FIGURE_WIDTH if columns == 2 else 4.4), 2.5
    if len(classes) > MAX_SMALL_CLASSES:
        columns = 1
        width, height = curves.FIGURE_WIDTH, 0.86 * curves.FIGURE_WIDTH
    figure, matrix_panels = style.create_panels(len(matrices), columns, width=width, margin=0.45, row_height=height)
    for axes, (name, confusion_counts) in zip(matrix_panels, matrices, strict=True):
        _draw_confusion_matrix(axes, confusion_counts, classes)
        axes.set_title(curves.format_entry_title(name))
    for axes in matrix_panels[::columns]:
        axes.set_ylabel("true class")
    return figure


@style.styled_figure
def threshold_sweep_figure(entries: Sequence[ThresholdSweep], classes: tuple[str, str], *, log_odds: bool) -> Figure:
    """Draw, over the same axis, the scores of both classes, precision, recall and F1, and the cost where there is one.

    Parameters
    ----------
    entries : sequence of ThresholdSweep
        The entries, a column of panels each.
    classes : tuple of str
        The negative and the positive class.
    log_odds : bool
        Whether scores are shown on log-odds.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    rows = 3 if entries[0].sweep.cost else 2
    figure = style.create_figure(curves.FIGURE_WIDTH, 1.25 + 2.1 * rows)
    sweep_panels = figure.subplots(rows, len(entries), sharex=True, sharey="row", squeeze=False)
    for column, entry in zip(sweep_panels.T, entries, strict=True):
        _draw_score_histograms(column[0], entry.scores, classes)
        column[0].set_title(curves.format_entry_title(entry.name))
        for metric_curve, (name, colour, line_style) in zip(entry.sweep[:3], SWEPT_METRICS, strict=True):
            _draw_metric_curve(column[1], metric_curve, name, colour, line_style)
        column[1].set_ylim(-0.02, 1.04)
        if entry.sweep.cost:
            _draw_metric_curve(column[2], entry.sweep.cost, "cost per row", style.COLOURS[6], "-")
            column[2].set_ylim(bottom=0)
        for axes in column:
            _draw_tuned_thresholds(axes, entry.tuned, log_odds=log_odds)
        _set_score_axis(column[-1], classes[1], log_odds=log_odds)
    for axes, axis_label in zip(sweep_panels[:, 0], ("% of the class", "share", "cost per row"), strict=False):
        axes.set_ylabel(axis_label)
    _add_legend(figure, list(sweep_panels[:, 0]), shows_spread=bool(entries[0].sweep.recall.spread))
    return figure


def _draw_confusion_matrix(axes: Axes, confusion_counts: Counts, classes: Sequence[str]) -> None:
    from matplotlib.patches import Rectangle

    class_shares = np.array(confusion_counts) / np.maximum(np.sum(confusion_counts, axis=1, keepdims=True), 1)
    has_small_text = len(classes) > MAX_SMALL_CLASSES
    names = [style.shorten_name(name, 10 if has_small_text else 14) for name in classes]
    for (true_class, predicted_class), class_share in np.ndenumerate(class_shares):
        cell_count = confusion_counts[true_class][predicted_class]
        text = f"{cell_count:,}\n{100 * class_share:.1f} %"
        if has_small_text and cell_count == 0:
            text = "0"
        cell_corner = predicted_class, true_class
        axes.add_patch(
            Rectangle(cell_corner, 1, 1, facecolor=style.cell_colour(class_share), edgecolor="white", linewidth=1)
        )
        position = (predicted_class + 0.5, true_class + 0.5)
        axes.text(*position, text, ha="center", va="center", fontsize=6.5 if has_small_text else 9)
    ticks = np.arange(len(classes)) + 0.5
    cell_text_style: dict[str, Any] = {"rotation": 0, "ha": "center"}
    if has_small_text and max(map(len, names)) > 4:
        cell_text_style = {"rotation": 40, "ha": "right"}
    axes.set_xticks(ticks, names, rotation_mode="anchor", **cell_text_style)
    axes.set_yticks(ticks, names)
    axes.set(xlabel="called", xlim=(0, len(classes)), ylim=(len(classes), 0))
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)


def _draw_score_histograms(axes: Axes, scores: ScoreHistogram, classes: tuple[str, str]) -> None:
    """The scores of each class as shares of its own rows, as a rare class would not be visible otherwise."""
    line_looks = ((style.COLOURS[5], "-"), (style.COLOURS[1], "--"))
    for name, bin_counts, (colour, line_style) in zip(classes, scores.counts, line_looks, strict=True):
        row_shares = 100 * np.array(bin_counts) / max(sum(bin_counts), 1)
        axes.stairs(
            row_shares, scores.edges, fill=True, facecolor=(colour, 0.25),
            edgecolor=colour, linestyle=line_style, linewidth=1.3, label=f"truly {style.shorten_name(name, 24)}",
        )  # fmt: skip
    axes.grid(visible=True)


def _draw_metric_curve(axes: Axes, curve: MeanCurve, name: str, colour: str, line_style: str) -> None:
    axes.plot(curve.x, curve.mean, color=colour, linestyle=line_style, linewidth=1.5, label=name)
    if name != "F1":  # it lies between precision and recall, and three bands would cover each other
        curves.shade_band(axes, curve, colour)
    axes.grid(visible=True)


def _draw_tuned_thresholds(axes: Axes, tuned_thresholds: Sequence[float], *, log_odds: bool) -> None:
    """The tuned thresholds: a span from the least to the greatest and a line at their mean; and 0.5."""
    thresholds = [threshold for threshold in tuned_thresholds if not isnan(threshold)]
    if thresholds:
        span_low = curves.axis_position(min(thresholds), log_odds=log_odds)
        span_high = curves.axis_position(max(thresholds), log_odds=log_odds)
        mean_position = curves.axis_position(sum(thresholds) / len(thresholds), log_odds=log_odds)
        mean_label = "tuned threshold"
        if span_low < span_high:
            mean_label = "their mean"
            axes.axvspan(
                span_low, span_high, color="0.5", alpha=0.18, linewidth=0, label="tuned thresholds, least to greatest"
            )
        axes.axvline(mean_position, color="0.3", linewidth=1.1, label=mean_label)
    default_position = curves.axis_position(0.5, log_odds=log_odds)
    axes.axvline(default_position, color="0.3", linewidth=1.0, linestyle=(0, (1, 2)), label="0.5")


def _set_score_axis(axes: Axes, positive_class: str, *, log_odds: bool) -> None:
    axis_label = f"score for {style.shorten_name(positive_class, 18)}"
    axes.set(xlim=(0.0, 1.0), xlabel=axis_label)
    if log_odds:
        axes.set(xlim=(-MAX_LOG_ODDS, MAX_LOG_ODDS), xlabel=f"{axis_label}, log-odds scale")
        curves.set_log_odds_ticks(axes.xaxis)


def _add_legend(figure: Figure, panels: Sequence[Axes], *, shows_spread: bool) -> None:
    from matplotlib.patches import Patch

    legend_handles = style.collect_legend_handles(panels)
    legend_handles.pop("cost per row", None)  # the only curve of its panel, whose axis has the label
    if shows_spread:
        legend_handles[f"{curves.SPREAD_LABEL} (not for F1)"] = Patch(color="0.5", alpha=0.3, linewidth=0)
    figure.legend(list(legend_handles.values()), list(legend_handles), loc="outside lower center", ncols=2)
