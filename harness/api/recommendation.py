"""The recommendation of a task as a value: the entry to use, the evidence, and the sentences about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.evaluation.decision import Recommendation
    from harness.evaluation.preferences import Preference
    from harness.evaluation.ranking import Ranking
    from harness.evaluation.scores import Scores


@dataclass(frozen=True)
class TaskRecommendation:
    """What to use on a task, and why.

    Attributes
    ----------
    task : str
        Name of the task.
    entry : str or None
        Name of the recommended entry; None where no entry is better than the baseline, or nothing could be ranked.
    advice : dict of str to str
        Sentences by label: ``Use``, ``Settled``, ``Not settled``, ``Strategy``, ``Tuning``, ``Decisions``, ``Parameters``,
        ``Check first``; those that do not apply are left out.
    evidence : Recommendation
        The comparisons behind the sentences, as values.
    """

    task: str
    entry: str | None
    advice: dict[str, str]
    evidence: Recommendation = field(repr=False)

    def __str__(self) -> str:
        width = max(map(len, self.advice)) + 2
        return "\n".join(f"{label + ':':<{width}}{text}" for label, text in self.advice.items())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from html import escape

        rows = [f"<tr><th>{escape(label)}</th><td>{escape(text)}</td></tr>" for label, text in self.advice.items()]
        return f"<table>{''.join(rows)}</table>"


def make_recommendation(scores: Scores, ranking: Ranking, prefer: Preference | None) -> TaskRecommendation:
    """Recommend an entry of a task and put the reasons into words.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    ranking : Ranking
        The ranking of the task.
    prefer : {"simple", "score"}, optional
        Whether the simplest of the entries close to the best one is taken, or always the best one.

    Returns
    -------
    TaskRecommendation
        The recommendation.
    """
    from harness.evaluation.decision import recommend_entry
    from harness.report.sections.recommendation import recommendation_advice

    evidence = recommend_entry(scores, ranking, prefer)
    advice_by_label = {line.label: line.text for line in recommendation_advice(scores, ranking, evidence)}
    entry = evidence.entry.entry.name if evidence.entry is not None else None
    return TaskRecommendation(ranking.task, entry, advice_by_label, evidence)
