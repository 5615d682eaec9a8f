"""Tables of a run as Python shows them: the leaderboard in a notebook, the findings, the legend of a summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from harness.evaluation.ranking import Ranking
    from harness.evaluation.scores import Scores
    from harness.store.store import Store

#: Columns of the leaderboard that a notebook shows, besides the objective.
SHOWN_COLUMNS = (
    "rank",
    "entry",
    "tied",
    "roc_auc",
    "average_precision",
    "f1",
    "precision",
    "recall",
    "fit_seconds",
    "status",
)
#: Marks in the summary of a run → what they mean.
MARK_MEANINGS = {
    "≈": "not significantly different from the first entry",
    "†": "put together from other entries, with the trials of all of them: no rank",
    "= default": "the search kept the default parameters in every split: default and tuned are one entry",
}
FINDING_COLUMNS = ("task", "code", "severity", "column", "rows", "message", "advice")


def add_legend(text: str) -> str:
    """Add what the marks in a summary mean."""
    legend = [
        f"{legend_mark}  {mark_meaning}" for legend_mark, mark_meaning in MARK_MEANINGS.items() if legend_mark in text
    ]
    return "\n".join([text, *([""] if legend else []), *legend])


def leaderboard_html(board: pd.DataFrame, *, with_task: bool) -> str:
    """Write a leaderboard as a table for a notebook, without empty columns."""
    columns = [name for name in SHOWN_COLUMNS if name in board and board[name].notna().any()]
    if with_task:
        columns.insert(0, "task")
    return str(board[columns].to_html(index=False, float_format="{:.3f}".format, na_rep="–", border=0))


def collect_findings_frame(store: Store, scores: Scores, rankings: Sequence[Ranking]) -> pd.DataFrame:
    """Collect the findings about the data and about the results of every task."""
    import pandas as pd

    from harness.evaluation.model_findings import collect_model_findings
    from harness.evaluation.search_history import read_searches

    lines = []
    searches_by_cell = read_searches(store, scores)
    for ranking in rankings:
        for finding in scores.run["tasks"][ranking.task].get("findings", ()):
            lines.append({"task": ranking.task, **finding})
        for result_finding in collect_model_findings(scores, ranking, searches_by_cell):
            lines.append({"task": ranking.task, **result_finding.as_dict()})
    return pd.DataFrame(lines, columns=list(FINDING_COLUMNS)).astype({"rows": "Int64"})
