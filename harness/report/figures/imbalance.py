"""Strategies against doing nothing, as heatmaps: blue is better, orange is worse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np

from harness.report.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_SIDE_BY_SIDE_COLUMNS = 4  #: heatmaps with more columns are below each other
CELL_WIDTH, CELL_HEIGHT = 0.88, 0.42  #: inches
MAX_NAME_LENGTH = 28  #: characters of the name of a row or column
PALE_DEPTH = 0.1  #: of the colour of a difference that is not significant, whatever its size
MIN_DEPTH = 0.35  #: of the colour of a significant difference
MIN_SPAN = 0.05  #: the deepest colour stands for no smaller difference
LEGEND = (
    "blue: better than none · orange: worse · pale: may be chance\n"
    "framed and bold: by more than chance explains, deeper for more"
)


@dataclass(frozen=True)
class HeatmapCell:
    """A cell of a heatmap.

    Attributes
    ----------
    value : float
        Determines the colour; above zero is better. NaN is grey.
    text : str
        The text in the cell.
    marked : bool
        Whether the difference is significant; all others are pale.
    """

    value: float
    text: str
    marked: bool = False


@dataclass(frozen=True)
class Heatmap:
    """A heatmap.

    Attributes
    ----------
    title : str
        The title.
    cells : tuple of tuple of HeatmapCell
        The cells, a tuple per row.
    span : float
        The value of the deepest colour where no cell is marked or pale, as with counts; 0 otherwise.
    """

    title: str
    cells: tuple[tuple[HeatmapCell, ...], ...]
    span: float = 0.0


@style.styled_figure
def heatmap_figure(
    rows: Sequence[str], columns: Sequence[str], panels: Sequence[Heatmap], legend: str = LEGEND
) -> Figure:
    """Draw heatmaps over the same rows and columns; the longer side is drawn vertically.

    Parameters
    ----------
    rows, columns : sequence of str
        The names of rows and columns.
    panels : sequence of Heatmap
        The heatmaps.
    legend : str
        An explanation of the colours.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    rows, columns = ([style.shorten_name(name, MAX_NAME_LENGTH) for name in names] for names in (rows, columns))
    if len(columns) > len(rows):
        rows, columns = columns, rows
        panels = [
            replace(heatmap_panel, cells=tuple(zip(*heatmap_panel.cells, strict=True))) for heatmap_panel in panels
        ]
    panel_columns = 2 if len(panels) > 1 and len(columns) <= MAX_SIDE_BY_SIDE_COLUMNS else 1
    label_width, label_height = 0.08 * max(map(len, rows)), 0.06 * max(map(len, columns))
    width = max(5.6, 0.3 + label_width + panel_columns * (CELL_WIDTH * len(columns) + 0.15))
    height = CELL_HEIGHT * len(rows) + 0.35 + label_height
    figure, all_axes = style.create_panels(len(panels), panel_columns, width=width, margin=0.35, row_height=height)
    for panel_index, (axes, heatmap_panel) in enumerate(zip(all_axes, panels, strict=True)):
        _draw_heatmap_cells(axes, heatmap_panel)
        _label_heatmap_axes(axes, rows, columns, row_names=panel_index % panel_columns == 0)
    figure.supxlabel(legend, fontsize=8)
    return figure


def colour_depths(panel: Heatmap) -> list[list[float]]:
    """Determine how deep the colour of each cell is.

    Differences that are not significant are equally pale whatever their size; of the others the largest is the deepest,
    unless it is below `MIN_SPAN`. With a span of the panel all are shares of it.

    Parameters
    ----------
    panel : Heatmap
        The heatmap.

    Returns
    -------
    list of list of float
        The depths by row and column, from -1 (orange) to 1 (blue); NaN where the value is.
    """
    cell_values = np.array([list(map(attrgetter("value"), row)) for row in panel.cells])
    is_scaled = np.array([list(map(attrgetter("marked"), row)) for row in panel.cells]) | bool(panel.span)
    value_span = panel.span or np.nanmax(np.abs(cell_values), where=is_scaled, initial=MIN_SPAN)
    cell_depths = np.where(
        is_scaled, MIN_DEPTH + (1 - MIN_DEPTH) * np.minimum(np.abs(cell_values) / value_span, 1.0), PALE_DEPTH
    )
    is_colourless = np.isnan(cell_values) | (cell_values == 0)
    signed_depths: list[list[float]] = np.where(
        is_colourless, cell_values, np.copysign(cell_depths, cell_values)
    ).tolist()
    return signed_depths


def _draw_heatmap_cells(axes: Axes, heatmap_panel: Heatmap) -> None:
    from matplotlib.patches import Rectangle

    for y, (row, row_depths) in enumerate(zip(heatmap_panel.cells, colour_depths(heatmap_panel), strict=True)):
        for x, (cell, cell_depth) in enumerate(zip(row, row_depths, strict=True)):
            colour = ("0.5", 0.1) if math.isnan(cell_depth) else style.cell_colour(cell_depth)
            axes.add_patch(Rectangle((x, y), 1, 1, linewidth=0.5, facecolor=colour, edgecolor="0.85"))
            if cell.marked:
                cell_inside = (x + 0.035, y + 0.06)
                axes.add_patch(
                    Rectangle(cell_inside, 0.93, 0.88, fill=False, linewidth=1.6, edgecolor="black", zorder=3)
                )
            font_weight = "bold" if cell.marked else "normal"
            cell_text_style = {**style.CENTRED_TEXT, "fontsize": 7.5, "linespacing": 1.05, "fontweight": font_weight}
            axes.text(x + 0.5, y + 0.5, cell.text, **cell_text_style)
    axes.set(xlim=(0, len(heatmap_panel.cells[0])), ylim=(len(heatmap_panel.cells), 0))
    axes.set_title(heatmap_panel.title, fontweight="bold", loc="left")


def _label_heatmap_axes(
    axes: Axes, row_labels: Sequence[str], column_labels: Sequence[str], *, row_names: bool
) -> None:
    axes.set_xticks(np.arange(len(column_labels)) + 0.5, list(column_labels), rotation=30, ha="right", fontsize=8)
    axes.set_yticks(np.arange(len(row_labels)) + 0.5, list(row_labels), fontsize=8)
    if not row_names:
        axes.set_yticklabels([""] * len(row_labels))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
