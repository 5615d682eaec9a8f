"""Score against time to fit and against size."""

from __future__ import annotations

from functools import partial
from operator import attrgetter

from harness.evaluation.ranking import Ranking
from harness.evaluation.training import entry_costs
from harness.report.content import Chart, Evidence, Figure
from harness.report.figures.training import pareto_figure
from harness.report.figures.writer import report_file_name
from harness.report.render.markdown import metric_name

KIND = "complexity"  #: in the names of its files


def build_pareto_figure(ranking: Ranking, evidence: Evidence) -> Figure | None:
    """Make the chart of a task; None where no entry has costs that are known."""
    entries = entry_costs(ranking)
    if not any(map(attrgetter("fronts"), entries)):
        return None
    families, metric = list(evidence.scores.run["families"]), ranking.metric
    draw_figure = partial(pareto_figure, entries, families, metric_name(metric), greater=metric.greater_is_better)
    alt_text = "Score against time to fit and against size, with the entries that nothing beats"
    return Figure(report_file_name(ranking.task, KIND), alt_text, draw_figure)


CHART = Chart(section="Complexity against quality", build=build_pareto_figure)
