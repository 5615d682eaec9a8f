"""What the entries of a task are made of and cost, and how its networks were trained."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from harness.report.figures.costs import pareto_figure
from harness.report.figures.gallery import file_name
from harness.report.figures.networks import Losses, architecture_figure, convergence_figure
from harness.report.inspection.complexity import complexity_table, weigh
from harness.report.inspection.curves import Fit, Trained, Training, collect_training, training_section
from harness.report.inspection.layers import Chosen, architecture_text, chosen_architectures
from harness.report.ranking import Ranking
from harness.report.scoring.scores import Scores
from harness.report.section import Evidence, Picture, Section

PARETO, TRAINING, LAYERS = "complexity", "training", "layers"


def sections(evidence: Evidence) -> list[Section]:
    """Complexity against quality and, where networks took part, their training and layers, of every evaluated task."""
    training = collect_training(evidence.store, evidence.scores)
    ranked = [ranking for ranking in evidence.rankings if ranking.best]
    return [one for ranking in ranked for one in _of_task(evidence.scores, ranking, training)]


def _of_task(scores: Scores, ranking: Ranking, training: Training) -> Iterator[Section]:
    task = ranking.task
    if weighed := complexity_table(ranking):
        yield Section("Complexity against quality", (weighed, *_pareto(scores, ranking)), task)
    trained = training_section(scores, ranking, training)
    parts: list[str | Picture] = [*trained, *_curves(ranking, training)] if trained else []
    for family, chosen in _layers(scores, ranking).items():
        draw = partial(architecture_figure, chosen)
        parts += [Picture(file_name(task, LAYERS, family), f"Layers of {family}", draw), architecture_text(chosen)]
    if parts:
        yield Section("Training of networks", tuple(parts), task)


def _pareto(scores: Scores, ranking: Ranking) -> Iterator[Picture]:
    weighed, metric = weigh(ranking), ranking.metric
    if any(one.front for one in weighed):
        families, label = list(scores.run["families"]), metric.label or metric.name
        draw = partial(pareto_figure, weighed, families, label, greater=metric.greater_is_better)
        said = "Score against time to fit and against size, with the entries that nothing beats"
        yield Picture(file_name(ranking.task, PARETO), said, draw)


def _curves(ranking: Ranking, training: Training) -> Iterator[Picture]:
    """The loss of the tuned networks, a picture a family, best entries first."""
    found: dict[str, list[tuple[str, tuple[Losses, ...]]]] = {}
    for place in ranking.places:
        trained = training.entries.get((ranking.task, place.entry))
        if trained and place.entry.stage == "tuned":
            found.setdefault(place.entry.family, []).append((place.entry.strategy, losses(trained)))
    for family, lines in found.items():
        draw = partial(convergence_figure, tuple(lines))
        yield Picture(file_name(ranking.task, TRAINING, family), f"Loss of {family} by epoch", draw)


def losses(trained: Trained) -> tuple[Losses, ...]:
    """The losses of every fit in five digits, as plain values."""
    return tuple(Losses(_loss(fit, "train"), _loss(fit, "validation"), fit.epoch) for fit in trained.fits)


def _loss(fit: Fit, of: str) -> tuple[float, ...]:
    return tuple(float(f"{value:.5g}") for value in fit.curves.get(f"{of}_loss", ()))


def _layers(scores: Scores, ranking: Ranking) -> dict[str, list[Chosen]]:
    """The chosen architectures of a task by family."""
    found: dict[str, list[Chosen]] = {}
    for one in chosen_architectures(scores, ranking):
        found.setdefault(one.entry.family, []).append(one)
    return found
