"""The layers of the networks that the searches chose."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import ANY, Entry, Scores
from harness.store.record import Layer

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
        """The parameters that came as they are."""
        return max(self.parameters - self.trained, 0)


@dataclass(frozen=True)
class Chosen:
    """An entry with the architectures that its splits chose, the most frequent first."""

    entry: Entry
    architectures: tuple[Architecture, ...]

    @property
    def splits(self) -> int:
        """How many splits there are."""
        return sum(one.splits for one in self.architectures)


def chosen_architectures(scores: Scores, ranking: Ranking) -> list[Chosen]:
    """The architectures of the tuned networks of a task, best entry first."""
    stored: dict[tuple[str, str], list[tuple[Layers, int]]] = {}
    for record in (cell.record for cell in scores.cells if cell.record and cell.task == ranking.task):
        for outcome in record.outcomes:
            if outcome.stage == "tuned" and outcome.architecture:
                layers = outcome.architecture
                trained = sum(one[-1] for one in layers) if outcome.parameters is None else outcome.parameters
                stored.setdefault((record.family, record.strategy), []).append((layers, trained))
    return [
        Chosen(
            place.entry,
            tuple(Architecture(made, n, trained) for (made, trained), n in Counter(stored[key]).most_common()),
        )
        for place in ranking.entries
        if place.entry.stage == "tuned" and place.entry.strategy != ANY and (key := place.entry[:2]) in stored
    ]
