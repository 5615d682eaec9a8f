"""Entries over many tasks: mean ranks with critical differences, ratings, pairwise wins, practical equivalence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.report.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW_HEIGHT = 0.22  #: inches
PLOT_WIDTH = 4.2  #: inches, without labels
LANE_WIDTH = 0.13  #: inches
MAX_TEXT_ENTRIES = 16  #: with more entries, pairwise wins are shown by colours only
EQUAL = "practically equal"
OUTCOME_COLOURS = {"left is better": style.BLUE, EQUAL: "0.82", "right is better": style.ORANGE}


@style.styled_figure
def mean_rank_figure(
    names: Sequence[str], kinds: Sequence[int], ranks: Sequence[float], spans: Sequence[tuple[int, int]]
) -> Figure:
    """Draw a critical-difference diagram, with the entries below each other.

    Parameters
    ----------
    names : sequence of str
        The entries, best first.
    kinds : sequence of int
        The number of the family of every entry, which determines colour and marker.
    ranks : sequence of float
        The mean rank of every entry.
    spans : sequence of (first, last)
        Rows whose entries are not significantly different; they are joined by a line.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    span_lanes = _assign_lanes(spans)
    columns = max(span_lanes, default=-1) + 1
    figure = style.create_figure(
        PLOT_WIDTH + _measure_widest_label(names) + LANE_WIDTH * columns, 0.9 + ROW_HEIGHT * len(names)
    )
    axes, span_axes = figure.subplots(1, 2, sharey=True, width_ratios=[PLOT_WIDTH, LANE_WIDTH * columns + 0.1])
    axes.hlines(range(len(names)), min(ranks), ranks, color="0.85", linewidth=0.8, zorder=1)
    _draw_scores(axes, kinds, ranks)
    _label_rows_with_names(axes, names)
    axes.set_xlabel("mean rank (1 is best)")
    for tied_span, span_lane in zip(spans, span_lanes, strict=True):
        span_axes.plot([span_lane, span_lane], tied_span, color="black", linewidth=2.2, marker="_", markersize=5)
    span_axes.set_xlim(-0.7, max(columns, 1) - 0.3)
    span_axes.axis("off")
    return figure


@style.styled_figure
def rating_figure(
    names: Sequence[str], kinds: Sequence[int], ratings: Sequence[float], intervals: Sequence[tuple[float, float]]
) -> Figure:
    """Draw Elo ratings with their 95 % intervals.

    Parameters
    ----------
    names : sequence of str
        The entries, best first.
    kinds : sequence of int
        The number of the family of every entry, which determines colour and marker.
    ratings : sequence of float
        The rating of every entry.
    intervals : sequence of (low, high)
        The interval of every rating; empty where there are none.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    figure, axes = style.create_axes(PLOT_WIDTH + _measure_widest_label(names), 0.9 + ROW_HEIGHT * len(names))
    for row, interval in enumerate(intervals):
        axes.plot(interval, [row, row], color=style.line_colour(kinds[row]), linewidth=1.6, zorder=2)
    axes.axvline(1000, color="0.6", linewidth=0.8, zorder=1)
    _draw_scores(axes, kinds, ratings)
    _label_rows_with_names(axes, names)
    axes.set_xlabel("Elo (400 more: ten wins to one)" + (", with 95 % intervals" if intervals else ""))
    return figure


@style.styled_figure
def pairwise_wins_figure(names: Sequence[str], wins: Sequence[Sequence[float]]) -> Figure:
    """Draw how often the entry of a row is better than that of a column, in per cent.

    Parameters
    ----------
    names : sequence of str
        The entries, whose numbers label the columns.
    wins : sequence of sequence of float
        The share of wins, 0 to 1, of every entry against every other.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    from matplotlib.patches import Patch

    k = len(names)
    figure_size = max((0.27 if k <= MAX_TEXT_ENTRIES else 0.16) * k, 1.6)
    entry_numbers = list(map(str, range(1, k + 1)))
    labels = [
        f"{style.shorten_name(name)}  {entry_number}" for name, entry_number in zip(names, entry_numbers, strict=True)
    ]
    figure, axes = style.create_axes(figure_size + _measure_widest_label(labels) + 0.5, figure_size + 0.9)
    _draw_win_shares(axes, wins)
    axes.set(xlim=(-0.5, k - 0.5), ylim=(k - 0.5, -0.5))
    axes.set_xticks(range(k), entry_numbers, fontsize=style.LABEL_SIZE)
    axes.set_yticks(range(k), labels, fontsize=style.LABEL_SIZE)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("against")
    legend_handles = [
        Patch(color=style.cell_colour(1), label="wins"),
        Patch(color=style.cell_colour(-1), label="loses"),
    ]
    figure.legend(handles=legend_handles, loc="outside upper left", ncols=2)
    return figure


@style.styled_figure
def practical_equivalence_figure(
    pairs: Sequence[tuple[str, str]], shares: Sequence[tuple[float, float, float]]
) -> Figure:
    """Draw, for each pair of entries, the probabilities that one of them is better and that both are practically equal.

    Parameters
    ----------
    pairs : sequence of (left, right)
        The pairs of entries.
    shares : sequence of (left, equal, right)
        The probabilities that the left entry is better, that both are practically equal, that the right one is better.

    Returns
    -------
    Figure
        The figure; callers get its SVG file (see `styled_figure`).
    """
    left_names, right_names = zip(*pairs, strict=True)
    width = 3.4 + _measure_widest_label(left_names) + _measure_widest_label(right_names)
    figure, axes = style.create_axes(width, 1.2 + 1.2 * ROW_HEIGHT * len(pairs))
    bar_starts = [0.0] * len(pairs)
    for (outcome_label, colour), bar_widths in zip(OUTCOME_COLOURS.items(), zip(*shares, strict=True), strict=True):
        axes.barh(
            range(len(pairs)),
            bar_widths,
            left=bar_starts,
            height=0.72,
            color=colour,
            edgecolor="white",
            label=outcome_label,
        )
        for row, outcome_share in enumerate(bar_widths):
            if outcome_share >= 0.1:
                text = ">99" if outcome_share > 0.995 else f"{100 * outcome_share:.0f}"
                share_text_style = {
                    **style.CENTRED_TEXT,
                    "color": "black" if outcome_label == EQUAL else "white",
                    "fontsize": style.LABEL_SIZE,
                }
                axes.text(bar_starts[row] + outcome_share / 2, row, text, in_layout=False, **share_text_style)
            bar_starts[row] += outcome_share
    _label_rows_with_names(axes, left_names)
    axes.set(xlim=(0, 1), xlabel="probability")
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
    axes.grid(visible=False)
    right_axes = axes.twinx()
    _label_rows_with_names(right_axes, right_names)
    right_axes.spines["right"].set_visible(False)
    right_axes.grid(visible=False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _draw_win_shares(axes: Axes, win_shares: Sequence[Sequence[float]]) -> None:
    """A cell for every pair of different entries, with its share where there is room."""
    from matplotlib.patches import Rectangle

    for i, row in enumerate(win_shares):
        for j, win_share in enumerate(row):
            text = "–"
            if i != j:
                text = f"{100 * win_share:.0f}"
                axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=style.cell_colour(2 * win_share - 1)))
            if len(win_shares) <= MAX_TEXT_ENTRIES:
                axes.text(j, i, text, fontsize=7, in_layout=False, **style.CENTRED_TEXT)


def _draw_scores(axes: Axes, family_numbers: Sequence[int], scores: Sequence[float]) -> None:
    for row, (family_number, score) in enumerate(zip(family_numbers, scores, strict=True)):
        axes.scatter(
            [score],
            [row],
            s=34,
            marker=style.family_marker(family_number),
            color=style.line_colour(family_number),
            zorder=3,
        )


def _label_rows_with_names(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), list(map(style.shorten_name, names)), fontsize=style.LABEL_SIZE)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="x")


def _assign_lanes(tied_spans: Sequence[tuple[int, int]]) -> list[int]:
    """The lane in which each line is drawn, so that no two lines overlap."""
    span_lanes: list[int] = []
    last_rows: list[int] = []  # of the last line of each lane
    for first_row, last_row in tied_spans:
        free_lane = next((index for index, row in enumerate(last_rows) if row < first_row), len(last_rows))
        last_rows[free_lane : free_lane + 1] = [last_row]
        span_lanes.append(free_lane)
    return span_lanes


def _measure_widest_label(names: Sequence[str]) -> float:
    """The width of the longest label in inches."""
    from harness.report.figures.layout import measure_text

    return max((measure_text(style.shorten_name(name), style.LABEL_SIZE)[0] for name in names), default=0.0) / 72
