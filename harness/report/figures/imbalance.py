"""Strategies against doing nothing, as a map of tiles: what is blue serves better, what is orange worse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.report.figures.style import BLUE, ORANGE, STYLE, cut, figure, files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ABREAST = 4  #: more columns than that, and the panels stand below each other
WIDE, HIGH = 0.88, 0.42  #: of a tile, in inches
NAME = 28  #: characters of the name of a row or column
PALE = 0.1  #: of the colour, where chance may explain it: whatever the size, so that no unproven one stands out
LEAST = 0.35  #: of the colour, where chance does not explain it
FLOOR = 0.05  #: the deepest colour stands for no smaller difference
DARK = 0.179  #: luminance below which white letters are read better than black ones (WCAG 2)
LEGEND = (
    "blue: better than none · orange: worse · pale: may be chance\n"
    "framed and bold: by more than chance explains, deeper for more"
)


@dataclass(frozen=True)
class Tile:
    """One tile: `value` colours it, above zero for the better; `text` stands in it; pale unless `marked`: no mere chance.

    A NaN is shown as nothing known.
    """

    value: float
    text: str
    marked: bool = False


@dataclass(frozen=True)
class Panel:
    """A map: tiles[row][column]; `span` is the value of the deepest colour where no tile is marked or pale, as of counts."""

    title: str
    tiles: tuple[tuple[Tile, ...], ...]
    span: float = 0.0


def tile_figure(
    rows: Sequence[str], columns: Sequence[str], panels: Sequence[Panel], legend: str = LEGEND
) -> dict[str, bytes]:
    """The panels over the same rows and columns, each coloured as `depths` says; the longer side goes down."""
    from matplotlib import rc_context

    rows, columns = [cut(name, NAME) for name in rows], [cut(name, NAME) for name in columns]
    if len(columns) > len(rows):
        rows, columns = columns, rows
        panels = [Panel(one.title, tuple(zip(*one.tiles, strict=True))) for one in panels]
    with rc_context(STYLE):
        drawn, places = _places(rows, columns, len(panels))
        for at, (axes, panel) in enumerate(zip(places, panels, strict=False)):
            _tiles(axes, panel)
            _label(axes, rows, columns, named=at % (2 if _abreast(columns, len(panels)) else 1) == 0)
        drawn.supxlabel(legend, fontsize=8)
        return files(drawn)


def _abreast(columns: Sequence[str], panels: int) -> bool:
    return len(columns) <= ABREAST and panels > 1


def _places(rows: Sequence[str], columns: Sequence[str], panels: int) -> tuple[Figure, list[Axes]]:
    """A figure with an axes for every panel, as large as its tiles need."""
    across = 2 if _abreast(columns, panels) else 1
    down = -(-panels // across)
    names = 0.08 * max(map(len, rows))
    tall = HIGH * len(rows) + 0.35 + 0.06 * max(map(len, columns))
    drawn = figure(max(5.6, 0.3 + names + across * (WIDE * len(columns) + 0.15)), 0.35 + down * tall)
    places = drawn.subplots(down, across, squeeze=False).ravel().tolist()
    for axes in places[panels:]:
        axes.remove()
    return drawn, places[:panels]


def _tiles(axes: Axes, panel: Panel) -> None:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    colours = LinearSegmentedColormap.from_list("worse_better", [ORANGE, "#FFFFFF", BLUE])
    for down, (line, shares) in enumerate(zip(panel.tiles, depths(panel), strict=True)):
        for across, (tile, share) in enumerate(zip(line, shares, strict=True)):
            colour = (0.95, 0.95, 0.95) if math.isnan(share) else colours(0.5 + share / 2)[:3]
            axes.add_patch(Rectangle((across, down), 1, 1, linewidth=0.5, facecolor=colour, edgecolor="0.85"))
            if tile.marked:
                inside = (across + 0.035, down + 0.06)
                axes.add_patch(Rectangle(inside, 0.93, 0.88, fill=False, linewidth=1.6, edgecolor="black", zorder=3))
            axes.text(
                across + 0.5,
                down + 0.5,
                tile.text,
                ha="center",
                va="center",
                fontsize=7.5,
                linespacing=1.05,
                fontweight="bold" if tile.marked else "normal",
                color="white" if _luminance(colour) < DARK else "black",
            )
    axes.set(xlim=(0, len(panel.tiles[0])), ylim=(len(panel.tiles), 0))
    axes.set_title(panel.title, fontsize=9, fontweight="bold", loc="left")


def depths(panel: Panel) -> list[list[float]]:
    """How deep each tile's colour is, −1 (orange) to 1 (blue); NaN where nothing is known.

    What chance may explain is equally pale whatever its size; of the rest the largest is the deepest, unless it is below
    FLOOR. With a `span` of the panel all are shares of it.
    """
    shown = [abs(tile.value) for line in panel.tiles for tile in line if tile.marked and not math.isnan(tile.value)]
    most = panel.span or max(FLOOR, *shown, 0.0)

    def depth(tile: Tile) -> float:
        if math.isnan(tile.value) or not tile.value:
            return tile.value
        strong = LEAST + (1 - LEAST) * min(abs(tile.value) / most, 1.0)
        return math.copysign(strong if tile.marked or panel.span else PALE, tile.value)

    return [[depth(tile) for tile in line] for line in panel.tiles]


def _luminance(colour: Sequence[float]) -> float:
    """How light a colour looks, 0 to 1: relative luminance of sRGB."""
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _label(axes: Axes, rows: Sequence[str], columns: Sequence[str], *, named: bool) -> None:
    axes.set_xticks([at + 0.5 for at in range(len(columns))], list(columns), rotation=30, ha="right", fontsize=8)
    axes.set_yticks([at + 0.5 for at in range(len(rows))], list(rows) if named else [""] * len(rows), fontsize=8)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
