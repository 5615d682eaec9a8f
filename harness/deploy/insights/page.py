"""The sections of insights, their figures, and insights as Markdown and as one HTML page without scripts or other files."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.deploy.insights.confidence import ReliabilityBin
from harness.deploy.insights.dependence import PartialDependence
from harness.deploy.insights.gains import CURVE_SHARES, Gains
from harness.deploy.insights.importance import ColumnImportance
from harness.deploy.markdown import escape, markdown_table, replace_unprintable
from harness.report.render.fonts import replace_missing_characters

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_VISIBLE_ROWS = 12  #: rows of a table; the others are folded
TEMPLATES = Path(__file__).parent
PIXELS_PER_POINT = 4 / 3
SVG_SIZE = re.compile(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"')
Floats = npt.NDArray[np.float64]
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "0.45"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "text.parse_math": False,  # a dollar sign in a name does not start a formula
    "svg.hashsalt": "evenhand",  # the same figure has the same bytes
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "0.92",
}
DOTTED_LINE: dict[str, Any] = {"color": GREY, "linewidth": 1, "linestyle": (0, (1, 2))}
ZERO_LINE: dict[str, Any] = {"color": "0.3", "linewidth": 0.8}
DOTS: dict[str, Any] = {"fmt": "o", "color": BLUE, "markersize": 4, "linewidth": 1.2}
MAX_NAME_LENGTH = 28
MAX_PANELS = 6


@dataclass(frozen=True)
class SvgFigure:
    """A plot as SVG; `description` is its text alternative."""

    description: str
    svg: bytes


@dataclass(frozen=True)
class FoldedBlock:
    """Markdown that is folded under a line of plain text."""

    summary: str
    body: str


Block: TypeAlias = str | SvgFigure | FoldedBlock  #: a string is Markdown


@dataclass(frozen=True)
class InsightsSection:
    """A heading (plain text) and the blocks below it."""

    title: str
    blocks: tuple[Block, ...]


def folding_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Block]:
    """Format a table of which at most 12 rows are visible and the others folded."""
    blocks: list[Block] = [markdown_table(header, rows[:MAX_VISIBLE_ROWS])]
    if len(rows) > MAX_VISIBLE_ROWS:
        folded = markdown_table(header, rows[MAX_VISIBLE_ROWS:])
        blocks.append(FoldedBlock(f"{len(rows) - MAX_VISIBLE_ROWS} more", folded))
    return blocks


def render_markdown(title: str, lead: Sequence[str], sections: Sequence[InsightsSection]) -> str:
    """Render insights as Markdown, without the figures: the tables hold the same numbers.

    Parameters
    ----------
    title : str
        Plain text.
    lead : sequence of str
        Paragraphs of Markdown before the first section.
    sections : sequence of InsightsSection
        The sections.

    Returns
    -------
    str
        The document.
    """
    paragraphs = [f"# Insights: {escape(title)}", *lead]
    for section in sections:
        paragraphs.append(f"## {escape(section.title)}")
        for block in section.blocks:
            if isinstance(block, FoldedBlock):
                paragraphs.append(f"<details><summary>{escape(block.summary)}</summary>\n\n{block.body}\n\n</details>")
            elif isinstance(block, str) and block:
                paragraphs.append(block)
    return "\n\n".join(paragraphs) + "\n"


def render_page(title: str, lead: Sequence[str], sections: Sequence[InsightsSection]) -> str:
    """Render insights as one HTML page; the parameters are those of `render_markdown`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    loader = FileSystemLoader(TEMPLATES)
    jinja = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    jinja.filters["html"] = Markup  # HTML from Markdown, which escaped it, and our own style sheet
    html_sections = []
    for section in sections:
        html_sections.append({"title": section.title, "blocks": list(map(_block_to_html, section.blocks))})
    return jinja.get_template("page.html").render(
        title=title, lead=_markdown_to_html("\n\n".join(lead)), sections=html_sections, policy=policy, style=style
    )


def _block_to_html(block: Block) -> str | dict[str, Any]:
    """Return the HTML of Markdown, or what the template shows of another block."""
    if isinstance(block, str):
        return _markdown_to_html(block)
    if isinstance(block, FoldedBlock):
        return {"summary": block.summary, "html": _markdown_to_html(block.body)}
    match = SVG_SIZE.search(block.svg)
    width, height = map(float, match.groups()) if match else (640.0, 320.0)
    data = f"data:image/svg+xml;base64,{base64.b64encode(block.svg).decode()}"
    size = {"width": round(width * PIXELS_PER_POINT), "height": round(height * PIXELS_PER_POINT)}
    return {"description": block.description, "data": data, **size}


def _markdown_to_html(markdown: str) -> str:
    """Convert Markdown to HTML: HTML in it is escaped, tables scroll on their own, and no element has an inline style."""
    html = str(_markdown_parser().render(markdown))
    html = re.sub(r' style="text-align:right"', ' class="r"', html)
    html = re.sub(r' style="text-align:\w+"', "", html)
    html = re.sub(r"<td>(.{40,}?)</td>", r'<td class="w">\1</td>', html)  # long cells are wider on a phone
    html = html.replace("<table>", '<div class="scroll" role="region" tabindex="0" aria-label="Table"><table>')
    return html.replace("</table>", "</table></div>")


@cache
def _markdown_parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def shorten(name: str, max_length: int = MAX_NAME_LENGTH) -> str:
    """Shorten a name with an ellipsis; the tables contain it in full."""
    printable = replace_unprintable(name)
    return printable if len(printable) <= max_length else f"{printable[: max_length - 1]}…"


def plot_importances(units: Sequence[ColumnImportance], label: str) -> SvgFigure:
    """Plot the loss without each column or group, with intervals; `label` names the metric."""
    with _styled_figure(6.2, 0.9 + 0.27 * len(units)) as figure:
        axes = figure.subplots()
        names = [shorten(" + ".join(unit.columns), 34) for unit in units]
        heights = np.arange(len(units))[::-1]
        margins = np.nan_to_num(list(map(attrgetter("ci_half_width"), units)))
        axes.errorbar(list(map(attrgetter("loss"), units)), heights, xerr=margins, **DOTS)
        axes.axvline(0, **ZERO_LINE)
        axes.set_yticks(heights, names)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"loss of {label} when shuffled")
        description = f"What is lost without each column: dot and line are the mean and its 95 % interval; {label}"
        return _to_svg(figure, description)


def plot_dependence(importances: Sequence[ColumnImportance], positive: str) -> SvgFigure | None:
    """Plot the partial dependence of the first six columns that have a curve, on one scale; None without curves."""
    curves = {column.columns[0]: column.curve for column in importances if column.curve is not None}
    names = list(curves)[:MAX_PANELS]
    if not names:
        return None
    n_columns = min(3, len(names))
    n_rows = -(-len(names) // n_columns)
    with _styled_figure(2.15 * n_columns + 0.4, 2.1 * n_rows + 0.2) as figure:
        panels = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False).ravel()
        for axes, name in zip(panels, names, strict=False):
            _draw_dependence(axes, curves[name])
            axes.set_title(shorten(name, 24), fontsize=9)
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        for axes in panels[::n_columns]:
            axes.set_ylabel(f"probability of {shorten(positive, 12)}")
        description = f"The mean probability of {positive} with each value of {', '.join(names)}, with 95 % intervals"
        return _to_svg(figure, description)


def plot_gains(gains: Gains, *, with_profit: bool) -> SvgFigure:
    """Plot the share of positives found by the share contacted; beside it the profit, or the ratio to chance."""
    with _styled_figure(6.4, 3.0) as figure:
        share_axes, ratio_axes = figure.subplots(1, 2)
        shares = gains.share_of_positives
        _draw_curve(share_axes, CURVE_SHARES, (shares.estimate, shares.low, shares.high), BLUE, 100)
        share_axes.plot([0, 100], [0, 100], **DOTTED_LINE)
        share_axes.plot([0, 100 * gains.positives / gains.rows, 100], [0, 100, 100], color=GREY, linewidth=0.8)
        share_axes.set(xlabel="contacted, % of rows", ylabel="found, % of positive rows", xlim=(0, 100), ylim=(0, 102))
        ratio_axes.set(xlabel="contacted, % of rows", xlim=(0, 100))
        if with_profit and gains.profit:
            profit = gains.profit
            _draw_curve(ratio_axes, CURVE_SHARES, (profit.estimate, profit.low, profit.high), ORANGE, 1)
            ratio_axes.axhline(0, **ZERO_LINE)
            ratio_axes.set(ylabel="profit per 1,000 rows")
            description = "the profit"
        else:
            ratios = np.array([shares.estimate, shares.low, shares.high])[:, 1:] / CURVE_SHARES[1:]
            _draw_curve(ratio_axes, CURVE_SHARES[1:], ratios, ORANGE, 1)
            ratio_axes.axhline(1, **DOTTED_LINE)
            ratio_axes.set(ylabel="times as many as by chance", ylim=(0, None))
            description = "how many times as many as by chance"
        return _to_svg(
            figure,
            f"By the share of rows contacted: the share of positive rows found, and {description}; bands are 95 % "
            "intervals, the dotted line is chance, the grey one what nobody could better",
        )


def plot_confidence(p: Floats, threshold: float, bins: Sequence[ReliabilityBin]) -> SvgFigure:
    """Plot the distribution of probabilities (n,), and in bins of the rows with an outcome whether they came true."""
    with _styled_figure(6.4 if bins else 4.2, 2.7) as figure:
        panels = figure.subplots(1, 2 if bins else 1, squeeze=False)[0]
        panels[0].hist(p, bins=np.linspace(0, 1, 41), color=BLUE)
        panels[0].axvline(threshold, color=ORANGE, linewidth=1.2)
        panels[0].set(xlabel="probability", ylabel="rows", xlim=(0, 1))
        description = "How many rows have which probability, and the threshold (line)"
        if bins:
            fields = attrgetter("mean_probability", "share", "low", "high")
            means, shares, lows, highs = np.array(list(map(fields, bins))).T
            margins = np.array([shares - lows, highs - shares]).clip(0)
            panels[1].errorbar(means, shares, yerr=margins, **DOTS)
            top = min(1.0, 1.08 * max(means.max(), highs.max()))
            panels[1].plot([0, top], [0, top], **DOTTED_LINE)
            panels[1].set(xlabel="probability said", ylabel="share that came true", xlim=(0, top), ylim=(0, top))
            description += "; beside it, what was said of tenths of the rows and what came true, with 95 % intervals"
        return _to_svg(figure, description)


def _draw_dependence(axes: Axes, curve: PartialDependence) -> None:
    points = curve.points
    means = np.array(list(map(attrgetter("mean"), points)))
    margins = np.nan_to_num(list(map(attrgetter("ci_half_width"), points)))
    if all(point.number is not None for point in points):
        numbers = np.array(list(map(attrgetter("number"), points)), dtype=np.float64)
        axes.plot(numbers, means, "o-", color=BLUE, markersize=3, linewidth=1.2)
        low, high = (means - margins).clip(0, 1), (means + margins).clip(0, 1)
        axes.fill_between(numbers, low, high, color=BLUE, alpha=0.15, linewidth=0)
        axes.locator_params(axis="x", nbins=5)
        if points[0].value_text != f"{numbers[0]:.6g}":
            step = max(1, len(points) // 2)  # dates are long, so only three are written
            texts = list(map(attrgetter("value_text"), points[::step]))
            axes.set_xticks(numbers[::step], texts, rotation=30, ha="right")
    else:
        positions = np.arange(len(points))
        axes.errorbar(positions, means, yerr=margins, **DOTS)
        axes.set_xticks(positions, [shorten(point.value_text, 14) for point in points], rotation=40, ha="right")
        axes.set_xlim(-0.5, len(points) - 0.5)


def _draw_curve(axes: Axes, shares: Floats, curve: Sequence[Floats] | Floats, colour: str, scale: float) -> None:
    """Draw an estimate and its interval over shares of rows; `curve` holds the estimate, the lower and the upper end."""
    estimate, low, high = curve
    axes.plot(100 * shares, scale * estimate, color=colour, linewidth=1.4)
    axes.fill_between(100 * shares, scale * low, scale * high, color=colour, alpha=0.2, linewidth=0)


@contextmanager
def _styled_figure(width: float, height: float) -> Iterator[Figure]:
    """Provide an empty figure; it must be drawn and saved within the block, in which our style holds."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def _to_svg(figure: Figure, description: str) -> SvgFigure:
    replace_missing_characters(figure)
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return SvgFigure(description, file.getvalue())
