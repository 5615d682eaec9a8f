"""How networks were trained, and their architectures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness.evaluation.training import Architecture, ChosenArchitectures
from harness.report.figures.style import (
    BLUE,
    ORANGE,
    create_figure,
    create_panels,
    set_plain_log_ticks,
    shorten,
    shorten_lines,
    styled_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANELS = 9
MAX_ARCHITECTURES = 6
MAX_TEXT_LENGTH = 32  #: characters of a title, and of a text that is alone in a line of a layer's box
MAX_KIND_LENGTH, MAX_LAYER_NAME_LENGTH = 36, 22  #: beside the shape of the output, beside the number of parameters
MIN_LOG_RATIO = 20  #: of the greatest to the least loss, from which on the scale is logarithmic


class Losses(NamedTuple):
    """The losses of one fit, epoch by epoch, and the epoch whose weights were kept, counted from 1."""

    train: tuple[float, ...]
    validation: tuple[float, ...]
    epoch: int


@styled_figure
def convergence_figure(lines: Sequence[tuple[str, tuple[Losses, ...]]]) -> Figure:
    """Draw training and validation loss by epoch: fits as thin lines, their mean as a bold one.

    Parameters
    ----------
    lines : sequence of (str, tuple of Losses)
        A panel for every entry and loss function: its title, and the losses of its fits.

    Returns
    -------
    Figure
        The figure; callers get its files by ending (see `styled_figure`).
    """
    lines = lines[:MAX_PANELS]
    columns = min(len(lines), 3)
    figure, panels = create_panels(len(lines), columns, width=1.0 + 3.3 * columns, margin=0.7, row_height=2.6)
    for axes, (title, fits) in zip(panels, lines, strict=True):
        _draw_losses(axes, [fit.train for fit in fits], "train", ORANGE)
        _draw_losses(axes, [fit.validation for fit in fits], "validation", BLUE)
        epoch_losses = [[*fit.validation[fit.epoch - 1 : fit.epoch], np.nan][0] for fit in fits]
        epochs = [fit.epoch for fit in fits]
        axes.plot(epochs, epoch_losses, "o", color=BLUE, markersize=4, label="epoch kept")
        axes.set_title(shorten_lines(title, MAX_TEXT_LENGTH + 8))
        low, high = axes.dataLim.intervaly
        if 0 < MIN_LOG_RATIO * low < high:
            axes.set_yscale("log")
            set_plain_log_ticks(axes.yaxis)
        axes.locator_params(axis="x", integer=True)
    for axes in panels[::columns]:
        axes.set_ylabel("loss")
    for axes in panels[-columns:]:
        axes.set_xlabel("epoch")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


@styled_figure
def architecture_figure(entries: list[ChosenArchitectures]) -> Figure:
    """Draw the architecture that most splits of each entry chose, with its layers from top to bottom.

    Parameters
    ----------
    entries : list of ChosenArchitectures
        The entries, a column each; six at most are drawn.

    Returns
    -------
    Figure
        The figure; callers get its files by ending (see `styled_figure`).
    """
    entries = entries[:MAX_ARCHITECTURES]
    max_layers = max(len(entry.architectures[0].layers) for entry in entries)
    figure = create_figure(3.3 * len(entries), 0.6 + 0.62 * max_layers)
    for axes, entry in zip(figure.subplots(1, len(entries), squeeze=False)[0], entries, strict=True):
        architecture = entry.architectures[0]
        axes.set(xlim=(0, 1), ylim=(-max_layers, 0))
        axes.axis("off")
        splits = f"{architecture.splits} of {entry.splits} splits"
        title = f"{shorten(entry.entry.strategy, MAX_TEXT_LENGTH)}\n{splits}\n{size_text(architecture)}"
        axes.set_title(title)
        for index, layer in enumerate(architecture.layers):
            _draw_layer(axes, index, *layer)
    return figure


def size_text(architecture: Architecture) -> str:
    """Say how many parameters a network has, and how many of them were trained where not all were."""
    size = f"{architecture.parameters:,} parameters"
    return f"{size}, {architecture.trained:,} trained" if architecture.frozen else size


def shape_text(shape: tuple[int, ...]) -> str:
    """Write the shape of an output: `28 × 28 × 1`; a length that varies is `any`."""
    return " × ".join(str(length or "any") for length in shape)


def _draw_losses(axes: Axes, losses: Sequence[tuple[float, ...]], name: str, colour: str) -> None:
    curves = list(filter(None, losses))
    for curve in curves:
        axes.plot(range(1, len(curve) + 1), curve, color=colour, alpha=0.35, linewidth=0.7)
    if curves:
        # Beyond the shortest fit the mean would be over other fits, and jump.
        epochs = min(map(len, curves))
        mean = np.array([curve[:epochs] for curve in curves]).mean(axis=0)
        axes.plot(range(1, epochs + 1), mean, color=colour, linewidth=2, label=f"{name}, mean")


def _draw_layer(axes: Axes, index: int, name: str, kind: str, shape: tuple[int, ...], parameters: int) -> None:
    from matplotlib.patches import FancyBboxPatch

    box = FancyBboxPatch((0.03, -index - 0.72), 0.94, 0.66, "round,pad=0,rounding_size=0.05", mutation_aspect=4)
    box.set(facecolor="#E8F1F8" if parameters else "white", edgecolor="0.4", linewidth=0.8)
    axes.add_patch(box)
    size = f"{parameters:,} parameters" if parameters else ""
    small: dict[str, Any] = {"fontsize": 7.0, "color": "0.35"}
    # The shape, which is the shorter text, is beside the kind, which has larger letters than the name.
    output = shape_text(shape)
    axes.text(0.07, -index - 0.26, shorten(kind, MAX_KIND_LENGTH - round(0.75 * len(output))), va="center")
    axes.text(0.93, -index - 0.26, output, va="center", ha="right", **small)
    name_text = shorten(name, MAX_LAYER_NAME_LENGTH if size else MAX_TEXT_LENGTH)
    axes.text(0.07, -index - 0.55, name_text, va="center", **small)
    axes.text(0.93, -index - 0.55, size, va="center", ha="right", **small)
    if index:
        arrow = {"arrowstyle": "-|>", "color": "0.4"}
        axes.annotate("", (0.5, -index - 0.06), (0.5, -index + 0.28), arrowprops=arrow)
