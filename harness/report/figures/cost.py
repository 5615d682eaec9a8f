"""Score against what entries cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.report.figures.style import (
    COLOURS,
    LABEL,
    MARKERS,
    STYLE,
    Box,
    cut,
    figure,
    files,
    nearest,
    place_labels,
    plain_numbers,
)
from harness.report.sections.complexity import Weighed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AXES = {
    "fit_seconds": ("seconds to fit", 1.0),
    "model_bytes": ("kB, pickled", 1e-3),
}  #: what stands below, and its unit
NAME = 28  #: characters of the name of a family or strategy


def pareto_figure(weighed: list[Weighed], families: Sequence[str], label: str, *, greater: bool) -> dict[str, bytes]:
    """Score against time to fit and against size, the front drawn and named; `families` order the colours.

    `label` names the score, of which less is better unless `greater`; the better is always above.
    """
    from matplotlib import rc_context

    shown = [name for name in AXES if any(not math.isnan(one.figures[name]) for one in weighed)]
    with rc_context(STYLE):
        drawn = figure(1.5 + 4.4 * len(shown), 4.4)
        panels = drawn.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axes, cost in zip(panels, shown, strict=True):
            _scatter(axes, weighed, cost, families)
            axes.set_xlabel(AXES[cost][0])
        if not greater:
            panels[0].invert_yaxis()
        panels[0].set_ylabel(cut(label))
        handles, labels = panels[0].get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside right center", frameon=False, title="filled: no strategy")
        drawn.draw_without_rendering()
        drawn.set_layout_engine("none")  # labels are placed in a layout that no longer moves
        for axes, cost in zip(panels, shown, strict=True):
            _name_front(axes, weighed, cost)
        return files(drawn)


def _point(one: Weighed, cost: str) -> tuple[float, float]:
    return one.figures[cost] * AXES[cost][1], one.score


def _scatter(axes: Axes, weighed: list[Weighed], cost: str, families: Sequence[str]) -> None:
    axes.set_xscale("log")
    plain_numbers(axes.xaxis)
    for at, family in enumerate(families):
        some = [one for one in weighed if one.entry.family == family]
        colour, marker = COLOURS[at % len(COLOURS)], MARKERS[(at + at // len(COLOURS)) % len(MARKERS)]
        for plain in (False, True):
            points = [_point(one, cost) for one in some if (one.entry.strategy == "none") == plain]
            xs, ys = [x for x, _ in points], [y for _, y in points]
            inside = colour if plain else "none"
            axes.scatter(xs, ys, s=34, marker=marker, edgecolors=colour, facecolors=inside, zorder=3)
        if some:
            axes.scatter([], [], s=34, marker=marker, color=colour, label=cut(family, NAME))
    axes.margins(x=0.1, y=0.12)
    axes.grid(visible=True)
    left, right = axes.get_xlim()
    axes.plot(*zip(*_front(weighed, cost, right), strict=True), color="0.6", linewidth=1.2, zorder=1)
    axes.set_xlim(left, right)


def _front(weighed: list[Weighed], cost: str, right: float) -> list[tuple[float, float]]:
    """The corners of the front: a stair from its cheapest point to its best, level from there to the right edge."""
    points = sorted(_point(one, cost) for one in weighed if cost in one.front)
    stair = [corner for before, after in pairwise(points) for corner in (before, (after[0], before[1]))]
    return [*stair, *points[-1:], *((right, y) for _, y in points[-1:])]


def _name_front(axes: Axes, weighed: list[Weighed], cost: str) -> None:
    """Names beside the points of the front, on free ground, with a thin line where they stand apart."""
    points = [point for one in weighed if not math.isnan((point := _point(one, cost))[0])]
    named = sorted((one for one in weighed if cost in one.front), key=lambda one: _point(one, cost))
    texts = ["/".join(cut(part, NAME) for part in one.entry[:2]) for one in named]
    anchors = [_in_pixels(axes, _point(one, cost)) for one in named]
    near = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in (_in_pixels(axes, point) for point in points)]
    corners = [_in_pixels(axes, corner) for corner in _front(weighed, cost, axes.get_xlim()[1])]
    near += [Box(min(a, c) - 2, min(b, d) - 2, max(a, c) + 2, max(b, d) + 2) for (a, b), (c, d) in pairwise(corners)]
    frame = Box(*map(float, axes.get_window_extent().extents))
    boxes = place_labels(anchors, [_size(axes, text) for text in texts], near, frame)
    for text, box, (x, y) in zip(texts, boxes, anchors, strict=True):
        across, up = nearest((x, y), box)
        apart = math.hypot(across - x, up - y) > 14
        ends = (across - box.left) / (box.right - box.left), (up - box.bottom) / (box.top - box.bottom)
        line = {"arrowstyle": "-", "color": "0.5", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3, "relpos": ends}
        axes.annotate(
            text,
            _in_data(axes, x, y),
            xytext=_in_data(axes, (box.left + box.right) / 2, (box.bottom + box.top) / 2),
            ha="center",
            va="center",
            fontsize=LABEL,
            arrowprops=line if apart else None,
            zorder=4,
        )


def _size(axes: Axes, text: str) -> tuple[float, float]:
    """Width and height of a label in pixels."""
    drawn = axes.text(0, 0, text, fontsize=LABEL)
    extent = drawn.get_window_extent()
    drawn.remove()
    return float(extent.width), float(extent.height)


def _in_pixels(axes: Axes, point: tuple[float, float]) -> tuple[float, float]:
    across, up = axes.transData.transform(point)
    return float(across), float(up)


def _in_data(axes: Axes, x: float, y: float) -> tuple[float, float]:
    across, up = axes.transData.inverted().transform((x, y))
    return float(across), float(up)
