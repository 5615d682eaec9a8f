"""One value becomes Markdown, HTML, CSV and text for a terminal; longer texts and pages are templates."""

import math
from functools import partial

import pytest

from harness.report.content import (
    CollapsedParts,
    Figure,
    Interval,
    MeanInterval,
    ReportCell,
    ReportColumn,
    ReportTable,
    Section,
)
from harness.report.render import csv, html, markdown, terminal
from harness.report.render.cells import format_value
from harness.report.render.templates import render_page_template, render_text_template

TABLE = ReportTable(
    (
        ReportColumn("Group"),
        ReportColumn("Rows", "count"),
        ReportColumn("Share", "share"),
        ReportColumn("Loss", "number"),
    ),
    (
        (
            ReportCell("a | *b*", best=True),
            Interval(1_100, 1_300, 1_234),
            Interval(0.02, 0.043),
            MeanInterval(0.5, 0.1),
        ),
        ("", 7, None, 0.25),
    ),
)


@pytest.mark.parametrize(
    ("value", "column", "text"),
    [
        (Interval(3, 5), ReportColumn("", "count"), "3 to 5"),
        (Interval(3, 5, 4), ReportColumn("", "count"), "4 (3 to 5)"),
        (Interval(0.3, 0.3), ReportColumn("", "number"), "0.300"),
        (Interval(0.02, 0.043), ReportColumn("", "share"), "2.0 to 4.3 %"),
        (Interval(-0.25, 0.5, 0.1), ReportColumn("", "share"), "10 % (−25 to 50 %)"),
        (Interval(-1200, 300), ReportColumn("", "quantity"), "−1,200 to 300"),
        (0.0, ReportColumn("", "share"), "0 %"),
        (0.004, ReportColumn("", "share"), "0.4 %"),
        (math.inf, ReportColumn("", "share"), "–"),
        (1.53, ReportColumn("", "multiple"), "×1.5"),
        (123.4, ReportColumn("", "multiple"), "×123"),
        (math.nan, ReportColumn("", "multiple"), "–"),
        ("a\x07\ud800b", ReportColumn(""), "a��b"),
    ],
)
def test_values_are_written_as_their_column_says(value, column, text):
    assert format_value(column, value) == text


def test_one_table_becomes_markdown_html_csv_and_text():
    assert markdown.render_markdown_table(TABLE).splitlines()[2].split(" | ")[1:] == [
        "1,234 (1,100 to 1,300)",
        "2.0 to 4.3 %",
        "0.500 ± 0.100 |",
    ]
    assert markdown.render_markdown_table(TABLE).splitlines()[2].startswith(r"| **a \| \*b\***")
    cells = html.render_html_table(TABLE, "groups").rows[0]
    assert [cell.text for cell in cells] == ["a | *b*", "1,234 (1,100 to 1,300)", "2.0 to 4.3 %", "0.500 ± 0.100"]
    assert cells[0].html == "<strong>a | *b*</strong>"
    assert csv.render_csv_table(TABLE) == (
        "Group,Rows,Rows low,Rows high,Share low (%),Share high (%),Loss,Loss ±\n"
        "a | *b*,1234,1100,1300,2,4.3,0.5,0.1\n"
        "a | *b*,7,,,,,0.25,\n"
    )
    assert terminal.render_terminal_table(TABLE).splitlines()[2].split("  ")[0] == "a | *b*"


def test_files_are_named_by_section_and_number():
    folded = CollapsedParts("more", ("text", TABLE))
    sections = [Section("What it goes by?", ("text", TABLE, folded)), Section("Élan", (TABLE,))]
    assert list(csv.render_section_tables(sections)) == ["what_it_goes_by.csv", "what_it_goes_by_2.csv", "lan.csv"]


def test_parts_become_blocks_in_their_order():
    figure = Figure("f", "alt", partial(bytes))
    long_table = ReportTable((ReportColumn("n", "count"),), tuple((n,) for n in range(20)))
    parts = ("*text*", figure, CollapsedParts("`more`", (figure, TABLE)), long_table)
    text, embedded, folded, visible, remaining = html.build_blocks(
        parts, "caption", lambda drawn: html.EmbeddedFigure(drawn.name, drawn.alt_text), max_rows=15
    )
    assert text.html == "<p><em>text</em></p>\n"
    assert embedded == html.EmbeddedFigure("f", "alt")
    assert (folded.summary, [type(block) for block in folded.blocks]) == (
        "<code>more</code>",
        [html.EmbeddedFigure, html.HtmlTable],
    )
    assert (len(visible.rows), remaining.summary, len(remaining.blocks[0].rows)) == (15, "5 more", 5)


def test_templates_of_text_escape_what_they_are_told_to_and_pages_everything(tmp_path):
    (tmp_path / "a.md").write_text("{% filter paragraph %}\nRun {{ name|plain }}:\n{{ name|code }}\n{% endfilter %}\n")
    (tmp_path / "a.html").write_text('<p title="{{ policy }}">{{ name }}</p><style>{{ style|html }}</style>')
    assert render_text_template("a.md", tmp_path, name="a*`b") == r"Run a\*\`b: `` a*`b ``"
    page = render_page_template("a.html", tmp_path, style="a > b", name="<i>")
    assert "&lt;i&gt;</p><style>a > b" in page
    assert "style-src &#39;sha256-" in page
    assert "script-src" not in page
    with pytest.raises(Exception, match="'name' is undefined"):
        render_text_template("a.md", tmp_path)
