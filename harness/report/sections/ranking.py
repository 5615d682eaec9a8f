"""The tables of one task: ranked, probabilities and effort, confusion matrices."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from harness.evaluation.metric_cache import DEFAULT_THRESHOLD
from harness.evaluation.ranking import BASELINE, RankedEntry, Ranking
from harness.evaluation.scores import ANY, MADE_OF_SEVERAL, Entry, Scores, entries
from harness.metrics.classification import class_report
from harness.report.render.markdown import (
    NONE,
    bold,
    bold_best,
    brief,
    digits_of,
    escape,
    folded_table,
    number,
    plus_minus,
    table,
)


def model_table(scores: Scores, task: str) -> str:
    """ "Model | Accuracy | ROC AUC": every family without a strategy, tuned, at threshold 0.5."""
    shown = [entry for entry in _tuned(scores, task) if entry.strategy == "none"]
    accuracy = [_accuracy(scores.pooled(task, entry, DEFAULT_THRESHOLD)) for entry in shown]
    auc = [scores.rows_of(task, entry, DEFAULT_THRESHOLD).mean("roc_auc") for entry in shown]
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
            confusion = scores.pooled(task, entry, DEFAULT_THRESHOLD)
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
        confusion = scores.pooled(task, entry, DEFAULT_THRESHOLD)
        pairs = zip(_figures(confusion, 0), _figures(confusion, 1), strict=True)
        means = [number(float(figure.mean())) for figure in class_report(confusion)]
        label = _label(scores, task, f"{entry.family}, {entry.strategy}", entry)
        rows.append([label, number(_accuracy(confusion)), *(means if macro else (t for pair in pairs for t in pair))])
    return folded_table(header, rows)


def _tuned(scores: Scores, task: str) -> list[Entry]:
    return [
        e
        for e in entries(scores, task)
        if e.stage == "tuned" and e.strategy != ANY and len(scores.rows_of(task, e, DEFAULT_THRESHOLD))
    ]


def _label(scores: Scores, task: str, text: str, entry: Entry) -> str:
    """The name of a row; one that lacks splits says so, as its rows are others."""
    splits, planned = len(scores.rows_of(task, entry, DEFAULT_THRESHOLD)), scores.run["tasks"][task].get("splits", 0)
    return escape(text) + ("" if splits >= planned else f" ({splits} of {planned} splits)")


def _accuracy(confusion: npt.NDArray[np.int64]) -> float:
    return float(confusion.trace() / confusion.sum())


def _figures(confusion: npt.NDArray[np.int64], figure: int) -> list[str]:
    """Precision (0), recall (1) or F1 (2) per class; no precision where nothing was called so."""
    nothing = (confusion.sum(axis=0) == 0) & (figure == 0)
    return [NONE if none else number(v) for v, none in zip(class_report(confusion)[figure], nothing, strict=True)]


QUALITY = ("roc_auc", "average_precision", "f1", "precision", "recall", "balanced_accuracy", "mcc")
PROBABILITY = ("log_loss", "brier", "ece")


def quality_table(scores: Scores, ranking: Ranking) -> str:
    """Ranked by the objective: how well each entry ranks and decides."""
    places = _shown(ranking)
    priced = ["expected_cost"] if scores.run["tasks"][ranking.task].get("costs") else []
    names = [name for name in [*QUALITY, *priced] if name != ranking.metric.name]
    header = ["#", "Entry", ranking.metric.label, *(scores.metrics[name].label for name in names), "Splits"]
    columns = [_metric_column(scores, places, name) for name in names]
    rows = [
        [rank_mark(place), escape(place.name), marked(ranking, place), *cells, f"{place.score.n}/{ranking.splits}"]
        for place, *cells in zip(places, *columns, strict=True)
    ]
    return folded_table(header, rows)


def effort_table(scores: Scores, ranking: Ranking) -> str:
    """In the same order: how sound the probabilities are, how much is over-fitting, and what it took."""
    places = _shown(ranking)
    label = ranking.metric.label
    header = ["#", "Entry", *(scores.metrics[name].label for name in PROBABILITY)]
    header += [f"{label} inner", f"{label} training", "Fit s", "Predict µs/row", "Trials", "Status"]
    columns = [_metric_column(scores, places, name) for name in PROBABILITY]
    columns += [_column(places, name, partial(number, digits=ranking.digits)) for name in ("inner", "train")]
    columns += [_column(places, name, brief) for name in ("fit_seconds", "predict_us_per_row", "trials")]
    rows = [
        [rank_mark(place), escape(place.name), *cells, place.status]
        for place, *cells in zip(places, *columns, strict=True)
    ]
    return folded_table(header, rows)


def confusion_table(scores: Scores, ranking: Ranking) -> str:
    """Confusion matrix and per-class report of the best entry and of its family without any strategy."""
    best = ranking.best
    if best is None:
        return ""
    plain = ranking.place(best.entry.family, "none")
    shown = [best] if plain is None or plain.entry == best.entry or not plain.score.n else [best, plain]
    classes = [escape(name) for name in scores.classes(ranking.task)]
    rows = [
        row
        for place in shown
        for kind in scores.kinds(ranking.task)
        for row in _class_rows(scores, ranking.task, place, kind)
    ]
    header = ["Entry", "Decision", "Class", *(f"called {name}" for name in classes), "Precision", "Recall", "F1"]
    return table(header, rows)


def _class_rows(scores: Scores, task: str, place: RankedEntry, kind: str) -> list[list[str]]:
    confusion = scores.pooled(task, place.entry, kind)
    threshold = scores.rows_of(task, place.entry, kind).mean("threshold")
    decision = (
        "most probable"
        if math.isnan(threshold)
        else f"at {'0.5' if kind == DEFAULT_THRESHOLD else f'tuned {threshold:.3f}'}"
    )
    report = zip(*class_report(confusion), strict=True)
    rows = []
    for at, (name, (precision, recall, f1)) in enumerate(zip(scores.classes(task), report, strict=True)):
        called = number(precision) if confusion[:, at].sum() else NONE
        who = [escape(place.entry.name), decision] if at == 0 else ["", ""]
        rows.append([*who, escape(name), *(f"{n:,}" for n in confusion[at]), called, number(recall), number(f1)])
    return rows


def _shown(ranking: Ranking) -> list[RankedEntry]:
    """Entries with figures; the majority row moves up so that it is always in sight."""
    places = [place for place in ranking.entries if place.score.n]
    floor = ranking.baseline
    if floor in places[15:] and floor is not None:
        places.remove(floor)
        places.insert(14, floor)
    return places


def rank_mark(place: RankedEntry) -> str:
    """The rank, a dagger for what inner scores chose or combined, a dash for what cannot be ranked."""
    if place.entry.stage in MADE_OF_SEVERAL:
        return "†"
    return str(place.rank) if place.rank else NONE


def marked(ranking: Ranking, place: RankedEntry, best: Callable[[str], str] = bold) -> str:
    """The objective with its interval, `≈` before what cannot be told from the best."""
    score = plus_minus(place.score.mean, place.score.half, digits=ranking.digits)
    return ("≈ " if place.tied else "") + (best(score) if place.rank == 1 else score)


def _metric_column(scores: Scores, places: list[RankedEntry], name: str) -> list[str]:
    means = [place.rows.mean(name) for place in places]
    whole = [
        mean if place.complete and place.entry.family != BASELINE else math.nan
        for mean, place in zip(means, places, strict=True)
    ]
    greater = scores.metrics[name].greater_is_better
    digits = digits_of(whole, greater=greater)
    return bold_best(whole, [number(mean, digits) for mean in means], greater=greater, digits=digits)


def _column(places: list[RankedEntry], name: str, written: Callable[[float], str]) -> list[str]:
    return [written(place.rows.mean(name)) for place in places]
