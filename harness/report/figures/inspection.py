"""Figures of the inspection of a table: what columns contribute, classes along the file, missing values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from harness.report.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Name of a column, score of the column alone, score of all columns without it (NaN where that is not known).
ScoreBar: TypeAlias = tuple[str, float, float]
MAX_SHOWN_CLASSES = 5
MAX_SHOWN_COLUMNS = 40


@style.styled_figure
def column_scores_figure(bars: tuple[ScoreBar, ...], levels: tuple[float, float], metric: str) -> Figure:
    """Draw the scores of single columns, and those of all columns without each.

    Parameters
    ----------
    bars : tuple of ScoreBar
        The columns, the most informative first.
    levels : (chance, full)
        Score without information, and of all columns.
    metric : str
        Name of the metric.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    chance_score, full_score = levels
    figure, axes = style.create_axes(7.5, 1.3 + 0.3 * len(bars))
    positions = range(len(bars))
    axes.barh(
        positions,
        [score_alone - chance_score for _, score_alone, _ in bars],
        left=chance_score,
        height=0.6,
        color=style.BLUE,
        label="alone",
    )
    known_without = [
        (score_without, position)
        for position, (_, _, score_without) in enumerate(bars)
        if not math.isnan(score_without)
    ]
    if known_without:
        x, y = style.split_coordinates(known_without)
        axes.plot(x, y, "D", color=style.ORANGE, label="all columns without it")
    axes.axvline(full_score, color="0.2", linewidth=1, label="all columns")
    axes.axvline(chance_score, color="0.6", linewidth=1, linestyle=":", label="chance")
    axes.set_yticks(positions, [style.shorten_name(name, 30) for name, _, _ in bars], fontsize=style.LABEL_SIZE)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_xlabel(metric)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


@style.styled_figure
def class_shares_figure(shares: tuple[tuple[float, ...], ...], classes: tuple[str, ...], rows: int) -> Figure:
    """Draw the share of classes in equal parts of the file, with the band that chance allows.

    Parameters
    ----------
    shares : tuple of tuple of float
        Share of every class in every part, from the first to the last row.
    classes : tuple of str
        Names of the classes; of two, only the second is drawn.
    rows : int
        Number of rows.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    figure, axes = style.create_axes(7.5, 2.8)
    n_parts = len(shares)
    part_middles = [(part + 0.5) / n_parts * 100 for part in range(n_parts)]
    labels = [1] if len(classes) == 2 else list(range(len(classes)))[:MAX_SHOWN_CLASSES]
    for class_number, label in enumerate(labels):
        class_values = [part[label] for part in shares]
        mean = sum(class_values) / n_parts
        half_width = 1.96 * math.sqrt(mean * (1 - mean) * n_parts / rows)
        colour = style.line_colour(class_number)
        axes.axhspan(max(0.0, mean - half_width), min(1.0, mean + half_width), color=colour, alpha=0.15, linewidth=0)
        axes.plot(
            part_middles, class_values, "o-", color=colour, markersize=3, label=style.shorten_name(classes[label], 30)
        )
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("position in the file (%)")
    axes.set_ylabel("share of the rows")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=5)
    return figure


@style.styled_figure
def missing_values_figure(shares: tuple[tuple[str, float], ...]) -> Figure:
    """Draw the share of missing values of the columns that have any, in per cent."""
    bars = sorted(shares, key=lambda bar: -bar[1])[:MAX_SHOWN_COLUMNS]
    figure, axes = style.create_axes(7.5, 0.9 + 0.22 * len(bars))
    positions = range(len(bars))
    axes.barh(positions, [100 * missing_share for _, missing_share in bars], height=0.6, color=style.BLUE)
    axes.set_yticks(positions, [style.shorten_name(name, 30) for name, _ in bars], fontsize=style.LABEL_SIZE)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_xlabel("missing values (%)")
    return figure
