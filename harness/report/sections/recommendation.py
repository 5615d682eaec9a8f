"""The recommendation of a task in words: labelled sentences for the terminal, Markdown, the page and Python."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from harness.evaluation.corrected_t import Estimate
from harness.evaluation.decision import DecisionQuality, FamilyComparison, Recommendation, recommend_entry
from harness.evaluation.ranking import RankedEntry, Ranking
from harness.evaluation.remedy import Remedy
from harness.evaluation.scores import Scores
from harness.evaluation.strategy_effects import NO_READING, StrategyReading, strategy_comparisons
from harness.report.content import ReportColumn, ReportTable
from harness.report.leaderboard import format_verdict
from harness.report.render.cells import format_number, format_percent, format_signed
from harness.report.render.markdown import bold, bullet_list, escape, format_count, join_words, plural
from harness.report.sections.protocol import WARNING_CODES
from harness.report.sections.ranking import describe_first_entry, metric_phrase

TITLE = "Recommendation"
MAX_NAMES = 3
MAX_PARAMETERS = 6
STRATEGY_LABEL = "Strategy"  #: of the sentence that a table of all strategies repeats
RECOMMENDED = "(recommended)"  #: beside the name of an entry in tables
MANY_ROWS = 10.0  #: times as many rows as there are, which hardly anybody can get


@dataclass(frozen=True)
class Advice:
    """A labelled sentence of a recommendation, as plain text."""

    label: str
    text: str


def recommendation_advice(scores: Scores, ranking: Ranking, recommendation: Recommendation) -> list[Advice]:
    """Put a recommendation into words.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    ranking : Ranking
        The ranking of the task.
    recommendation : Recommendation
        The recommendation.

    Returns
    -------
    list of Advice
        At most eight sentences: what to use, what is settled, what is equal or undecided and what would settle it, what the
        strategy and the search bring, where to cut, the parameters, what to check.
    """
    if recommendation.best is None:
        return [Advice("Use", f"none; {describe_first_entry(ranking)}")]
    advice = [Advice("Use", _describe_recommended_entry(ranking, recommendation))]
    sentences = {
        "Settled": _describe_settled_comparisons(ranking, recommendation),
        "Not settled": _describe_undecided_comparisons(ranking, recommendation),
        STRATEGY_LABEL: _describe_strategy_effects(scores, ranking, recommendation),
        "Tuning": _describe_tuning_gain(ranking, recommendation),
        "Decisions": _describe_decisions(scores, recommendation),
        "Parameters": _describe_chosen_parameters(recommendation),
        "Check first": "; ".join(_list_checks(scores, recommendation)),
    }
    for label, text in sentences.items():
        if text:
            advice.append(Advice(label, text.removesuffix(".") + "."))
    return advice


def format_score_with_interval(ranking: Ranking, score: Estimate) -> str:
    """Write a score with the ends of its interval: ``0.667 [0.639, 0.693]``."""
    mean = format_number(score.mean, ranking.digits)
    if math.isnan(score.low):
        return mean
    return f"{mean} [{format_number(score.low, ranking.digits)}, {format_number(score.high, ranking.digits)}]"


def _describe_recommended_entry(ranking: Ranking, recommendation: Recommendation) -> str:
    best, baseline = recommendation.best, recommendation.baseline
    entry = recommendation.entry
    if entry is None:
        name = baseline.name if baseline is not None else "the baseline"
        text = f"none of these entries: the best one is not better than {name}, which ignores the columns"
        if best is not None:
            text += f" ({best.name}: {metric_phrase(ranking.metric)} {format_score_with_interval(ranking, best.score)}"
            if baseline is not None:
                text += f", baseline {format_score_with_interval(ranking, baseline.score)}"
            text += ")"
        return f"{text}."
    text = f"{entry.name}: {metric_phrase(ranking.metric)} {format_score_with_interval(ranking, entry.score)}"
    if baseline is not None:
        text += f", baseline {format_number(baseline.score.mean, ranking.digits)}"
    simpler = recommendation.best_simpler
    if simpler is not None:
        text += f", best simpler entry {simpler.name} {format_number(simpler.score.mean, ranking.digits)}"
    if best is not None and best is not entry:
        text += f". {_explain_simpler_choice(ranking, recommendation, best)}"
    if not math.isnan(recommendation.chosen_score):
        chosen = format_number(recommendation.chosen_score, ranking.digits)
        text += f". Choosing by inner scores alone, which sees no test rows, scores {chosen}"
    return f"{text}."


def _explain_simpler_choice(ranking: Ranking, recommendation: Recommendation, best: RankedEntry) -> str:
    """Why an entry is recommended that has not the best score."""
    score, used = format_score_with_interval(ranking, best.score), recommendation.entry
    if recommendation.reason == "simpler":
        return f"It is the simplest entry that is practically equal to the best one, {best.name} {score}"
    difference, loss = "", ""
    if used is not None and used.comparison is not None:
        comparison = used.comparison
        difference = f" by {format_number(abs(comparison.difference), ranking.digits)}"
        largest = max(abs(comparison.low), abs(comparison.high))
        loss = f", which may cost up to {format_number(largest, ranking.digits)}"
    return (
        f"{best.name} has {score}. That it is better{difference} is not shown; within ±{ranking.rope:.2g} the simplest entry is "
        f"preferred{loss}"
    )


def _describe_settled_comparisons(ranking: Ranking, recommendation: Recommendation) -> str:
    if ranking.no_test_reason:
        return ""
    parts = []
    if recommendation.above_baseline:
        parts.append("it is better than the baseline")
    elif recommendation.above_baseline is False:
        parts.append("no entry is better than the baseline")
    parts += _list_settled_entries(ranking, recommendation)
    for pair in recommendation.families[:MAX_NAMES]:
        if pair.comparison.verdict != "undecided":
            parts.append(_describe_family_comparison(ranking, pair))
    return "; ".join(parts)


def _list_settled_entries(ranking: Ranking, recommendation: Recommendation) -> list[str]:
    """Which entries are worse, practically equal, or undecided and yet not the best."""
    parts = []
    if recommendation.worse:
        names = [ranked.name for ranked in recommendation.worse]
        number = format_count(len(names), "entry", "entries")
        parts.append(f"{number} {plural(names, 'is', 'are')} worse than the best one ({_join_first_names(names)})")
    excluded = [rival.name for rival in ranking.rivals if rival.is_excluded]
    if excluded:
        number = format_count(len(excluded), "entry", "entries")
        parts.append(f"{number} {plural(excluded, 'is', 'are')} not the best, with 95 %")
    if recommendation.equal:
        names = [ranked.name for ranked in recommendation.equal]
        parts.append(
            f"{_join_first_names(names)} {plural(names, 'is', 'are')} practically equal (within ±{ranking.rope:.2g})"
        )
    return parts


def _describe_family_comparison(ranking: Ranking, pair: FamilyComparison) -> str:
    comparison = pair.comparison
    interval = _format_interval(ranking, comparison.low, comparison.high)
    if comparison.verdict == "practically equal":
        return f"the families {pair.first} and {pair.second} are practically equal {interval}"
    return f"family {pair.first} is {comparison.verdict} than {pair.second} {interval}"


def _describe_undecided_comparisons(ranking: Ranking, recommendation: Recommendation) -> str:
    if ranking.no_test_reason:
        return f"whether any difference is more than chance: {ranking.no_test_reason}"
    undecided, rivals = recommendation.undecided, ranking.rivals
    if not undecided:
        return ""
    possible = sum(bool(rival.may_be_best) for rival in rivals)
    parts = []
    if possible == len(rivals):
        parts.append(f"which entry is the best: none of the {possible} others is ruled out (next: {undecided[0].name})")
    elif possible:
        parts.append(f"{possible} of {len(rivals)} other entries may be the best (first {undecided[0].name})")
    pair = next((pair for pair in recommendation.families if pair.comparison.verdict == "undecided"), None)
    if pair is not None:
        difference = format_signed(pair.comparison.difference, ranking.digits)
        interval = _format_interval(ranking, pair.comparison.low, pair.comparison.high)
        families = f"families {pair.first} and {pair.second}, each by the entries that inner scores choose"
        parts.append(f"{families}, differ by {difference} {interval}")
    return f"{'; '.join(parts)}. {_describe_remedy(recommendation.remedy)}".rstrip() if parts else ""


def _describe_remedy(remedy: Remedy | None) -> str:
    if remedy is None:
        return ""
    if remedy.repeats is not None:
        minutes = f", about {remedy.minutes:.0f} more minutes" if remedy.minutes >= 1 else ""
        return f"If it stays so, --repeats {remedy.repeats} would settle {remedy.rival.name}{minutes}"
    if remedy.row_factor is not None:
        if remedy.row_factor > MANY_ROWS:
            return f"More rows would hardly settle {remedy.rival.name}: about {remedy.row_factor:,.0f} times as many are needed"
        return f"If it stays so, about {remedy.row_factor:.2g} times as many rows would settle {remedy.rival.name}"
    return f"Neither more rows nor repeats are likely to settle {remedy.rival.name}"


def _describe_strategy_effects(scores: Scores, ranking: Ranking, recommendation: Recommendation) -> str:
    """What the strategies of the recommended family change, the recommended one first."""
    used = recommendation.entry or recommendation.best
    readings = [reading for reading in recommendation.strategies if reading.reading != NO_READING]
    if used is None or not readings:
        return ""
    best = recommendation.best or used
    readings.sort(
        key=lambda reading: [reading.strategy != used.entry.strategy, reading.strategy != best.entry.strategy]
    )
    parts = [f"{reading.strategy} {_describe_reading(scores, ranking, reading)}" for reading in readings[:MAX_NAMES]]
    return f"against none for {used.entry.family}: {'; '.join(parts)}"


def _describe_reading(scores: Scores, ranking: Ranking, reading: StrategyReading) -> str:
    """The reading, and the decisions at 0.5 that change."""
    columns = strategy_comparisons(scores, ranking.task)
    changes = []
    for column, estimate, direction in zip(columns, reading.difference.estimates, reading.directions, strict=True):
        if direction and column.metric.name in ("recall", "precision"):
            changes.append(f"{column.metric.label.lower()} at 0.5 {format_signed(estimate.mean, 2)}")
    return reading.reading + (f" ({', '.join(changes)})" if changes else "")


def _describe_tuning_gain(ranking: Ranking, recommendation: Recommendation) -> str:
    gain = recommendation.tuning
    if gain is None or not gain.reading:
        return ""
    name = f"{gain.entry.family}/{gain.entry.strategy}"
    if gain.reading == "kept the default":
        return f"the search of {name} kept the default parameters in every split"
    change = format_signed(gain.outer.mean, ranking.digits)
    return f"{name} tuned against default {change} {_format_interval(ranking, gain.outer.low, gain.outer.high)}: {gain.reading}"


def _describe_decisions(scores: Scores, recommendation: Recommendation) -> str:
    decisions = recommendation.decisions
    if decisions is None or math.isnan(decisions.recall) or recommendation.entry is None:
        return ""
    if math.isnan(decisions.threshold):
        return f"{_format_share(decisions, 'accuracy')} of the rows are decided correctly"
    positive = scores.classes(recommendation.task)[1]
    return (
        f"at a threshold of about {decisions.threshold:.2g}, chosen on inner rows, it finds {_format_share(decisions, 'recall')} of "
        f"the “{positive}” rows, and {_format_share(decisions, 'precision')} of those it predicts are right"
    )


def _format_share(decisions: DecisionQuality, name: str) -> str:
    """A measure of decisions in per cent with its interval: ``73 % [66 %, 79 %]``."""
    share = format_percent(getattr(decisions, name))
    interval = decisions.intervals.get(name)
    if interval is None or math.isnan(interval.low):
        return share
    return f"{share} [{format_percent(interval.low)}, {format_percent(interval.high)}]"


def _describe_chosen_parameters(recommendation: Recommendation) -> str:
    """The chosen hyperparameters; those that differ between splits are marked."""
    choices = []
    for parameter in recommendation.parameters[:MAX_PARAMETERS]:
        choice = f"{parameter.choice:.3g}" if isinstance(parameter.choice, float) else str(parameter.choice)
        stability = "" if parameter.splits == parameter.total else f" ({parameter.splits} of {parameter.total} splits)"
        choices.append(f"{parameter.name} {choice}{stability}")
    if len(recommendation.parameters) > MAX_PARAMETERS:
        choices.append(f"and {len(recommendation.parameters) - MAX_PARAMETERS} more")
    return ", ".join(choices)


def _list_checks(scores: Scores, recommendation: Recommendation) -> list[str]:
    """What should be looked at before the recommendation is believed."""
    checks = []
    for finding in scores.run["tasks"][recommendation.task].get("findings", ()):
        if finding.get("severity") in ("error", "warning") or finding.get("code") in WARNING_CODES:
            checks.append(str(finding.get("message", "")).rstrip("."))
    if recommendation.few_positives is not None:
        checks.append(f"the rarest class has only {recommendation.few_positives} rows")
    if recommendation.unstable:
        checks.append("training is unstable: scores vary far more between folds than their test rows explain")
    return checks[:MAX_NAMES]


def recommendation_markdown(scores: Scores, ranking: Ranking, omitted_labels: Collection[str] = ()) -> str:
    """A recommendation as a list in Markdown, without the sentences that a table below repeats."""
    advice = recommendation_advice(scores, ranking, recommend_entry(scores, ranking))
    lines = [f"{bold(line.label)}: {escape(line.text)}" for line in advice if line.label not in omitted_labels]
    return bullet_list(lines)


def format_entry_name(scores: Scores, ranking: Ranking, ranked: RankedEntry) -> str:
    """Format the name of an entry for a table, marked where it is the recommended one."""
    recommended = recommend_entry(scores, ranking).entry
    if recommended is not None and recommended.name == ranked.name:
        return f"{ranked.name} {RECOMMENDED}"
    return ranked.name


def tabulate_families(scores: Scores, ranking: Ranking, entries: Sequence[RankedEntry]) -> ReportTable:
    """An entry of every family with its interval, its verdict against the best entry and its time to fit."""
    rows = []
    for ranked in entries:
        verdict = "not tested" if ranking.no_test_reason else format_verdict(ranking, ranked)
        interval = _format_interval(ranking, ranked.score.low, ranked.score.high)
        name = format_entry_name(scores, ranking, ranked)
        rows.append((ranked.entry.family, name, ranked.score.mean, interval, verdict, ranked.rows.mean("fit_seconds")))
    columns = (
        ReportColumn("Family"),
        ReportColumn("Entry"),
        ReportColumn(_format_metric_heading(ranking), "number", ranking.digits),
        ReportColumn("95 % interval"),
        ReportColumn("Against the best"),
        ReportColumn("Fit s", "quantity"),
    )
    return ReportTable(columns, tuple(rows), foldable=False)


def _format_metric_heading(ranking: Ranking) -> str:
    """The metric, with the threshold at which decisions are taken where it has one."""
    heading = ranking.metric.label or ranking.metric.name
    if ranking.metric.metric_type == "decision" and ranking.threshold_text:
        return f"{heading} {ranking.threshold_text}"
    return heading


def _format_interval(ranking: Ranking, low: float, high: float) -> str:
    if math.isnan(low):
        return ""
    return f"[{format_number(low, ranking.digits)}, {format_number(high, ranking.digits)}]"


def _join_first_names(names: Sequence[str]) -> str:
    if len(names) <= MAX_NAMES:
        return join_words(list(names))
    return f"{', '.join(names[:MAX_NAMES])} and {len(names) - MAX_NAMES} more"
