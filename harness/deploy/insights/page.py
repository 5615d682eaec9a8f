"""Insights as Markdown, as one HTML page without scripts or other files, and their tables as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.report.content import Figure, Section
from harness.report.render.html import EmbeddedFigure, build_blocks, embed_figure
from harness.report.render.markdown import MAX_VISIBLE_ROWS, escape, render_markdown_part
from harness.report.render.templates import render_page_template

TEMPLATES = Path(__file__).parents[1] / "templates"


def render_markdown(title: str, lead: Sequence[str], sections: Sequence[Section]) -> str:
    """Render insights as Markdown, without the figures: the tables hold the same numbers.

    Parameters
    ----------
    title : str
        Plain text.
    lead : sequence of str
        Paragraphs of Markdown before the first section.
    sections : sequence of Section
        The sections.

    Returns
    -------
    str
        The document.
    """
    paragraphs = [f"# Insights: {escape(title)}", *lead]
    for section in sections:
        paragraphs.append(f"## {escape(section.title)}")
        paragraphs += [
            render_markdown_part(section_part)
            for section_part in section.parts
            if section_part and not isinstance(section_part, Figure)
        ]
    return "\n\n".join(paragraphs) + "\n"


def render_html(title: str, lead: Sequence[str], sections: Sequence[Section]) -> str:
    """Render insights as one HTML page; the parameters are those of `render_markdown`."""
    html_sections = []
    for section in sections:
        section_blocks = build_blocks(section.parts, section.title, _embed_figure, MAX_VISIBLE_ROWS)
        html_sections.append({"title": section.title, "blocks": section_blocks})
    style = (TEMPLATES / "insights.css").read_text(encoding="utf-8")
    lead_blocks = build_blocks(lead, title, _embed_figure)
    return render_page_template(
        "insights.html", TEMPLATES, style=style, title=title, lead=lead_blocks, sections=html_sections
    )


def _embed_figure(figure: Figure) -> EmbeddedFigure:
    """Draw a figure; its SVG becomes a part of the page."""
    return embed_figure(figure, figure.draw(), f"{figure.name}-")
