"""Numbers and the cells of tables as plain text, the same in every form of a report."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from itertools import pairwise

from harness.evaluation.corrected_t import Estimate
from harness.report.content import (
    CellValue,
    ColumnFormat,
    Interval,
    MeanInterval,
    ReportCell,
    ReportColumn,
    ReportTable,
)

MISSING_DASH = "–"
#: Characters that change how a text is read, and lone surrogates, which no file can hold.
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
SHARE_UNIT = " %"


def format_number(value: float, digits: int = 3) -> str:
    """Format a number with a fixed number of decimals.

    Parameters
    ----------
    value : float
        The number; NaN gives a dash.
    digits : int, default=3
        The number of decimals.

    Returns
    -------
    str
        The number with a typographic minus sign; what rounds to zero has no sign.
    """
    if math.isnan(value):
        return MISSING_DASH
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        return text.lstrip("-")
    return text.replace("-", "−")


def format_quantity(value: float) -> str:
    """Format a duration, a count or an amount with three significant digits.

    Parameters
    ----------
    value : float
        The quantity; NaN and infinities give a dash.

    Returns
    -------
    str
        Without decimals, and with thousands separators, for whole numbers and from 100 on.
    """
    if not math.isfinite(value):
        return MISSING_DASH
    text = f"{value:.3g}"
    if abs(value) >= 100 or value == int(value):
        text = f"{value:,.0f}"
    return f"−{text[1:]}" if text.startswith("-") else text


def format_interval(
    mean: float,
    half_width: float,
    *,
    ends: tuple[float, float] | None = None,
    signed: bool = False,
    digits: int = 3,
) -> str:
    """Format a mean with its confidence interval, as in ``0.662 ± 0.021`` or ``0.988 [0.944, 0.997]``.

    Parameters
    ----------
    mean : float
        The mean.
    half_width : float
        Half the width of the interval; NaN where there is none: the mean is written alone.
    ends : (float, float), optional
        The ends of an interval that is not symmetric, which are written instead.
    signed : bool, default=False
        Whether a positive mean has a plus sign.
    digits : int, default=3
        The number of decimals.

    Returns
    -------
    str
        The mean and the half width.
    """
    text = format_number(mean, digits)
    if signed and round(mean, digits) > 0:
        text = f"+{text}"
    if math.isnan(half_width):
        return text
    if ends is not None:
        return f"{text} [{format_number(ends[0], digits)}, {format_number(ends[1], digits)}]"
    return f"{text} ± {format_number(half_width, digits)}"


def format_p_value(p: float) -> str:
    """Write a p value with three decimals."""
    return "< 0.001" if p < 0.001 else format_number(p)


def format_percent(share: float, digits: int = 0) -> str:
    """Write a share in per cent; with a decimal more where it would be rounded to 0 or 100 without being that."""
    text = format_number(100 * share, digits)
    if 0 < share < 1 and float(text) in (0, 100):
        text = format_number(100 * share, digits + 1)
    return f"{text} %"


def format_share(share: float) -> str:
    """Write a share in per cent, with a decimal below ten per cent; a dash where it is not finite."""
    share_text = _format_share_number(share)
    return share_text if share_text == MISSING_DASH else f"{share_text}{SHARE_UNIT}"


def _format_share_number(unit_share: float) -> str:
    if not math.isfinite(unit_share):
        return MISSING_DASH
    return format_number(100 * unit_share, 1 if 0 < abs(unit_share) < 0.0995 else 0)


def format_multiple(multiple: float) -> str:
    """Write a multiple with two significant digits: ×0.82, ×1.5, ×120."""
    if not math.isfinite(multiple):
        return MISSING_DASH
    return f"×{multiple:.2g}" if abs(multiple) < 99.5 else f"×{multiple:,.0f}"


def format_range(low: float, high: float, number_format: ColumnFormat = "number", digits: int = 3) -> str:
    """Write the ends of an interval in a format: `3 to 5`, `2 to 4 %`, `3` where both are written alike."""
    low_text, high_text = (NUMBER_FORMATS[number_format](range_end, digits) for range_end in (low, high))
    if low_text == high_text:
        return low_text
    if number_format == "share":
        low_text = _format_share_number(low)  # the unit is written once
    return f"{low_text} to {high_text}"


def format_estimate_and_range(interval: Interval, number_format: ColumnFormat = "number", digits: int = 3) -> str:
    """Write an interval, behind its estimate in parentheses: `4 (3 to 5)`; without an estimate alone."""
    range_text = format_range(interval.low, interval.high, number_format, digits)
    if math.isnan(interval.estimate):
        return range_text
    return f"{NUMBER_FORMATS[number_format](interval.estimate, digits)} ({range_text})"


def format_estimate(estimate: Estimate, *, signed: bool = False, digits: int = 3) -> str:
    """Write a mean with its interval: `0.662 ± 0.021`; with `signed` also a plus above zero."""
    estimate_mean, half_width = estimate.mean, estimate.ci_half_width
    return format_interval(estimate_mean, half_width, ends=estimate.interval, signed=signed, digits=digits)


def format_change(change: Estimate) -> str:
    """Write a difference with its sign and its interval."""
    return format_estimate(change, signed=True)


def format_signed(change: float, digits: int = 3) -> str:
    """Write a difference with its sign."""
    return format_interval(change, math.nan, signed=True, digits=digits)


def wrap_as_cell(cell: CellValue | ReportCell) -> ReportCell:
    """Wrap a plain value as a cell without emphasis."""
    return cell if isinstance(cell, ReportCell) else ReportCell(cell)


def replace_control_characters(text: str) -> str:
    """Replace control characters and those that change the reading direction, and join the words by single spaces."""
    return CONTROL_CHARACTERS.sub("�", " ".join(str(text).split()))


def format_value(column: ReportColumn, cell: CellValue | ReportCell) -> str:
    """Format the value of a cell as its column says, or as the cell does.

    Parameters
    ----------
    column : ReportColumn
        The column.
    cell : str, float, MeanInterval, Interval, None or ReportCell
        The value; texts stay as they are, on one line.

    Returns
    -------
    str
        Plain text without mark and emphasis; a dash where there is nothing.
    """
    wrapped_cell = wrap_as_cell(cell)
    cell_value, number_format = wrapped_cell.value, wrapped_cell.format or column.format
    digits = column.digits if wrapped_cell.digits is None else wrapped_cell.digits
    if isinstance(cell_value, str):
        return replace_control_characters(cell_value)
    if isinstance(cell_value, MeanInterval):
        is_signed = number_format == "change"
        return format_interval(
            cell_value.mean, cell_value.half_width, ends=cell_value.ends, signed=is_signed, digits=digits
        )
    if isinstance(cell_value, Interval):
        return format_estimate_and_range(cell_value, number_format, digits)
    if cell_value is None or math.isnan(cell_value):
        return MISSING_DASH
    return NUMBER_FORMATS[number_format](cell_value, digits)


#: How numbers are written, by the format of their column.
NUMBER_FORMATS: dict[ColumnFormat, Callable[[float, int], str]] = {
    "text": format_number,
    "verdict": format_number,
    "number": format_number,
    "change": lambda number, digits: format_interval(number, math.nan, signed=True, digits=digits),
    "count": lambda number, _digits: f"{number:,.0f}",
    "quantity": lambda number, _digits: format_quantity(number),
    "percent": format_percent,
    "share": lambda share, _digits: format_share(share),
    "multiple": lambda multiple, _digits: format_multiple(multiple),
    "p_value": lambda p, _digits: format_p_value(p),
}


def format_cell(column: ReportColumn, cell: CellValue | ReportCell) -> str:
    """Format a cell with its mark, without emphasis."""
    wrapped_cell = wrap_as_cell(cell)
    text = format_value(column, wrapped_cell)
    return f"{wrapped_cell.mark} {text}" if wrapped_cell.mark else text


def right_aligned_columns(table: ReportTable) -> list[bool]:
    """Whether each column is aligned to the right: those of numbers are, unless all of their cells are empty."""
    is_right_aligned = []
    for position, column in enumerate(table.columns):
        texts = [format_value(column, row[position]) for row in table.rows]
        is_right_aligned.append(column.format not in ("text", "verdict") and not set(texts) <= {MISSING_DASH, ""})
    return is_right_aligned


def fill_repeated_texts(table: ReportTable) -> list[list[CellValue | ReportCell]]:
    """Rows in which the texts that a row leaves out at its beginning are those of the row above."""
    rows = [list(row) for row in table.rows]
    for row_above, row in pairwise(rows):
        for position, cell in enumerate(row):
            if cell != "":
                break
            row[position] = row_above[position]
    return rows


def format_table_rows(table: ReportTable) -> list[list[str]]:
    """All cells as plain text."""
    return [[format_cell(column, cell) for column, cell in zip(table.columns, row, strict=True)] for row in table.rows]


def column_headings(table: ReportTable) -> Sequence[str]:
    """The headings of the columns, on one line each."""
    return [replace_control_characters(column.heading) for column in table.columns]
