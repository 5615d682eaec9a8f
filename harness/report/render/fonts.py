"""Characters in figures that the font of figures does not have: another font of this machine, or their code points."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.text import Text

DEFAULT_FONT = "DejaVu Sans"  #: matplotlib brings it
#: Fonts for other scripts that systems bring, the most complete first.
OTHER_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Source Han Sans SC", "Microsoft YaHei", "PingFang SC", "Hiragino Sans",
    "SimHei", "Malgun Gothic", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Arial Unicode MS", "Noto Sans Devanagari", "Noto Sans Thai",
    "Nirmala UI", "Leelawadee UI", "Noto Emoji", "Segoe UI Symbol", "Segoe UI Emoji", "Symbola",
)  # fmt: skip


def replace_missing_characters(figure: Figure) -> None:
    """Let every text of a figure be drawn: other fonts are used where there are any, and code points elsewhere.

    Texts that the font of figures can draw are not touched, so that the figure stays the same to the byte.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure; its texts are changed.
    """
    for text in _find_figure_texts(figure):
        if _has_missing_characters(text.get_text()):
            text.set_text(replace_undrawable_characters(text.get_text()))
            text.set_fontfamily([DEFAULT_FONT, *_installed_fonts()])
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            _replace_tick_characters(axis)


def replace_undrawable_characters(text: str) -> str:
    """Write the characters that no font of this machine has as their code points, such as ``\\u8fdd``."""
    known_characters = set().union(*map(_characters_of_font, _installed_fonts()))
    replaced_characters = []
    for char in text:
        is_missing = (
            ord(char) not in _characters_of_font(DEFAULT_FONT) and ord(char) not in known_characters and char != "\n"
        )
        replaced_characters.append(char.encode("unicode_escape").decode() if is_missing else char)
    return "".join(replaced_characters)


def _has_missing_characters(text: str) -> bool:
    return not text.isascii() and any(
        ord(char) not in _characters_of_font(DEFAULT_FONT) for char in text if char != "\n"
    )


def _find_figure_texts(figure: Figure) -> Iterator[Text]:
    """The texts of a figure, except for the labels of ticks."""
    yield from figure.texts
    for axes in figure.axes:
        axes_titles = (getattr(axes, name, axes.title) for name in ("_left_title", "_right_title"))  # no public name
        yield from (axes.title, *axes_titles)
        yield from (axes.xaxis.label, axes.yaxis.label, *axes.texts)
    for legend in [*figure.legends, *(axes.get_legend() for axes in figure.axes)]:
        if legend is not None:
            yield from (legend.get_title(), *legend.get_texts())


def _replace_tick_characters(axis: Axis) -> None:
    from matplotlib.ticker import FixedFormatter, FuncFormatter

    tick_formatter: Any = axis.get_major_formatter()
    if not isinstance(tick_formatter, FixedFormatter | FuncFormatter):
        return  # numbers
    if not any(map(_has_missing_characters, tick_formatter.format_ticks(axis.get_majorticklocs().tolist()))):
        return
    axis.set_major_formatter(
        FuncFormatter(lambda value, position: replace_undrawable_characters(tick_formatter(value, position)))
    )
    axis.set_tick_params(labelfontfamily=[DEFAULT_FONT, *_installed_fonts()])


@cache
def _installed_fonts() -> tuple[str, ...]:
    from matplotlib.font_manager import fontManager

    installed_names = {font.name for font in fontManager.ttflist}
    return tuple(name for name in OTHER_FONTS if name in installed_names)


@cache
def _characters_of_font(font_name: str) -> frozenset[int]:
    """Code points that a font has."""
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont(font_name)).get_charmap())
