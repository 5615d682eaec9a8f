"""The structure of a report: the sections of every topic, per task and over all tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import Scores
from harness.report.content import Evidence, Section
from harness.report.markdown_report import SUMMARY_TEXT, describe_rows, objective_note, results_summary
from harness.report.render.markdown import escape
from harness.report.sections import (
    calibration,
    cross_task,
    diagnostics,
    ensembles,
    imbalance,
    reliability,
    search,
    training,
)
from harness.report.sections.overview import entries_without_scores
from harness.report.sections.ranking import unchanged_defaults

Topic: TypeAlias = Callable[[Evidence], list[Section]]

#: The topics in the order of their sections, with the titles of the chapters for those sections that are about no task.
TOPICS: tuple[tuple[str, Topic], ...] = (
    ("Diagnostics", diagnostics.sections),
    ("Calibration", calibration.sections),
    ("Ensembles", ensembles.sections),
    ("Uneven classes", imbalance.sections),
    ("Complexity", training.sections),
    ("Search", search.sections),
    ("Over all tasks", cross_task.sections),
    ("How far to trust it", reliability.sections),
)


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
    return [_task_report(evidence.scores, ranking, sections[ranking.task]) for ranking in evidence.rankings]


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


def _task_report(scores: Scores, ranking: Ranking, sections: Sequence[Section]) -> TaskReport:
    notes = [objective_note(scores, ranking), unchanged_defaults(ranking), escape(entries_without_scores(ranking))]
    summary = results_summary(scores, ranking)
    if summary:
        title = "The results summary, as it is usually written"
        sections = [*sections, Section(title, (SUMMARY_TEXT, *summary), ranking.task)]
    return TaskReport(ranking, describe_rows(scores, ranking.task), tuple(filter(None, notes)), tuple(sections))
