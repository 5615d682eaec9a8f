"""The report of a run: the sections of every topic by task and chapter, and all of them as a single HTML file."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

from harness.evaluation.ranking import Ranking
from harness.report.charts import registry as charts
from harness.report.content import Evidence, Figure, ReportTable, Section, tables_of
from harness.report.figures.writer import file_name, read_web_figure
from harness.report.html_leaderboard import BAR_HEIGHT, BAR_WIDTH, COLUMN_GROUPS, LeaderboardView, build_leaderboard
from harness.report.leaderboard import how_to_read
from harness.report.markdown_report import SUMMARY_TEXT, describe_rows, objective_note, results_summary
from harness.report.render.csv import render_table, slug
from harness.report.render.html import EmbeddedFigure, HtmlBlock, build_blocks, parse_blocks, render_inline
from harness.report.render.markdown import escape
from harness.report.render.templates import TEMPLATES, render_page
from harness.report.sections import (
    cross_task,
    diagnostics,
    gains,
    imbalance,
    importance,
    published,
    reliability,
    search,
    thresholds,
    training,
)
from harness.report.sections.model_notes import model_notes
from harness.report.sections.overview import answer, entries_without_scores, overview
from harness.report.sections.ranking import headline, unchanged_defaults
from harness.store.store import Store

Topic: TypeAlias = Callable[[Evidence], list[Section]]

#: The topics in the order of their sections, with the titles of the chapters for those sections that are about no task.
TOPICS: tuple[tuple[str, Topic], ...] = (
    ("Columns", importance.sections),
    ("Published results", published.sections),
    ("Diagnostics", diagnostics.sections),
    ("Thresholds", thresholds.sections),
    ("Calibration", gains.calibration_sections),
    ("Ensembles", gains.ensemble_sections),
    ("Uneven classes", imbalance.sections),
    ("Complexity", training.sections),
    ("Search", search.sections),
    ("Over all tasks", cross_task.sections),
    ("How far to trust it", reliability.sections),
    ("Charts", charts.sections),
)
#: The topics whose sections stand in `leaderboard.md`, too.
LEADERBOARD_TOPICS: tuple[Topic, ...] = (thresholds.sections, training.sections, charts.sections)


@dataclass(frozen=True)
class TaskReport:
    """The report on one task, below its answer and its leaderboard: a description of its rows, notes, and sections."""

    ranking: Ranking
    description: str
    notes: tuple[str, ...]
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Chapter:
    """The sections of a topic that are about no single task."""

    title: str
    sections: tuple[Section, ...]


def collect_sections(evidence: Evidence) -> dict[Topic, list[Section]]:
    """Make the sections of every topic."""
    return {topic: topic(evidence) for _, topic in TOPICS}


def leaderboard_sections(topics: Mapping[Topic, list[Section]]) -> list[Section]:
    """Choose the sections that stand in `leaderboard.md`."""
    sections = []
    for topic in LEADERBOARD_TOPICS:
        sections += topics[topic]
    return charts.merge_sections(sections)


def collect_tasks(evidence: Evidence, topics: dict[Topic, list[Section]]) -> list[TaskReport]:
    """Arrange the sections by task, in the order of the run.

    Parameters
    ----------
    evidence : Evidence
        The run with its scores and rankings.
    topics : dict of Topic to list of Section
        The sections of every topic.

    Returns
    -------
    list of TaskReport
        The tasks with their sections.
    """
    sections: dict[str, list[Section]] = {ranking.task: [] for ranking in evidence.rankings}
    for topic_sections in topics.values():
        for section in topic_sections:
            if section.task:
                sections[section.task].append(section)
    reports = []
    for ranking in evidence.rankings:
        task_sections = charts.merge_sections(sections[ranking.task])
        reports.append(_task_report(evidence, ranking, task_sections))
    return reports


def collect_chapters(topics: dict[Topic, list[Section]]) -> list[Chapter]:
    """Arrange the sections that are about no single task as chapters, which follow the tasks."""
    chapters = []
    for title, topic in TOPICS:
        sections = []
        for section in topics[topic]:
            if not section.task:
                # The heading of the chapter is enough for a section of the same title.
                sections.append(replace(section, title="") if section.title == title else section)
        if sections:
            chapters.append(Chapter(title, tuple(sections)))
    return chapters


def _task_report(evidence: Evidence, ranking: Ranking, sections: Sequence[Section]) -> TaskReport:
    scores = evidence.scores
    notes = [objective_note(scores, ranking), unchanged_defaults(ranking), escape(entries_without_scores(ranking))]
    notes.append(model_notes(evidence, ranking.task))
    summary = results_summary(scores, ranking)
    if summary:
        title = "The results summary, as it is usually written"
        sections = [*sections, Section(title, (SUMMARY_TEXT, *summary), ranking.task)]
    return TaskReport(ranking, describe_rows(scores, ranking.task), tuple(filter(None, notes)), tuple(sections))


MIN_LINKED_LENGTH = 300  #: characters from which on a repeated paragraph is replaced by a link
MAX_EXPANDED_TASKS = 3  #: with more tasks than that, all of them are collapsed
MAX_FIGURE_BYTES = 9_000_000  #: of all figures, which are a third larger as text: the file has at most 15 MB


@dataclass(frozen=True)
class PageSection:
    """A section of the page."""

    anchor: str
    title: str
    blocks: tuple[HtmlBlock, ...]
    tables: tuple[ReportTable, ...]


@dataclass(frozen=True)
class PageChapter:
    """A task or another chapter of the page; only tasks have an introduction, a headline and a leaderboard."""

    anchor: str
    title: str
    sections: tuple[PageSection, ...]
    intro: tuple[HtmlBlock, ...] = ()
    headline: str = ""
    leaderboard: LeaderboardView | None = None


@dataclass(frozen=True)
class HtmlReport:
    """The report as HTML, and its tables as CSV by the names of their files."""

    html: str
    tables: dict[str, str]


def build_page(
    evidence: Evidence, topics: dict[Topic, list[Section]], max_figure_bytes: int = MAX_FIGURE_BYTES
) -> HtmlReport:
    """Build the HTML report of a run.

    Parameters
    ----------
    evidence : Evidence
        The run with its scores and rankings.
    topics : dict of Topic to list of Section
        The sections of every topic (see `collect_sections`), whose figures have been drawn.
    max_figure_bytes : int, default=9,000,000
        The size of all figures of the page; those beyond it, of the last tasks first, are named instead.

    Returns
    -------
    HtmlReport
        The page and its tables.
    """
    scores, rankings = evidence.scores, evidence.rankings
    embedder = _StoredFigureEmbedder(evidence.store, max_figure_bytes)
    chapters = []
    for number, chapter in enumerate(collect_chapters(topics), start=1):
        anchor = f"chapter-{number}"
        sections = _build_sections(anchor, chapter.title, chapter.sections, embedder)
        chapters.append(PageChapter(anchor, chapter.title, sections))
    tasks = []
    for number, task in enumerate(link_repeated_paragraphs(collect_tasks(evidence, topics)), start=1):
        tasks.append(_build_task(evidence, f"task-{number}", task, embedder))
    overview_section = Section("Overview", tuple(overview(scores, rankings)))
    overview_page = build_section("overview", "Overview", overview_section, embedder)
    tables: dict[str, str] = {}
    for page_chapter in [PageChapter("overview", "", (overview_page,)), *chapters]:
        tables |= _csv_tables(page_chapter, task="")
    for page_task in tasks:
        tables |= _csv_tables(page_task, task=page_task.title)
    html = render_report_page(
        "page.html",
        name=str(scores.run["name"]),
        overview=overview_page,
        reading_guide=build_blocks((how_to_read(scores),), "", embedder.embed),
        tasks=tasks,
        chapters=chapters,
        expanded=len(tasks) <= MAX_EXPANDED_TASKS,
    )
    return HtmlReport(html, tables)


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
    links: dict[str, str] = {}
    linked_tasks = []
    for task_number, task in enumerate(tasks, start=1):
        sections = []
        for section_number, section in enumerate(task.sections, start=1):
            anchor = f"task-{task_number}-{section_number}"
            link = f"How this is made and read: as for [{escape(task.ranking.task)}](#{anchor})."
            paragraphs = [part for part in section.parts if isinstance(part, str)]
            parts = [links.get(part, part) if isinstance(part, str) else part for part in section.parts]
            sections.append(replace(section, parts=tuple(parts)))
            for paragraph in paragraphs:
                if len(paragraph) >= MIN_LINKED_LENGTH and "\n" not in paragraph:
                    links.setdefault(paragraph, link)
        linked_tasks.append(replace(task, sections=tuple(sections)))
    return linked_tasks


class FigureEmbedder(Protocol):
    """What embeds the figures of a page."""

    def embed(self, figure: Figure) -> EmbeddedFigure:
        """Embed a figure."""


def embed_image(figure: Figure, image: bytes) -> EmbeddedFigure:
    """Embed a figure whose WebP image is at hand."""
    from PIL import Image

    width, height = Image.open(io.BytesIO(image)).size
    uri = f"data:image/webp;base64,{base64.b64encode(image).decode()}"
    return EmbeddedFigure(figure.name, figure.alt_text, uri, width, height)


class _StoredFigureEmbedder:
    """Embeds drawn figures into the page until their total size is reached."""

    def __init__(self, store: Store, max_bytes: int) -> None:
        self.store = store
        self.free_bytes = max_bytes

    def embed(self, figure: Figure) -> EmbeddedFigure:
        image = read_web_figure(self.store, figure.name)
        self.free_bytes -= len(image)
        if self.free_bytes < 0 or not image:
            return EmbeddedFigure(figure.name, figure.alt_text)
        return embed_image(figure, image)


def _build_task(evidence: Evidence, anchor: str, task: TaskReport, embedder: FigureEmbedder) -> PageChapter:
    """A task with its answer, unless it is the only one: then the overview has given it."""
    ranking = task.ranking
    intro: list[HtmlBlock] = []
    if len(evidence.rankings) > 1:
        intro += parse_blocks(answer(evidence.scores, ranking))
    for text in (task.description, *task.notes):
        intro += parse_blocks(text)
    return PageChapter(
        anchor,
        ranking.task,
        _build_sections(anchor, ranking.task, task.sections, embedder),
        intro=tuple(intro),
        headline=render_inline(headline(ranking)),
        leaderboard=build_leaderboard(evidence.scores, ranking) if ranking.best else None,
    )


def _build_sections(
    anchor: str, chapter: str, sections: Sequence[Section], embedder: FigureEmbedder
) -> tuple[PageSection, ...]:
    built = []
    for number, section in enumerate(sections, start=1):
        built.append(build_section(f"{anchor}-{number}", chapter, section, embedder))
    return tuple(built)


def build_section(anchor: str, chapter: str, section: Section, embedder: FigureEmbedder) -> PageSection:
    """Build a section; the caption of its tables names the section and its chapter."""
    caption = ", ".join(dict.fromkeys(filter(None, (section.title, chapter))))
    blocks = build_blocks(section.parts, caption, embedder.embed)
    return PageSection(anchor, section.title, tuple(blocks), tuple(tables_of(section.parts)))


def _csv_tables(chapter: PageChapter, task: str) -> dict[str, str]:
    """The tables of a chapter by file name: task, section, and a number from the second table of a section on."""
    tables = {}
    table_counts: Counter[str] = Counter()
    for section in chapter.sections:
        title = slug(section.title or chapter.title)
        for table in section.tables:
            table_counts[title] += 1
            number = [str(table_counts[title])] if table_counts[title] > 1 else []
            tables[f"{file_name(task, title, *number)}.csv"] = render_table(table)
    return tables


def render_report_page(template: str, **content: Any) -> str:
    """Render a page with the style and the script of all pages; `template` is a file of `templates/`."""
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    script = (TEMPLATES / "script.js").read_text(encoding="utf-8")
    constants = {"BAR_WIDTH": BAR_WIDTH, "BAR_HEIGHT": BAR_HEIGHT, "COLUMN_GROUPS": COLUMN_GROUPS}
    return render_page(template, style=style, script=script, constants=constants, **content)
