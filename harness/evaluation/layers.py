"""The layers of the networks that the searches chose."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from harness.evaluation.ranking import Ranking
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
