"""What the report says about one task: verdict, ranked table, confusion matrices."""

from __future__ import annotations

import math

import numpy as np

from harness.declare.metrics import class_report
from harness.report.markdown import NONE, bold, bold_best, brief, count, escape, folded_table, number, plus_minus, table
from harness.report.ranking import Place, Ranking
from harness.report.scores import ANY, Scores

QUALITY = ("roc_auc", "average_precision", "f1", "precision", "recall", "balanced_accuracy", "mcc")
PROBABILITY = ("log_loss", "brier", "ece")


def verdict(ranking: Ranking) -> str:
    """In a few sentences: who is first, by how much, what cannot be told from it, what choosing blindly would give."""
    best = ranking.best
    if best is None:
        return "No entry has been evaluated yet."
    others = [p for p in ranking.places if p.complete and p.rank is not None and p is not best]
    said = [
        f"{bold(escape(best.entry.name))} is first by {ranking.metric.label}: {_score(best)} over "
        f"{count(best.score.n, 'split')}{_floor(ranking)}."
    ]
    if ranking.silent:
        said.append(f"Whether it is better than the others by more than chance is not known: {ranking.silent}.")
    elif others:
        tied = sum(bool(p.tied) for p in others)
        said.append(
            f"{tied} of the {count(len(others), 'other entry', 'other entries')} cannot be told from it (≈)."
            if tied
            else "Every other entry is below it by more than chance explains."
        )
    chosen = ranking.place(ANY, ANY, "chosen")
    if chosen is not None and chosen.complete:
        said.append(
            f"Being first here was seen on the test rows; whoever picks by inner scores alone, as one must, gets {_score(chosen)}."
        )
    return " ".join(said)


def ranked_tables(scores: Scores, ranking: Ranking) -> str:
    """Two tables in the same order: how good the entries are, and how sound their probabilities and what they cost."""
    places = [place for place in ranking.places if place.score.n]
    quality = [name for name in QUALITY if name != ranking.metric.name]
    columns = [_column(scores, places, name) for name in quality]
    header = ["#", "Entry", ranking.metric.label, *(scores.metrics[name].label for name in quality), "Splits"]
    rows = [
        [_rank(p), escape(p.entry.name), _marked(p), *cells, f"{p.score.n}/{ranking.splits}"]
        for p, *cells in zip(places, *columns, strict=True)
    ]
    return folded_table(header, rows, left=2, what="entries")


def _score(place: Place) -> str:
    return plus_minus(place.score.mean, place.score.half)


def _floor(ranking: Ranking) -> str:
    floor = ranking.floor
    if floor is None or not floor.score.n or floor is ranking.best:
        return ""
    doubt = ", from which it cannot be told" if ranking.above_floor is False else ""
    return f" (the majority row: {number(floor.score.mean)}{doubt})"


def _rank(place: Place) -> str:
    return str(place.rank) if place.rank else "†" if place.entry.stage == "chosen" else NONE


def _marked(place: Place) -> str:
    return ("≈ " if place.tied else "") + (bold(_score(place)) if place.rank == 1 else _score(place))


def _column(scores: Scores, places: list[Place], name: str) -> list[str]:
    means = [float(p.rows[name].mean(skipna=False)) for p in places]
    whole = [mean if p.complete else math.nan for mean, p in zip(means, places, strict=True)]
    return bold_best(whole, [number(mean) for mean in means], greater=scores.metrics[name].greater_is_better)
