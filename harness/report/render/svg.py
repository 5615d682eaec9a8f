"""Figures as SVG: small files of texts and shapes whose colours follow the colour scheme of the reader, alone and in a page."""

from __future__ import annotations

import re
from functools import cache

#: Colours of figures → what takes their place on a dark ground; greys are mirrored between the ground and the colour of text.
DARK_COLOURS = {
    "#0072b2": "#58a6dd", "#d55e00": "#ee8a4a", "#009e73": "#35bd96", "#cc79a7": "#dc97bd", "#e69f00": "#efb644",
    "#56b4e9": "#92d0f4", "#e8f1f8": "#1f3040",
}  # fmt: skip
GREY_LEVELS = (15, 20, 25, 30, 35, 40, 45, 50, 60, 82, 85, 92, 95, 96)  #: of 100, as figures have them
DARK_GROUND, DARK_TEXT = 0x15181C, 0xE2E6EA
FONTS = (
    "'DejaVu Sans', Verdana, 'Segoe UI', system-ui, sans-serif"  #: as wide as the font that the layout was made with
)
COORDINATE_DECIMALS = 2  #: of coordinates in points

STYLE_ATTRIBUTE = re.compile(r'style="([^"]*)"')
GROUP_ID = re.compile(r'<g id="[^"]*"')
PATH = re.compile(r'( d="|points=")([^"]*)"')
LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
REFERENCE = re.compile(r'( id="|url\(#|xlink:href="#)(?=[A-Za-z])')
PREAMBLE_PATTERN = re.compile(r"<metadata>.*?</metadata>\s*|<defs>\s*<style.*?</style>\s*</defs>\s*", re.DOTALL)
SVG_TAG = re.compile(r"<svg [^>]*>")
VIEW_BOX = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')


def compact_svg(svg: str) -> str:
    """Make a figure of matplotlib small, and let its colours follow the colour scheme of the reader.

    Parameters
    ----------
    svg : str
        The file that matplotlib writes, with texts as texts.

    Returns
    -------
    str
        The file with the same shapes: attributes in place of styles, which pages may forbid, coordinates of two decimals, and
        a style with the colours on a dark ground.
    """
    svg_body = PREAMBLE_PATTERN.sub("", svg[svg.index("<svg ") :])
    svg_body = STYLE_ATTRIBUTE.sub(lambda match: _style_to_attributes(match[1]), svg_body)
    svg_body = PATH.sub(lambda match: f'{match[1]}{" ".join(match[2].split())}"', GROUP_ID.sub("<g", svg_body))
    svg_body = LONG_NUMBER.sub(_round_number, svg_body)
    root_attributes = f'stroke-linejoin="round" stroke-linecap="butt" font-family="{FONTS}"'
    style = f"<style>{dark_colour_rules('svg')}</style>"
    return SVG_TAG.sub(lambda match: f"{match[0][:-1]} {root_attributes}>\n{style}", svg_body, count=1)


def embed_svg(svg: str, prefix: str) -> tuple[str, float, float]:
    """Prepare a figure for a page that has `dark_colour_rules` in its style.

    Parameters
    ----------
    svg : str
        What `compact_svg` returned.
    prefix : str
        Makes the names of the parts of the figure unique in the page.

    Returns
    -------
    tuple of (str, float, float)
        The shapes without the element around them, and the width and height of the figure in points.
    """
    view_box = VIEW_BOX.search(svg)
    width, height = map(float, view_box.groups()) if view_box else (0.0, 0.0)
    inner_svg = svg[svg.index("</style>") + len("</style>") : svg.rindex("</svg>")].strip()
    return REFERENCE.sub(rf"\g<1>{prefix}", inner_svg), width, height


@cache
def dark_colour_rules(scope: str = ".plot") -> str:
    """Rules of CSS that give the shapes within `scope`, a selector, their colours on a dark ground."""
    text_colour, ground_colour = _mix_text_and_ground(0), _mix_text_and_ground(100)
    colours = {"#000000": text_colour, "#ffffff": ground_colour, **DARK_COLOURS}
    for grey_level in GREY_LEVELS:
        grey_channel = round(grey_level / 100 * 255)
        colours[f"#{grey_channel:02x}{grey_channel:02x}{grey_channel:02x}"] = _mix_text_and_ground(grey_level)
    css_rules = [f"{scope} {{ fill: {text_colour} }}"]  # what is black has no attribute
    for light_colour, dark_colour in colours.items():
        css_rules.append(
            f'{scope} [fill="{light_colour}"] {{ fill: {dark_colour} }} {scope} [stroke="{light_colour}"] {{ stroke: {dark_colour} }}'
        )
    lines = "\n".join(css_rules)
    return f"@media screen and (prefers-color-scheme: dark) {{\n{lines}\n}}\n"


def _mix_text_and_ground(ground_percent: int) -> str:
    """The colour between that of text (0) and the ground (100)."""
    colour_channels = []
    for channel_shift in (16, 8, 0):
        text_channel, ground_channel = DARK_TEXT >> channel_shift & 255, DARK_GROUND >> channel_shift & 255
        colour_channels.append(f"{round(text_channel + (ground_channel - text_channel) * ground_percent / 100):02x}")
    return f"#{''.join(colour_channels)}"


def _style_to_attributes(css_style: str) -> str:
    """The declarations of a style as attributes, without the fonts, which all texts share."""
    svg_attributes = []
    for declaration in css_style.split("; "):
        name, _, style_value = declaration.partition(": ")
        if name != "font-family":
            svg_attributes.append(f'{name}="{style_value}"')
    return " ".join(svg_attributes)


def _round_number(number_match: re.Match[str]) -> str:
    svg_number = float(number_match[0])
    if abs(svg_number) < 1:  # scales, opacities
        return f"{svg_number:.3g}"
    return f"{svg_number:.{COORDINATE_DECIMALS}f}".rstrip("0").rstrip(".")
