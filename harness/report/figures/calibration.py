"""What recalibrating changes, entry by entry."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from harness.report.figures.style import COLOURS, LABEL, MARKERS, STYLE, cut, figure, files

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Calibration, then mean and half interval of the differences of log loss and of Brier.
Change: TypeAlias = tuple[str, float, float, float, float]
PANELS = (("Δ log loss", 1), ("Δ Brier", 3))
ORDER = ("isotonic", "sigmoid", "temperature", "prior")  #: colours and shapes are theirs on every task


def recalibration_figure(entries: tuple[tuple[str, tuple[Change, ...]], ...]) -> dict[str, bytes]:
    """A row per entry, best at the top; by recalibration the change against none with its 95 % interval, in two panels."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        drawn = figure(8.2, 1.3 + 0.52 * len(entries))
        panels = drawn.subplots(1, 2, sharey=True)
        for axes, (label, at) in zip(panels, PANELS, strict=True):
            _changes(axes, entries, at)
            axes.set_xlabel(f"{label} against none\n(left of the line: better)")
        panels[0].set_yticks(range(len(entries)), [cut(name) for name, _ in entries], fontsize=LABEL)
        panels[0].set_ylim(len(entries) - 0.5, -0.5)
        handles, labels = panels[0].get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
        return files(drawn)


def _changes(axes: Axes, entries: tuple[tuple[str, tuple[Change, ...]], ...], at: int) -> None:
    from matplotlib.ticker import MaxNLocator

    for row in range(1, len(entries), 2):  # bands, so that an entry's marks are seen to be its own
        axes.axhspan(row - 0.5, row + 0.5, color="0.96", zorder=0)
    axes.axvline(0, color="0.4", linewidth=1, zorder=1)
    for which, calibration in enumerate(ORDER):
        points = [
            (row + (which - 1.5) * 0.19, float(change[at]), float(change[at + 1]))
            for row, (_, changes) in enumerate(entries)
            for change in changes
            if change[0] == calibration and not math.isnan(float(change[at]))
        ]
        if points:
            ys, means, halves = zip(*points, strict=True)
            widths = [0.0 if math.isnan(half) else half for half in halves]
            form = f"{MARKERS[which]} "  # a shape and no line
            axes.errorbar(
                means, ys, xerr=widths, fmt=form, color=COLOURS[which], label=calibration, markersize=4, elinewidth=1.1
            )
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(visible=True, axis="x")
