"""The recommendation of a task: which entry to use, what is settled, what is practically equal, what would settle the rest.

The rule: an entry is recommended only if it is better than the baseline. It is the one with the best score or, if simplicity is
preferred, the simplest of those that are close to it: without a strategy before class weights before resampling, the default
parameters before tuned ones, other families before networks, then the better score. An entry is close if it is practically equal
to the best one, or undecided, possibly the best, and estimated within the region of practical equivalence: the benchmark has then
not shown that the more complex entry is better, and what it estimates would not matter. Such an entry is not called equal. The
comparisons behind it answer four questions, each with its own error rate: the families, each represented by the entry that inner
scores choose; every strategy against none; tuned against default parameters; every entry against the baseline.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from harness.evaluation.decision_measures import MeasureInterval, decision_measures, measure_interval
from harness.evaluation.gains import SearchGain, search_gains
from harness.evaluation.preferences import Preference, stored_preference
from harness.evaluation.ranking import BASELINE, RankedEntry, Ranking
from harness.evaluation.remedy import Remedy, find_remedy
from harness.evaluation.scores import ANY_NAME, COMBINED_STAGES, Entry, Scores
from harness.evaluation.significance import Comparison
from harness.evaluation.strategy_effects import StrategyReading, strategy_readings

#: Why an entry is recommended, or none.
Reason: TypeAlias = Literal[
    "best", "simpler", "simpler_undecided", "untested", "no_better_than_baseline", "nothing_to_rank"
]

STRATEGY_COSTS = {"none": 0, "weight": 1}  #: by kind of strategy; all others change the rows and come last
UNSTABLE_RATIO = 3.0  #: spread between folds over row variance from which on training is called unstable
FEW_POSITIVES = 50


@dataclass(frozen=True)
class FamilyComparison:
    """Two families, each with the strategy that inner scores choose: the first compared with the second."""

    first: str
    second: str
    comparison: Comparison


@dataclass(frozen=True)
class DecisionQuality:
    """What the decisions of an entry are like, as means over the splits; NaN with several classes, where there is no threshold.

    `intervals` are the 95 % intervals of recall and precision or, with several classes, of accuracy, by name, from the counts of
    all splits (see `measure_interval`).
    """

    threshold: float
    recall: float
    precision: float
    accuracy: float
    intervals: Mapping[str, MeasureInterval] = field(default_factory=dict)


@dataclass(frozen=True)
class ParameterChoice:
    """The chosen number or name of a hyperparameter: the most frequent one over the splits, and in how many it was chosen."""

    name: str
    choice: Any
    splits: int
    total: int


@dataclass(frozen=True)
class Recommendation:
    """What to use on a task, and why.

    `entry` is None where none of the entries is recommended. `best` is the entry with the best score. `against_baseline` compares
    the baseline with it. `equal`, `undecided` and `worse` are the other entries by their comparison with the best one.
    `chosen_score` is the score of choosing by inner scores alone, which the choice among many entries does not flatter.
    """

    task: str
    reason: Reason
    entry: RankedEntry | None
    best: RankedEntry | None
    baseline: RankedEntry | None
    above_baseline: bool | None
    equal: tuple[RankedEntry, ...] = ()
    undecided: tuple[RankedEntry, ...] = ()
    worse: tuple[RankedEntry, ...] = ()
    best_simpler: RankedEntry | None = None
    chosen_score: float = math.nan
    families: tuple[FamilyComparison, ...] = ()
    strategies: tuple[StrategyReading, ...] = ()
    tuning: SearchGain | None = None
    remedy: Remedy | None = None
    parameters: tuple[ParameterChoice, ...] = ()
    decisions: DecisionQuality | None = None
    unstable: bool = False
    few_positives: int | None = None


def recommend_entry(scores: Scores, ranking: Ranking, prefer: Preference | None = None) -> Recommendation:
    """Recommend an entry of a task.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    ranking : Ranking
        The ranking of the task.
    prefer : {"simple", "score"}, optional
        Whether the simplest of the entries close to the best one is taken, or always the best one; as stored with the run
        by default, else the simplest.

    Returns
    -------
    Recommendation
        The recommendation with its evidence.
    """
    preference = prefer or stored_preference(scores.run)
    key = ("recommendation", ranking, preference)
    return scores.compute_once(key, lambda: _compute_recommendation(scores, ranking, preference))


def _compute_recommendation(scores: Scores, ranking: Ranking, preference: Preference) -> Recommendation:
    best_entry, baseline = ranking.best, ranking.baseline
    if best_entry is None:
        return Recommendation(ranking.task, "nothing_to_rank", None, None, baseline, None)
    rival_entries = ranking.rivals
    equal_entries = _select_entries_by_verdict(rival_entries, "practically equal")
    entry, reason = _choose_recommended_entry(scores, ranking, rival_entries, preference)
    used_entry = entry or best_entry
    undecided_entries = _select_entries_by_verdict(rival_entries, "undecided")
    if reason == "simpler":
        equal_entries = (best_entry, *equal_entries)
    return Recommendation(
        task=ranking.task,
        reason=reason,
        entry=entry,
        best=best_entry,
        baseline=baseline,
        above_baseline=ranking.above_baseline,
        equal=tuple(ranked_entry for ranked_entry in equal_entries if ranked_entry is not used_entry),
        undecided=tuple(ranked_entry for ranked_entry in undecided_entries if ranked_entry is not used_entry),
        worse=_select_entries_by_verdict(rival_entries, "worse"),
        best_simpler=_best_simpler_entry(scores, ranking, used_entry),
        chosen_score=_score_of_inner_choice(ranking),
        families=compare_families(ranking),
        strategies=tuple(_strategy_readings_of_family(scores, ranking, used_entry)),
        tuning=_tuning_gain(scores, ranking, used_entry),
        remedy=find_remedy(scores, ranking, used_entry, undecided_entries) if entry is not None else None,
        parameters=chosen_parameters(scores, ranking.task, used_entry.entry),
        decisions=_decision_quality(scores, ranking.task, used_entry.entry),
        unstable=_is_score_unstable(ranking, used_entry.entry),
        few_positives=_rarest_class_rows_if_few(scores, ranking.task),
    )


def _score_of_inner_choice(ranking: Ranking) -> float:
    """The score of choosing by inner scores alone; NaN where it is not known for all splits."""
    chosen_line = ranking.find_line(ANY_NAME, ANY_NAME, "chosen")
    if chosen_line is None or not chosen_line.complete:
        return math.nan
    return chosen_line.score.mean


def _select_entries_by_verdict(entries: Sequence[RankedEntry], verdict: str) -> tuple[RankedEntry, ...]:
    selected_entries = []
    for ranked_entry in entries:
        if ranked_entry.comparison is not None and ranked_entry.comparison.verdict == verdict:
            selected_entries.append(ranked_entry)
    return tuple(selected_entries)


def _choose_recommended_entry(
    scores: Scores, ranking: Ranking, rival_entries: Sequence[RankedEntry], preference: Preference
) -> tuple[RankedEntry | None, Reason]:
    """The entry to use and why; None where no entry is better than the baseline."""
    best_entry = ranking.best
    assert best_entry is not None  # noqa: S101 -- the caller has checked it
    if best_entry.entry.family == BASELINE or ranking.above_baseline is False:
        return None, "no_better_than_baseline"
    if ranking.no_test_reason:
        return best_entry, "untested"
    if preference == "score":
        return best_entry, "best"
    close_entries = [ranked_entry for ranked_entry in rival_entries if _is_close_to_best(ranking, ranked_entry)]
    simplest_entry = min(
        [best_entry, *close_entries], key=lambda ranked_entry: _complexity_key(scores, ranked_entry)
    )  # the first of equals is the best of them
    if simplest_entry.comparison is None:
        return best_entry, "best"
    return (
        simplest_entry,
        "simpler" if simplest_entry.comparison.verdict == "practically equal" else "simpler_undecided",
    )


def _is_close_to_best(ranking: Ranking, ranked_entry: RankedEntry) -> bool:
    """Whether an entry is better than the baseline, may be the best, and is not estimated to differ much from the best one."""
    if ranked_entry.comparison is None or ranked_entry.is_excluded:
        return False
    if ranked_entry.entry in ranking.with_baseline and ranking.with_baseline[ranked_entry.entry].verdict != "worse":
        return False
    if ranked_entry.comparison.verdict == "undecided":
        return abs(ranked_entry.comparison.difference) <= ranking.rope
    return ranked_entry.comparison.verdict == "practically equal"


def _complexity_key(scores: Scores, ranked_entry: RankedEntry) -> tuple[int, bool, bool]:
    """The sort key of simplicity: kind of strategy, tuned or not, a network or not; no timing, which differs from run to run."""
    strategy_kind = scores.run["strategies"].get(ranked_entry.entry.strategy, {}).get("kind", "resample")
    cost = STRATEGY_COSTS.get(ranked_entry.entry.strategy, STRATEGY_COSTS.get(strategy_kind, 2))
    is_tuned = ranked_entry.entry.stage == "tuned" and not ranked_entry.also_default
    is_network = bool(scores.run["families"].get(ranked_entry.entry.family, {}).get("network"))
    return cost, is_tuned, is_network


def _best_simpler_entry(scores: Scores, ranking: Ranking, used_entry: RankedEntry) -> RankedEntry | None:
    """The best entry that is simpler than the recommended one."""
    complexity_limit = _complexity_key(scores, used_entry)
    for ranked_entry in ranking.entries:
        is_candidate = ranked_entry.rank is not None and ranked_entry.entry.family != BASELINE
        if is_candidate and _complexity_key(scores, ranked_entry) < complexity_limit:
            return ranked_entry
    return None


def represent_families(scores: Scores, ranking: Ranking) -> list[RankedEntry]:
    """List the recommended entry, and the best entry of every other family but the baseline, best first.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    ranking : Ranking
        The ranking of the task.

    Returns
    -------
    list of RankedEntry
        One entry per family that has scores, of a single configuration.
    """
    best_by_family: dict[str, RankedEntry] = {}
    recommended_entry = recommend_entry(scores, ranking).entry
    if recommended_entry is not None:
        best_by_family[recommended_entry.entry.family] = recommended_entry
    for ranked_entry in ranking.entries:
        if (
            len(ranked_entry.rows)
            and ranked_entry.entry.stage not in COMBINED_STAGES
            and ranked_entry.entry.family != BASELINE
        ):
            best_by_family.setdefault(ranked_entry.entry.family, ranked_entry)
    return [
        ranked_entry
        for ranked_entry in ranking.entries
        if any(ranked_entry is entry for entry in best_by_family.values())
    ]


def compare_families(ranking: Ranking) -> tuple[FamilyComparison, ...]:
    """Compare all pairs of families, each with the entry that inner scores choose, so that test rows choose nothing.

    Parameters
    ----------
    ranking : Ranking
        The ranking of the task.

    Returns
    -------
    tuple of FamilyComparison
        Empty where nothing can be tested.
    """
    if ranking.judged is None:
        return ()
    sample_entries, family_representatives = ranking.judged.task_sample.entries, []
    for family in dict.fromkeys(ranked_entry.entry.family for ranked_entry in ranking.entries):
        ranked_entry = ranking.family_entry(family)
        if family not in (BASELINE, ANY_NAME) and ranked_entry is not None and ranked_entry.entry in sample_entries:
            family_representatives.append(ranked_entry)
    family_representatives.sort(key=lambda ranked_entry: -ranking.metric.sign * ranked_entry.score.mean)
    family_pairs = []
    for position, first_representative in enumerate(family_representatives):
        for second_representative in family_representatives[position + 1 :]:
            family_pairs.append((first_representative.entry, second_representative.entry))
    pair_comparisons = ranking.judged.compare_pairs("families", family_pairs).pairs
    families = []
    for (first_entry, second_entry), comparison in zip(family_pairs, pair_comparisons, strict=True):
        families.append(FamilyComparison(first_entry.family, second_entry.family, comparison))
    return tuple(families)


def _strategy_readings_of_family(scores: Scores, ranking: Ranking, used_entry: RankedEntry) -> list[StrategyReading]:
    task_readings = strategy_readings(scores, ranking.task)
    return [
        strategy_reading for strategy_reading in task_readings if strategy_reading.family == used_entry.entry.family
    ]


def _tuning_gain(scores: Scores, ranking: Ranking, used_entry: RankedEntry) -> SearchGain | None:
    entry = used_entry.entry._replace(stage="tuned")
    return next((search_gain for search_gain in search_gains(scores, ranking) if search_gain.entry == entry), None)


def _params_by_split(scores: Scores, task: str, entry: Entry) -> list[Mapping[str, Any]]:
    """The parameters of an entry in every split."""
    configurations: list[Mapping[str, Any]] = []
    for cell in scores.cells:
        if cell.record and (cell.task, cell.family, cell.strategy) == (task, entry.family, entry.strategy):
            configurations += [
                entry_outcome.params for entry_outcome in cell.record.outcomes if entry_outcome.stage == entry.stage
            ]
    return configurations


def chosen_parameters(scores: Scores, task: str, entry: Entry) -> tuple[ParameterChoice, ...]:
    """List the hyperparameters of an entry: the most frequent choice of every one, and in how many splits it was made.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    task : str
        Name of the task.
    entry : Entry
        The entry.

    Returns
    -------
    tuple of ParameterChoice
        In the order in which the search has them; numbers that differ in every split are given by their median.
    """
    configurations = _params_by_split(scores, task, entry)
    parameter_choices = []
    for name in dict.fromkeys(name for configuration in configurations for name in configuration):
        parameter_choices.append(_parameter_choice(name, [params[name] for params in configurations if name in params]))
    return tuple(parameter_choices)


def _parameter_choice(name: str, chosen_options: Sequence[Any]) -> ParameterChoice:
    """The most frequent choice of a hyperparameter, or the median of numbers that differ in every split."""
    choice_text, choice_count = Counter(map(repr, chosen_options)).most_common(1)[0]
    chosen_option = next(option for option in chosen_options if repr(option) == choice_text)
    if choice_count == 1 and all(type(option) in (int, float) for option in chosen_options):
        chosen_option = sorted(chosen_options)[len(chosen_options) // 2]
    return ParameterChoice(name, chosen_option, choice_count, len(chosen_options))


def _decision_quality(scores: Scores, task: str, entry: Entry) -> DecisionQuality:
    rows = scores.score_rows_of_entry(task, entry, scores.threshold_kinds(task)[-1])
    threshold = rows.mean("threshold") if len(scores.classes(task)) == 2 else math.nan
    confusions = [scores.metric_values[key].confusion for key in rows.score_keys]
    repeats = len({repeat for repeat, _ in rows.splits})
    intervals = {}
    for name, measure in decision_measures(len(scores.classes(task)), None).items():
        if confusions and name in ("recall", "precision", "accuracy"):
            intervals[name] = measure_interval(measure, confusions, repeats)
    return DecisionQuality(threshold, rows.mean("recall"), rows.mean("precision"), rows.mean("accuracy"), intervals)


def _is_score_unstable(ranking: Ranking, entry: Entry) -> bool:
    """Whether the scores of an entry's family and stage vary much more between folds than their test rows explain."""
    judged_sample = ranking.judged
    if judged_sample is None or entry not in judged_sample.task_sample.entries:
        return False
    position = judged_sample.task_sample.entries.index(entry)
    groups = judged_sample.sample.groups
    variance_ratios = []
    for other_position, group in enumerate(groups):
        if group == groups[position] and other_position != position:
            variance_ratios.append(float(judged_sample.variance.overdispersion[position, other_position]))
    return bool(variance_ratios) and max(variance_ratios) > UNSTABLE_RATIO


def _rarest_class_rows_if_few(scores: Scores, task: str) -> int | None:
    """The number of rows of the rarest class where there are few."""
    rarest_class_rows = min(scores.run["tasks"][task]["counts"], default=0)
    return int(rarest_class_rows) if rarest_class_rows < FEW_POSITIVES else None
