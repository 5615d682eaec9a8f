"""Write the report of a run: tables, figures and the HTML page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.evaluation.frames import collect_score_frame
from harness.evaluation.model_findings import collect_model_findings
from harness.evaluation.ranking import rank_entries
from harness.evaluation.score_collection import collect_scores
from harness.evaluation.search_history import read_searches
from harness.evaluation.threshold_goals import check_goals, classes_and_costs_by_task, read_run_goals
from harness.metrics.metric import Metric
from harness.metrics.threshold import ThresholdGoal
from harness.report.content import CollapsedParts, Evidence, Figure, Part, Section
from harness.report.figures.writer import draw_all_figures, is_report_file_name, read_file_index
from harness.report.html_report import DETAILS_FILE, REPORT_FILE, HtmlReport, build_pages
from harness.report.leaderboard import format_frame_csv, make_leaderboard_frame
from harness.report.markdown_leaderboard import first_sentences, write_leaderboard_markdown
from harness.report.markdown_report import write_details_markdown
from harness.report.sections import thresholds
from harness.report.sections.overview import describe_coverage, summarize_for_terminal
from harness.report.topics import LEADERBOARD_TOPICS, MAIN_TOPICS, TOPICS, Topic, collect_sections, leaderboard_sections
from harness.store.files import remove_file, write_atomic
from harness.store.store import Store


@dataclass(frozen=True)
class LeaderboardFiles:
    """The paths of `leaderboard.md`, `details.md`, `leaderboard.csv` and `scores.csv`, and the summary that a terminal shows."""

    markdown: Path
    details: Path
    csv: Path
    scores: Path
    summary: str
    headline: str  #: what to use, and of how many cells and families it is known


@dataclass(frozen=True)
class ReportFiles(LeaderboardFiles):
    """The files of a report: the leaderboard, and the paths of `report.html` and `details.html`."""

    page: Path
    details_page: Path


def write_leaderboard(
    store: Store, metrics: Mapping[str, Metric], goals: Sequence[ThresholdGoal] = ()
) -> LeaderboardFiles:
    """Write `leaderboard.md`, `details.md`, `leaderboard.csv` and `scores.csv`, without the page and without drawing figures.

    Parameters
    ----------
    store : Store
        The run.
    metrics : mapping of str to Metric
        The metrics by their names.
    goals : sequence of ThresholdGoal, optional
        For which thresholds are chosen on inner rows; those of the run by default.

    Returns
    -------
    LeaderboardFiles
        The paths of the files, and a summary.

    Raises
    ------
    StoreError
        If the folder is no run, or cannot be read or written.
    EvenhandError
        If a goal makes sense for no task.
    """
    evidence = _collect_evidence(store, metrics, goals)
    return _write_leaderboard(evidence, {topic: topic(evidence) for topic in LEADERBOARD_TOPICS})


def write_report(store: Store, metrics: Mapping[str, Metric], goals: Sequence[ThresholdGoal] = ()) -> ReportFiles:
    """Write the leaderboard, `report.html`, `details.html`, `tables/` and `figures/` from what is stored.

    Tables and figures of an earlier report that this one does not have are deleted; other files stay. The same records
    give the same bytes.

    Parameters
    ----------
    store : Store
        The run.
    metrics : mapping of str to Metric
        The metrics by their names.
    goals : sequence of ThresholdGoal, optional
        For which thresholds are chosen on inner rows; those of the run by default.

    Returns
    -------
    ReportFiles
        The paths of the files, and a summary.

    Raises
    ------
    StoreError
        If the folder is no run, or cannot be read or written.
    EvenhandError
        If a goal makes sense for no task.
    """
    evidence = _collect_evidence(store, metrics, goals)
    sections_by_topic = collect_sections(evidence)
    leaderboard_files = _write_leaderboard(evidence, sections_by_topic)
    figures = []
    for sections in sections_by_topic.values():
        for section in sections:
            figures += [section_part for section_part in section.parts if isinstance(section_part, Figure)]
    draw_all_figures(store, figures)
    pages = build_pages(evidence, sections_by_topic)
    _write_tables(store, pages.tables)
    return _write_pages(leaderboard_files, pages, store.folder)


def write_preliminary_report(store: Store, metrics: Mapping[str, Metric]) -> ReportFiles:
    """Write the leaderboard and pages without figures, in a fraction of the time of `write_report`.

    The pages have the sections that decide and those of `details.md`. They are meant for runs that go on, or whose time is
    over: what is missing is said in the first lines.

    Parameters
    ----------
    store : Store
        The run.
    metrics : mapping of str to Metric
        The metrics by their names.

    Returns
    -------
    ReportFiles
        The paths of the files, and a summary.

    Raises
    ------
    StoreError
        If the folder is no run, or cannot be read or written.
    """
    evidence = _collect_evidence(store, metrics, ())
    topics: dict[Topic, list[Section]] = {}
    for _, topic in TOPICS:
        topics[topic] = []
        if topic in MAIN_TOPICS or topic in LEADERBOARD_TOPICS:
            for section in topic(evidence):
                topics[topic].append(replace(section, parts=tuple(_without_figures(section.parts))))
    leaderboard_files = _write_leaderboard(evidence, topics)
    return _write_pages(leaderboard_files, build_pages(evidence, topics), store.folder)


def _without_figures(parts: Iterable[Part]) -> list[Part]:
    remaining: list[Part] = []
    for part in parts:
        if isinstance(part, CollapsedParts):
            remaining.append(replace(part, parts=tuple(_without_figures(part.parts))))
        elif not isinstance(part, Figure):
            remaining.append(part)
    return remaining


def _write_pages(leaderboard_files: LeaderboardFiles, pages: HtmlReport, folder: Path) -> ReportFiles:
    page, details_page = folder / REPORT_FILE, folder / DETAILS_FILE
    write_atomic(page, pages.html.encode())
    write_atomic(details_page, pages.details.encode())
    return ReportFiles(**vars(leaderboard_files), page=page, details_page=details_page)


def _collect_evidence(
    store: Store, metrics: Mapping[str, Metric], threshold_goals: Sequence[ThresholdGoal]
) -> Evidence:
    scores = collect_scores(store, metrics)
    check_goals(threshold_goals, classes_and_costs_by_task(scores))
    rankings = tuple(rank_entries(scores, task) for task in scores.run["tasks"])
    run_searches = read_searches(store, scores)
    findings = {ranking.task: collect_model_findings(scores, ranking, run_searches) for ranking in rankings}
    return Evidence(store, scores, rankings, tuple(threshold_goals) or read_run_goals(scores), findings)


def _write_leaderboard(evidence: Evidence, sections_by_topic: Mapping[Topic, list[Section]]) -> LeaderboardFiles:
    folder, scores, rankings = evidence.store.folder, evidence.scores, list(evidence.rankings)
    text = "\n\n".join(
        filter(None, [summarize_for_terminal(scores, rankings), thresholds.describe_goals_for_terminal(evidence)])
    )
    files = LeaderboardFiles(
        markdown=folder / "leaderboard.md",
        details=folder / "details.md",
        csv=folder / "leaderboard.csv",
        scores=folder / "scores.csv",
        summary=text,
        headline=f"{describe_coverage(scores)}: {'; '.join(first_sentences(scores, rankings))}",
    )
    write_atomic(files.csv, format_frame_csv(make_leaderboard_frame(scores, rankings)).encode())
    write_atomic(files.scores, format_frame_csv(collect_score_frame(scores)).encode())
    write_atomic(files.details, write_details_markdown(evidence, leaderboard_sections(sections_by_topic)).encode())
    write_atomic(
        files.markdown, write_leaderboard_markdown(evidence, thresholds.make_threshold_sections(evidence)).encode()
    )
    return files


def _write_tables(store: Store, csv_by_file_name: Mapping[str, str]) -> None:
    """Write every table by the name of its file, and delete those of an earlier report that this one does not have."""
    folder, index_path = store.folder / "tables", store.folder / "derived" / "tables.json"
    for name, text in csv_by_file_name.items():
        write_atomic(folder / name, text.encode())
    previous_files = set(map(str, read_file_index(index_path, [])))
    for name in filter(is_report_file_name, previous_files - csv_by_file_name.keys()):
        remove_file(folder / name)
    if previous_files != csv_by_file_name.keys():
        write_atomic(index_path, json.dumps(sorted(csv_by_file_name), indent=1).encode())
