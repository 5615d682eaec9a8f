"""What the report says about one task: verdict, ranked tables, confusion matrices."""

from __future__ import annotations

import math
from collections.abc import Callable

from harness.declare.metrics import class_report
from harness.report.derived import HALF, TUNED
from harness.report.markdown import NONE, bold, bold_best, brief, count, escape, folded_table, number, plus_minus, table
from harness.report.ranking import FLOOR, Place, Ranking
from harness.report.scores import ANY, Scores

QUALITY = ("roc_auc", "average_precision", "f1", "precision", "recall", "balanced_accuracy", "mcc")
PROBABILITY = ("log_loss", "brier", "ece")


def headline(ranking: Ranking) -> str:
    """Who is first, by how much, and how many others cannot be told from it: no more than the splits carry."""
    best = ranking.best
    if best is None:
        some = any(place.score.n for place in ranking.places)
        return f"{ranking.metric.label} is defined for no entry." if some else "nothing has been evaluated yet."
    others = [p for p in ranking.places if p.rank is not None and p is not best]
    first = f"{bold(escape(best.entry.name))} is first by {_long(ranking)}, {_score(best)}{_floor(ranking)}"
    if ranking.silent:
        return f"{first}; whether by more than chance is not known: {ranking.silent}."
    tied = sum(bool(place.tied) for place in others)
    if not others:
        return f"{first}; it had no competitor."
    if tied == len(others):
        return f"{first}; none of the {count(tied, 'other entry', 'other entries')} can be told from it."
    if tied:
        return f"{first}; {tied} of the {count(len(others), 'other entry', 'other entries')} cannot be told from it."
    return f"{first}; {_all_of(len(others))} below it by more than chance explains."


def verdict(ranking: Ranking) -> str:
    """The headline of a task, and what would have come out without looking at the test rows."""
    said = headline(ranking)
    said = said[0].upper() + said[1:]
    said += _quickest(ranking)
    chosen = ranking.place(ANY, ANY, "chosen")
    if chosen is not None and chosen.complete:
        said += (
            " The first place is known only after looking at the test rows; choosing by inner scores alone, as one has "
            f"to in practice, gives {_score(chosen)} (`{chosen.entry.name}`)."
        )
    return said


def quality_table(scores: Scores, ranking: Ranking) -> str:
    """Ranked by the objective: how well each entry ranks and decides."""
    places = _shown(ranking)
    priced = ["expected_cost"] if scores.run["tasks"][ranking.task].get("costs") else []
    names = [name for name in [*QUALITY, *priced] if name != ranking.metric.name]
    header = ["#", "Entry", ranking.metric.label, *(scores.metrics[name].label for name in names), "Splits"]
    columns = [_metric_column(scores, places, name) for name in names]
    rows = [
        [rank_mark(place), escape(place.entry.name), _marked(place), *cells, f"{place.score.n}/{ranking.splits}"]
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
    columns += [_column(places, "inner", number), _column(places, "train", number)]
    columns += [_column(places, name, brief) for name in ("fit_seconds", "predict_us_per_row", "trials")]
    rows = [
        [rank_mark(place), escape(place.entry.name), *cells, place.status]
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


def _class_rows(scores: Scores, task: str, place: Place, kind: str) -> list[list[str]]:
    confusion = scores.pooled(task, place.entry, kind)
    threshold = scores.rows_of(task, place.entry, kind).mean("threshold")
    decision = "most probable" if math.isnan(threshold) else f"at {'0.5' if kind == HALF else f'tuned {threshold:.3f}'}"
    report = zip(*class_report(confusion), strict=True)
    rows = []
    for at, (name, (precision, recall, f1)) in enumerate(zip(scores.classes(task), report, strict=True)):
        called = number(precision) if confusion[:, at].sum() else NONE
        who = [escape(place.entry.name), decision] if at == 0 else ["", ""]
        rows.append([*who, escape(name), *(f"{n:,}" for n in confusion[at]), called, number(recall), number(f1)])
    return rows


def _shown(ranking: Ranking) -> list[Place]:
    """Entries with figures; the majority row moves up so that it is always in sight."""
    places = [place for place in ranking.places if place.score.n]
    floor = ranking.floor
    if floor in places[15:] and floor is not None:
        places.remove(floor)
        places.insert(14, floor)
    return places


def _score(place: Place) -> str:
    return plus_minus(place.score.mean, place.score.half)


def _long(ranking: Ranking) -> str:
    """The objective in words and its abbreviation, where there is one."""
    metric = ranking.metric
    name, label = metric.name.replace("_", " "), metric.label or metric.name
    at = " at the tuned threshold" if metric.face == "decision" and ranking.kind == TUNED else ""
    return escape(label if name.lower() == label.lower() else f"{name} ({label})") + at


def _quickest(ranking: Ranking) -> str:
    """Which of the entries that nobody can tell from the best takes the least time to fit."""
    tied = [place for place in ranking.places if place.tied and place.rank and place.entry.family != FLOOR]
    if ranking.best is None or not tied:
        return ""
    quickest = min([ranking.best, *tied], key=lambda place: place.rows.mean("fit_seconds"))
    seconds = brief(quickest.rows.mean("fit_seconds"))
    return f" Of these, {escape(quickest.entry.name)} is the quickest to fit ({seconds} s)."


def _all_of(n: int) -> str:
    return {1: "the other entry is", 2: "both other entries are"}.get(n, f"all {n} other entries are")


def _floor(ranking: Ranking) -> str:
    floor = ranking.floor
    if floor is None or not floor.score.n or floor is ranking.best:
        return ""
    doubt = ", from which it cannot be told" if ranking.above_floor is False else ""
    return f" (majority: {number(floor.score.mean)}{doubt})"


def rank_mark(place: Place) -> str:
    """The rank, a dagger for what the inner scores chose, a dash for what cannot be ranked."""
    if place.entry.stage == "chosen":
        return "†"
    return str(place.rank) if place.rank else NONE


def _marked(place: Place) -> str:
    return ("≈ " if place.tied else "") + (bold(_score(place)) if place.rank == 1 else _score(place))


def _metric_column(scores: Scores, places: list[Place], name: str) -> list[str]:
    means = [place.rows.mean(name) for place in places]
    whole = [
        mean if place.complete and place.entry.family != FLOOR else math.nan
        for mean, place in zip(means, places, strict=True)
    ]
    return bold_best(whole, [number(mean) for mean in means], greater=scores.metrics[name].greater_is_better)


def _column(places: list[Place], name: str, written: Callable[[float], str]) -> list[str]:
    return [written(place.rows.mean(name)) for place in places]
