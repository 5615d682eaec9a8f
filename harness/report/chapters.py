"""What stands on the page and where: the sections of every topic, per task and over all tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import Scores
from harness.report.content import Evidence, Section
from harness.report.markdown_report import SUMMARY_TEXT, documented, other_objective
from harness.report.render.markdown import escape
from harness.report.sections import calibration, cross_task, diagnostics, ensembles, imbalance, reliability, training
from harness.report.sections.best_entry import repeated
from harness.report.sections.data_notes import about_rows, shares
from harness.report.sections.overview import without_figures
from harness.report.sections.search import sections as searched

Topic: TypeAlias = Callable[[Evidence], list[Section]]

#: Every topic, and the chapter of its sections that are about no task; the others stand with their task, in this order.
TOPICS: tuple[tuple[str, Topic], ...] = (
    ("Diagnostics", diagnostics.sections),
    ("Calibration", calibration.sections),
    ("Ensembles", ensembles.sections),
    ("Uneven classes", imbalance.sections),
    ("Complexity", training.sections),
    ("Search", searched),
    ("Over all tasks", cross_task.sections),
    ("How far to trust it", reliability.sections),
)


@dataclass(frozen=True)
class TaskPart:
    """What is said about a task, below its answer and its leaderboard."""

    ranking: Ranking
    data: str
    remarks: tuple[str, ...]
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Chapter:
    """What is said about no single task."""

    title: str
    sections: tuple[Section, ...]


def gather(evidence: Evidence) -> dict[Topic, list[Section]]:
    """The sections of every topic."""
    return {topic: topic(evidence) for _, topic in TOPICS}


def task_parts(evidence: Evidence, found: dict[Topic, list[Section]]) -> list[TaskPart]:
    """Every task with its sections, in the order of the run."""
    sections: dict[str, list[Section]] = {ranking.task: [] for ranking in evidence.rankings}
    for section in (section for some in found.values() for section in some):
        if section.task:
            sections[section.task].append(section)
    return [_task_part(evidence.scores, ranking, sections[ranking.task]) for ranking in evidence.rankings]


def chapters(found: dict[Topic, list[Section]]) -> list[Chapter]:
    """What stands behind the tasks: what the topics say about none of them alone."""
    sections: dict[str, list[Section]] = {title: [] for title, _ in TOPICS}
    for title, topic in TOPICS:
        # A section that is called like its chapter needs no heading of its own.
        plain = (replace(one, title="") if one.title == title else one for one in found[topic] if not one.task)
        sections[title] += plain
    return [Chapter(title, tuple(some)) for title, some in sections.items() if some]


def _task_part(scores: Scores, ranking: Ranking, sections: Iterable[Section]) -> TaskPart:
    task, about = ranking.task, scores.run["tasks"][ranking.task]
    rows = f"{about['rows']:,} rows: {shares(about, percent=True)}. {about_rows(about)}"
    remarks = [other_objective(scores, ranking), repeated(ranking), escape(without_figures(ranking))]
    last = []
    if written := documented(scores, ranking):
        last.append(Section("The results summary, as it is usually written", (SUMMARY_TEXT, *written), task))
    said = tuple(one for one in remarks if one)
    return TaskPart(ranking, f"{escape(about['title'])}. {rows}".rstrip(), said, (*sections, *last))
