"""How the networks of a task were trained, and the layers they have, in words and tables."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from harness.evaluation.layers import Architecture, Chosen, Layers
from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import Scores
from harness.evaluation.training_curves import Fit, Trained, Training, splits_of
from harness.report.render.markdown import MISSING, format_quantity, format_count, details, escape, folded_table, join_words, format_number

LOSS_HEADER = ("Entry", "Loss function", "Splits", "Training", "Validation", "Gap", "SD", "SD, inner folds")
LOSS_TEXT = (
    "Losses, apart where splits chose different functions: cross-entropy and focal losses, and focal ones of different γ, have "
    "different scales, so that no mean over them, and no comparison between them, would say anything."
)


def training_section(scores: Scores, ranking: Ranking, training: Training) -> list[str]:
    """How each network of a task was trained, its losses, what was odd, which trials failed; nothing without networks."""
    task = ranking.task
    lines = [
        (place.name, training.entries[task, place.entry])
        for place in ranking.entries
        if (task, place.entry) in training.entries
    ]
    label = scores.metrics["average_precision"].label
    header = ["Entry", "Epochs", f"{label} validation", f"{label} gap", f"SD {label}", "s/epoch", "Remarks"]
    parts = [folded_table(header, [_line(*line) for line in lines])] if lines else []
    parts += [LOSS_TEXT, folded_table(LOSS_HEADER, [row for line in lines for row in _losses(*line)])] if lines else []
    lost = [reason for where, reason in training.unreadable if where == task]
    parts += [f"No curves of {format_count(len(lost), 'cell')}: {escape(lost[0])}."] if lost else []
    return [*parts, *_listed("Remarks", _remarks(lines)), *_listed("Trials that failed", _failures(scores, task))]


def _line(name: str, trained: Trained) -> list[str]:
    fits = trained.fits
    epochs = [fit.epoch for fit in fits]
    spread = f" ({min(epochs)}–{max(epochs)})" if min(epochs) < max(epochs) else ""
    seen, found = (_mean(fits, f"{part}_average_precision") for part in ("train", "validation"))
    seconds = [float(fit.curves["seconds"].mean()) for fit in fits if "seconds" in fit.curves]
    remarks = sum(len(outcome.remarks) for outcome in trained.outcomes)
    figures = [found, seen - found, _deviation(fits, "validation_average_precision")]
    pace = format_quantity(float(np.mean(seconds))) if seconds else MISSING
    median = f"{np.median(epochs):g}{spread}"
    return [escape(name), median, *map(format_number, figures), pace, str(remarks) if remarks else MISSING]


def _losses(name: str, trained: Trained) -> list[list[str]]:
    """A row per loss function: figures of different ones are never averaged."""
    rows = []
    for loss, fits in trained.by_loss.items():
        seen, found = (_mean(fits, f"{part}_loss") for part in ("train", "validation"))
        within = [_deviation(inner, "validation_loss") for inner in trained.inner if inner and inner[0].loss == loss]
        within = [one for one in within if not math.isnan(one)]
        figures = [seen, found, found - seen, _deviation(fits, "validation_loss")]
        figures.append(float(np.mean(within)) if within else math.nan)
        rows.append([escape(name), escape(loss) or MISSING, str(splits_of(fits)), *map(format_number, figures)])
    return rows


def _mean(fits: Iterable[Fit], name: str) -> float:
    return float(np.mean([fit.kept(name) for fit in fits]))


def _deviation(fits: Iterable[Fit], name: str) -> float:
    values = [fit.kept(name) for fit in fits]
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def _remarks(lines: Iterable[tuple[str, Trained]]) -> list[str]:
    """Every kind of remark with how many fits it was made on, and of which entries."""
    said = [(name, remark) for name, one in lines for outcome in one.outcomes for remark in outcome.remarks]
    return [f"{format_count(n, 'fit')}{where}: {escape(remark)}" for remark, n, where in _alike(said)]


def _failures(scores: Scores, task: str) -> list[str]:
    """Failed trials of networks by reason."""
    said = [
        (cell.family, reason)
        for cell in scores.cells
        if cell.record and cell.task == task and scores.run["families"].get(cell.family, {}).get("network")
        for reason, n in cell.record.trial_failures.items()
        for _ in range(n)
    ]
    return [f"{format_count(n, 'trial')}{where}: {escape(reason)}" for reason, n, where in _alike(said)]


def _alike(said: list[tuple[str, str]]) -> list[tuple[str, int, str]]:
    """Texts that differ in figures only as one: the first of them, how many, and whose they are (at most four names)."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for name, text in said:
        kinds.setdefault(re.sub(r"\d+([.,]\d+)*", "#", text), []).append((name, text))
    found = []
    for kind in kinds.values():
        names = [escape(name) for name in Counter(name for name, _ in kind)]
        where = join_words([*names[:4], f"{len(names) - 4} more"] if len(names) > 5 else names)
        different = " for example" if len({text for _, text in kind}) > 1 else ""
        found.append((kind[0][1], len(kind), f" of {where}{different and ','}{different}"))
    return sorted(found, key=lambda one: -one[1])


def _listed(title: str, lines: list[str]) -> list[str]:
    return ["\n".join([f"{title}:", "", *(f"- {line}" for line in lines)])] if lines else []


def architecture_text(chosen: list[Chosen]) -> str:
    """Every chosen architecture, layer by layer, folded away."""
    blocks = []
    for one in chosen:
        for made in one.architectures:
            blocks.append(
                f"{escape(one.entry.name)}, {made.splits} of {one.splits} splits, {size_text(made)}:\n\n"
                f"```\n{_lines(made.layers)}\n```"
            )
    return details("Architectures, layer by layer", "\n\n".join(blocks)) if blocks else ""


def size_text(architecture: Architecture) -> str:
    """How many parameters a network has, and how many of them were trained where not all were."""
    size = f"{architecture.parameters:,} parameters"
    return f"{size}, {architecture.trained:,} trained" if architecture.frozen else size


def shape_text(shape: tuple[int, ...]) -> str:
    """`28 × 28 × 1`; a length that varies is `any`."""
    return " × ".join(str(n) if n else "any" for n in shape)


def _lines(layers: Layers) -> str:
    rows = [(name, kind, shape_text(shape), f"{parameters:,}") for name, kind, shape, parameters in layers]
    rows = [("Layer", "Kind", "Output", "Parameters"), *rows]
    widths = [max(len(row[at]) for row in rows) for at in range(4)]
    return "\n".join(
        f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {shape:>{widths[2]}}  {n:>{widths[3]}}".replace("`", "'")
        for name, kind, shape, n in rows
    )
