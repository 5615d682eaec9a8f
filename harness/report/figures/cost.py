"""Score against the costs of entries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.evaluation.training import EntryCosts
from harness.report.figures.style import (
    COLOURS,
    LABEL_SIZE,
    Box,
    Point,
    coordinates,
    create_figure,
    marker_of,
    nearest_point,
    position_labels,
    set_plain_log_ticks,
    shorten,
    styled_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COST_AXES = {"fit_seconds": ("seconds to fit", 1.0), "model_bytes": ("kB, pickled", 1e-3)}  #: label and unit
MAX_NAME_LENGTH = 28  #: characters of a family or strategy
MIN_LINE_LENGTH = 14  #: pixels between a point and its label, from which on a line joins them


@styled_figure
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
        The figure; callers get its files by ending (see `styled_figure`).
    """
    costs = [cost for cost in COST_AXES if not all(math.isnan(entry.costs[cost]) for entry in entries)]
    figure = create_figure(1.5 + 4.4 * len(costs), 4.4)
    panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for axes, cost in zip(panels, costs, strict=True):
        _draw_points(axes, entries, cost, families)
        axes.set_xlabel(COST_AXES[cost][0])
    if not greater:
        panels[0].invert_yaxis()
    panels[0].set_ylabel(shorten(label))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", title="filled: no strategy")
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the positions of labels hold for a layout that no longer changes
    for axes, cost in zip(panels, costs, strict=True):
        _label_front(axes, entries, cost)
    return figure


def _point_of(entry: EntryCosts, cost: str) -> Point:
    return entry.costs[cost] * COST_AXES[cost][1], entry.score


def _draw_points(axes: Axes, entries: list[EntryCosts], cost: str, families: Sequence[str]) -> None:
    axes.set_xscale("log")
    set_plain_log_ticks(axes.xaxis)
    for index, family in enumerate(families):
        members = [entry for entry in entries if entry.entry.family == family]
        colour, marker = COLOURS[index % len(COLOURS)], marker_of(index)
        for face_colour, is_plain in (("none", False), (colour, True)):
            points = [_point_of(entry, cost) for entry in members if (entry.entry.strategy == "none") == is_plain]
            axes.scatter(*coordinates(points), s=34, marker=marker, edgecolors=colour, facecolors=face_colour, zorder=3)
        if members:
            axes.scatter([], [], s=34, marker=marker, color=colour, label=shorten(family, MAX_NAME_LENGTH))
    axes.margins(x=0.1, y=0.12)
    axes.grid(visible=True)
    limits = axes.get_xlim()
    axes.plot(*coordinates(_front_corners(entries, cost, limits[1])), color="0.6", linewidth=1.2, zorder=1)
    axes.set_xlim(limits)


def _front_corners(entries: list[EntryCosts], cost: str, right: float) -> list[Point]:
    """The corners of the Pareto front: steps from its cheapest point to its best, then level to the right edge."""
    points = sorted(_point_of(entry, cost) for entry in entries if cost in entry.fronts)
    corners = points[:1]
    for (_, score), point in pairwise(points):
        corners += [(point[0], score), point]
    return [*corners, *((right, score) for _, score in points[-1:])]


def _label_front(axes: Axes, entries: list[EntryCosts], cost: str) -> None:
    """Names near the points of the front where they cover nothing, with a thin line where they are further away."""
    front = sorted((entry for entry in entries if cost in entry.fronts), key=lambda entry: _point_of(entry, cost))
    names = ["/".join(shorten(part, MAX_NAME_LENGTH) for part in entry.entry[:2]) for entry in front]
    anchors = [_to_pixels(axes, _point_of(entry, cost)) for entry in front]
    sizes = [_text_size(axes, name) for name in names]
    frame = Box(*map(float, axes.get_window_extent().extents))
    boxes = position_labels(anchors, sizes, _label_obstacles(axes, entries, cost), frame)
    for name, box, anchor in zip(names, boxes, anchors, strict=True):
        x, y = nearest_point(anchor, box)
        arrow = None
        if math.dist(anchor, (x, y)) > MIN_LINE_LENGTH:
            end = (x - box.x0) / (box.x1 - box.x0), (y - box.y0) / (box.y1 - box.y0)
            arrow = {"arrowstyle": "-", "color": "0.5", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3, "relpos": end}
        axes.annotate(
            name,
            _to_data(axes, anchor),
            xytext=_to_data(axes, ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)),
            ha="center",
            va="center",
            fontsize=LABEL_SIZE,
            arrowprops=arrow,
            zorder=4,
        )


def _label_obstacles(axes: Axes, entries: list[EntryCosts], cost: str) -> list[Box]:
    """Rectangles around all points and around the lines of the front, in pixels."""
    obstacles = []
    for entry in entries:
        if not math.isnan(entry.costs[cost]):
            x, y = _to_pixels(axes, _point_of(entry, cost))
            obstacles.append(Box(x - 6, y - 6, x + 6, y + 6))
    corners = [_to_pixels(axes, corner) for corner in _front_corners(entries, cost, axes.get_xlim()[1])]
    for (x0, y0), (x1, y1) in pairwise(corners):
        obstacles.append(Box(min(x0, x1) - 2, min(y0, y1) - 2, max(x0, x1) + 2, max(y0, y1) + 2))
    return obstacles


def _text_size(axes: Axes, text: str) -> tuple[float, float]:
    """Width and height of a label in pixels."""
    label = axes.text(0, 0, text, fontsize=LABEL_SIZE)
    extent = label.get_window_extent()
    label.remove()
    return float(extent.width), float(extent.height)


def _to_pixels(axes: Axes, point: Point) -> Point:
    x, y = axes.transData.transform(point)
    return float(x), float(y)


def _to_data(axes: Axes, point: Point) -> Point:
    x, y = axes.transData.inverted().transform(point)
    return float(x), float(y)
