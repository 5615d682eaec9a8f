"""Complexity against quality: what an entry is made of, what it costs, and which entries nothing beats at their cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.evaluation.ranking import BASELINE, Ranking
from harness.evaluation.scores import Entry
from harness.report.render.markdown import NONE, brief, escape, folded_table, listed, number

COSTS = {"fit_seconds": "fit", "model_bytes": "size", "predict_us_per_row": "predict"}  #: column → its word


@dataclass(frozen=True)
class Weighed:
    """A tuned entry: its score, what it is made of and costs, and the costs at which it is on the Pareto front."""

    entry: Entry
    name: str
    score: float
    figures: dict[str, float]  #: by column: the costs and `parameters`; NaN where one is not known
    front: tuple[str, ...]


def pareto(costs: Sequence[float], scores: Sequence[float], *, greater: bool = True) -> list[bool]:
    """Which points nothing beats: no other is at least as cheap and as good, and one of both more so. NaN never is one."""
    points = list(zip(costs, scores if greater else [-score for score in scores], strict=True))

    def beaten(cost: float, score: float) -> bool:
        return any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in points)

    return [not (math.isnan(cost) or math.isnan(score) or beaten(cost, score)) for cost, score in points]


def weigh(ranking: Ranking) -> list[Weighed]:
    """The tuned entries of a task that have all splits, best first, with the fronts they are on."""
    places = [p for p in ranking.entries if p.complete and p.entry.stage == "tuned" and p.entry.family != BASELINE]
    scores, greater = [place.score.mean for place in places], ranking.metric.greater_is_better
    fronts = {name: pareto([p.rows.mean(name) for p in places], scores, greater=greater) for name in COSTS}
    return [
        Weighed(
            entry=place.entry,
            name=place.name,
            score=place.score.mean,
            figures={name: place.rows.mean(name) for name in (*COSTS, "parameters")},
            front=tuple(name for name in COSTS if fronts[name][at]),
        )
        for at, place in enumerate(places)
    ]


def complexity_table(ranking: Ranking) -> str:
    """Parameters, size, times and score of the tuned entries, best first, and what nothing beats."""
    header = ["Entry", ranking.metric.label, "Parameters", "Size kB", "Fit s", "Predict µs/row", "Nothing beats it"]
    rows = []
    for one in weigh(ranking):
        found = one.figures
        amounts = [found["parameters"], found["model_bytes"] / 1000, found["fit_seconds"], found["predict_us_per_row"]]
        on = [word for name, word in COSTS.items() if name in one.front]
        rows.append(
            [escape(one.name), number(one.score, ranking.digits), *map(_amount, amounts), listed(on) if on else NONE]
        )
    return folded_table(header, rows) if rows else ""


def _amount(value: float) -> str:
    return brief(round(value)) if value >= 100 else brief(value)
