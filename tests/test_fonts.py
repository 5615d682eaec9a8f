"""Labels in any script: figures are drawn without warnings, and stay the same where the font has all characters."""

import warnings

import pytest

from harness.report.figures.style import create_axes, encode_figure, styled_figure
from harness.report.render import fonts


def figure(label):
    """A figure with a label in each place that has one."""
    drawn, axes = create_axes(8, 5)
    axes.barh([0, 1], [1, 2], label=label)
    axes.set_yticks([0, 1], [label, "other"])
    axes.set_title(label)
    axes.set_xlabel(label)
    axes.text(1, 1, label)
    axes.legend()
    return drawn


@pytest.mark.parametrize("label", ["违约", "नमस्ते", "🙂 smile", "line\nbreak", "é ü ß Ж α"])
def test_no_label_makes_matplotlib_warn(label):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert encode_figure(figure(label)).startswith(b"<svg")


def test_characters_of_no_font_are_written_as_code_points(monkeypatch):
    monkeypatch.setattr(fonts, "_installed_fonts", lambda: ())
    assert fonts.replace_undrawable_characters("é 违约\n🙂") == "é \\u8fdd\\u7ea6\n\\U0001f642"


def test_texts_that_the_font_has_are_not_touched():
    def drawn_after(change):
        drawn = figure("Köln")
        change(drawn)
        return drawn

    assert styled_figure(drawn_after)(fonts.replace_missing_characters) == styled_figure(drawn_after)(id)
    drawn = drawn_after(fonts.replace_missing_characters)
    assert [text.get_text() for text in drawn.axes[0].texts] == ["Köln"]
