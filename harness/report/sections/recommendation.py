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
    advice_lines = [Advice("Use", _describe_recommended_entry(ranking, recommendation))]
    sentences = {
        "Settled": _describe_settled_comparisons(ranking, recommendation),
        "Not settled": _describe_undecided_comparisons(ranking, recommendation),
        STRATEGY_LABEL: _describe_strategy_effects(scores, ranking, recommendation),
        "Tuning": _describe_tuning_gain(ranking, recommendation),
        "Decisions": _describe_decisions(scores, recommendation),
        "Parameters": _describe_chosen_parameters(recommendation),
        "Check first": "; ".join(_list_checks(scores, recommendation)),
    }
    for advice_label, text in sentences.items():
        if text:
            advice_lines.append(Advice(advice_label, text.removesuffix(".") + "."))
    return advice_lines


def format_score_with_interval(ranking: Ranking, score: Estimate) -> str:
    """Write a score with the ends of its interval: ``0.667 [0.639, 0.693]``."""
    mean_text = format_number(score.mean, ranking.digits)
    if math.isnan(score.low):
        return mean_text
    return f"{mean_text} [{format_number(score.low, ranking.digits)}, {format_number(score.high, ranking.digits)}]"


def _describe_recommended_entry(ranking: Ranking, recommendation: Recommendation) -> str:
    best_entry, baseline = recommendation.best, recommendation.baseline
    entry = recommendation.entry
    if entry is None:
        name = baseline.name if baseline is not None else "the baseline"
        text = f"none of these entries: the best one is not better than {name}, which ignores the columns"
        if best_entry is not None:
            text += f" ({best_entry.name}: {metric_phrase(ranking.metric)} {format_score_with_interval(ranking, best_entry.score)}"
            if baseline is not None:
                text += f", baseline {format_score_with_interval(ranking, baseline.score)}"
            text += ")"
        return f"{text}."
    text = f"{entry.name}: {metric_phrase(ranking.metric)} {format_score_with_interval(ranking, entry.score)}"
    if baseline is not None:
        text += f", baseline {format_number(baseline.score.mean, ranking.digits)}"
    simpler_entry = recommendation.best_simpler
    if simpler_entry is not None:
        text += f", best simpler entry {simpler_entry.name} {format_number(simpler_entry.score.mean, ranking.digits)}"
    if best_entry is not None and best_entry is not entry:
        text += f". {_explain_simpler_choice(ranking, recommendation, best_entry)}"
    if not math.isnan(recommendation.chosen_score):
        chosen_score = format_number(recommendation.chosen_score, ranking.digits)
        text += f". Choosing by inner scores alone, which sees no test rows, scores {chosen_score}"
    return f"{text}."


def _explain_simpler_choice(ranking: Ranking, recommendation: Recommendation, best: RankedEntry) -> str:
    """Why an entry is recommended that has not the best score."""
    score, recommended_entry = format_score_with_interval(ranking, best.score), recommendation.entry
    if recommendation.reason == "simpler":
        return f"It is the simplest entry that is practically equal to the best one, {best.name} {score}"
    difference, loss = "", ""
    if recommended_entry is not None and recommended_entry.comparison is not None:
        comparison = recommended_entry.comparison
        difference = f" by {format_number(abs(comparison.difference), ranking.digits)}"
        largest_difference = max(abs(comparison.low), abs(comparison.high))
        loss = f", which may cost up to {format_number(largest_difference, ranking.digits)}"
    return (
        f"{best.name} has {score}. That it is better{difference} is not shown; within ±{ranking.rope:.2g} the simplest entry is "
        f"preferred{loss}"
    )


def _describe_settled_comparisons(ranking: Ranking, recommendation: Recommendation) -> str:
    if ranking.no_test_reason:
        return ""
    comparison_sentences = []
    if recommendation.above_baseline:
        comparison_sentences.append("it is better than the baseline")
    elif recommendation.above_baseline is False:
        comparison_sentences.append("no entry is better than the baseline")
    comparison_sentences += _list_settled_entries(ranking, recommendation)
    for family_pair in recommendation.families[:MAX_NAMES]:
        if family_pair.comparison.verdict != "undecided":
            comparison_sentences.append(_describe_family_comparison(ranking, family_pair))
    return "; ".join(comparison_sentences)


def _list_settled_entries(ranking: Ranking, recommendation: Recommendation) -> list[str]:
    """Which entries are worse, practically equal, or undecided and yet not the best."""
    entry_phrases = []
    if recommendation.worse:
        names = [ranked_entry.name for ranked_entry in recommendation.worse]
        entry_count_text = format_count(len(names), "entry", "entries")
        entry_phrases.append(
            f"{entry_count_text} {plural(names, 'is', 'are')} worse than the best one ({_join_first_names(names)})"
        )
    excluded_names = [rival_entry.name for rival_entry in ranking.rivals if rival_entry.is_excluded]
    if excluded_names:
        entry_count_text = format_count(len(excluded_names), "entry", "entries")
        entry_phrases.append(f"{entry_count_text} {plural(excluded_names, 'is', 'are')} not the best, with 95 %")
    if recommendation.equal:
        names = [ranked_entry.name for ranked_entry in recommendation.equal]
        entry_phrases.append(
            f"{_join_first_names(names)} {plural(names, 'is', 'are')} practically equal (within ±{ranking.rope:.2g})"
        )
    return entry_phrases


def _describe_family_comparison(ranking: Ranking, family_comparison: FamilyComparison) -> str:
    comparison = family_comparison.comparison
    interval = _format_interval(ranking, comparison.low, comparison.high)
    if comparison.verdict == "practically equal":
        return f"the families {family_comparison.first} and {family_comparison.second} are practically equal {interval}"
    return f"family {family_comparison.first} is {comparison.verdict} than {family_comparison.second} {interval}"


def _describe_undecided_comparisons(ranking: Ranking, recommendation: Recommendation) -> str:
    if ranking.no_test_reason:
        return f"whether any difference is more than chance: {ranking.no_test_reason}"
    undecided_entries, rival_entries = recommendation.undecided, ranking.rivals
    if not undecided_entries:
        return ""
    possible_best_count = sum(bool(rival_entry.may_be_best) for rival_entry in rival_entries)
    comparison_sentences = []
    if possible_best_count == len(rival_entries):
        comparison_sentences.append(
            f"which entry is the best: none of the {possible_best_count} others is ruled out (next: {undecided_entries[0].name})"
        )
    elif possible_best_count:
        comparison_sentences.append(
            f"{possible_best_count} of {len(rival_entries)} other entries may be the best (first {undecided_entries[0].name})"
        )
    undecided_pair = next(
        (
            undecided_pair
            for undecided_pair in recommendation.families
            if undecided_pair.comparison.verdict == "undecided"
        ),
        None,
    )
    if undecided_pair is not None:
        difference = format_signed(undecided_pair.comparison.difference, ranking.digits)
        interval = _format_interval(ranking, undecided_pair.comparison.low, undecided_pair.comparison.high)
        families = (
            f"families {undecided_pair.first} and {undecided_pair.second}, each by the entries that inner scores choose"
        )
        comparison_sentences.append(f"{families}, differ by {difference} {interval}")
    return (
        f"{'; '.join(comparison_sentences)}. {_describe_remedy(recommendation.remedy)}".rstrip()
        if comparison_sentences
        else ""
    )


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
    recommended_entry = recommendation.entry or recommendation.best
    strategy_readings = [
        strategy_reading for strategy_reading in recommendation.strategies if strategy_reading.reading != NO_READING
    ]
    if recommended_entry is None or not strategy_readings:
        return ""
    best_entry = recommendation.best or recommended_entry
    strategy_readings.sort(
        key=lambda strategy_reading: [
            strategy_reading.strategy != recommended_entry.entry.strategy,
            strategy_reading.strategy != best_entry.entry.strategy,
        ]
    )
    reading_phrases = [
        f"{strategy_reading.strategy} {_describe_reading(scores, ranking, strategy_reading)}"
        for strategy_reading in strategy_readings[:MAX_NAMES]
    ]
    return f"against none for {recommended_entry.entry.family}: {'; '.join(reading_phrases)}"


def _describe_reading(scores: Scores, ranking: Ranking, strategy_reading: StrategyReading) -> str:
    """The reading, and the decisions at 0.5 that change."""
    columns = strategy_comparisons(scores, ranking.task)
    decision_changes = []
    for column, estimate, direction in zip(
        columns, strategy_reading.difference.estimates, strategy_reading.directions, strict=True
    ):
        if direction and column.metric.name in ("recall", "precision"):
            decision_changes.append(f"{column.metric.label.lower()} at 0.5 {format_signed(estimate.mean, 2)}")
    return strategy_reading.reading + (f" ({', '.join(decision_changes)})" if decision_changes else "")


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
    positive_class = scores.classes(recommendation.task)[1]
    return (
        f"at a threshold of about {decisions.threshold:.2g}, chosen on inner rows, it finds {_format_share(decisions, 'recall')} of "
        f"the “{positive_class}” rows, and {_format_share(decisions, 'precision')} of those it predicts are right"
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
    parameter_choices = []
    for parameter in recommendation.parameters[:MAX_PARAMETERS]:
        choice_text = f"{parameter.choice:.3g}" if isinstance(parameter.choice, float) else str(parameter.choice)
        stability_note = (
            "" if parameter.splits == parameter.total else f" ({parameter.splits} of {parameter.total} splits)"
        )
        parameter_choices.append(f"{parameter.name} {choice_text}{stability_note}")
    if len(recommendation.parameters) > MAX_PARAMETERS:
        parameter_choices.append(f"and {len(recommendation.parameters) - MAX_PARAMETERS} more")
    return ", ".join(parameter_choices)


def _list_checks(scores: Scores, recommendation: Recommendation) -> list[str]:
    """What should be looked at before the recommendation is believed."""
    check_texts = []
    for finding in scores.run["tasks"][recommendation.task].get("findings", ()):
        if finding.get("severity") in ("error", "warning") or finding.get("code") in WARNING_CODES:
            check_texts.append(str(finding.get("message", "")).rstrip("."))
    if recommendation.few_positives is not None:
        check_texts.append(f"the rarest class has only {recommendation.few_positives} rows")
    if recommendation.unstable:
        check_texts.append("training is unstable: scores vary far more between folds than their test rows explain")
    return check_texts[:MAX_NAMES]


def recommendation_markdown(scores: Scores, ranking: Ranking, omitted_labels: Collection[str] = ()) -> str:
    """A recommendation as a list in Markdown, without the sentences that a table below repeats."""
    advice_lines = recommendation_advice(scores, ranking, recommend_entry(scores, ranking))
    lines = [f"{bold(line.label)}: {escape(line.text)}" for line in advice_lines if line.label not in omitted_labels]
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
    for ranked_entry in entries:
        entry_verdict = format_verdict(ranking, ranked_entry)
        if ranking.no_test_reason:
            entry_verdict = entry_verdict or "not tested"
        interval = _format_interval(ranking, ranked_entry.score.low, ranked_entry.score.high)
        name = format_entry_name(scores, ranking, ranked_entry)
        rows.append(
            (
                ranked_entry.entry.family,
                name,
                ranked_entry.score.mean,
                interval,
                entry_verdict,
                ranked_entry.rows.mean("fit_seconds"),
            )
        )
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


def _format_interval(ranking: Ranking, interval_low: float, interval_high: float) -> str:
    if math.isnan(interval_low):
        return ""
    return f"[{format_number(interval_low, ranking.digits)}, {format_number(interval_high, ranking.digits)}]"


def _join_first_names(names: Sequence[str]) -> str:
    if len(names) <= MAX_NAMES:
        return join_words(list(names))
    return f"{', '.join(names[:MAX_NAMES])} and {len(names) - MAX_NAMES} more"
