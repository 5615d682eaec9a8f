"""The search space: which parameters the score depends on, and the trials in parallel coordinates."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness.report.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

MAX_PANELS, MAX_BARS = 6, 8
STRATEGY = "strategy"
FAINT_OPACITY = 0.1  #: of the worst trials
BAR_LOOKS: dict[str, Any] = {STRATEGY: {"color": style.ORANGE, "hatch": "//"}}
MAX_NAME_LENGTH, MAX_TITLE_LENGTH = 28, 44  #: characters of a parameter, of a line above a panel
ABSENT_HEIGHT = -0.14  #: where a trial crosses the axis of a parameter that it does not have
MAX_LINE_LENGTH = 14  #: characters in a line of a name


class ParameterImportances(NamedTuple):
    """The importances of the parameters of one family, as shares: one for every split."""

    title: str
    shares: tuple[tuple[str, tuple[float, ...]], ...]


class ParameterAxis(NamedTuple):
    """The axis of a parameter: its range, or its options as text; `log` where it is searched on a logarithmic scale."""

    name: str
    low: float
    high: float
    log: bool
    options: tuple[str, ...]


class TrialPath(NamedTuple):
    """A trial: its value on every axis (the index of an option; NaN where it has none), score, whether it is the default."""

    values: tuple[float, ...]
    score: float
    default: bool


@style.styled_figure
def parameter_importance_figure(families: tuple[ParameterImportances, ...], label: str) -> Figure:
    """Draw the importances of the parameters of every family: the mean over the splits as bars, every split as a dot.

    Parameters
    ----------
    families : tuple of ParameterImportances
        The families, a panel each; six at most are drawn.
    label : str
        The label of the importances.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    families = families[:MAX_PANELS]
    columns = min(len(families), 2)
    bars = min(max(len(family.shares) for family in families), MAX_BARS)
    figure_size = {"width": max(0.6 + 4.0 * columns, 6.4), "margin": 0.6, "row_height": 0.6 + 0.22 * bars}
    figure, family_panels = style.create_panels(len(families), columns, sharex=True, **figure_size)
    for axes, family in zip(family_panels, families, strict=True):
        _draw_importances(axes, family)
        axes.tick_params(labelbottom=True)
    figure.supxlabel(label, fontsize=9)
    return figure


@style.styled_figure
def parallel_coordinates_figure(
    parameters: tuple[ParameterAxis, ...], trials: tuple[TrialPath, ...], label: str, *, greater: bool
) -> Figure:
    """Draw every trial as a line through its parameters, coloured by its inner score, the better ones on top.

    Parameters
    ----------
    parameters : tuple of ParameterAxis
        The axes.
    trials : tuple of TrialPath
        The trials, with a value for every axis.
    label : str
        The name of the score.
    greater : bool
        Whether a greater score is better.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import LineCollection
    from matplotlib.colors import Normalize

    sorted_trials = sorted(trials, key=lambda trial: trial.score, reverse=not greater)
    # The best must be visible on a light and on a dark page, so what is worse is fainter. The worst tenth has one colour, or
    # a few very bad trials would leave all others with nearly the same one.
    worst_score, best_score = sorted_trials[len(sorted_trials) // 10].score, sorted_trials[-1].score
    score_norm = Normalize(min(worst_score, best_score), max(worst_score, best_score))
    colour_map = _score_colour_map(greater_is_better=greater)
    figure = style.create_figure(2.2 + 1.15 * len(parameters), 4.4)
    axes, bar_axes = figure.subplots(1, 2, width_ratios=[1.15 * len(parameters), 0.2])
    paths = [list(enumerate(map(_height_on_axis, parameters, trial.values))) for trial in sorted_trials]
    axes.add_collection(
        LineCollection(paths, colors=colour_map(score_norm([trial.score for trial in sorted_trials])), linewidths=1.1)
    )
    default_paths = [path for path, trial in zip(paths, sorted_trials, strict=True) if trial.default][:1]
    dash_style: dict[str, Any] = {"colors": style.ORANGE, "linewidths": 2, "linestyles": "--"}
    axes.add_collection(LineCollection(default_paths, label="default configuration", **dash_style))
    is_absent = [any(map(math.isnan, column)) for column in np.transpose([trial.values for trial in trials])]
    for x, parameter in enumerate(parameters):
        _draw_parameter_axis(axes, x, parameter, has_absent_values=is_absent[x])
    right_margin = 0.2 if parameters[-1].options or is_absent[-1] else 0.6
    axis_bottom = ABSENT_HEIGHT - 0.06 if any(is_absent) else -0.05
    axes.set(xlim=(-0.1, len(parameters) - right_margin), ylim=(axis_bottom, 1.05))
    axes.axis("off")
    worse_end = "min" if greater else "max"
    bar = figure.colorbar(
        ScalarMappable(score_norm, colour_map), cax=bar_axes, label=f"inner {label}", extend=worse_end
    )
    bar.outline.set_visible(False)
    figure.legend(loc="outside lower left")
    return figure


def _score_colour_map(*, greater_is_better: bool) -> Colormap:
    """The colours of scores, the worst ones faint."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    end_colours = [to_rgba(style.BLUE, FAINT_OPACITY), to_rgba(style.BLUE)]
    return LinearSegmentedColormap.from_list("scores", end_colours if greater_is_better else end_colours[::-1])


def _draw_importances(axes: Axes, family_importances: ParameterImportances) -> None:
    """The most important parameters; the strategy is always among them."""
    mean_importances = {
        name: sum(importance_shares) / len(importance_shares) for name, importance_shares in family_importances.shares
    }
    sorted_shares = sorted(family_importances.shares, key=lambda parameter: -mean_importances[parameter[0]])
    drawn_shares = sorted_shares[:MAX_BARS]
    for parameter in sorted_shares[MAX_BARS:]:
        if parameter[0] == STRATEGY:
            drawn_shares[-1] = parameter
    for row, (name, importance_shares) in enumerate(drawn_shares):
        axes.barh(
            row, mean_importances[name], height=0.7, edgecolor="white", **BAR_LOOKS.get(name, {"color": style.BLUE})
        )
        rows = [row] * len(importance_shares)
        axes.scatter(importance_shares, rows, s=10, facecolors="white", edgecolors="black", linewidths=0.7, zorder=3)
    axes.set_yticks(range(len(drawn_shares)), [style.shorten_name(name, MAX_NAME_LENGTH) for name, _ in drawn_shares])
    axes.set(xlim=(0, 1), ylim=(len(drawn_shares) - 0.4, -0.6))
    axes.set_title(style.shorten_lines(family_importances.title, MAX_TITLE_LENGTH))
    axes.grid(visible=True, axis="x")


def _height_on_axis(parameter_axis: ParameterAxis, parameter_number: float) -> float:
    """The height of a value on its axis, 0 to 1."""
    if math.isnan(parameter_number):
        return ABSENT_HEIGHT
    if parameter_axis.options:
        return (parameter_number + 0.5) / len(parameter_axis.options)
    if parameter_axis.low >= parameter_axis.high:
        return 0.5
    axis_low, axis_high = parameter_axis.low, parameter_axis.high
    if parameter_axis.log:
        axis_low, axis_high, parameter_number = map(math.log, (axis_low, axis_high, parameter_number))
    return (parameter_number - axis_low) / (axis_high - axis_low)


def _draw_parameter_axis(axes: Axes, axis_x: int, parameter_axis: ParameterAxis, *, has_absent_values: bool) -> None:
    """An axis with its name above it and its values beside it."""
    axes.plot([axis_x, axis_x], [0, 1], color="0.25", linewidth=1)
    name = _break_long_name(style.shorten_name(parameter_axis.name))
    if parameter_axis.log:
        name += "\n(log)"
    axes.text(axis_x, 1.04, name, ha="center", va="bottom", fontsize=style.LABEL_SIZE)
    axis_ticks = [
        (_height_on_axis(parameter_axis, index), option) for index, option in enumerate(parameter_axis.options)
    ]
    if not axis_ticks:
        axis_low, axis_high = parameter_axis.low, parameter_axis.high
        axis_middle = math.sqrt(axis_low * axis_high) if parameter_axis.log else (axis_low + axis_high) / 2
        axis_ticks = [
            (_height_on_axis(parameter_axis, tick_number), f"{tick_number:.3g}")
            for tick_number in (axis_low, axis_middle, axis_high)
        ]
    if has_absent_values:
        axis_ticks.append((ABSENT_HEIGHT, "not used"))
    text_background = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6}
    for height, text in axis_ticks:
        axes.plot([axis_x - 0.02, axis_x + 0.02], [height, height], color="0.25", linewidth=1)
        axis_label = _break_long_name(style.shorten_name(text))
        axes.text(axis_x + 0.04, height, axis_label, ha="left", va="center", fontsize=7, bbox=text_background, zorder=5)


def _break_long_name(text: str) -> str:
    """A long name in several lines, broken after dots and underscores."""
    lines = [""]
    for name_part in re.findall(r"[^._]*[._]+|[^._]+", text):
        if lines[-1] and len(lines[-1]) + len(name_part) > MAX_LINE_LENGTH:
            lines.append("")
        lines[-1] += name_part
    return "\n".join(lines)
