"""The topics of a report, and their sections by task and chapter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from harness.evaluation.ranking import Ranking
from harness.report.charts import registry as charts
from harness.report.content import Evidence, Section
from harness.report.markdown_report import SUMMARY_TEXT, describe_rows, note_different_objective, summarize_results
from harness.report.render.markdown import escape
from harness.report.sections import (
    columns,
    cross_task,
    diagnostics,
    gains,
    imbalance,
    importance,
    parameters,
    published,
    reliability,
    search,
    thresholds,
    training,
)
from harness.report.sections.entry_tables import MATRIX_NOTE, tabulate_strategy_readings
from harness.report.sections.model_notes import list_model_findings
from harness.report.sections.overview import list_entries_without_scores
from harness.report.sections.ranking import describe_unchanged_defaults

Topic: TypeAlias = Callable[[Evidence], list[Section]]

#: The topics in the order of their sections, with the titles of the chapters for those sections that are about no task.
TOPICS: tuple[tuple[str, Topic], ...] = (
    ("Thresholds", thresholds.make_threshold_sections),
    ("Hyperparameters", parameters.make_hyperparameter_sections),
    ("Importance", importance.make_importance_sections),
    ("Columns", columns.make_column_sections),
    ("Published results", published.make_published_sections),
    ("Diagnostics", diagnostics.make_diagnostic_sections),
    ("Calibration", gains.make_calibration_sections),
    ("Ensembles", gains.make_ensemble_sections),
    ("Uneven classes", imbalance.make_strategy_sections),
    ("Complexity", training.make_training_sections),
    ("Search", search.make_search_sections),
    ("Over all tasks", cross_task.make_cross_task_sections),
    ("How far to trust it", reliability.make_reliability_sections),
    ("Charts", charts.make_chart_sections),
)
#: The topics whose sections stand in `report.html`; those of all others stand in `details.html`.
MAIN_TOPICS: tuple[Topic, ...] = (
    thresholds.make_threshold_sections,
    parameters.make_hyperparameter_sections,
    importance.make_importance_sections,
    columns.make_column_sections,
)
#: The topics whose sections stand in `details.md`, too.
LEADERBOARD_TOPICS: tuple[Topic, ...] = (
    thresholds.make_threshold_sections,
    training.make_training_sections,
    charts.make_chart_sections,
)


STRATEGY_TITLE = "Strategies against none"


@dataclass(frozen=True)
class TaskReport:
    """The report on one task: a description of its rows, notes, and the sections of `report.html` and of `details.html`."""

    ranking: Ranking
    description: str
    notes: tuple[str, ...]
    main_sections: tuple[Section, ...]
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
    for report_topic in LEADERBOARD_TOPICS:
        sections += topics[report_topic]
    return charts.merge_sections(sections)


def collect_task_reports(evidence: Evidence, topics: dict[Topic, list[Section]]) -> list[TaskReport]:
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
    main_sections, sections = [], []
    for topic, topic_sections in topics.items():
        if topic in MAIN_TOPICS:
            main_sections += topic_sections
        else:
            sections += topic_sections
    reports = []
    for ranking in evidence.rankings:
        selected_sections = [
            _select_task_sections(section_list, ranking.task) for section_list in (main_sections, sections)
        ]
        reports.append(_make_task_report(evidence, ranking, *selected_sections))
    return reports


def _select_task_sections(sections: Sequence[Section], task: str) -> list[Section]:
    return charts.merge_sections(section for section in sections if section.task == task)


def collect_chapters(topics: dict[Topic, list[Section]]) -> list[Chapter]:
    """Arrange the sections that are about no single task as chapters, which follow the tasks."""
    report_chapters = []
    for title, topic in TOPICS:
        sections = []
        for section in topics[topic]:
            if not section.task:
                # The heading of the chapter is enough for a section of the same title.
                sections.append(replace(section, title="") if section.title == title else section)
        if sections:
            report_chapters.append(Chapter(title, tuple(sections)))
    return report_chapters


def _make_task_report(
    evidence: Evidence, ranking: Ranking, main_sections: Sequence[Section], sections: Sequence[Section]
) -> TaskReport:
    scores = evidence.scores
    task_notes = [
        note_different_objective(scores, ranking),
        describe_unchanged_defaults(ranking),
        escape(list_entries_without_scores(ranking)),
    ]
    task_notes.append(list_model_findings(evidence, ranking.task))
    summary = summarize_results(scores, ranking)
    if summary:
        title = "The results summary, as it is usually written"
        sections = [*sections, Section(title, (SUMMARY_TEXT, *summary), ranking.task)]
    rows_description = describe_rows(scores, ranking.task)
    matrix = tabulate_strategy_readings(scores, ranking.task)
    if matrix is not None:
        main_sections = [Section(STRATEGY_TITLE, (MATRIX_NOTE, matrix), ranking.task), *main_sections]
    return TaskReport(ranking, rows_description, tuple(filter(None, task_notes)), tuple(main_sections), tuple(sections))
