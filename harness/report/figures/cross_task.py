"""Entries over many tasks: mean ranks with what they tell apart, strengths, battles, practical differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.report.figures.style import BLUE, COLOURS, LABEL, MARKERS, ORANGE, STYLE, cut, figure, files

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = 0.22  #: inches that a line takes
WIDE = 4.2  #: inches of what is not labels
WRITTEN = 16  #: entries at most for which battles are written into their fields
EQUAL = "practically equal"
SIDES = {"left is better": BLUE, EQUAL: "0.82", "right is better": ORANGE}


def rank_figure(
    names: Sequence[str], kinds: Sequence[int], ranks: Sequence[float], spans: Sequence[tuple[int, int]]
) -> dict[str, bytes]:
    """A critical-difference diagram on its side: mean ranks, best above, and lines between who cannot be told apart.

    `kinds` number the families, whose colours and shapes they choose; `spans` are first and last row of each line.
    """
    from matplotlib import rc_context

    with rc_context(STYLE):
        lanes = _lanes(spans)
        columns = max(lanes, default=-1) + 1
        drawn = figure(WIDE + _room(names) + 0.13 * columns, 0.9 + ROW * len(names))
        axes, beside = drawn.subplots(1, 2, sharey=True, width_ratios=[WIDE, 0.13 * columns + 0.1])
        axes.hlines(range(len(names)), min(ranks), ranks, color="0.85", linewidth=0.8, zorder=1)
        _points(axes, kinds, ranks)
        _rows(axes, names)
        axes.set_xlabel("mean rank (1 is best)")
        for (first, last), lane in zip(spans, lanes, strict=True):
            beside.plot([lane, lane], [first, last], color="black", linewidth=2.2, marker="_", markersize=5)
        beside.set_xlim(-0.7, max(columns, 1) - 0.3)
        beside.axis("off")
        return files(drawn)


def strength_figure(
    names: Sequence[str], kinds: Sequence[int], strengths: Sequence[float], ends: Sequence[tuple[float, float]]
) -> dict[str, bytes]:
    """Strengths, strongest above, with their intervals; `ends` are empty where there are none."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        drawn = figure(WIDE + _room(names), 0.9 + ROW * len(names))
        axes = drawn.subplots()
        for at, (lower, upper) in enumerate(ends):
            axes.plot([lower, upper], [at, at], color=COLOURS[kinds[at] % len(COLOURS)], linewidth=1.6, zorder=2)
        axes.axvline(1000, color="0.6", linewidth=0.8, zorder=1)
        _points(axes, kinds, strengths)
        _rows(axes, names)
        axes.set_xlabel("Elo (400 more: ten wins to one)" + (", with 95 % intervals" if ends else ""))
        return files(drawn)


def battle_figure(names: Sequence[str], won: Sequence[Sequence[float]]) -> dict[str, bytes]:
    """How often the row's entry beats the column's, in per cent; columns have the numbers of the rows."""
    from matplotlib import rc_context
    from matplotlib.colors import LinearSegmentedColormap

    k = len(names)
    side = max((0.27 if k <= WRITTEN else 0.16) * k, 1.6)
    with rc_context(STYLE):
        labels = [f"{cut(name)}  {at}" for at, name in enumerate(names, start=1)]
        drawn = figure(side + _room(labels) + 1.5, side + 0.6)
        axes = drawn.subplots()
        colours = LinearSegmentedColormap.from_list("battles", [ORANGE, "white", BLUE])
        shown = [[0.5 if i == j else value for j, value in enumerate(row)] for i, row in enumerate(won)]
        image = axes.imshow(shown, cmap=colours, vmin=0, vmax=1, aspect="auto")
        if k <= WRITTEN:
            _write_fields(axes, won)
        axes.set_xticks(range(k), [str(at + 1) for at in range(k)], fontsize=LABEL)
        axes.set_yticks(range(k), labels, fontsize=LABEL)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("against")
        bar = drawn.colorbar(image, ax=axes, shrink=min(1.0, 2.4 / side), ticks=[0.03, 0.5, 0.97], aspect=14)
        bar.ax.set_yticklabels(["always loses", "half each", "always wins"], fontsize=LABEL)
        bar.outline.set_visible(False)
        return files(drawn)


def practical_figure(
    pairs: Sequence[tuple[str, str]], shares: Sequence[tuple[float, float, float]]
) -> dict[str, bytes]:
    """For each pair the probabilities that the first (left) is better, both are practically equal, the second (right) is."""
    from matplotlib import rc_context

    firsts, seconds = [first for first, _ in pairs], [second for _, second in pairs]
    with rc_context(STYLE):
        drawn = figure(3.4 + _room(firsts) + _room(seconds), 1.2 + 1.2 * ROW * len(pairs))
        axes = drawn.subplots()
        left = [0.0] * len(pairs)
        for side, (word, colour) in enumerate(SIDES.items()):
            widths = [one[side] for one in shares]
            axes.barh(range(len(pairs)), widths, left=left, height=0.72, color=colour, edgecolor="white", label=word)
            for at, width in enumerate(widths):
                if width >= 0.1:
                    text = ">99" if width > 0.995 else f"{100 * width:.0f}"
                    ink = "black" if word == EQUAL else "white"
                    middle = left[at] + width / 2
                    axes.text(middle, at, text, ha="center", va="center", color=ink, fontsize=LABEL, in_layout=False)
            left = [start + width for start, width in zip(left, widths, strict=True)]
        _rows(axes, firsts)
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
        axes.grid(visible=False)
        axes.set_xlabel("probability")
        other = axes.twinx()
        _rows(other, seconds)
        other.spines["right"].set_visible(False)
        other.grid(visible=False)
        drawn.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
        return files(drawn)


def _write_fields(axes: Axes, won: Sequence[Sequence[float]]) -> None:
    for i, row in enumerate(won):
        for j, value in enumerate(row):
            ink = "0.6" if i == j else "white" if abs(value - 0.5) > 0.42 else "black"
            text = "–" if i == j else f"{100 * value:.0f}"
            axes.text(j, i, text, ha="center", va="center", fontsize=7, color=ink, in_layout=False)


def _points(axes: Axes, kinds: Sequence[int], values: Sequence[float]) -> None:
    for at, (kind, value) in enumerate(zip(kinds, values, strict=True)):
        marker = MARKERS[(kind + kind // len(COLOURS)) % len(MARKERS)]
        axes.scatter([value], [at], s=34, marker=marker, color=COLOURS[kind % len(COLOURS)], zorder=3)


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [cut(name) for name in names], fontsize=LABEL)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="x")


def _lanes(spans: Sequence[tuple[int, int]]) -> list[int]:
    """In which lane each line is drawn, so that none touches another."""
    lanes: list[int] = []
    free: list[int] = []  # the first row below the last line of each lane
    for first, last in spans:
        lane = next((at for at, row in enumerate(free) if row < first), len(free))
        free[lane : lane + 1] = [last]
        lanes.append(lane)
    return lanes


def _room(names: Sequence[str]) -> float:
    """Inches that the longest label takes."""
    from matplotlib.textpath import TextPath

    widths = [TextPath((0, 0), name, size=LABEL).get_extents().width for name in map(cut, names) if name.strip()]
    return float(max(widths, default=0.0)) / 72
