"""Templates of longer texts and of pages, filled by jinja2: Markdown from `*.md`, HTML from `*.html`."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.report.render import cells, html, markdown
from harness.report.render.svg import dark_colour_rules

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parents[1] / "templates"  #: of reports; those of other rooms may use them


def render_text_template(template: str, folder: Path = TEMPLATES, /, **values: Any) -> str:
    """Fill a template of Markdown.

    Parameters
    ----------
    template : str
        The file of the template.
    folder : Path, optional
        Its folder; that of the templates of reports by default.
    **values
        What it is filled with. Texts are inserted as they are: a template escapes those of unknown origin with the filter
        ``plain`` or ``code``. Tables are written with ``table``, numbers with ``number``, ``count`` or ``interval``.

    Returns
    -------
    str
        Markdown without empty lines at its ends.
    """
    return _create_template_environment(folder).get_template(template).render(**values).strip()


def render_page_template(
    template: str,
    folder: Path = TEMPLATES,
    /,
    *,
    style: str,
    script: str = "",
    constants: dict[str, Any] | None = None,
    **values: Any,
) -> str:
    """Fill a template of a page that loads nothing: its style and its script are part of it, and no others are run.

    Parameters
    ----------
    template : str
        The file of the template.
    folder : Path, optional
        Its folder; that of the templates of reports by default.
    style, script : str
        The style sheet and the script.
    constants : dict, optional
        Values that the macros of the template use, too.
    **values
        What it is filled with. Texts are escaped; the filter ``html`` inserts HTML that `render.html` has made.

    Returns
    -------
    str
        The page.
    """
    style = f"{style}{dark_colour_rules()}"
    scripts = f"script-src '{_content_hash(script)}'; " if script else ""
    policy = f"default-src 'none'; img-src data:; style-src '{_content_hash(style)}'; {scripts}base-uri 'none'; form-action 'none'"
    page = _create_template_environment(folder).get_template(template, globals=constants)
    return page.render(**values, policy=policy, style=style, script=script)


@cache
def _create_template_environment(folder: Path) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
    from markupsafe import Markup

    template_environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]), autoescape=select_autoescape(["html"]), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    template_environment.filters["breakable"] = lambda text: Markup(html.escape_with_line_breaks(text))  # noqa: S704 -- it has been escaped
    template_environment.filters |= {"html": Markup, "plain": markdown.escape, "code": markdown.inline_code}
    template_environment.filters |= {"table": markdown.render_markdown_table, "count": "{:,.0f}".format}
    template_environment.filters |= {
        "number": cells.format_number,
        "interval": lambda mean: cells.format_interval(*mean),
    }
    template_environment.filters["paragraph"] = lambda text: " ".join(text.split())
    template_environment.tests["figure"] = lambda block: isinstance(block, html.EmbeddedFigure)
    return template_environment


def _content_hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
