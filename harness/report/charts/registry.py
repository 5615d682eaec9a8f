"""The registry of charts: one more is a file of this folder and a line here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from harness.report.charts import pareto
from harness.report.content import Chart, Evidence, Section

CHARTS: tuple[Chart, ...] = (
    pareto.CHART,
)  # fmt: skip


def make_chart_sections(evidence: Evidence) -> list[Section]:
    """Make the charts of every evaluated task, each as a section with the title under which it is shown."""
    charts = []
    for ranking in evidence.rankings:
        if ranking.best:
            for chart in CHARTS:
                figure = chart.build(ranking, evidence)
                if figure is not None:
                    charts.append(Section(chart.section, (figure,), ranking.task))
    return charts


def merge_sections(sections: Iterable[Section]) -> list[Section]:
    """Join the parts of sections with one title and one task, in the place of the first of them.

    Parameters
    ----------
    sections : iterable of Section
        The sections of topics, and those of charts behind them.

    Returns
    -------
    list of Section
        A chart is at the end of the section with its title, or, if no topic has such a section, in one of its own.
    """
    merged_sections: dict[tuple[str, str], Section] = {}
    for section in sections:
        key = section.task, section.title
        earlier_section = merged_sections.get(key)
        merged_sections[key] = (
            section
            if earlier_section is None
            else replace(earlier_section, parts=(*earlier_section.parts, *section.parts))
        )
    return list(merged_sections.values())
