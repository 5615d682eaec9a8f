"""What tuned entries cost against how good they are, and the architectures of the chosen networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from harness.evaluation.ranking import BASELINE, RankedEntry, Ranking
from harness.evaluation.scores import Entry, Scores
from harness.store.record import EntryResult, Layer

Layers = tuple[Layer, ...]


@dataclass(frozen=True)
class Architecture:
    """The layers of a network, how many splits chose them, and how many of their parameters were trained."""

    layers: Layers
    splits: int
    trained: int

    @property
    def parameters(self) -> int:
        """All parameters, trained or not."""
        return sum(parameters for *_, parameters in self.layers)

    @property
    def frozen(self) -> int:
        """The parameters that were not trained."""
        return max(self.parameters - self.trained, 0)


@dataclass(frozen=True)
class ChosenArchitectures:
    """An entry with the architectures that its splits chose, the most frequent first."""

    entry: Entry
    architectures: tuple[Architecture, ...]

    @property
    def splits(self) -> int:
        """The number of splits."""
        return sum(architecture.splits for architecture in self.architectures)


def chosen_architectures(scores: Scores, ranking: Ranking) -> list[ChosenArchitectures]:
    """Collect the architectures of the tuned networks of a task, best entry first."""
    counts: dict[tuple[str, str], Counter[tuple[Layers, int]]] = {}
    for cell in scores.cells:
        if cell.record is None or cell.task != ranking.task:
            continue
        for outcome in cell.record.outcomes:
            if outcome.stage == "tuned" and outcome.architecture:
                network = outcome.architecture, _trained_parameters(outcome)
                counts.setdefault((cell.family, cell.strategy), Counter())[network] += 1
    chosen = []
    for ranked in ranking.entries:
        if ranked.entry.stage == "tuned" and ranked.entry[:2] in counts:
            most_common = counts[ranked.entry[:2]].most_common()
            architectures = [Architecture(layers, splits, trained) for (layers, trained), splits in most_common]
            chosen.append(ChosenArchitectures(ranked.entry, tuple(architectures)))
    return chosen


def _trained_parameters(outcome: EntryResult) -> int:
    if outcome.parameters is None:
        return sum(parameters for *_, parameters in outcome.architecture)
    return outcome.parameters


COSTS = {"fit_seconds": "fit", "model_bytes": "size", "predict_us_per_row": "predict"}  #: column → its short name


@dataclass(frozen=True)
class EntryCosts:
    """A tuned entry: its score, its costs, and the costs at which it is on the Pareto front."""

    entry: Entry
    name: str
    score: float
    costs: dict[str, float]  #: by column: `COSTS` and `parameters`; NaN where one is not known
    fronts: tuple[str, ...]


def pareto_front(costs: Sequence[float], scores: Sequence[float], *, greater: bool = True) -> list[bool]:
    """Mark the points on the Pareto front of low cost and good score.

    Parameters
    ----------
    costs, scores : sequences of float
        One per point; a point with a NaN is never on the front.
    greater : bool, default True
        Whether a greater score is better.

    Returns
    -------
    list of bool
        True where no other point is at least as cheap and as good, and better in one of both.
    """
    cost, score = np.asarray(costs, dtype=float), np.asarray(scores, dtype=float)
    if not greater:
        score = -score
    front = []
    for point_cost, point_score in zip(cost, score, strict=True):
        differs = (cost != point_cost) | (score != point_score)
        dominated = bool(((cost <= point_cost) & (score >= point_score) & differs).any())
        front.append(not (np.isnan(point_cost) or np.isnan(point_score) or dominated))
    return front


def entry_costs(ranking: Ranking) -> list[EntryCosts]:
    """Give the tuned entries of a task that have all splits, best first, with the fronts they are on."""
    candidates = list(filter(_is_candidate, ranking.entries))
    costs, scores = list(map(_costs, candidates)), [ranked.score.mean for ranked in candidates]
    fronts, greater = {}, ranking.metric.greater_is_better
    for name in COSTS:
        fronts[name] = pareto_front(list(map(itemgetter(name), costs)), scores, greater=greater)
    entries = []
    for position, ranked in enumerate(candidates):
        own_fronts = tuple(name for name in COSTS if fronts[name][position])
        entries.append(EntryCosts(ranked.entry, ranked.name, scores[position], costs[position], own_fronts))
    return entries


def _is_candidate(ranked: RankedEntry) -> bool:
    return ranked.complete and ranked.entry.stage == "tuned" and ranked.entry.family != BASELINE


def _costs(ranked: RankedEntry) -> dict[str, float]:
    names = (*COSTS, "parameters")
    return dict(zip(names, map(ranked.rows.mean, names), strict=True))
