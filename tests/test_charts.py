"""A chart is one file and one line of the registry, and stands on the page and in leaderboard.md."""

from functools import partial

import pytest
from fixtures_run import tumours, write_run

from harness.evaluation.ranking import rank_entries
from harness.evaluation.score_collection import collect_scores
from harness.metrics.classification import METRICS
from harness.report.charts import registry
from harness.report.content import Chart, Evidence, Figure, Section
from harness.report.figures.style import create_axes, styled_figure
from harness.report.figures.writer import report_file_name
from harness.report.markdown_report import write_details_markdown
from harness.report.topics import collect_sections, collect_task_reports, leaderboard_sections


@styled_figure
def draw_splits(scores):
    figure, axes = create_axes(4, 2)
    axes.plot(scores)
    return figure


def build(ranking, evidence):
    """What the one file of a chart has: a function of the evidence, and the drawing."""
    scores = tuple(round(float(score), 4) for score in ranking.best.rows[ranking.metric.name])
    return Figure(
        report_file_name(ranking.task, "splits"),
        f"{evidence.scores.run['name']}, split by split",
        partial(draw_splits, scores),
    )


@pytest.fixture(scope="module")
def evidence(tmp_path_factory) -> Evidence:
    store = write_run(tmp_path_factory.mktemp("charts") / "run", [tumours()])
    scores = collect_scores(store, {metric.name: metric for metric in METRICS})
    return Evidence(store, scores, (rank_entries(scores, "tumours"),))


@pytest.mark.parametrize("title", ["Split by split", "Complexity against quality"])
def test_a_chart_stands_on_the_page_and_in_the_leaderboard(evidence, monkeypatch, title):
    monkeypatch.setattr(registry, "CHARTS", (*registry.CHARTS, Chart(title, build)))
    topics = collect_sections(evidence)
    (task,) = collect_task_reports(evidence, topics)
    (section,) = (section for section in task.sections if section.title == title)
    chart = section.parts[-1]
    assert (chart.name, chart.draw()[:4]) == ("tumours.splits", b"<svg")
    markdown = write_details_markdown(evidence, leaderboard_sections(topics))
    in_leaderboard = markdown.split(f"### {title}\n")[1].split("\n#")[0]
    assert "split by split](figures/tumours.splits.svg)" in in_leaderboard
    assert len(registry.make_chart_sections(evidence)) == 2, "they are drawn with all other figures"


def test_sections_with_one_title_and_task_are_joined_in_the_place_of_the_first():
    sections = [
        Section("A", ("a",), "t"),
        Section("B", ("b",), "t"),
        Section("A", ("c",), "t"),
        Section("A", ("d",), "u"),
    ]
    assert registry.merge_sections(sections) == [
        Section("A", ("a", "c"), "t"),
        Section("B", ("b",), "t"),
        Section("A", ("d",), "u"),
    ]
