"""Whether the probabilities of tuned entries are calibrated, and whether recalibrating them helps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import attrgetter

from harness.evaluation.gains import RecalibrationEffect, calibration_metrics, recalibration_effects
from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import Scores
from harness.metrics.calibration import CALIBRATIONS, N_FOLDS
from harness.report.content import Evidence, Figure, Section
from harness.report.figures.reliability import recalibration_figure
from harness.report.figures.writer import file_name
from harness.report.render.markdown import MISSING, escape, folded_table, format_number, join_words
from harness.report.sections.wording import change_text, join_names

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
MAX_DRAWN = 12  #: entries in the figure, the first ones by rank
MAX_NAMES = 3
MetricChange = tuple[str, float, float, float, float]  #: a recalibration; log loss and Brier with half intervals


def sections(evidence: Evidence) -> list[Section]:
    """Write one section per task that was evaluated."""
    written = []
    for ranking in evidence.rankings:
        if any(len(ranked.rows) for ranked in ranking.entries):
            written.append(Section(TITLE, _parts(evidence.scores, ranking), ranking.task))
    return written


def _parts(scores: Scores, ranking: Ranking) -> tuple[str | Figure, ...]:
    effects = recalibration_effects(scores, ranking)
    if not effects:
        return ("No tuned entry but the baseline has predictions, and that gives every row the same answer.",)
    recalibrated = list(filter(attrgetter("differences"), effects))
    table = _table(scores, ranking.task, effects)
    if not recalibrated:
        reason = f"Nothing was recalibrated: that takes {N_FOLDS} inner rows of every class, which no entry has."
        return TEXT, reason, table
    reason = ranking.no_test_reason or "the splits of no pair allow one"
    caption = "Change of log loss and of Brier by every recalibration, for the first entries"
    draw = partial(recalibration_figure, _figure_entries(recalibrated))
    figure = Figure(file_name(ranking.task, "recalibration"), caption, draw)
    return TEXT, _verdict(effects) or f"No reading: {reason}.", table, figure


def _table(scores: Scores, task: str, effects: Sequence[RecalibrationEffect]) -> str:
    """Every tuned entry with every recalibration: the reading, differences with intervals, and mean metrics."""
    labels = list(map(attrgetter("label"), calibration_metrics(scores, task)))
    if len(scores.threshold_kinds(task)) > 1:
        labels[3] += " tuned"
    changes = map("Δ {}".format, (*labels[:2], labels[3]))
    rows = []
    for effect in effects:
        row = [escape("/".join(effect.entry[:3])), effect.entry.calibration, effect.reading or MISSING]
        row += list(map(change_text, effect.tested)) or [MISSING] * 3
        rows.append([*row, *map(format_number, effect.means), str(effect.splits)])
    return folded_table(["Entry", "Recalibration", "Reading", *changes, *labels, "Splits"], rows)


def _verdict(effects: Sequence[RecalibrationEffect]) -> str:
    """Which recalibration makes probabilities significantly better or worse, and whether decisions change."""
    read = list(filter(attrgetter("reading"), effects))
    if not read:
        return ""
    by_calibration: dict[str, list[RecalibrationEffect]] = {name: [] for name in CALIBRATIONS[1:]}
    decisions = []
    for effect in read:
        calibration = effect.entry.calibration
        by_calibration[calibration].append(effect)
        if "decisions" in effect.reading:
            decisions.append(f"{effect.reading.rpartition(', ')[2]} with {calibration} for {_pair_name(effect)}")
    sentences = [
        _calibration_verdict(name, of_calibration) for name, of_calibration in by_calibration.items() if of_calibration
    ]
    change = "No recalibration is shown to change decisions."
    if decisions:
        change = f"Decisions are shown to change: {join_names(decisions, MAX_NAMES)}."
    return f"Probabilities of tuned entries: {'; '.join(sentences)}. {change}"


def _calibration_verdict(calibration: str, effects: Sequence[RecalibrationEffect]) -> str:
    parts = []
    for adjective in ("better", "worse"):
        names = [_pair_name(effect) for effect in effects if f"{adjective} probabilities" in effect.reading]
        if names:
            parts.append(f"{adjective} for {len(names)} ({join_names(names, MAX_NAMES)})")
    if parts:
        return f"*{calibration}* is shown to make probabilities {join_words(parts)} of {len(effects)}"
    return f"*{calibration}* is not shown to change those of any of {len(effects)}"


def _pair_name(effect: RecalibrationEffect) -> str:
    return escape("/".join(effect.entry[:2]))


def _figure_entries(recalibrated: Sequence[RecalibrationEffect]) -> tuple[tuple[str, tuple[MetricChange, ...]], ...]:
    """Of the first entries: the name, and by calibration the differences of log loss and Brier with half intervals."""
    by_entry: dict[str, list[MetricChange]] = {}
    for effect in recalibrated:
        log_loss, brier = effect.differences[:2]
        change = (effect.entry.calibration, log_loss.mean, log_loss.ci_half_width, brier.mean, brier.ci_half_width)
        by_entry.setdefault("/".join(effect.entry[:2]), []).append(change)
    return tuple(zip(list(by_entry)[:MAX_DRAWN], map(tuple, by_entry.values()), strict=False))
