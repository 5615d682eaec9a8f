"""The files of figures: drawn once, small, and with colours that follow the colour scheme of the reader."""

import re

from matplotlib.figure import Figure

from harness.report.figures.style import BLUE, create_axes, styled_figure
from harness.report.render.svg import DARK_COLOURS, compact_svg, dark_colour_rules, embed_svg


@styled_figure
def line_figure(label: str) -> Figure:
    figure, axes = create_axes(4, 2)
    axes.plot([1, 2, 3.123456], [1, 5, 2], "o-", color=BLUE, label=label)
    axes.axvline(2, color="0.6")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center")
    return figure


def test_a_figure_is_drawn_once(monkeypatch):
    draws = []
    draw = Figure.draw

    def counted(figure, renderer):
        draws.append(figure)
        draw(figure, renderer)

    monkeypatch.setattr(Figure, "draw", counted)
    line_figure("a")
    assert len(draws) == 1


def test_a_figure_has_no_styles_that_a_page_forbids_and_keeps_its_texts():
    svg = line_figure("a <b> & $c$").decode()
    assert "style=" not in svg
    assert ">a &lt;b&gt; &amp; $c$</text>" in svg
    assert not re.search(r"[1-9]\.\d{3,}", svg.split("</style>")[1])
    assert svg == line_figure("a <b> & $c$").decode()


def test_every_colour_of_a_figure_has_one_for_dark_pages():
    svg = line_figure("a").decode()
    shapes, width, height = embed_svg(svg, "f1-")
    assert (width, height) == (288, 144)
    colours = set(re.findall(r'(?:fill|stroke)="(#\w+)"', shapes))
    assert {"#0072b2", "#999999", "#ffffff", "#000000"} <= colours
    rules = dark_colour_rules()
    assert colours <= set(re.findall(r'\[fill="(#\w+)"\]', rules))
    assert f'.plot [fill="#0072b2"] {{ fill: {DARK_COLOURS["#0072b2"]} }}' in rules
    assert "@media screen and (prefers-color-scheme: dark)" in svg


def test_the_parts_of_several_figures_in_a_page_have_different_names():
    svg = line_figure("a").decode()
    names = []
    for prefix in ("f1-", "f2-"):
        shapes, _, _ = embed_svg(svg, prefix)
        ids = re.findall(r' id="([^"]+)"', shapes)
        references = re.findall(r'(?:url\(#|href="#)([^")]+)', shapes)
        assert ids
        assert set(references) <= set(ids)
        names += ids
    assert len(set(names)) == len(names)


def test_black_and_small_numbers_survive():
    svg = (
        '<?xml version="1.0"?>\n<svg viewBox="0 0 10 10">\n<metadata>x</metadata>\n<g id="a"><path d="M 0 1.23456 \nL 2 3"'
        ' style="opacity: 0.123456; stroke: #000000"/></g></svg>'
    )
    compact = compact_svg(svg)
    assert '<g><path d="M 0 1.23 L 2 3" opacity="0.123" stroke="#000000"/></g>' in compact
