"""What the entries of a task cost, and how its networks were trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from operator import attrgetter

from harness.evaluation.complexity import COSTS, ChosenArchitectures, chosen_architectures, entry_costs
from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import Scores
from harness.evaluation.training_curves import EntryTraining, NetworkFit, RunTraining, collect_training, count_splits
from harness.report.content import Evidence, Figure, Section
from harness.report.figures.cost import pareto_figure
from harness.report.figures.training import Losses, architecture_figure, convergence_figure
from harness.report.figures.writer import file_name
from harness.report.render.markdown import (
    MISSING,
    escape,
    folded_table,
    format_number,
    format_quantity,
    join_words,
)
from harness.report.sections.training_text import architecture_text, training_parts
from harness.report.sections.wording import metric_name

PARETO, TRAINING, LAYERS = "complexity", "training", "layers"  #: kinds of figures, in the names of their files
FEATURES_TEXT = (
    "What the pretrained network makes of images is computed once and looked up then: times and sizes of entries on its "
    "features leave that network out."
)
FROZEN_TEXT = (
    "*Parameters* of {} are those of the head that was trained; the layers drawn below count the {:,} of the frozen network, "
    "too."
)


def sections(evidence: Evidence) -> list[Section]:
    """Write complexity against quality and, where networks took part, their training and layers, of every evaluated task."""
    training = collect_training(evidence.store, evidence.scores)
    written: list[Section] = []
    for ranking in evidence.rankings:
        if ranking.best:
            written += task_sections(evidence.scores, ranking, training)
    return written


def task_sections(scores: Scores, ranking: Ranking, training: RunTraining) -> list[Section]:
    """Write the sections of one task.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    ranking : Ranking
        The ranking of the task.
    training : Training
        The training curves of the run.

    Returns
    -------
    list of Section
        At most one about complexity and one about networks.
    """
    task, written = ranking.task, []
    entries = entry_costs(ranking)
    if entries:
        parts: list[str | Figure] = [complexity_table(ranking), *_pretrained_note(scores, ranking)]
        if any(map(attrgetter("fronts"), entries)):
            families, metric = list(scores.run["families"]), ranking.metric
            greater = metric.greater_is_better
            draw = partial(pareto_figure, entries, families, metric_name(metric), greater=greater)
            caption = "Score against time to fit and against size, with the entries that nothing beats"
            parts.append(Figure(file_name(task, PARETO), caption, draw))
        written.append(Section("Complexity against quality", tuple(parts), task))
    parts = list(training_parts(scores, ranking, training))
    if parts:
        parts += _loss_figures(ranking, training)
    by_family: dict[str, list[ChosenArchitectures]] = {}
    for chosen in chosen_architectures(scores, ranking):
        by_family.setdefault(chosen.entry.family, []).append(chosen)
    for family, architectures in by_family.items():
        layers = partial(architecture_figure, architectures)
        parts.append(Figure(file_name(task, LAYERS, family), f"Layers of {family}", layers))
        parts.append(architecture_text(architectures))
    if parts:
        written.append(Section("Training of networks", tuple(parts), task))
    return written


def complexity_table(ranking: Ranking) -> str:
    """Write parameters, size, times and score of the tuned entries, best first, and the costs at which nothing beats them."""
    header = ["Entry", ranking.metric.label, "Parameters", "Size kB", "Fit s", "Predict µs/row", "Nothing beats it"]
    rows = []
    for entry in entry_costs(ranking):
        costs = entry.costs
        amounts = [costs["parameters"], costs["model_bytes"] / 1000, costs["fit_seconds"], costs["predict_us_per_row"]]
        fronts = list(map(COSTS.__getitem__, entry.fronts))
        row = [escape(entry.name), format_number(entry.score, ranking.digits), *map(_amount, amounts)]
        rows.append([*row, join_words(fronts) if fronts else MISSING])
    return folded_table(header, rows) if rows else ""


def _amount(amount: float) -> str:
    return format_quantity(round(amount) if amount >= 100 else amount)


def _pretrained_note(scores: Scores, ranking: Ranking) -> list[str]:
    """Which network the costs of a task with images leave out: the one that was trained by others."""
    if scores.run["tasks"][ranking.task].get("modality") != "image":
        return []
    most_frozen, families = 0, []
    for chosen in chosen_architectures(scores, ranking):
        frozen = max(map(attrgetter("frozen"), chosen.architectures))
        if frozen:
            families.append(escape(chosen.entry.family))
            most_frozen = max(most_frozen, frozen)
    if not families:
        return [FEATURES_TEXT]
    return [f"{FROZEN_TEXT.format(join_words(list(dict.fromkeys(families))), most_frozen)} {FEATURES_TEXT}"]


def _loss_figures(ranking: Ranking, training: RunTraining) -> Iterator[Figure]:
    """The losses of the tuned networks, a figure per family, best entries first."""
    by_family: dict[str, list[tuple[str, tuple[Losses, ...]]]] = {}
    for ranked in ranking.entries:
        trained = training.entries.get((ranking.task, ranked.entry))
        if trained and ranked.entry.stage == "tuned":
            by_family.setdefault(ranked.entry.family, []).extend(_loss_panels(ranked.entry.strategy, trained))
    for family, panels in by_family.items():
        draw = partial(convergence_figure, tuple(panels))
        yield Figure(file_name(ranking.task, TRAINING, family), f"Loss of {family} by epoch", draw)


def _loss_panels(strategy: str, trained: EntryTraining) -> Iterator[tuple[str, tuple[Losses, ...]]]:
    """The losses of an entry, a panel per loss function: different ones have different scales."""
    for loss, fits in trained.by_loss.items():
        title = loss
        if len(trained.by_loss) > 1:
            title += f" ({count_splits(fits)} of {count_splits(trained.fits)} splits)"
        yield "\n".join(filter(None, (strategy, title))), loss_curves(fits)


def loss_curves(fits: Iterable[NetworkFit]) -> tuple[Losses, ...]:
    """Round the losses of fits to five digits, as plain numbers."""
    rounded = []
    for fit in fits:
        rounded.append(Losses(_rounded_loss(fit, "train"), _rounded_loss(fit, "validation"), fit.epoch))
    return tuple(rounded)


def _rounded_loss(fit: NetworkFit, rows: str) -> tuple[float, ...]:
    return tuple(float(f"{loss:.5g}") for loss in fit.curves.get(f"{rows}_loss", ()))
