"""How searches proceeded: score against effort, trial by trial, and the gain over the default configuration."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from harness.report.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curve: TypeAlias = tuple[tuple[float, float], ...]  #: (x, y)
MAX_TWO_COLUMN_PANELS = 6  #: with more panels there are three columns, although two are easier to read on a page
MAX_NAME_LENGTH, MAX_TITLE_LENGTH = 28, 44  #: characters of a family or strategy, of a line above a panel
LINE_STYLES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (7, 1, 1, 1, 1, 1)))
MAX_CUT_SHARE = 0.1  #: the share of the trials, the worst ones, that may lie outside a panel


class SearchProgressCurve(NamedTuple):
    """The best score so far against seconds, of one family and strategy."""

    family: str
    strategy: str
    curve: Curve


class AxisLabels(NamedTuple):
    """The labels of the axes, and whether a greater score is better."""

    score: str
    time: str
    greater: bool


class TrialHistory(NamedTuple):
    """The trials of one entry over all its splits: (number, score), those that failed, and the mean of the best so far."""

    title: str
    trials: tuple[tuple[int, float], ...]
    failed: tuple[int, ...]
    best: tuple[tuple[int, float], ...]


class GainInterval(NamedTuple):
    """The gain of one entry by its search: on inner folds, on test rows, and the half width of its interval (NaN: none)."""

    name: str
    inner: float
    outer: float
    half_width: float


@style.styled_figure
def anytime_figure(lines: tuple[SearchProgressCurve, ...], families: tuple[str, ...], labels: AxisLabels) -> Figure:
    """Draw the best score so far against seconds, for all families.

    Parameters
    ----------
    lines : tuple of SearchCurve
        The curves: of every family without any strategy (solid), and with its best one (dashed).
    families : tuple of str
        All families of the run, which determine the colours.
    labels : AxisLabels
        The labels of the axes.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    figure, axes = style.create_axes(8.2, max(4.0, 0.9 + 0.2 * len(lines)))
    for line in lines:
        family = families.index(line.family)
        line_look: dict[str, Any] = {
            "color": style.line_colour(family),
            "marker": style.family_marker(family),
            "linestyle": "-",
        }
        name = style.shorten_name(line.family, MAX_NAME_LENGTH)
        if line.strategy != "none":
            name += f"/{style.shorten_name(line.strategy, MAX_NAME_LENGTH)}"
            line_look["linestyle"] = (0, (5, 2))
        _draw_step_curve(axes, line.curve, name, line_look)
    _set_score_axes(axes, labels)
    axes.set_ylabel(f"best inner {labels.score} so far")
    axes.set_xlabel(labels.time)
    figure.legend(loc="outside right center", title="full: no strategy\ndashed: best strategy")
    return figure


@style.styled_figure
def strategy_curves_figure(lines: tuple[SearchProgressCurve, ...], labels: AxisLabels) -> Figure:
    """Draw the best score so far against seconds, with a panel for every family and a line for every strategy.

    Parameters
    ----------
    lines : tuple of SearchCurve
        The curves of all families and strategies.
    labels : AxisLabels
        The labels of the axes.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    families = list(dict.fromkeys(line.family for line in lines))
    strategies = list(dict.fromkeys(line.strategy for line in lines))
    figure, family_panels = _create_panels(len(families))
    for axes, family in zip(family_panels, families, strict=True):
        for line in lines:
            if line.family != family:
                continue
            strategy_index = strategies.index(line.strategy)
            line_style = LINE_STYLES[(strategy_index + strategy_index // len(style.COLOURS)) % len(LINE_STYLES)]
            marker = style.MARKERS[strategy_index % len(style.MARKERS)]
            line_look = {"color": style.line_colour(strategy_index), "linestyle": line_style, "marker": marker}
            _draw_step_curve(axes, line.curve, line.strategy, line_look)
        _set_score_axes(axes, labels)
        axes.set_title(style.shorten_name(family, MAX_NAME_LENGTH))
    style.label_outer_axes(
        family_panels, _choose_panel_columns(len(family_panels)), labels.time, f"best inner {labels.score} so far"
    )
    _add_legend(figure, family_panels)
    return figure


@style.styled_figure
def trial_history_figure(histories: tuple[TrialHistory, ...], labels: AxisLabels) -> Figure:
    """Draw the trials of every entry in their order, the default configuration first.

    Parameters
    ----------
    histories : tuple of TrialHistory
        The trials, a panel for every entry.
    labels : AxisLabels
        The labels of the axes.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    figure, history_panels = _create_panels(len(histories))
    for axes, trial_history in zip(history_panels, histories, strict=True):
        _draw_trial_history(axes, trial_history, greater_is_better=labels.greater)
    style.label_outer_axes(
        history_panels, _choose_panel_columns(len(history_panels)), "number of the trial", f"inner {labels.score}"
    )
    _add_legend(figure, history_panels)
    return figure


@style.styled_figure
def search_gains_figure(gains: tuple[GainInterval, ...], label: str) -> Figure:
    """Draw the gain of every search, on test rows with its interval and on the inner folds that were searched.

    Parameters
    ----------
    gains : tuple of GainInterval
        The gains, a row for every entry.
    label : str
        The name of the score.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    figure, axes = style.create_axes(7.6, 1.2 + 0.27 * len(gains))
    axes.axvline(0, color="0.6", linewidth=1, zorder=1)
    rows = [row for row, search_gain in enumerate(gains) if not math.isnan(search_gain.half_width)]
    axes.errorbar(
        [gains[row].outer for row in rows], rows, xerr=[gains[row].half_width for row in rows], fmt="none",
        ecolor=style.BLUE, elinewidth=1.6, label="95 % interval" if rows else None,
    )  # fmt: skip
    all_rows = list(range(len(gains)))
    axes.scatter(
        [search_gain.outer for search_gain in gains], all_rows, s=30, color=style.BLUE, zorder=3, label="on test rows"
    )
    diamond_style: dict[str, Any] = {
        "s": 34,
        "marker": "D",
        "facecolors": "none",
        "edgecolors": style.ORANGE,
        "zorder": 4,
    }
    axes.scatter(
        [search_gain.inner for search_gain in gains],
        all_rows,
        label="on inner folds, which it searched",
        **diamond_style,
    )
    axes.set_yticks(all_rows, [style.shorten_name(search_gain.name) for search_gain in gains])
    axes.set_ylim(len(gains) - 0.5, -0.5)
    axes.grid(visible=True, axis="x")
    axes.set_xlabel(f"gain in {label} over the default configuration (right of 0 is better)")
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def _create_panels(panel_count: int) -> tuple[Figure, list[Axes]]:
    """A figure with n panels in rows."""
    columns = _choose_panel_columns(panel_count)
    return style.create_panels(panel_count, columns, width=1.2 + 2.9 * columns, margin=1.0, row_height=2.2)


def _choose_panel_columns(panel_count: int) -> int:
    return min(panel_count, 2 if panel_count <= MAX_TWO_COLUMN_PANELS else 3)


def _add_legend(figure: Figure, panels: list[Axes]) -> None:
    """One legend for all panels, below them."""
    legend_handles = style.collect_legend_handles(panels)
    names = list(map(style.shorten_name, legend_handles))
    columns = max(1, min(len(names), 48 * _choose_panel_columns(len(panels)) // (max(map(len, names)) + 8)))
    figure.legend(list(legend_handles.values()), names, loc="outside lower center", ncols=columns)


def _draw_step_curve(axes: Axes, curve: Curve, curve_name: str, line_look: dict[str, Any]) -> None:
    """A curve that changes in steps, with markers where it begins and where the search ended."""
    end_positions = [0, len(curve) - 1]
    axes.step(
        *style.split_coordinates(curve),
        where="post",
        label=curve_name,
        markevery=end_positions,
        markersize=5,
        linewidth=1.6,
        **line_look,
    )


def _set_score_axes(axes: Axes, axis_labels: AxisLabels) -> None:
    axes.set_xscale("log")
    style.set_plain_log_ticks(axes.xaxis)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(visible=True)
    if not axis_labels.greater:
        axes.invert_yaxis()


def _draw_trial_history(axes: Axes, trial_history: TrialHistory, *, greater_is_better: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    searched_trials = [trial for trial in trial_history.trials if trial[0] > 0]
    default_trials = [trial for trial in trial_history.trials if trial[0] == 0]
    dot_style: dict[str, Any] = {"s": 9, "color": style.BLUE, "alpha": 0.5, "linewidths": 0}
    axes.scatter(*style.split_coordinates(searched_trials), label="trial of one split", **dot_style)
    diamond_style: dict[str, Any] = {
        "s": 24,
        "marker": "D",
        "facecolors": "none",
        "edgecolors": style.ORANGE,
        "zorder": 4,
    }
    axes.scatter(*style.split_coordinates(default_trials), label="default configuration", **diamond_style)
    best_label = "best so far, mean of the splits"
    axes.step(
        *style.split_coordinates(trial_history.best), where="post", color="black", linewidth=1.4, label=best_label
    )
    if trial_history.trials:
        scores = [score for _, score in trial_history.trials]
        _set_score_limits(
            axes,
            scores,
            [score for _, score in (*default_trials, *trial_history.best)],
            greater_is_better=greater_is_better,
        )
    axis_low, axis_high = sorted(axes.get_ylim())
    cut_off_trials = [trial_number for trial_number, score in searched_trials if not axis_low <= score <= axis_high]
    edge_marker_style: dict[str, Any] = {
        "transform": axes.get_xaxis_transform(),
        "clip_on": False,
        "zorder": 5,
        "linewidths": 1.0,
    }
    if cut_off_trials:
        marker_heights = [0.03] * len(cut_off_trials)
        axes.scatter(
            cut_off_trials,
            marker_heights,
            s=14,
            marker="v",
            color=style.BLUE,
            **edge_marker_style,
            label="worse than is shown",
        )
    if trial_history.failed:
        marker_heights = [0.1] * len(trial_history.failed)
        failed_label = "failed, without a score"
        axes.scatter(
            trial_history.failed,
            marker_heights,
            s=18,
            marker="x",
            color="black",
            **edge_marker_style,
            label=failed_label,
        )
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.set_title(style.shorten_lines(trial_history.title, MAX_TITLE_LENGTH))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(visible=True)


def _set_score_limits(
    axes: Axes, scores: list[float], required_scores: list[float], *, greater_is_better: bool
) -> None:
    """Leave the worst tenth of the trials outside, as a few bad ones would flatten all others."""
    sorted_scores = sorted(scores, reverse=not greater_is_better)
    worst_score, best_score = sorted_scores[int(MAX_CUT_SHARE * len(sorted_scores))], sorted_scores[-1]
    axis_limit = min(worst_score, *required_scores) if greater_is_better else max(worst_score, *required_scores)
    axis_margin = 0.12 * abs(best_score - axis_limit) or 0.01
    if greater_is_better:
        axes.set_ylim(axis_limit - axis_margin, best_score + axis_margin)
    else:
        axes.set_ylim(axis_limit + axis_margin, best_score - axis_margin)
