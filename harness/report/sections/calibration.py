"""Are the probabilities sound, and does recalibrating them help? Every tuned entry against itself, in pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from harness.evaluation.evaluate import BASELINE
from harness.evaluation.ranking import Ranking, can_test
from harness.evaluation.scores import Entry, ScoreRows, Scores
from harness.evaluation.significance import LEVEL, Estimate, estimate, holm
from harness.metrics.calibration import CALIBRATIONS, PARTS
from harness.metrics.metric import Metric
from harness.report.content import Evidence, Figure, Section
from harness.report.figures.calibration import recalibration_figure
from harness.report.figures.writer import file_name
from harness.report.render.markdown import NONE, escape, folded_table, listed, number, plus_minus

TITLE = "Are the probabilities sound?"
TEXT = (
    "A probability is sound when of the rows that get 0.3 three in ten come true. ECE is the mean gap between the two; "
    "log loss and Brier grow with it, and with poor ranking. A recalibration learns on inner out-of-fold rows, never on "
    "test rows, how to turn what an entry says into what came true, and nothing is fitted again: *isotonic* by steps that "
    "never fall (it may say 0 or 1, which log loss punishes, and gives rows of one step the same probability, which can "
    "cost ranking), *sigmoid* by a logistic curve, *temperature* by making all probabilities more or less extreme. "
    "*prior* needs no fit: it takes back the change of the classes' shares that weights or random over- or undersampling "
    "made, and is left out where a strategy changes more than these (SMOTE and its kin, cleaning) or was itself searched. "
    "Decisions are taken at a threshold derived again on inner rows that the recalibration was not fitted on. Δ are "
    "paired differences to the probabilities as they are (*none*), over the same splits, with 95 % intervals; the reading "
    "takes only what is significant after Holm's adjustment over the whole table. ECE is shown and not tested: it is "
    "never below what chance makes of it."
)
DRAWN = 12  #: entries in the picture, the first ones by rank
NAMED = 3
UNTOLD = "cannot be told"


@dataclass(frozen=True)
class Line:
    """A tuned entry with one calibration: its mean figures, and the differences to itself with none, with a reading.

    `figures` and `differences` stand in the order of `looked_at`; an entry with calibration `none` has no differences.
    """

    entry: Entry
    figures: tuple[float, ...]
    splits: int
    differences: tuple[Estimate, ...] = ()
    reading: str = ""


def looked_at(scores: Scores, task: str) -> tuple[Metric, ...]:
    """Log loss, Brier, ECE, and what decisions are judged by: F1, or cost where the task has a cost matrix."""
    decision = "expected_cost" if scores.costs(task) else "f1"
    return tuple(scores.metrics[name] for name in ("log_loss", "brier", "ece", decision))


def lines(scores: Scores, ranking: Ranking) -> list[Line]:
    """The tuned entries in the order of the ranking, each followed by its recalibrations; the majority row has none."""
    found = []
    for place in ranking.entries:
        if place.entry.stage == "tuned" and place.entry.family != BASELINE and len(place.rows):
            found += [_line(scores, ranking.task, place.entry._replace(calibration=one)) for one in CALIBRATIONS]
    found = [one for one in found if one.splits]
    adjusted = iter(holm([e.p for one in found for e in _tested(one)]))
    return [_read(scores, ranking.task, one, [next(adjusted) for _ in _tested(one)]) for one in found]


def _line(scores: Scores, task: str, entry: Entry) -> Line:
    kind, metrics = scores.kinds(task)[-1], looked_at(scores, task)
    mine, plain = scores.rows_of(task, entry, kind), scores.rows_of(task, entry._replace(calibration="none"), kind)
    figures = tuple(mine.mean(metric.name) for metric in metrics)
    if entry.calibration == "none" or not len(mine):
        return Line(entry, figures, len(mine))
    return Line(
        entry, figures, len(mine), tuple(_difference(scores, task, metric, (mine, plain)) for metric in metrics)
    )


def _difference(scores: Scores, task: str, metric: Metric, pair: tuple[ScoreRows, ScoreRows]) -> Estimate:
    mine, plain = pair[0], pair[1].at(pair[0].splits)
    grain = scores.grain(task, metric, plain)
    change = mine[metric.name] - plain[metric.name]
    return estimate(change, plain.mean("ratio"), claims=can_test(scores, task), grain=grain)


def _tested(line: Line) -> list[Estimate]:
    """The differences that are tested: all but that of ECE."""
    return [one for at, one in enumerate(line.differences) if at != 2]


def _read(scores: Scores, task: str, line: Line, adjusted: list[float]) -> Line:
    if not line.differences:
        return line
    if all(math.isnan(p) for p in adjusted):
        return Line(line.entry, line.figures, line.splits, line.differences, NONE)
    metrics = [metric for at, metric in enumerate(looked_at(scores, task)) if at != 2]
    better = [
        0 if math.isnan(p) or p >= 1 - LEVEL else 1 if (one.mean > 0) == metric.greater_is_better else -1
        for one, metric, p in zip(_tested(line), metrics, adjusted, strict=True)
    ]
    return Line(line.entry, line.figures, line.splits, line.differences, in_a_word(*better))


def in_a_word(log_loss: int, brier: int, decision: int) -> str:
    """What directions (1 better, −1 worse, 0 not known) of log loss, Brier and decisions say."""
    sound = {log_loss, brier} - {0}
    said = ["log loss and Brier disagree"] if len(sound) == 2 else [_probabilities(one) for one in sound]
    said += [f"{'better' if decision > 0 else 'worse'} decisions"] if decision else []
    return ", ".join(said) or UNTOLD


def _probabilities(direction: int) -> str:
    return f"{'better' if direction > 0 else 'worse'} probabilities"


def calibration_table(scores: Scores, task: str, found: list[Line]) -> str:
    """Every tuned entry with every recalibration: figures, differences with intervals, and what they allow to say."""
    metrics = looked_at(scores, task)
    at = " tuned" if len(scores.kinds(task)) > 1 else ""
    labels = [*(metric.label for metric in metrics[:3]), metrics[3].label + at]
    header = ["Entry", "Recalibration", "Reading", *(f"Δ {labels[at]}" for at in (0, 1, 3)), *labels, "Splits"]
    rows = []
    for one in found:
        changes = [plus_minus(e.mean, e.half, signed=True) for e in _tested(one)] or [NONE] * 3
        name = "/".join(one.entry[:3])
        rows.append(
            [
                escape(name),
                one.entry.calibration,
                one.reading or NONE,
                *changes,
                *map(number, one.figures),
                str(one.splits),
            ]
        )
    return folded_table(header, rows)


def verdict(found: list[Line]) -> str:
    """In plain sentences: which recalibration is shown to help or harm probabilities, and whether decisions change."""
    read = [one for one in found if one.differences and one.reading != NONE]
    if not read:
        return ""
    said = []
    for calibration in CALIBRATIONS[1:]:
        some = [one for one in read if one.entry.calibration == calibration]
        parts = [
            f"{word} for {len(names)} ({_some(names)})"
            for word in ("better", "worse")
            if (names := [_who(one) for one in some if f"{word} probabilities" in one.reading])
        ]
        if some:
            shown = (
                f"is shown to make probabilities {listed(parts)}" if parts else "is not shown to change those of any"
            )
            said.append(f"*{calibration}* {shown} of {len(some)}")
    changed = [one for one in read if "decisions" in one.reading]
    moved = [f"{one.reading.rpartition(', ')[2]} with {one.entry.calibration} for {_who(one)}" for one in changed]
    decisions = (
        f"Decisions are shown to change: {_some(moved)}." if moved else "No recalibration is shown to change decisions."
    )
    return f"Probabilities of tuned entries: {'; '.join(said)}. {decisions}"


def _who(line: Line) -> str:
    return escape("/".join(line.entry[:2]))


def _some(names: list[str]) -> str:
    return listed(names) if len(names) <= NAMED else f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"


def sections(evidence: Evidence) -> list[Section]:
    """One section per task that was evaluated."""
    return [
        Section(TITLE, _parts(evidence.scores, ranking), ranking.task)
        for ranking in evidence.rankings
        if any(len(place.rows) for place in ranking.entries)
    ]


def _parts(scores: Scores, ranking: Ranking) -> tuple[str | Figure, ...]:
    found = lines(scores, ranking)
    if not found:
        return ("No tuned entry but the majority row has predictions, which always says the same.",)
    parts: list[str | Figure] = [TEXT]
    if not any(one.differences for one in found):
        parts.append(f"Nothing was recalibrated: that takes {PARTS} inner rows of every class, which no entry has.")
    elif said := verdict(found):
        parts.append(said)
    else:
        parts.append(f"No reading: {ranking.no_test_reason or 'the splits of no pair allow one'}.")
    parts.append(calibration_table(scores, ranking.task, found))
    drawn = _drawn(found)
    if drawn:
        said = "Change of log loss and of Brier by every recalibration, for the first entries"
        name = file_name(ranking.task, "recalibration")
        parts.append(Figure(name, said, partial(recalibration_figure, drawn)))
    return tuple(parts)


def _drawn(found: list[Line]) -> tuple[tuple[str, tuple[tuple[str, float, float, float, float], ...]], ...]:
    """Of the first entries: the name, and by calibration the differences of log loss and Brier with half intervals."""
    by_entry: dict[str, list[tuple[str, float, float, float, float]]] = {}
    for one in found:
        if one.differences:
            log_loss, brier = one.differences[:2]
            values = (log_loss.mean, log_loss.half, brier.mean, brier.half)
            by_entry.setdefault("/".join(one.entry[:2]), []).append((one.entry.calibration, *values))
    return tuple((name, tuple(some)) for name, some in list(by_entry.items())[:DRAWN])
