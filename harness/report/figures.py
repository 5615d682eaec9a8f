"""The pictures of a run; the only module here that imports matplotlib.

Colours are Okabe and Ito's (Color Universal Design, 2008), told apart by the colour-blind; shapes tell the same again.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.report.complexity import Weighed
from harness.report.curves import Fit, Trained
from harness.report.layers import Chosen, shape_text
from harness.report.placing import Box, place_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

BLUE, ORANGE = "#0072B2", "#D55E00"
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "os^Dv<>"
LABEL = 8  #: points
PANELS = 6
WIDEST = 32  #: characters in a layer's box
STEEP = 20  #: from where on losses need a logarithmic scale
AXES = {
    "fit_seconds": ("seconds to fit", 1.0),
    "model_bytes": ("kB, pickled", 1e-3),
}  #: what stands below, and its unit
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "text.parse_math": False,  # a dollar in a name begins no formula
    "svg.hashsalt": "evenhand",  # the same figure gives the same bytes
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "0.92",
}


def pareto_figure(weighed: list[Weighed], families: Sequence[str], label: str, *, greater: bool) -> dict[str, bytes]:
    """Score against time to fit and against size, the front drawn and named; `families` order the colours.

    `label` names the score, of which less is better unless `greater`; the better is always above.
    """
    from matplotlib import rc_context

    shown = [name for name in AXES if any(not math.isnan(one.figures[name]) for one in weighed)]
    with rc_context(STYLE):
        figure = _figure(1.5 + 4.4 * len(shown), 4.4)
        panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axes, cost in zip(panels, shown, strict=True):
            _scatter(axes, weighed, cost, families)
            axes.set_xlabel(AXES[cost][0])
        if not greater:
            panels[0].invert_yaxis()
        panels[0].set_ylabel(label)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", frameon=False, title="filled: no strategy")
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # labels are placed in a layout that no longer moves
        for axes, cost in zip(panels, shown, strict=True):
            _name_front(axes, weighed, cost)
        return _files(figure)


def convergence_figure(lines: list[tuple[str, Trained]]) -> dict[str, bytes]:
    """Training and validation loss by epoch, an entry a panel: thin lines are fits, bold ones their mean."""
    from matplotlib import rc_context

    lines = lines[:PANELS]
    across = min(len(lines), 3)
    down = -(-len(lines) // across)
    with rc_context(STYLE):
        figure = _figure(1.0 + 3.3 * across, 0.7 + 2.6 * down)
        panels = figure.subplots(down, across, squeeze=False)
        for axes in panels.ravel()[len(lines) :]:
            axes.remove()
        for axes, (title, trained) in zip(panels.ravel(), lines, strict=False):
            for name, colour in (("train", ORANGE), ("validation", BLUE)):
                _converge(axes, trained.fits, name, colour)
            axes.set_title(title, fontsize=9)
            low, high = axes.dataLim.intervaly
            if 0 < STEEP * low < high:
                axes.set_yscale("log")
                _plain_numbers(axes.yaxis)
            axes.xaxis.get_major_locator().set_params(integer=True)
        for axes in panels[:, 0]:
            axes.set_ylabel("loss")
        for axes in panels.ravel()[max(len(lines) - across, 0) : len(lines)]:
            axes.set_xlabel("epoch")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", frameon=False, ncols=3)
        return _files(figure)


def architecture_figure(chosen: list[Chosen]) -> dict[str, bytes]:
    """The architecture that most splits of an entry chose, a column an entry, layers from top to bottom."""
    from matplotlib import rc_context

    chosen = chosen[:PANELS]
    tallest = max(len(one.architectures[0][0]) for one in chosen)
    with rc_context(STYLE):
        figure = _figure(3.3 * len(chosen), 0.6 + 0.62 * tallest)
        for axes, one in zip(figure.subplots(1, len(chosen), squeeze=False)[0], chosen, strict=True):
            _stack(axes, one, tallest)
        return _files(figure)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _files(figure: Figure) -> dict[str, bytes]:
    """A figure by the ending of its file; the same figure gives the same bytes."""
    found = {}
    for ending, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        file = io.BytesIO()
        figure.savefig(file, format=ending, dpi=130, metadata=metadata)
        found[ending] = file.getvalue()
    return found


def _point(one: Weighed, cost: str) -> tuple[float, float]:
    return one.figures[cost] * AXES[cost][1], one.score


def _scatter(axes: Axes, weighed: list[Weighed], cost: str, families: Sequence[str]) -> None:
    axes.set_xscale("log")
    _plain_numbers(axes.xaxis)
    for at, family in enumerate(families):
        some = [one for one in weighed if one.entry.family == family]
        colour, marker = COLOURS[at % len(COLOURS)], MARKERS[(at + at // len(COLOURS)) % len(MARKERS)]
        for plain in (False, True):
            points = [_point(one, cost) for one in some if (one.entry.strategy == "none") == plain]
            xs, ys = [x for x, _ in points], [y for _, y in points]
            inside = colour if plain else "none"
            axes.scatter(xs, ys, s=34, marker=marker, edgecolors=colour, facecolors=inside, zorder=3)
        if some:
            axes.scatter([], [], s=34, marker=marker, color=colour, label=family)
    axes.margins(x=0.1, y=0.12)
    axes.grid(visible=True)
    left, right = axes.get_xlim()
    axes.plot(*zip(*_front(weighed, cost, right), strict=True), color="0.6", linewidth=1.2, zorder=1)
    axes.set_xlim(left, right)


def _plain_numbers(axis: Axis) -> None:
    """Label a logarithmic axis at 1, 2, 5, 10 and so on, without powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1000 else f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _front(weighed: list[Weighed], cost: str, right: float) -> list[tuple[float, float]]:
    """The corners of the front: a stair from its cheapest point to its best, level from there to the right edge."""
    points = sorted(_point(one, cost) for one in weighed if cost in one.front)
    stair = [corner for before, after in pairwise(points) for corner in (before, (after[0], before[1]))]
    return [*stair, *points[-1:], *((right, y) for _, y in points[-1:])]


def _name_front(axes: Axes, weighed: list[Weighed], cost: str) -> None:
    """Names beside the points of the front, on free ground, with a thin line where they stand apart."""
    points = [point for one in weighed if not math.isnan((point := _point(one, cost))[0])]
    named = sorted((one for one in weighed if cost in one.front), key=lambda one: _point(one, cost))
    texts = ["/".join(one.entry[:2]) for one in named]
    anchors = [_in_pixels(axes, _point(one, cost)) for one in named]
    near = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in (_in_pixels(axes, point) for point in points)]
    corners = [_in_pixels(axes, corner) for corner in _front(weighed, cost, axes.get_xlim()[1])]
    near += [Box(min(a, c) - 2, min(b, d) - 2, max(a, c) + 2, max(b, d) + 2) for (a, b), (c, d) in pairwise(corners)]
    frame = Box(*map(float, axes.get_window_extent().extents))
    boxes = place_labels(anchors, [_size(axes, text) for text in texts], near, frame)
    for text, box, (x, y) in zip(texts, boxes, anchors, strict=True):
        apart = math.hypot(max(box.left - x, x - box.right, 0), max(box.bottom - y, y - box.top, 0)) > 14
        line = {"arrowstyle": "-", "color": "0.5", "linewidth": 0.6, "shrinkA": 2, "shrinkB": 3}
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


def _converge(axes: Axes, fits: Sequence[Fit], name: str, colour: str) -> None:
    curves = [curve for fit in fits if len(curve := fit.curves.get(f"{name}_loss", np.zeros(0)))]
    for curve in curves:
        axes.plot(range(1, len(curve) + 1), curve, color=colour, alpha=0.35, linewidth=0.7)
    if curves:
        # Beyond the epoch that half of the fits reach, the mean would be that of a few.
        until = int(np.median([len(curve) for curve in curves]))
        table = np.full((len(curves), until), np.nan)
        for row, curve in zip(table, curves, strict=True):
            row[: len(curve)] = curve[:until]
        axes.plot(range(1, until + 1), np.nanmean(table, axis=0), color=colour, linewidth=2, label=f"{name}, mean")
    if name == "validation":
        kept = [(fit.epoch, fit.kept("validation_loss")) for fit in fits]
        axes.plot(*zip(*kept, strict=True), "o", color=colour, markersize=4, label="epoch kept")


def _stack(axes: Axes, one: Chosen, tallest: int) -> None:
    from matplotlib.patches import FancyBboxPatch

    layers, n = one.architectures[0]
    axes.set(xlim=(0, 1), ylim=(-tallest, 0))
    axes.axis("off")
    total = sum(parameters for *_, parameters in layers)
    axes.set_title(f"{one.entry.strategy}\n{n} of {one.splits} splits, {total:,} parameters", fontsize=9)
    for at, (name, kind, shape, parameters) in enumerate(layers):
        box = FancyBboxPatch((0.03, -at - 0.72), 0.94, 0.66, "round,pad=0,rounding_size=0.05", mutation_aspect=4)
        box.set(facecolor="#E8F1F8" if parameters else "white", edgecolor="0.4", linewidth=0.8)
        axes.add_patch(box)
        counted = f"{parameters:,} parameters" if parameters else ""
        small: dict[str, Any] = {"fontsize": 7.0, "color": "0.35"}
        axes.text(0.07, -at - 0.26, _cut(kind), va="center")
        axes.text(0.93, -at - 0.26, counted, va="center", ha="right", **small)
        axes.text(0.07, -at - 0.55, _cut(name), va="center", **small)
        axes.text(0.93, -at - 0.55, shape_text(shape), va="center", ha="right", **small)
        if at:
            axes.annotate("", (0.5, -at - 0.06), (0.5, -at + 0.28), arrowprops={"arrowstyle": "-|>", "color": "0.4"})


def _cut(text: str) -> str:
    """A text that fits into a box; the whole of it stands in the tables."""
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"
