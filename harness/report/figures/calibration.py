"""What recalibrating changes, entry by entry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from harness.report.figures.style import COLOURS, LABEL, MARKERS, STYLE, cut, figure, files

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Calibration, then mean and half interval of the differences of log loss and of Brier.
Change: TypeAlias = tuple[str, float, float, float, float]
Entries: TypeAlias = tuple[tuple[str, tuple[Change, ...]], ...]
PANELS = (("Δ log loss", 1), ("Δ Brier", 3))
FAR = 2.0  #: an interval that reaches so many times as far as nearly all others is cut off at the edge
ORDER = ("isotonic", "sigmoid", "temperature", "prior")  #: colours and shapes are theirs on every task


def recalibration_figure(entries: Entries) -> dict[str, bytes]:
    """A row per entry, best at the top; by recalibration the change against none with its 95 % interval, in two panels."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        drawn = figure(8.2, 1.3 + 0.52 * len(entries))
        panels = drawn.subplots(1, 2, sharey=True)
        for axes, (label, at) in zip(panels, PANELS, strict=True):
            cut_off = "\n◂ ▸ the interval goes on" if _changes(axes, entries, at) else ""
            axes.set_xlabel(f"{label} against none\n(left of the line: better){cut_off}")
        panels[0].set_yticks(range(len(entries)), [cut(name) for name, _ in entries], fontsize=LABEL)
        panels[0].set_ylim(len(entries) - 0.5, -0.5)
        handles, labels = panels[0].get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
        return files(drawn)


def edge_of(changes: Sequence[tuple[float, float]]) -> float:
    """Where to cut intervals (mean, half) off so that a few wide ones do not flatten all others; 0 where none is that wide.

    No mean is ever cut off.
    """
    known = sorted(abs(mean) + (0.0 if math.isnan(half) else half) for mean, half in changes if not math.isnan(mean))
    if not known:
        return 0.0
    most = max(abs(mean) for mean, _ in changes if not math.isnan(mean))
    edge = max(1.15 * known[int(0.85 * (len(known) - 1))], 1.3 * most)
    return edge if known[-1] > FAR * edge > 0 else 0.0


def _cut_off(axes: Axes, entries: Entries, at: int, edge: float) -> None:
    """Arrow heads where intervals go on beyond the edges."""
    for row, (_, changes) in enumerate(entries):
        for change in changes:
            mean, half = float(change[at]), float(change[at + 1])
            which = ORDER.index(change[0])
            for sign, head in ((-1, "<"), (1, ">")):
                if sign * mean + half > edge:
                    place = [sign * edge], [row + (which - 1.5) * 0.19]
                    axes.plot(*place, head, color=COLOURS[which], markersize=5, clip_on=False)


def _changes(axes: Axes, entries: Entries, at: int) -> bool:
    """Draw the changes of one figure; tells whether an interval was cut off."""
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
    edge = edge_of([(float(one[at]), float(one[at + 1])) for _, changes in entries for one in changes])
    if edge:
        axes.set_xlim(-edge, edge)
        _cut_off(axes, entries, at, edge)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(visible=True, axis="x")
    return bool(edge)
