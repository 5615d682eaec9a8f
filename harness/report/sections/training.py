"""What the entries of a task cost, how its networks were trained, and which layers they have."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from operator import attrgetter, methodcaller

import numpy as np

from harness.evaluation import training as network_fits
from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import Scores
from harness.evaluation.training import ChosenArchitectures, EntryTraining, NetworkFit, RunTraining
from harness.findings import Reason
from harness.report.content import (
    CellValue,
    CollapsedParts,
    Evidence,
    Figure,
    Part,
    ReportColumn,
    ReportTable,
    Section,
)
from harness.report.figures import training as figures
from harness.report.figures.writer import report_file_name
from harness.report.render import markdown
from harness.report.render.markdown import escape, join_words

TRAINING, LAYERS = "training", "layers"  #: kinds of figures, in the names of their files
FEATURES_TEXT = (
    "What the pretrained network makes of images is computed once and looked up then: times and sizes of entries on its "
    "features leave that network out."
)
FROZEN_TEXT = (
    "*Parameters* of {} are those of the head that was trained; the layers drawn below count the {:,} of the frozen network, "
    "too."
)
LOSS_COLUMNS = (
    ReportColumn("Entry"),
    ReportColumn("Loss function"),
    ReportColumn("Splits", "count"),
    ReportColumn("Training", "number"),
    ReportColumn("Validation", "number"),
    ReportColumn("Gap", "number"),
    ReportColumn("SD", "number"),
    ReportColumn("SD, inner folds", "number"),
)
LOSS_TEXT = (
    "Losses, apart where splits chose different functions: cross-entropy and focal losses, and focal ones of different γ, have "
    "different scales, so that no mean over them, and no comparison between them, would say anything."
)
MAX_NAMES = 4


def make_training_sections(evidence: Evidence) -> list[Section]:
    """Write complexity against quality and, where networks took part, their training and layers, of every evaluated task."""
    run_training = network_fits.collect_training_curves(evidence.store, evidence.scores)
    task_sections: list[Section] = []
    for ranking in evidence.rankings:
        if ranking.best:
            task_sections += make_task_training_sections(evidence.scores, ranking, run_training)
    return task_sections


def make_task_training_sections(scores: Scores, ranking: Ranking, training: RunTraining) -> list[Section]:
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
    task, training_sections = ranking.task, []
    if network_fits.entry_costs(ranking):
        section_parts: list[Part] = [tabulate_complexity(ranking), *_note_pretrained_network(scores, ranking)]
        training_sections.append(Section("Complexity against quality", tuple(section_parts), task))
    section_parts = describe_network_training(scores, ranking, training)
    if section_parts:
        section_parts += _make_loss_figures(ranking, training)
    architectures_by_family: dict[str, list[ChosenArchitectures]] = {}
    for chosen_architectures in network_fits.chosen_architectures(scores, ranking):
        architectures_by_family.setdefault(chosen_architectures.entry.family, []).append(chosen_architectures)
    for family, architectures in architectures_by_family.items():
        layers = partial(figures.architecture_figure, architectures)
        section_parts.append(Figure(report_file_name(task, LAYERS, family), f"Layers of {family}", layers))
        section_parts.append(_collapse_layer_tables(architectures))
    if section_parts:
        training_sections.append(Section("Training of networks", tuple(section_parts), task))
    return training_sections


def tabulate_complexity(ranking: Ranking) -> ReportTable:
    """Parameters, size, times and score of the tuned entries, best first, and the costs at which nothing beats them."""
    columns = (
        ReportColumn("Entry"),
        ReportColumn(ranking.metric.label, "number", ranking.digits),
        ReportColumn("Parameters", "quantity"),
        ReportColumn("Size kB", "quantity"),
        ReportColumn("Fit s", "quantity"),
        ReportColumn("Predict µs/row", "quantity"),
        ReportColumn("Nothing beats it"),
    )
    rows = []
    for entry in network_fits.entry_costs(ranking):
        costs = entry.costs
        cost_amounts = (
            costs["parameters"],
            costs["model_bytes"] / 1000,
            costs["fit_seconds"],
            costs["predict_us_per_row"],
        )
        front_labels = list(map(network_fits.COST_NAMES.__getitem__, entry.fronts))
        rows.append((entry.name, entry.score, *cost_amounts, join_words(front_labels) if front_labels else None))
    return ReportTable(columns, tuple(rows))


def _note_pretrained_network(scores: Scores, ranking: Ranking) -> list[str]:
    """Which network the costs of a task with images leave out: the one that was trained by others."""
    if scores.run["tasks"][ranking.task].get("modality") != "image":
        return []
    most_frozen, families = 0, []
    for chosen_architectures in network_fits.chosen_architectures(scores, ranking):
        frozen_parameters = max(map(attrgetter("frozen_parameters"), chosen_architectures.architectures))
        if frozen_parameters:
            families.append(escape(chosen_architectures.entry.family))
            most_frozen = max(most_frozen, frozen_parameters)
    if not families:
        return [FEATURES_TEXT]
    return [f"{FROZEN_TEXT.format(join_words(list(dict.fromkeys(families))), most_frozen)} {FEATURES_TEXT}"]


def _make_loss_figures(ranking: Ranking, run_training: RunTraining) -> Iterator[Figure]:
    """The losses of the tuned networks, a figure per family, best entries first."""
    panels_by_family: dict[str, list[tuple[str, tuple[figures.LossCurves, ...]]]] = {}
    for ranked_entry in ranking.entries:
        entry_training = run_training.entries.get((ranking.task, ranked_entry.entry))
        if entry_training and ranked_entry.entry.stage == "tuned":
            panels_by_family.setdefault(ranked_entry.entry.family, []).extend(
                _make_loss_panels(ranked_entry.entry.strategy, entry_training)
            )
    for family, loss_panels in panels_by_family.items():
        draw_figure = partial(figures.loss_curves_figure, tuple(loss_panels))
        yield Figure(report_file_name(ranking.task, TRAINING, family), f"Loss of {family} by epoch", draw_figure)


def _make_loss_panels(strategy: str, trained: EntryTraining) -> Iterator[tuple[str, tuple[figures.LossCurves, ...]]]:
    """The losses of an entry, a panel per loss function: different ones have different scales."""
    for loss_name, fits in trained.refits_by_loss.items():
        title = loss_name
        if len(trained.refits_by_loss) > 1:
            title += f" ({network_fits.count_splits_of_fits(fits)} of {network_fits.count_splits_of_fits(trained.fits)} splits)"
        yield "\n".join(filter(None, (strategy, title))), round_loss_curves(fits)


def round_loss_curves(fits: Iterable[NetworkFit]) -> tuple[figures.LossCurves, ...]:
    """Round the losses of fits to five digits, as plain numbers."""
    rounded_curves = []
    for network_fit in fits:
        rounded_curves.append(
            figures.LossCurves(
                _round_losses(network_fit, "train"), _round_losses(network_fit, "validation"), network_fit.best_epoch
            )
        )
    return tuple(rounded_curves)


def _round_losses(network_fit: NetworkFit, row_set: str) -> tuple[float, ...]:
    return tuple(float(f"{loss:.5g}") for loss in network_fit.curves.get(f"{row_set}_loss", ()))


def describe_network_training(scores: Scores, ranking: Ranking, training: RunTraining) -> list[Part]:
    """Describe the training of the networks of a task: tables of epochs and losses, remarks and failed trials.

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
    list of Part
        Texts and tables; empty without networks.
    """
    task = ranking.task
    epoch_rows, loss_rows = [], []
    training_remarks: list[tuple[str, Reason]] = []
    for ranked_entry in ranking.entries:
        entry_training = training.entries.get((task, ranked_entry.entry))
        if entry_training is not None:
            epoch_rows.append(_make_epoch_row(ranked_entry.name, entry_training))
            loss_rows += _make_loss_rows(ranked_entry.name, entry_training)
            for entry_outcome in entry_training.outcomes:
                training_remarks += [(ranked_entry.name, training_remark) for training_remark in entry_outcome.remarks]
    section_parts: list[Part] = []
    if epoch_rows:
        epochs = ReportTable(_make_epoch_columns(scores.metrics["average_precision"].label), tuple(epoch_rows))
        section_parts += [epochs, LOSS_TEXT, ReportTable(LOSS_COLUMNS, tuple(loss_rows))]
    unreadable_reasons = [reason for unreadable_task, reason in training.unreadable if unreadable_task == task]
    if unreadable_reasons:
        section_parts.append(
            f"No curves of {markdown.format_count(len(unreadable_reasons), 'cell')}: {escape(unreadable_reasons[0])}."
        )
    section_parts += _group_reasons_as_bullets("Remarks", "fit", training_remarks)
    section_parts += _group_reasons_as_bullets("Trials that failed", "trial", _list_failed_trials(scores, task))
    return section_parts


def _make_epoch_columns(metric_label: str) -> tuple[ReportColumn, ...]:
    return (
        ReportColumn("Entry"),
        ReportColumn("Epochs", "count"),
        ReportColumn(f"{metric_label} validation", "number"),
        ReportColumn(f"{metric_label} gap", "number"),
        ReportColumn(f"SD {metric_label}", "number"),
        ReportColumn("s/epoch", "quantity"),
        ReportColumn("Remarks", "count"),
    )


def _make_epoch_row(name: str, entry_training: EntryTraining) -> tuple[CellValue, ...]:
    network_refits = entry_training.fits
    epochs = list(map(attrgetter("best_epoch"), network_refits))
    median: CellValue = epochs[0]
    if min(epochs) < max(epochs):
        median = f"{np.median(epochs):g} ({min(epochs)}–{max(epochs)})"
    train_precision = _mean_metric_of_fits(network_refits, "train_average_precision")
    validation_precision = _mean_metric_of_fits(network_refits, "validation_average_precision")
    precision_deviation = _deviation_of_fits(network_refits, "validation_average_precision")
    epoch_seconds = [float(fit.curves["seconds"].mean()) for fit in network_refits if "seconds" in fit.curves]
    seconds_per_epoch = float(np.mean(epoch_seconds)) if epoch_seconds else None
    remark_count = sum(map(len, map(attrgetter("remarks"), entry_training.outcomes)))
    return (
        name,
        median,
        validation_precision,
        train_precision - validation_precision,
        precision_deviation,
        seconds_per_epoch,
        remark_count or None,
    )


def _make_loss_rows(name: str, entry_training: EntryTraining) -> list[tuple[CellValue, ...]]:
    """A row per loss function: losses of different ones are never averaged."""
    rows: list[tuple[CellValue, ...]] = []
    for loss_name, fits in entry_training.refits_by_loss.items():
        train_loss, validation_loss = (
            _mean_metric_of_fits(fits, "train_loss"),
            _mean_metric_of_fits(fits, "validation_loss"),
        )
        loss_deviations = [
            _deviation_of_fits(fits, "validation_loss")
            for fits in entry_training.inner_fits
            if fits and fits[0].loss == loss_name
        ]
        known_deviations = np.array(loss_deviations)[~np.isnan(loss_deviations)]
        inner_deviation = float(np.mean(known_deviations)) if len(known_deviations) else math.nan
        losses = (
            train_loss,
            validation_loss,
            validation_loss - train_loss,
            _deviation_of_fits(fits, "validation_loss"),
            inner_deviation,
        )
        rows.append((name, loss_name or None, network_fits.count_splits_of_fits(fits), *losses))
    return rows


def _mean_metric_of_fits(fits: Iterable[NetworkFit], name: str) -> float:
    return float(np.mean(list(map(methodcaller("metric_at_epoch", name), fits))))


def _deviation_of_fits(fits: Sequence[NetworkFit], name: str) -> float:
    if len(fits) < 2:
        return math.nan
    return float(np.std(list(map(methodcaller("metric_at_epoch", name), fits)), ddof=1))


def _list_failed_trials(scores: Scores, task: str) -> list[tuple[str, Reason]]:
    """The family and the reason of every failed trial of a network."""
    failed_trials: list[tuple[str, Reason]] = []
    for cell in scores.cells:
        if cell.record and cell.task == task and scores.run["families"].get(cell.family, {}).get("network"):
            for reason, n in cell.record.trial_failures.items():
                failed_trials += [(cell.family, reason)] * n
    return failed_trials


def _group_reasons_as_bullets(title: str, reason_noun: str, reasons: Sequence[tuple[str, Reason]]) -> list[str]:
    """Reasons as a list, those of one cause as one: how many, of which entries (at most four), the first.

    `reasons` are pairs of the name of an entry and a reason; the most frequent come first.
    """
    texts_by_cause: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for name, reason in reasons:
        texts_by_cause.setdefault(reason.cause, []).append((name, reason.message))
    lines = []
    for group in sorted(texts_by_cause.values(), key=len, reverse=True):
        names, texts = (list(Counter(column)) for column in zip(*group, strict=True))
        entries = list(map(escape, names))
        if len(entries) > MAX_NAMES + 1:
            entries = [*entries[:MAX_NAMES], f"{len(entries) - MAX_NAMES} more"]
        example_text = ", for example" if len(texts) > 1 else ""
        n = markdown.format_count(len(group), reason_noun)
        lines.append(f"- {n} of {join_words(entries)}{example_text}: {escape(texts[0])}")
    return ["\n".join([f"{title}:", "", *lines])] if lines else []


def _collapse_layer_tables(chosen_architectures: Iterable[ChosenArchitectures]) -> CollapsedParts:
    """Every chosen architecture, layer by layer."""
    table_blocks = []
    for entry in chosen_architectures:
        for architecture in entry.architectures:
            splits = f"{architecture.splits} of {entry.splits} splits"
            title = f"{escape(entry.entry.name)}, {splits}, {figures.describe_network_size(architecture)}:"
            table_blocks.append(f"{title}\n\n```\n{_format_layer_table(architecture.layers)}\n```")
    return CollapsedParts("Architectures, layer by layer", tuple(table_blocks))


def _format_layer_table(layers: network_fits.Layers) -> str:
    rows = [("Layer", "Kind", "Output", "Parameters")]
    rows += [
        (name, layer_kind, figures.format_output_shape(shape), f"{parameters:,}")
        for name, layer_kind, shape, parameters in layers
    ]
    column_widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, layer_kind, shape, n in rows:
        line = f"{name:<{column_widths[0]}}  {layer_kind:<{column_widths[1]}}  {shape:>{column_widths[2]}}  {n:>{column_widths[3]}}"
        lines.append(line.replace("`", "'"))
    return "\n".join(lines)
