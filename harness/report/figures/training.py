"""What entries cost against their score, how networks were trained, and their architectures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness.evaluation.training import Architecture, ChosenArchitectures, EntryCosts
from harness.report.figures import style
from harness.report.render.fonts import replace_missing_characters

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANELS = 9
MAX_ARCHITECTURES = 6
MAX_TEXT_LENGTH = 32  #: characters of a title, and of a text that is alone in a line of a layer's box
MAX_KIND_LENGTH, MAX_LAYER_NAME_LENGTH = 36, 22  #: beside the shape of the output, beside the number of parameters
MIN_LOG_RATIO = 20  #: of the greatest to the least loss, from which on the scale is logarithmic


class LossCurves(NamedTuple):
    """The losses of one fit, epoch by epoch, and the epoch whose weights were kept, counted from 1."""

    train: tuple[float, ...]
    validation: tuple[float, ...]
    epoch: int


@style.styled_figure
def loss_curves_figure(lines: Sequence[tuple[str, tuple[LossCurves, ...]]]) -> Figure:
    """Draw training and validation loss by epoch: fits as thin lines, their mean as a bold one.

    Parameters
    ----------
    lines : sequence of (str, tuple of Losses)
        A panel for every entry and loss function: its title, and the losses of its fits.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    lines = lines[:MAX_PANELS]
    columns = min(len(lines), 3)
    figure, loss_panels = style.create_panels(
        len(lines), columns, width=1.0 + 3.3 * columns, margin=0.7, row_height=2.6
    )
    for axes, (title, loss_fits) in zip(loss_panels, lines, strict=True):
        _draw_loss_curves(axes, [loss_fit.train for loss_fit in loss_fits], "train", style.ORANGE)
        _draw_loss_curves(axes, [loss_fit.validation for loss_fit in loss_fits], "validation", style.BLUE)
        epoch_losses = [
            [*loss_fit.validation[loss_fit.epoch - 1 : loss_fit.epoch], np.nan][0] for loss_fit in loss_fits
        ]
        axes.plot(
            [loss_fit.epoch for loss_fit in loss_fits],
            epoch_losses,
            "o",
            color=style.BLUE,
            markersize=4,
            label="epoch kept",
        )
        axes.set_title(style.shorten_lines(title, MAX_TEXT_LENGTH + 8))
        axis_low, axis_high = axes.dataLim.intervaly
        if 0 < MIN_LOG_RATIO * axis_low < axis_high:
            axes.set_yscale("log")
            style.set_plain_log_ticks(axes.yaxis)
        axes.locator_params(axis="x", integer=True)
    style.label_outer_axes(loss_panels, columns, "epoch", "loss")
    figure.legend(*loss_panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@style.styled_figure
def architecture_figure(entries: list[ChosenArchitectures]) -> Figure:
    """Draw the architecture that most splits of each entry chose, with its layers from top to bottom.

    Parameters
    ----------
    entries : list of ChosenArchitectures
        The entries, a column each; six at most are drawn.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    entries = entries[:MAX_ARCHITECTURES]
    max_layers = max(len(entry.architectures[0].layers) for entry in entries)
    figure = style.create_figure(3.3 * len(entries), 0.6 + 0.62 * max_layers)
    for axes, entry in zip(figure.subplots(1, len(entries), squeeze=False)[0], entries, strict=True):
        architecture = entry.architectures[0]
        axes.set(xlim=(0, 1), ylim=(-max_layers, 0))
        axes.axis("off")
        splits = f"{architecture.splits} of {entry.splits} splits"
        axes.set_title(
            f"{style.shorten_name(entry.entry.strategy, MAX_TEXT_LENGTH)}\n{splits}\n{describe_network_size(architecture)}"
        )
        for layer_index, layer in enumerate(architecture.layers):
            _draw_network_layer(axes, layer_index, *layer)
    return figure


def describe_network_size(architecture: Architecture) -> str:
    """Say how many parameters a network has, and how many of them were trained where not all were."""
    size_text = f"{architecture.parameters:,} parameters"
    return f"{size_text}, {architecture.trained:,} trained" if architecture.frozen_parameters else size_text


def format_output_shape(shape: tuple[int, ...]) -> str:
    """Write the shape of an output: `28 × 28 × 1`; a length that varies is `any`."""
    return " × ".join(str(axis_length or "any") for axis_length in shape)


def _draw_loss_curves(axes: Axes, loss_curves: Sequence[tuple[float, ...]], curve_name: str, colour: str) -> None:
    curves = list(filter(None, loss_curves))
    for curve in curves:
        axes.plot(range(1, len(curve) + 1), curve, color=colour, alpha=0.35, linewidth=0.7)
    if curves:
        # Beyond the shortest fit the mean would be over other fits, and jump.
        epochs = min(map(len, curves))
        mean_losses = np.array([curve[:epochs] for curve in curves]).mean(axis=0)
        axes.plot(range(1, epochs + 1), mean_losses, color=colour, linewidth=2, label=f"{curve_name}, mean")


def _draw_network_layer(
    axes: Axes, layer_index: int, name: str, layer_kind: str, output_shape: tuple[int, ...], parameters: int
) -> None:
    from matplotlib.patches import FancyBboxPatch

    layer_box = FancyBboxPatch(
        (0.03, -layer_index - 0.72), 0.94, 0.66, "round,pad=0,rounding_size=0.05", mutation_aspect=4
    )
    layer_box.set(facecolor="#E8F1F8" if parameters else "white", edgecolor="0.4", linewidth=0.8)
    axes.add_patch(layer_box)
    size_text = f"{parameters:,} parameters" if parameters else ""
    small_text_style: dict[str, Any] = {"fontsize": 7.0, "color": "0.35"}
    # The shape, which is the shorter text, is beside the kind, which has larger letters than the name.
    output_shape_text = format_output_shape(output_shape)
    axes.text(
        0.07,
        -layer_index - 0.26,
        style.shorten_name(layer_kind, MAX_KIND_LENGTH - round(0.75 * len(output_shape_text))),
        va="center",
    )
    axes.text(0.93, -layer_index - 0.26, output_shape_text, va="center", ha="right", **small_text_style)
    name_text = style.shorten_name(name, MAX_LAYER_NAME_LENGTH if size_text else MAX_TEXT_LENGTH)
    axes.text(0.07, -layer_index - 0.55, name_text, va="center", **small_text_style)
    axes.text(0.93, -layer_index - 0.55, size_text, va="center", ha="right", **small_text_style)
    if layer_index:
        arrow_style = {"arrowstyle": "-|>", "color": "0.4"}
        axes.annotate("", (0.5, -layer_index - 0.06), (0.5, -layer_index + 0.28), arrowprops=arrow_style)


COST_AXES = {"fit_seconds": ("seconds to fit", 1.0), "model_bytes": ("kB, pickled", 1e-3)}  #: label and unit
MAX_NAME_LENGTH = 28  #: characters of a family or strategy
MIN_LINE_LENGTH = 14  #: pixels between a point and its label, from which on a line joins them


@style.styled_figure
def pareto_figure(entries: list[EntryCosts], families: Sequence[str], label: str, *, greater: bool) -> Figure:
    """Draw the score against the time to fit and against the size, with the Pareto front, whose entries are labelled.

    Parameters
    ----------
    entries : list of EntryCosts
        The entries with their scores and costs.
    families : sequence of str
        All families of the run, which determine colours and markers.
    label : str
        The name of the score.
    greater : bool
        Whether a greater score is better; the better ones are always at the top.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    costs = [cost for cost in COST_AXES if not all(math.isnan(entry.costs[cost]) for entry in entries)]
    figure = style.create_figure(1.5 + 4.4 * len(costs), 4.4)
    cost_panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for axes, cost in zip(cost_panels, costs, strict=True):
        _draw_entry_points(axes, entries, cost, families)
        axes.set_xlabel(COST_AXES[cost][0])
    if not greater:
        cost_panels[0].invert_yaxis()
    cost_panels[0].set_ylabel(style.shorten_name(label))
    figure.legend(*cost_panels[0].get_legend_handles_labels(), loc="outside right center", title="filled: no strategy")
    replace_missing_characters(figure)
    style.fix_layout(figure)  # the positions of labels hold for a layout that no longer changes
    for axes, cost in zip(cost_panels, costs, strict=True):
        _label_pareto_front(axes, entries, cost)
    return figure


def _cost_and_score(entry: EntryCosts, cost: str) -> style.Point:
    return entry.costs[cost] * COST_AXES[cost][1], entry.score


def _draw_entry_points(axes: Axes, entries: list[EntryCosts], cost: str, families: Sequence[str]) -> None:
    axes.set_xscale("log")
    style.set_plain_log_ticks(axes.xaxis)
    for family_index, family in enumerate(families):
        members = [entry for entry in entries if entry.entry.family == family]
        colour, marker = style.line_colour(family_index), style.family_marker(family_index)
        for face_colour, is_without_strategy in (("none", False), (colour, True)):
            points = [
                _cost_and_score(entry, cost)
                for entry in members
                if (entry.entry.strategy == "none") == is_without_strategy
            ]
            point_style: dict[str, Any] = {"marker": marker, "edgecolors": colour, "facecolors": face_colour}
            axes.scatter(*style.split_coordinates(points), s=34, zorder=3, **point_style)
        if members:
            axes.scatter([], [], s=34, marker=marker, color=colour, label=style.shorten_name(family, MAX_NAME_LENGTH))
    axes.margins(x=0.1, y=0.12)
    axes.grid(visible=True)
    axis_limits = axes.get_xlim()
    axes.plot(
        *style.split_coordinates(_pareto_front_corners(entries, cost, axis_limits[1])),
        color="0.6",
        linewidth=1.2,
        zorder=1,
    )
    axes.set_xlim(axis_limits)


def _pareto_front_corners(entries: list[EntryCosts], cost: str, right_edge: float) -> list[style.Point]:
    """The corners of the Pareto front: steps from its cheapest point to its best, then level to the right edge."""
    points = sorted(_cost_and_score(entry, cost) for entry in entries if cost in entry.fronts)
    front_corners = points[:1]
    for (_, score), point in pairwise(points):
        front_corners += [(point[0], score), point]
    return [*front_corners, *((right_edge, score) for _, score in points[-1:])]


def _label_pareto_front(axes: Axes, entries: list[EntryCosts], cost: str) -> None:
    """Names near the points of the front where they cover nothing, with a thin line where they are further away."""
    front_entries = sorted(
        (entry for entry in entries if cost in entry.fronts), key=lambda entry: _cost_and_score(entry, cost)
    )
    names = [
        "/".join(style.shorten_name(name_part, MAX_NAME_LENGTH) for name_part in entry.entry[:2])
        for entry in front_entries
    ]
    label_anchors = [_axes_to_pixels(axes, _cost_and_score(entry, cost)) for entry in front_entries]
    sizes = [_measure_label(axes, name) for name in names]
    frame = style.Box(*map(float, axes.get_window_extent().extents))
    label_boxes = style.position_labels(label_anchors, sizes, _find_label_obstacles(axes, entries, cost), frame)
    for name, label_box, label_anchor in zip(names, label_boxes, label_anchors, strict=True):
        x, y = style.nearest_point_of_box(label_anchor, label_box)
        line_style = None
        if math.dist(label_anchor, (x, y)) > MIN_LINE_LENGTH:
            line_end = (
                (x - label_box.x0) / (label_box.x1 - label_box.x0),
                (y - label_box.y0) / (label_box.y1 - label_box.y0),
            )
            line_style = {
                "arrowstyle": "-",
                "color": "0.5",
                "linewidth": 0.6,
                "shrinkA": 0,
                "shrinkB": 3,
                "relpos": line_end,
            }
        label_middle = _pixels_to_axes(axes, ((label_box.x0 + label_box.x1) / 2, (label_box.y0 + label_box.y1) / 2))
        label_style = {**style.CENTRED_TEXT, "fontsize": style.LABEL_SIZE, "zorder": 4}
        axes.annotate(
            name, _pixels_to_axes(axes, label_anchor), xytext=label_middle, arrowprops=line_style, **label_style
        )


def _find_label_obstacles(axes: Axes, entries: list[EntryCosts], cost: str) -> list[style.Box]:
    """Rectangles around all points and around the lines of the front, in pixels."""
    obstacle_boxes = []
    for entry in entries:
        if not math.isnan(entry.costs[cost]):
            x, y = _axes_to_pixels(axes, _cost_and_score(entry, cost))
            obstacle_boxes.append(style.Box(x - 6, y - 6, x + 6, y + 6))
    front_corners = [
        _axes_to_pixels(axes, corner) for corner in _pareto_front_corners(entries, cost, axes.get_xlim()[1])
    ]
    for (x0, y0), (x1, y1) in pairwise(front_corners):
        obstacle_boxes.append(style.Box(min(x0, x1) - 2, min(y0, y1) - 2, max(x0, x1) + 2, max(y0, y1) + 2))
    return obstacle_boxes


def _measure_label(axes: Axes, text: str) -> tuple[float, float]:
    """Width and height of a label in pixels."""
    text_label = axes.text(0, 0, text, fontsize=style.LABEL_SIZE)
    label_extent = text_label.get_window_extent()
    text_label.remove()
    return float(label_extent.width), float(label_extent.height)


def _axes_to_pixels(axes: Axes, point: style.Point) -> style.Point:
    x, y = axes.transData.transform(point)
    return float(x), float(y)


def _pixels_to_axes(axes: Axes, point: style.Point) -> style.Point:
    x, y = axes.transData.inverted().transform(point)
    return float(x), float(y)
