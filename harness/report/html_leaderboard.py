"""The leaderboard of a task as values: one line per entry, every figure with what it is sorted by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from harness.evaluation.metric_cache import DEFAULT_THRESHOLD, TUNED_THRESHOLD
from harness.evaluation.ranking import BASELINE, RankedEntry, Ranking
from harness.evaluation.scores import Scores
from harness.report.render.markdown import NONE, brief, digits_of, number, plus_minus
from harness.report.sections.ranking import PROBABILITY, QUALITY, rank_mark

WIDE, HIGH = 90, 18  #: of a bar, in pixels
MARGIN = 6  #: beside the ends of the scale
GROUPS = {"decisions": "ranking and decisions", "probabilities": "probabilities, over-fitting", "effort": "effort"}
EFFORT = {  # column → heading, what it says, how it is written
    "fit_seconds": ("Fit s", "seconds of one refit on all training rows"),
    "predict_us_per_row": ("Predict µs/row", "microseconds to predict one row"),
    "trials": ("Trials", "trials that the search made"),
    "parameters": ("Parameters", "what a network trained, coefficients of a linear model, nodes of trees"),
    "model_bytes": ("Size kB", "encoder and classifier, pickled"),
}


@dataclass(frozen=True)
class Column:
    """A column: its heading, what it says, the group it is shown with, the threshold kind it holds for (none: any)."""

    label: str
    said: str
    group: str
    kind: str = ""


@dataclass(frozen=True)
class Value:
    """A figure: as it is written, as it is sorted (empty where there is none), and whether it is the best of its column."""

    text: str
    sort: str = ""
    best: bool = False


@dataclass(frozen=True)
class Bar:
    """An interval on the scale of its board, in pixels: a dot at `mean`, a line from `low` to `high`; `said` tells it.

    `beyond` marks a mean that lies left or right of the scale (−1, 1).
    """

    low: float
    mean: float
    high: float
    beyond: int
    said: str


@dataclass(frozen=True)
class Line:
    """A line of the board."""

    place: RankedEntry
    mark: str
    score: Value
    bar: Bar | None
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Board:
    """A leaderboard: the heading of its score, the ends of the scale, columns and lines, and what can be chosen from."""

    label: str
    ends: tuple[str, str]
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    kinds: tuple[str, ...]

    @property
    def families(self) -> list[str]:
        """Families in the order of their best entry."""
        return list(dict.fromkeys(line.place.entry.family for line in self.lines))

    @property
    def strategies(self) -> list[str]:
        """Strategies in the order of their best entry."""
        return list(dict.fromkeys(line.place.entry.strategy for line in self.lines))

    @property
    def stages(self) -> list[str]:
        """Stages in the order of their best entry."""
        return list(dict.fromkeys(line.place.entry.stage for line in self.lines))


def board(scores: Scores, ranking: Ranking) -> Board:
    """The leaderboard of a task: the entries with figures, in the order of their ranks."""
    places = [place for place in ranking.entries if place.score.n]
    found = [*_figures(scores, ranking, places), *_effort(places), *_ended(ranking, places)]
    columns = [column for column, _ in found]
    lines = zip(*(values for _, values in found), strict=True)
    ends = _ends(places)
    rows = [
        Line(place, rank_mark(place), _score(ranking, place), _bar(place, ends, ranking.digits), values)
        for place, values in zip(places, lines, strict=True)
    ]
    label = ranking.metric.label or ranking.metric.name
    shown = (number(ends[0], ranking.digits), number(ends[1], ranking.digits)) if ends else ("", "")
    return Board(label, shown, tuple(columns), tuple(rows), scores.kinds(ranking.task))


def _figures(scores: Scores, ranking: Ranking, places: Sequence[RankedEntry]) -> list[tuple[Column, list[Value]]]:
    """The columns of metrics; those of decisions once for every threshold kind."""
    priced = ["expected_cost"] if scores.run["tasks"][ranking.task].get("costs") else []
    names = [name for name in (*QUALITY, *priced, *PROBABILITY) if name != ranking.metric.name]
    found = []
    for metric in (scores.metrics[name] for name in names):
        kinds = scores.kinds(ranking.task) if metric.metric_type == "decision" else ("",)
        group = "probabilities" if metric.name in PROBABILITY else "decisions"
        for kind in kinds:
            rows = [
                scores.rows_of(ranking.task, place.entry, kind)
                if kind in (DEFAULT_THRESHOLD, TUNED_THRESHOLD)
                else place.rows
                for place in places
            ]
            means = [one.mean(metric.name) for one in rows]
            digits = digits_of(_compared(means, places), greater=metric.greater_is_better)
            values = _values(means, partial(number, digits=digits))
            at = {DEFAULT_THRESHOLD: ", deciding at 0.5", TUNED_THRESHOLD: ", deciding at the tuned threshold"}.get(
                kind, ""
            )
            column = Column(metric.label or metric.name, metric.description + at, group, kind if len(kinds) > 1 else "")
            found.append((column, _best(values, means, places, greater=metric.greater_is_better)))
    label = ranking.metric.label or ranking.metric.name
    for name, said in (("inner", "on the inner folds: what the search saw"), ("train", "on the training rows")):
        column = Column(f"{label} {'inner' if name == 'inner' else 'training'}", f"{label} {said}", "probabilities")
        written = partial(number, digits=ranking.digits)
        found.append((column, _values([place.rows.mean(name) for place in places], written)))
    return found


def _effort(places: Sequence[RankedEntry]) -> list[tuple[Column, list[Value]]]:
    units = {"model_bytes": 1e-3}
    return [
        (
            Column(label, said, "effort"),
            _values([place.rows.mean(name) * units.get(name, 1.0) for place in places], brief),
        )
        for name, (label, said) in EFFORT.items()
    ]


def _ended(ranking: Ranking, places: Sequence[RankedEntry]) -> list[tuple[Column, list[Value]]]:
    splits = [Value(f"{place.score.n}/{ranking.splits}", str(place.score.n)) for place in places]
    return [
        (Column("Splits", "splits with figures, of those planned", "effort"), splits),
        (Column("Status", "how its cells ended", "effort"), [Value(place.status, place.status) for place in places]),
    ]


def _values(figures: Sequence[float], written: Callable[[float], str]) -> list[Value]:
    return [Value(NONE) if math.isnan(one) else Value(written(one), f"{one:.9g}") for one in figures]


def _compared(means: Sequence[float], places: Sequence[RankedEntry]) -> list[float]:
    """The figures among which there is a best one: those of entries with all splits, the majority row aside; else NaN."""
    whole = [place.complete and place.entry.family != BASELINE for place in places]
    return [mean if one else math.nan for mean, one in zip(means, whole, strict=True)]


def _best(
    values: Sequence[Value], means: Sequence[float], places: Sequence[RankedEntry], *, greater: bool
) -> list[Value]:
    """The values, those being marked that are written like the best one."""
    compared = _compared(means, places)
    known = [(mean, value.text) for mean, value in zip(compared, values, strict=True) if not math.isnan(mean)]
    best = (max if greater else min)(known)[1] if known else ""
    return [
        replace(value, best=bool(best) and not math.isnan(mean) and value.text == best)
        for mean, value in zip(compared, values, strict=True)
    ]


def _score(ranking: Ranking, place: RankedEntry) -> Value:
    written = plus_minus(place.score.mean, place.score.half, digits=ranking.digits)
    return Value(written, f"{place.score.mean:.9g}", place.rank == 1)


def _ends(places: Sequence[RankedEntry]) -> tuple[float, float] | None:
    """The ends of the scale: those of all intervals, the majority row aside, which often lies far away."""
    shown = [place.score for place in places if place.entry.family != BASELINE] or [place.score for place in places]
    reach = [(one.mean, 0.0 if math.isnan(one.half) else one.half) for one in shown if not math.isnan(one.mean)]
    if not reach:
        return None
    return min(mean - half for mean, half in reach), max(mean + half for mean, half in reach)


def _bar(place: RankedEntry, ends: tuple[float, float] | None, digits: int) -> Bar | None:
    mean, half = place.score.mean, place.score.half
    if ends is None or math.isnan(mean):
        return None
    low, high = ends

    def at(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low) if high > low else 0.5
        return round(MARGIN + share * (WIDE - 2 * MARGIN), 1)

    reach = 0.0 if math.isnan(half) else half
    interval = (
        "" if math.isnan(half) else f", 95 % interval {number(mean - half, digits)} to {number(mean + half, digits)}"
    )
    beyond = -1 if mean < low else 1 if mean > high else 0
    return Bar(at(mean - reach), at(mean), at(mean + reach), beyond, f"{number(mean, digits)}{interval}")
