"""What the entries of a task are made of and cost, and how its networks were trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from harness.evaluation.layers import Chosen, chosen_architectures
from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import Scores
from harness.evaluation.training_curves import Fit, Trained, Training, collect_training, splits_of
from harness.report.content import Evidence, Figure, Section
from harness.report.figures.cost import pareto_figure
from harness.report.figures.training import Losses, architecture_figure, convergence_figure
from harness.report.figures.writer import file_name
from harness.report.render.markdown import escape, join_words
from harness.report.sections.complexity import complexity_table, entry_costs
from harness.report.sections.training_text import architecture_text, training_section

PARETO, TRAINING, LAYERS = "complexity", "training", "layers"
FEATURES_TEXT = (
    "What the pretrained network makes of pictures is computed once and looked up then: times and sizes of entries on its "
    "features leave that network out."
)
FROZEN_TEXT = (
    "*Parameters* of {} are those of the head that was trained; the layers drawn below count the {:,} of the frozen network, "
    "too."
)


def sections(evidence: Evidence) -> list[Section]:
    """Complexity against quality and, where networks took part, their training and layers, of every evaluated task."""
    training = collect_training(evidence.store, evidence.scores)
    ranked = [ranking for ranking in evidence.rankings if ranking.best]
    return [one for ranking in ranked for one in _of_task(evidence.scores, ranking, training)]


def _of_task(scores: Scores, ranking: Ranking, training: Training) -> Iterator[Section]:
    task = ranking.task
    if weighed := complexity_table(ranking):
        said: tuple[str | Figure, ...] = (weighed, *_left_out(scores, ranking), *_pareto(scores, ranking))
        yield Section("Complexity against quality", said, task)
    trained = training_section(scores, ranking, training)
    parts: list[str | Figure] = [*trained, *_curves(ranking, training)] if trained else []
    for family, chosen in _layers(scores, ranking).items():
        draw = partial(architecture_figure, chosen)
        parts += [Figure(file_name(task, LAYERS, family), f"Layers of {family}", draw), architecture_text(chosen)]
    if parts:
        yield Section("Training of networks", tuple(parts), task)


def _left_out(scores: Scores, ranking: Ranking) -> list[str]:
    """What the figures of a task of pictures leave out: the network that was trained by others."""
    if scores.run["tasks"][ranking.task].get("modality") != "image":
        return []
    found = [one for one in chosen_architectures(scores, ranking) if any(it.frozen for it in one.architectures)]
    if not found:
        return [FEATURES_TEXT]
    names = join_words([escape(name) for name in dict.fromkeys(one.entry.family for one in found)])
    most = max(it.frozen for one in found for it in one.architectures)
    return [f"{FROZEN_TEXT.format(names, most)} {FEATURES_TEXT}"]


def _pareto(scores: Scores, ranking: Ranking) -> Iterator[Figure]:
    weighed, metric = entry_costs(ranking), ranking.metric
    if any(one.front for one in weighed):
        families, label = list(scores.run["families"]), metric.label or metric.name
        draw = partial(pareto_figure, weighed, families, label, greater=metric.greater_is_better)
        said = "Score against time to fit and against size, with the entries that nothing beats"
        yield Figure(file_name(ranking.task, PARETO), said, draw)


def _curves(ranking: Ranking, training: Training) -> Iterator[Figure]:
    """The loss of the tuned networks, a picture a family, best entries first."""
    found: dict[str, list[tuple[str, tuple[Losses, ...]]]] = {}
    for place in ranking.entries:
        trained = training.entries.get((ranking.task, place.entry))
        if trained and place.entry.stage == "tuned":
            found.setdefault(place.entry.family, []).extend(_panels(place.entry.strategy, trained))
    for family, lines in found.items():
        draw = partial(convergence_figure, tuple(lines))
        yield Figure(file_name(ranking.task, TRAINING, family), f"Loss of {family} by epoch", draw)


def _panels(strategy: str, trained: Trained) -> Iterator[tuple[str, tuple[Losses, ...]]]:
    """The losses of an entry, those of different functions apart: they have different scales."""
    several, splits = len(trained.by_loss) > 1, splits_of(trained.fits)
    for loss, fits in trained.by_loss.items():
        of = f" ({splits_of(fits)} of {splits} splits)" if several else ""
        yield "\n".join(part for part in (strategy, f"{loss}{of}") if part), loss_curves(fits)


def loss_curves(fits: Iterable[Fit]) -> tuple[Losses, ...]:
    """The losses of fits in five digits, as plain values."""
    return tuple(Losses(_loss(fit, "train"), _loss(fit, "validation"), fit.epoch) for fit in fits)


def _loss(fit: Fit, of: str) -> tuple[float, ...]:
    return tuple(float(f"{value:.5g}") for value in fit.curves.get(f"{of}_loss", ()))


def _layers(scores: Scores, ranking: Ranking) -> dict[str, list[Chosen]]:
    """The chosen architectures of a task by family."""
    found: dict[str, list[Chosen]] = {}
    for one in chosen_architectures(scores, ranking):
        found.setdefault(one.entry.family, []).append(one)
    return found
