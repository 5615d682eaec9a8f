"""How the networks of a task were trained, and the layers they have, in words and tables."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter, methodcaller

import numpy as np

from harness.evaluation.complexity import Architecture, ChosenArchitectures, Layers
from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import Scores
from harness.evaluation.training_curves import EntryTraining, NetworkFit, RunTraining, count_splits
from harness.report.render.markdown import (
    MISSING,
    details,
    escape,
    folded_table,
    format_count,
    format_number,
    format_quantity,
    join_words,
)

LOSS_HEADER = ("Entry", "Loss function", "Splits", "Training", "Validation", "Gap", "SD", "SD, inner folds")
LOSS_TEXT = (
    "Losses, apart where splits chose different functions: cross-entropy and focal losses, and focal ones of different γ, have "
    "different scales, so that no mean over them, and no comparison between them, would say anything."
)
MAX_NAMES = 4


def training_parts(scores: Scores, ranking: Ranking, training: RunTraining) -> list[str]:
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
    list of str
        Markdown; empty without networks.
    """
    task = ranking.task
    epoch_rows, loss_rows, remarks = [], [], []
    for ranked in ranking.entries:
        trained = training.entries.get((task, ranked.entry))
        if trained is not None:
            epoch_rows.append(_epoch_row(ranked.name, trained))
            loss_rows += _loss_rows(ranked.name, trained)
            for outcome in trained.outcomes:
                remarks += [(ranked.name, remark) for remark in outcome.remarks]
    parts = []
    if epoch_rows:
        label = scores.metrics["average_precision"].label
        header = ["Entry", "Epochs", f"{label} validation", f"{label} gap", f"SD {label}", "s/epoch", "Remarks"]
        parts += [folded_table(header, epoch_rows), LOSS_TEXT, folded_table(LOSS_HEADER, loss_rows)]
    unreadable = [reason for unreadable_task, reason in training.unreadable if unreadable_task == task]
    if unreadable:
        parts.append(f"No curves of {format_count(len(unreadable), 'cell')}: {escape(unreadable[0])}.")
    parts += _bullets("Remarks", "fit", remarks)
    return parts + _bullets("Trials that failed", "trial", _failed_trials(scores, task))


def _epoch_row(name: str, trained: EntryTraining) -> list[str]:
    fits = trained.fits
    epochs = list(map(attrgetter("epoch"), fits))
    median = f"{np.median(epochs):g}"
    if min(epochs) < max(epochs):
        median += f" ({min(epochs)}–{max(epochs)})"
    train, validation = _mean(fits, "train_average_precision"), _mean(fits, "validation_average_precision")
    deviation = _deviation(fits, "validation_average_precision")
    seconds = [float(fit.curves["seconds"].mean()) for fit in fits if "seconds" in fit.curves]
    remarks = sum(map(len, map(attrgetter("remarks"), trained.outcomes)))
    pace = format_quantity(float(np.mean(seconds))) if seconds else MISSING
    scores = map(format_number, (validation, train - validation, deviation))
    return [escape(name), median, *scores, pace, str(remarks or MISSING)]


def _loss_rows(name: str, trained: EntryTraining) -> list[list[str]]:
    """A row per loss function: losses of different ones are never averaged."""
    rows = []
    for loss, fits in trained.by_loss.items():
        train, validation = _mean(fits, "train_loss"), _mean(fits, "validation_loss")
        deviations = [
            _deviation(fits, "validation_loss") for fits in trained.inner_fits if fits and fits[0].loss == loss
        ]
        inner = np.array(deviations)[~np.isnan(deviations)]
        inner_deviation = float(np.mean(inner)) if len(inner) else math.nan
        losses = (train, validation, validation - train, _deviation(fits, "validation_loss"), inner_deviation)
        rows.append([escape(name), escape(loss) or MISSING, str(count_splits(fits)), *map(format_number, losses)])
    return rows


def _mean(fits: Iterable[NetworkFit], name: str) -> float:
    return float(np.mean(list(map(methodcaller("metric_at_epoch", name), fits))))


def _deviation(fits: Sequence[NetworkFit], name: str) -> float:
    if len(fits) < 2:
        return math.nan
    return float(np.std(list(map(methodcaller("metric_at_epoch", name), fits)), ddof=1))


def _failed_trials(scores: Scores, task: str) -> list[tuple[str, str]]:
    """The family and the reason of every failed trial of a network."""
    failed: list[tuple[str, str]] = []
    for cell in scores.cells:
        network = scores.run["families"].get(cell.family, {}).get("network")
        if cell.record and cell.task == task and network:
            for reason, n in cell.record.trial_failures.items():
                failed += [(cell.family, reason)] * n
    return failed


def _bullets(title: str, noun: str, messages: Sequence[tuple[str, str]]) -> list[str]:
    """Messages as a list, those that differ in numbers only as one: how many, of which entries (at most four), the first.

    `messages` are pairs of the name of an entry and a text; the most frequent come first.
    """
    alike: dict[str, list[tuple[str, str]]] = {}
    for name, text in messages:
        alike.setdefault(re.sub(r"\d+([.,]\d+)*", "#", text), []).append((name, text))
    lines = []
    for group in sorted(alike.values(), key=len, reverse=True):
        names, texts = (list(Counter(column)) for column in zip(*group, strict=True))
        entries = list(map(escape, names))
        if len(entries) > MAX_NAMES + 1:
            entries = [*entries[:MAX_NAMES], f"{len(entries) - MAX_NAMES} more"]
        example = ", for example" if len(texts) > 1 else ""
        n = format_count(len(group), noun)
        lines.append(f"- {n} of {join_words(entries)}{example}: {escape(texts[0])}")
    return ["\n".join([f"{title}:", "", *lines])] if lines else []


def architecture_text(chosen: Iterable[ChosenArchitectures]) -> str:
    """List every chosen architecture, layer by layer, folded away."""
    blocks = []
    for entry in chosen:
        for architecture in entry.architectures:
            splits = f"{architecture.splits} of {entry.splits} splits"
            title = f"{escape(entry.entry.name)}, {splits}, {size_text(architecture)}:"
            blocks.append(f"{title}\n\n```\n{_layer_table(architecture.layers)}\n```")
    return details("Architectures, layer by layer", "\n\n".join(blocks)) if blocks else ""


def size_text(architecture: Architecture) -> str:
    """Say how many parameters a network has, and how many of them were trained where not all were."""
    size = f"{architecture.parameters:,} parameters"
    return f"{size}, {architecture.trained:,} trained" if architecture.frozen else size


def shape_text(shape: tuple[int, ...]) -> str:
    """Write the shape of an output: `28 × 28 × 1`; a length that varies is `any`."""
    return " × ".join(str(length or "any") for length in shape)


def _layer_table(layers: Layers) -> str:
    rows = [("Layer", "Kind", "Output", "Parameters")]
    rows += [(name, kind, shape_text(shape), f"{parameters:,}") for name, kind, shape, parameters in layers]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, kind, shape, n in rows:
        line = f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {shape:>{widths[2]}}  {n:>{widths[3]}}"
        lines.append(line.replace("`", "'"))
    return "\n".join(lines)
