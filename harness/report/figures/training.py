"""How networks were trained, and what they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness.evaluation.layers import Chosen
from harness.report.figures.style import BLUE, ORANGE, STYLE, shorten, create_figure, encode_figure, set_plain_log_ticks
from harness.report.sections.training_text import shape_text, size_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = 9
COLUMNS = 6  #: entries whose layers are drawn
WIDEST = 32  #: characters of a title, and of what stands in a layer's box alone
KIND, NAME = 36, 22  #: characters of a layer's kind with its shape beside it, and of its name beside its parameters
STEEP = 20  #: from where on losses need a logarithmic scale


class Losses(NamedTuple):
    """The losses of one fit, epoch by epoch, and the epoch that was kept, from 1."""

    train: tuple[float, ...]
    validation: tuple[float, ...]
    epoch: int


def convergence_figure(lines: Sequence[tuple[str, tuple[Losses, ...]]]) -> dict[str, bytes]:
    """Training and validation loss by epoch, a panel for every entry and loss function: thin lines are fits, bold ones their mean."""
    from matplotlib import rc_context

    lines = lines[:PANELS]
    across = min(len(lines), 3)
    down = -(-len(lines) // across)
    with rc_context(STYLE):
        drawn = create_figure(1.0 + 3.3 * across, 0.7 + 2.6 * down)
        panels = drawn.subplots(down, across, squeeze=False)
        for axes in panels.ravel()[len(lines) :]:
            axes.remove()
        for axes, (title, fits) in zip(panels.ravel(), lines, strict=False):
            for name, colour in (("train", ORANGE), ("validation", BLUE)):
                _converge(axes, fits, name, colour)
            axes.set_title("\n".join(shorten(line, WIDEST + 8) for line in title.split("\n")), fontsize=9)
            low, high = axes.dataLim.intervaly
            if 0 < STEEP * low < high:
                axes.set_yscale("log")
                set_plain_log_ticks(axes.yaxis)
            axes.xaxis.get_major_locator().set_params(integer=True)
        for axes in panels[:, 0]:
            axes.set_ylabel("loss")
        for axes in panels.ravel()[max(len(lines) - across, 0) : len(lines)]:
            axes.set_xlabel("epoch")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside lower center", frameon=False, ncols=3)
        return encode_figure(drawn)


def architecture_figure(chosen: list[Chosen]) -> dict[str, bytes]:
    """The architecture that most splits of an entry chose, a column an entry, layers from top to bottom."""
    from matplotlib import rc_context

    chosen = chosen[:COLUMNS]
    tallest = max(len(one.architectures[0].layers) for one in chosen)
    with rc_context(STYLE):
        drawn = create_figure(3.3 * len(chosen), 0.6 + 0.62 * tallest)
        for axes, one in zip(drawn.subplots(1, len(chosen), squeeze=False)[0], chosen, strict=True):
            _stack(axes, one, tallest)
        return encode_figure(drawn)


def _converge(axes: Axes, fits: Sequence[Losses], name: str, colour: str) -> None:
    curves = [curve for fit in fits if (curve := fit.train if name == "train" else fit.validation)]
    for curve in curves:
        axes.plot(range(1, len(curve) + 1), curve, color=colour, alpha=0.35, linewidth=0.7)
    if curves:
        # Beyond the shortest fit the mean would be that of others, and jump.
        until = min(len(curve) for curve in curves)
        table = np.array([curve[:until] for curve in curves])
        axes.plot(range(1, until + 1), table.mean(axis=0), color=colour, linewidth=2, label=f"{name}, mean")
    if name == "validation":
        kept = [(fit.epoch, (*fit.validation[fit.epoch - 1 : fit.epoch], np.nan)[0]) for fit in fits]
        axes.plot(*zip(*kept, strict=True), "o", color=colour, markersize=4, label="epoch kept")


def _stack(axes: Axes, one: Chosen, tallest: int) -> None:
    from matplotlib.patches import FancyBboxPatch

    made = one.architectures[0]
    axes.set(xlim=(0, 1), ylim=(-tallest, 0))
    axes.axis("off")
    title = f"{shorten(one.entry.strategy, WIDEST)}\n{made.splits} of {one.splits} splits\n{size_text(made)}"
    axes.set_title(title, fontsize=9)
    for at, (name, kind, shape, parameters) in enumerate(made.layers):
        box = FancyBboxPatch((0.03, -at - 0.72), 0.94, 0.66, "round,pad=0,rounding_size=0.05", mutation_aspect=4)
        box.set(facecolor="#E8F1F8" if parameters else "white", edgecolor="0.4", linewidth=0.8)
        axes.add_patch(box)
        counted = f"{parameters:,} parameters" if parameters else ""
        small: dict[str, Any] = {"fontsize": 7.0, "color": "0.35"}
        # The shape is the shorter one: it stands beside the kind, which is set larger than the name.
        output = shape_text(shape)
        axes.text(0.07, -at - 0.26, shorten(kind, KIND - round(0.75 * len(output))), va="center")
        axes.text(0.93, -at - 0.26, output, va="center", ha="right", **small)
        axes.text(0.07, -at - 0.55, shorten(name, NAME if counted else WIDEST), va="center", **small)
        axes.text(0.93, -at - 0.55, counted, va="center", ha="right", **small)
        if at:
            axes.annotate("", (0.5, -at - 0.06), (0.5, -at + 0.28), arrowprops={"arrowstyle": "-|>", "color": "0.4"})
