"""The results summary as it is usually written, from counts that add up.

Every figure but the ROC AUC comes from one confusion matrix, added up over the outer splits, so that within a row
accuracy = Σ prevalence × recall holds exactly, and precision, recall and prevalence agree.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.declare.metrics import class_report
from harness.report.markdown import NONE, bold_best, escape, folded_table, number, table
from harness.report.scoring.derived import HALF
from harness.report.scoring.scores import ANY, Entry, Scores, entries


def model_table(scores: Scores, task: str) -> str:
    """ "Model | Accuracy | ROC AUC": every family without a strategy, tuned, at threshold 0.5."""
    shown = [entry for entry in _tuned(scores, task) if entry.strategy == "none"]
    accuracy = [_accuracy(scores.pooled(task, entry, HALF)) for entry in shown]
    auc = [scores.rows_of(task, entry, HALF).mean("roc_auc") for entry in shown]
    columns = [bold_best(values, [number(v) for v in values], greater=True) for values in (accuracy, auc)]
    rows = [[_label(scores, task, entry.family, entry), *cells] for entry, *cells in zip(shown, *columns, strict=True)]
    return folded_table(["Model", "Accuracy", "ROC AUC"], rows)


def network_tables(scores: Scores, task: str) -> list[tuple[str, str]]:
    """ "Metric | Class 0 (No) | Class 1 (Yes)" of every network before imbalance is handled, with what stands above it.

    With several classes the table is turned: a row per class.
    """
    names = scores.classes(task)
    header = ["Metric", *(f"Class {number} ({escape(name)})" for number, name in enumerate(names))]
    found = []
    for entry in _tuned(scores, task):
        if entry.strategy == "none" and scores.run["families"][entry.family].get("network"):
            confusion = scores.pooled(task, entry, HALF)
            rows = [[label, *_figures(confusion, figure)] for figure, label in enumerate(("Precision", "Recall", "F1"))]
            rows.append(["Rows", *(f"{n:,}" for n in confusion.sum(axis=1))])
            title = f"{_label(scores, task, entry.family, entry)}: overall accuracy {number(_accuracy(confusion))}"
            turned = [list(column) for column in zip(header[1:], *(row[1:] for row in rows), strict=True)]
            by_class = folded_table(["Class", *(row[0] for row in rows)], turned)
            found.append((title, table(header, rows) if len(names) == 2 else by_class))
    return found


def method_table(scores: Scores, task: str) -> str:
    """ "Method | Accuracy | Precision (No) | …" of every family × strategy, tuned, at threshold 0.5.

    With several classes precision, recall and F1 are unweighted means over them ("macro").
    """
    names = [escape(name) for name in scores.classes(task)]
    macro = len(names) > 2
    per_class = [f"{figure} ({name})" for name in names for figure in ("Precision", "Recall")]
    header = ["Method", "Accuracy", *(["Macro precision", "Macro recall", "Macro F1"] if macro else per_class)]
    rows = []
    for entry in _tuned(scores, task):
        confusion = scores.pooled(task, entry, HALF)
        pairs = zip(_figures(confusion, 0), _figures(confusion, 1), strict=True)
        means = [number(float(figure.mean())) for figure in class_report(confusion)]
        label = _label(scores, task, f"{entry.family}, {entry.strategy}", entry)
        rows.append([label, number(_accuracy(confusion)), *(means if macro else (t for pair in pairs for t in pair))])
    return folded_table(header, rows)


def _tuned(scores: Scores, task: str) -> list[Entry]:
    return [
        e
        for e in entries(scores, task)
        if e.stage == "tuned" and e.strategy != ANY and len(scores.rows_of(task, e, HALF))
    ]


def _label(scores: Scores, task: str, text: str, entry: Entry) -> str:
    """The name of a row; one that lacks splits says so, as its rows are others."""
    splits, planned = len(scores.rows_of(task, entry, HALF)), scores.run["tasks"][task].get("splits", 0)
    return escape(text) + ("" if splits >= planned else f" ({splits} of {planned} splits)")


def _accuracy(confusion: npt.NDArray[np.int64]) -> float:
    return float(confusion.trace() / confusion.sum())


def _figures(confusion: npt.NDArray[np.int64], figure: int) -> list[str]:
    """Precision (0), recall (1) or F1 (2) per class; no precision where nothing was called so."""
    nothing = (confusion.sum(axis=0) == 0) & (figure == 0)
    return [NONE if none else number(v) for v, none in zip(class_report(confusion)[figure], nothing, strict=True)]
