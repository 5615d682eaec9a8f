"""The report of a run as two pages of HTML: `report.html`, which decides, and `details.html`, which has everything else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from harness.evaluation.decision import recommend_entry
from harness.report.content import Evidence, Figure, Part, ReportTable, Section, find_tables
from harness.report.figures.writer import read_figure, report_file_name
from harness.report.html_leaderboard import BAR_HEIGHT, BAR_WIDTH, COLUMN_GROUPS, LeaderboardView, build_leaderboard
from harness.report.leaderboard import explain_leaderboard_columns
from harness.report.render.csv import make_file_name_part, render_csv_table
from harness.report.render.html import (
    EmbeddedFigure,
    HtmlBlock,
    build_blocks,
    embed_figure,
    parse_markdown_blocks,
    render_html_table,
    render_inline_markdown,
)
from harness.report.render.markdown import escape
from harness.report.render.templates import TEMPLATES, render_page_template
from harness.report.sections import importance, parameters
from harness.report.sections.families import count_family_verdicts, tabulate_family_intervals, tabulate_tasks
from harness.report.sections.overview import describe_cells_without_predictions, summarize_over_tasks
from harness.report.sections.ranking import describe_first_entry
from harness.report.sections.recommendation import STRATEGY_LABEL, Advice, recommendation_advice
from harness.report.topics import STRATEGY_TITLE, TaskReport, Topic, collect_chapters, collect_task_reports
from harness.store.store import Store

MIN_LINKED_LENGTH = 200  #: characters from which on a repeated paragraph is replaced by a link
MAX_EXPANDED_TASKS = 3  #: with more tasks than that, all of them are collapsed
MAX_FIGURE_BYTES = 12_000_000  #: of all figures: a page has at most 15 MB
PAIRED_TITLES = (parameters.TITLE, importance.TITLE)  #: of narrow sections of `report.html`, which stand side by side
REPORT_FILE, DETAILS_FILE = "report.html", "details.html"
#: Label of an advice → title of the section that repeats it.
REPEATED_LABELS = {"Parameters": parameters.TITLE, STRATEGY_LABEL: STRATEGY_TITLE}


@dataclass(frozen=True)
class PageSection:
    """A section of a page; a wide one has no other beside it."""

    anchor: str
    title: str
    blocks: tuple[HtmlBlock, ...]
    tables: tuple[ReportTable, ...]

    @property
    def wide(self) -> bool:
        """Whether no other section stands beside it."""
        return self.title not in PAIRED_TITLES


@dataclass(frozen=True)
class PageChapter:
    """A task or another chapter of a page; only tasks of `report.html` have advice, a picture of families and a leaderboard."""

    anchor: str
    title: str
    sections: tuple[PageSection, ...]
    intro: tuple[HtmlBlock, ...] = ()
    headline: str = ""
    advice: tuple[Advice, ...] = ()
    families: tuple[HtmlBlock, ...] = ()
    leaderboard: LeaderboardView | None = None


@dataclass(frozen=True)
class HtmlReport:
    """The report as two pages, and its tables as CSV by the names of their files."""

    html: str
    details: str
    tables: dict[str, str]


def build_pages(
    evidence: Evidence, topics: dict[Topic, list[Section]], max_figure_bytes: int = MAX_FIGURE_BYTES
) -> HtmlReport:
    """Build the HTML pages of a run.

    Parameters
    ----------
    evidence : Evidence
        The run with its scores and rankings.
    topics : dict of Topic to list of Section
        The sections of every topic (see `collect_sections`), whose figures have been drawn.
    max_figure_bytes : int, default=12,000,000
        The size of all figures of the pages; those beyond it, of the last tasks first, are named instead.

    Returns
    -------
    HtmlReport
        The pages and their tables.
    """
    figure_embedder = _StoredFigureEmbedder(evidence.store, max_figure_bytes)
    page_chapters = []
    for chapter_number, report_chapter in enumerate(collect_chapters(topics), start=1):
        anchor = f"chapter-{chapter_number}"
        sections = _build_sections(anchor, report_chapter.title, report_chapter.sections, figure_embedder)
        page_chapters.append(PageChapter(anchor, report_chapter.title, sections))
    tasks, detailed_tasks = [], []
    for chapter_number, task in enumerate(link_repeated_paragraphs(collect_task_reports(evidence, topics)), start=1):
        anchor, name = f"task-{chapter_number}", task.ranking.task
        tasks.append(_build_task(evidence, anchor, task, figure_embedder))
        sections = _build_sections(anchor, name, task.sections, figure_embedder)
        detailed_tasks.append(PageChapter(anchor, name, sections, headline=tasks[-1].headline))
    overview_page = _build_overview(evidence, figure_embedder)
    tables = _collect_csv_tables(PageChapter("overview", "", (overview_page,)), task_name="")
    for page_chapter in page_chapters:
        tables |= _collect_csv_tables(page_chapter, task_name="")
    for page_task, detailed_task in zip(tasks, detailed_tasks, strict=True):
        sections = (*page_task.sections, *detailed_task.sections)
        tables |= _collect_csv_tables(replace(page_task, sections=sections), task_name=page_task.title)
    common_content = {"name": str(evidence.scores.run["name"]), "expanded": len(tasks) <= MAX_EXPANDED_TASKS}
    report = render_report_page("report.html", **common_content, overview=overview_page, tasks=tasks)
    reading_guide = build_blocks((explain_leaderboard_columns(evidence.scores),), "", figure_embedder.embed)
    details_html = render_report_page(
        "details.html", **common_content, tasks=detailed_tasks, chapters=page_chapters, reading_guide=reading_guide
    )
    return HtmlReport(report, details_html, tables)


def _build_overview(evidence: Evidence, figure_embedder: FigureEmbedder) -> PageSection:
    """What is missing, and for several tasks a picture of the families over all of them and a table of the tasks."""
    scores, rankings = evidence.scores, evidence.rankings
    overview_parts: list[Part] = []
    if len(rankings) > 1:
        family_verdicts = count_family_verdicts(scores, rankings)
        if family_verdicts is not None:
            overview_parts.append(
                "On how many tasks the recommended or best entry of each family is the best, practically equal to it, undecided, "
                "not the best, worse:"
            )
            overview_parts.append(family_verdicts)
        overview_parts += [tabulate_tasks(scores, rankings), summarize_over_tasks(scores, rankings)]
    gaps_text = describe_cells_without_predictions(scores)
    if gaps_text:
        overview_parts.append(f"{gaps_text}: see *Coverage* in details.html.")
    return build_section(
        "overview", "Overview", Section("Overview", tuple(filter(None, overview_parts))), figure_embedder
    )


def link_repeated_paragraphs(tasks: Sequence[TaskReport]) -> list[TaskReport]:
    """Replace a long paragraph that an earlier section has too, such as one on methods, by a link to that section.

    Parameters
    ----------
    tasks : sequence of TaskReport
        The tasks in the order of the page.

    Returns
    -------
    list of TaskReport
        The tasks with links in place of the repeated paragraphs.
    """
    main_links: dict[str, str] = {}
    link_by_paragraph: dict[str, str] = {}
    linked_tasks = []
    for task_number, task in enumerate(tasks, start=1):
        name = task.ranking.task
        main_sections = _replace_paragraphs_by_links(task.main_sections, name, f"task-{task_number}-main", main_links)
        sections = _replace_paragraphs_by_links(task.sections, name, f"task-{task_number}", link_by_paragraph)
        linked_tasks.append(replace(task, main_sections=main_sections, sections=sections))
    return linked_tasks


def _replace_paragraphs_by_links(
    sections: Sequence[Section], task_name: str, page_anchor: str, link_by_paragraph: dict[str, str]
) -> tuple[Section, ...]:
    """Replace the long paragraphs that `link_by_paragraph` has, and add links to the others to it."""
    linked_sections = []
    for section_number, section in enumerate(sections, start=1):
        section_link = f"How this is made and read: as for [{escape(task_name)}](#{page_anchor}-{section_number})."
        paragraphs = [section_part for section_part in section.parts if isinstance(section_part, str)]
        linked_parts = [
            link_by_paragraph.get(section_part, section_part) if isinstance(section_part, str) else section_part
            for section_part in section.parts
        ]
        linked_sections.append(replace(section, parts=tuple(linked_parts)))
        for paragraph in paragraphs:
            if len(paragraph) >= MIN_LINKED_LENGTH and "\n" not in paragraph:
                link_by_paragraph.setdefault(paragraph, section_link)
    return tuple(linked_sections)


class FigureEmbedder(Protocol):
    """What embeds the figures of a page."""

    def embed(self, figure: Figure) -> EmbeddedFigure:
        """Embed a figure."""


class _StoredFigureEmbedder:
    """Embeds drawn figures into the page until their total size is reached."""

    def __init__(self, store: Store, max_bytes: int) -> None:
        self.store = store
        self.free_bytes = max_bytes
        self.count = 0

    def embed(self, figure: Figure) -> EmbeddedFigure:
        svg = read_figure(self.store, figure.name)
        self.free_bytes -= len(svg)
        if self.free_bytes < 0 or not svg:
            return EmbeddedFigure(figure.name, figure.alt_text)
        self.count += 1
        return embed_figure(figure, svg, f"f{self.count}-")


def _build_task(evidence: Evidence, anchor: str, task: TaskReport, figure_embedder: FigureEmbedder) -> PageChapter:
    """A task of `report.html`: advice, picture, leaderboard and the sections that decide."""
    scores, ranking = evidence.scores, task.ranking
    intro_blocks: list[HtmlBlock] = []
    for text in (task.description, *task.notes):
        intro_blocks += parse_markdown_blocks(text)
    titles = {section.title for section in task.main_sections}
    repeated_labels = {label for label, title in REPEATED_LABELS.items() if title in titles}
    advice_lines = recommendation_advice(scores, ranking, recommend_entry(scores, ranking))
    families = tabulate_family_intervals(scores, ranking)
    caption = f"Recommended entry, and the best of the other families, {ranking.task}"
    return PageChapter(
        anchor,
        ranking.task,
        _build_sections(f"{anchor}-main", ranking.task, task.main_sections, figure_embedder),
        intro=tuple(intro_blocks),
        headline=render_inline_markdown(describe_first_entry(ranking)),
        advice=tuple(line for line in advice_lines if line.label not in repeated_labels),
        families=() if families is None else (render_html_table(families, caption),),
        leaderboard=build_leaderboard(scores, ranking) if ranking.best else None,
    )


def _build_sections(
    anchor: str, chapter_name: str, sections: Sequence[Section], figure_embedder: FigureEmbedder
) -> tuple[PageSection, ...]:
    built_sections = []
    for section_number, section in enumerate(sections, start=1):
        built_sections.append(build_section(f"{anchor}-{section_number}", chapter_name, section, figure_embedder))
    return tuple(built_sections)


def build_section(anchor: str, chapter: str, section: Section, embedder: FigureEmbedder) -> PageSection:
    """Build a section; the caption of its tables names the section and its chapter."""
    caption = ", ".join(dict.fromkeys(filter(None, (section.title, chapter))))
    section_blocks = build_blocks(section.parts, caption, embedder.embed)
    return PageSection(anchor, section.title, tuple(section_blocks), tuple(find_tables(section.parts)))


def _collect_csv_tables(page_chapter: PageChapter, task_name: str) -> dict[str, str]:
    """The tables of a chapter by file name: task, section, and a number from the second table of a section on."""
    tables = {}
    table_counts: Counter[str] = Counter()
    for section in page_chapter.sections:
        title = make_file_name_part(section.title or page_chapter.title)
        for table in section.tables:
            table_counts[title] += 1
            table_number = [str(table_counts[title])] if table_counts[title] > 1 else []
            tables[f"{report_file_name(task_name, title, *table_number)}.csv"] = render_csv_table(table)
    return tables


def render_report_page(template: str, **content: Any) -> str:
    """Render a page with the style and the script of all pages; `template` is a file of `templates/`."""
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    script_text = (TEMPLATES / "script.js").read_text(encoding="utf-8")
    script_constants = {"BAR_WIDTH": BAR_WIDTH, "BAR_HEIGHT": BAR_HEIGHT, "COLUMN_GROUPS": COLUMN_GROUPS}
    return render_page_template(template, style=style, script=script_text, constants=script_constants, **content)
