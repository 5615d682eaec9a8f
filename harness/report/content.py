"""The content of a report as values: texts, tables of numbers, figures. `report.render` turns them into files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, TypeAlias

from harness.evaluation.corrected_t import Estimate
from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import Scores
from harness.findings import Finding
from harness.metrics.threshold import ThresholdGoal
from harness.store.store import Store

#: How the cells of a column are written: as they are, with a colour on the page if they are verdicts; with a fixed number of
#: decimals, or these with a sign; as a whole number; as an amount with three significant digits; as a share in per cent, with
#: the decimals of the column or with one below ten per cent; as a multiple, ×2; as a p value.
ColumnFormat: TypeAlias = Literal[
    "text", "verdict", "number", "change", "count", "quantity", "percent", "share", "multiple", "p_value"
]


MIN_COMPARED_ROWS = 3  #: of a table whose constant columns are left out


@dataclass(frozen=True)
class MeanInterval:
    """A mean with half the width of its 95 % interval, NaN where there is none, and its ends where it is not symmetric."""

    mean: float
    half_width: float = math.nan
    ends: tuple[float, float] | None = None


@dataclass(frozen=True)
class Interval:
    """The ends of an interval; `estimate` is what it is the interval of, NaN where the interval stands alone."""

    low: float
    high: float
    estimate: float = math.nan


def estimate_to_interval(estimate: Estimate) -> MeanInterval:
    """Take the mean and the interval of an estimate."""
    return MeanInterval(estimate.mean, estimate.ci_half_width, estimate.interval)


#: What a cell holds; None and NaN where there is nothing to say.
CellValue: TypeAlias = str | float | MeanInterval | Interval | None


@dataclass(frozen=True)
class ReportCell:
    """A value with emphasis.

    Attributes
    ----------
    value : str, float, MeanInterval, Interval or None
        The value.
    best : bool, default False
        Whether it is written in bold: it is the best of its column, or stands out otherwise.
    mark : str, default ""
        A sign before it, such as ≈ for what is not significantly different from the best.
    format : ColumnFormat, optional
        How it is written; as the other cells of its column by default.
    digits : int, optional
        Its decimals; those of its column by default.
    """

    value: CellValue
    best: bool = False
    mark: str = ""
    format: ColumnFormat | None = None
    digits: int | None = None


@dataclass(frozen=True)
class ReportColumn:
    """A column of a table.

    Attributes
    ----------
    heading : str
        Its heading, as plain text.
    format : ColumnFormat, default "text"
        How its cells are written.
    digits : int, default 3
        Decimals of numbers, changes and shares.
    """

    heading: str
    format: ColumnFormat = "text"
    digits: int = 3


@dataclass(frozen=True)
class ReportTable:
    """A table of numbers and texts.

    Attributes
    ----------
    columns : tuple of ReportColumn
        The columns.
    rows : tuple of tuple
        A value or a `Cell` per column. Texts are plain: no Markdown and no HTML. An empty text at the beginning of a row
        repeats the cell above.
    foldable : bool, default True
        Whether the rows after the first 15 are collapsed.
    drawn_column : int, optional
        The position of a column of intervals that the page also draws, on one scale.
    reference : float, default NaN
        A number on that scale that intervals are compared with, such as the score of the baseline; NaN for none.
    stacked : bool, default False
        Whether the numbers of a row, behind its name, count verdicts, which the page also draws as parts of a bar.
    """

    columns: tuple[ReportColumn, ...]
    rows: tuple[tuple[CellValue | ReportCell, ...], ...]
    foldable: bool = True
    drawn_column: int | None = None
    reference: float = math.nan
    stacked: bool = False


@dataclass(frozen=True)
class Figure:
    """A figure to be drawn.

    Attributes
    ----------
    name : str
        The name of its files without ending (see `figures.writer.report_file_name`).
    alt_text : str
        What the figure shows, for readers who cannot see it.
    draw : partial of bytes
        Draws the figure and returns its SVG file. Its arguments are plain values, so that their `repr` tells whether the
        figure has to be drawn again.
    """

    name: str
    alt_text: str
    draw: partial[bytes]


@dataclass(frozen=True)
class CollapsedParts:
    """Parts that a reader unfolds, below a line that says what they are."""

    summary: str
    parts: tuple[Part, ...]


#: A part of a section; a text is Markdown.
Part: TypeAlias = str | ReportTable | Figure | CollapsedParts


@dataclass(frozen=True)
class Section:
    """A heading with parts below it; `task` is empty unless the section is about one task."""

    title: str
    parts: tuple[Part, ...]
    task: str = ""


@dataclass(frozen=True)
class Evidence:
    """What sections are made from: the stored run, the scores of its entries, the ranking of every task, threshold goals.

    `findings` are those about the entries of each task.
    """

    store: Store
    scores: Scores
    rankings: tuple[Ranking, ...]
    goals: tuple[ThresholdGoal, ...] = ()
    findings: Mapping[str, Sequence[Finding]] = field(default_factory=dict)


@dataclass(frozen=True)
class Chart:
    """A chart of every task, as `charts.registry` lists it.

    Attributes
    ----------
    section : str
        The title of the section at whose end it is shown, on the page and in `leaderboard.md`; a section that does not
        exist is made.
    build : callable
        Makes the figure from the ranking of a task and the evidence of the run; None where there is nothing to show.
    """

    section: str
    build: Callable[[Ranking, Evidence], Figure | None]


def mark_best_cells(
    values: Sequence[float], *, greater: bool, digits: int = 3, compared: Sequence[bool] | None = None
) -> list[ReportCell]:
    """Mark the best of several numbers.

    Parameters
    ----------
    values : sequence of float
        The numbers; NaN is never the best.
    greater : bool
        Whether the greatest is the best, else the least.
    digits : int, default 3
        The number of decimals: all numbers that equal the best after rounding are marked.
    compared : sequence of bool, optional
        Which numbers may be the best; all by default.

    Returns
    -------
    list of ReportCell
        A cell per number.
    """
    candidate_values = list(values)
    if compared is not None:
        candidate_values = [
            cell_value if may_be_best else math.nan for cell_value, may_be_best in zip(values, compared, strict=True)
        ]
    known_values = [cell_value for cell_value in candidate_values if not math.isnan(cell_value)]
    best_text = ""
    if known_values:
        best_text = f"{max(known_values) if greater else min(known_values):.{digits}f}"
    return [
        ReportCell(cell_value, f"{candidate_value:.{digits}f}" == best_text)
        for cell_value, candidate_value in zip(values, candidate_values, strict=True)
    ]


def drop_constant_columns(
    table: ReportTable,
) -> tuple[ReportTable, list[tuple[ReportColumn, CellValue | ReportCell]]]:
    """Leave out the columns whose cells are all the same, except for the first.

    Parameters
    ----------
    table : ReportTable
        The table.

    Returns
    -------
    tuple of (ReportTable, list of (ReportColumn, CellValue))
        The table, and the columns that were left out with what all of their cells hold, without those that hold nothing. A
        table of few rows stays as it is, and so does one of which only the first column would remain.
    """
    if len(table.rows) < MIN_COMPARED_ROWS:
        return table, []
    positions, shared_columns = _separate_constant_columns(table)
    if shared_columns and len(positions) == 1:
        return table, []
    drawn_column = None if table.drawn_column is None else positions.index(table.drawn_column)
    rows = tuple(tuple(row[position] for position in positions) for row in table.rows)
    columns = tuple(table.columns[position] for position in positions)
    return replace(table, columns=columns, rows=rows, drawn_column=drawn_column), shared_columns


def _separate_constant_columns(
    table: ReportTable,
) -> tuple[list[int], list[tuple[ReportColumn, CellValue | ReportCell]]]:
    """Positions of the columns that differ between rows, and the other columns with what they hold."""
    first_row = table.rows[0]
    positions, shared_columns = [0], []
    for position in range(1, len(table.columns)):
        if position == table.drawn_column or not _is_constant_column(table, position):
            positions.append(position)
        elif not _is_empty_cell(first_row[position]):
            shared_columns.append((table.columns[position], first_row[position]))
    return positions, shared_columns


def _is_constant_column(table: ReportTable, column_position: int) -> bool:
    first_cell_text = repr(table.rows[0][column_position])
    return all(repr(row[column_position]) == first_cell_text for row in table.rows)


def _is_empty_cell(cell: CellValue | ReportCell) -> bool:
    return cell in (None, "") or repr(cell) == "nan"


def find_tables(parts: Iterable[Part]) -> Iterator[ReportTable]:
    """Iterate over the tables among parts, including those that are collapsed."""
    for section_part in parts:
        if isinstance(section_part, ReportTable):
            yield section_part
        elif isinstance(section_part, CollapsedParts):
            yield from find_tables(section_part.parts)
