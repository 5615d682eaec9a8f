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


def _compute_recommendation(scores: Scores, ranking: Ranking, prefer: Preference) -> Recommendation:
    best, baseline = ranking.best, ranking.baseline
    if best is None:
        return Recommendation(ranking.task, "nothing_to_rank", None, None, baseline, None)
    competitors = ranking.rivals
    equal = _select_entries_by_verdict(competitors, "practically equal")
    entry, reason = _choose_recommended_entry(scores, ranking, competitors, prefer)
    used = entry or best
    undecided = _select_entries_by_verdict(competitors, "undecided")
    if reason == "simpler":
        equal = (best, *equal)
    return Recommendation(
        task=ranking.task,
        reason=reason,
        entry=entry,
        best=best,
        baseline=baseline,
        above_baseline=ranking.above_baseline,
        equal=tuple(ranked for ranked in equal if ranked is not used),
        undecided=tuple(ranked for ranked in undecided if ranked is not used),
        worse=_select_entries_by_verdict(competitors, "worse"),
        best_simpler=_best_simpler_entry(scores, ranking, used),
        chosen_score=_score_of_inner_choice(ranking),
        families=compare_families(ranking),
        strategies=tuple(_strategy_readings_of_family(scores, ranking, used)),
        tuning=_tuning_gain(scores, ranking, used),
        remedy=find_remedy(scores, ranking, used, undecided) if entry is not None else None,
        parameters=chosen_parameters(scores, ranking.task, used.entry),
        decisions=_decision_quality(scores, ranking.task, used.entry),
        unstable=_is_score_unstable(ranking, used.entry),
        few_positives=_rarest_class_rows_if_few(scores, ranking.task),
    )


def _score_of_inner_choice(ranking: Ranking) -> float:
    """The score of choosing by inner scores alone; NaN where it is not known for all splits."""
    chosen = ranking.find_line(ANY_NAME, ANY_NAME, "chosen")
    if chosen is None or not chosen.complete:
        return math.nan
    return chosen.score.mean


def _select_entries_by_verdict(entries: Sequence[RankedEntry], verdict: str) -> tuple[RankedEntry, ...]:
    selected = []
    for ranked in entries:
        if ranked.comparison is not None and ranked.comparison.verdict == verdict:
            selected.append(ranked)
    return tuple(selected)


def _choose_recommended_entry(
    scores: Scores, ranking: Ranking, competitors: Sequence[RankedEntry], prefer: Preference
) -> tuple[RankedEntry | None, Reason]:
    """The entry to use and why; None where no entry is better than the baseline."""
    best = ranking.best
    assert best is not None  # noqa: S101 -- the caller has checked it
    if best.entry.family == BASELINE or ranking.above_baseline is False:
        return None, "no_better_than_baseline"
    if ranking.no_test_reason:
        return best, "untested"
    if prefer == "score":
        return best, "best"
    close = [ranked for ranked in competitors if _is_close_to_best(ranking, ranked)]
    simplest = min(
        [best, *close], key=lambda ranked: _complexity_key(scores, ranked)
    )  # the first of equals is the best of them
    if simplest.comparison is None:
        return best, "best"
    return simplest, "simpler" if simplest.comparison.verdict == "practically equal" else "simpler_undecided"


def _is_close_to_best(ranking: Ranking, ranked: RankedEntry) -> bool:
    """Whether an entry is better than the baseline, may be the best, and is not estimated to differ much from the best one."""
    if ranked.comparison is None or ranked.is_excluded:
        return False
    if ranked.entry in ranking.with_baseline and ranking.with_baseline[ranked.entry].verdict != "worse":
        return False
    if ranked.comparison.verdict == "undecided":
        return abs(ranked.comparison.difference) <= ranking.rope
    return ranked.comparison.verdict == "practically equal"


def _complexity_key(scores: Scores, ranked: RankedEntry) -> tuple[int, bool, bool]:
    """The sort key of simplicity: kind of strategy, tuned or not, a network or not; no timing, which differs from run to run."""
    kind = scores.run["strategies"].get(ranked.entry.strategy, {}).get("kind", "resample")
    cost = STRATEGY_COSTS.get(ranked.entry.strategy, STRATEGY_COSTS.get(kind, 2))
    is_tuned = ranked.entry.stage == "tuned" and not ranked.also_default
    is_network = bool(scores.run["families"].get(ranked.entry.family, {}).get("network"))
    return cost, is_tuned, is_network


def _best_simpler_entry(scores: Scores, ranking: Ranking, used: RankedEntry) -> RankedEntry | None:
    """The best entry that is simpler than the recommended one."""
    limit = _complexity_key(scores, used)
    for ranked in ranking.entries:
        is_candidate = ranked.rank is not None and ranked.entry.family != BASELINE
        if is_candidate and _complexity_key(scores, ranked) < limit:
            return ranked
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
    best: dict[str, RankedEntry] = {}
    recommended = recommend_entry(scores, ranking).entry
    if recommended is not None:
        best[recommended.entry.family] = recommended
    for ranked in ranking.entries:
        if len(ranked.rows) and ranked.entry.stage not in COMBINED_STAGES and ranked.entry.family != BASELINE:
            best.setdefault(ranked.entry.family, ranked)
    return [ranked for ranked in ranking.entries if any(ranked is entry for entry in best.values())]


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
    known, representatives = ranking.judged.task_sample.entries, []
    for family in dict.fromkeys(ranked.entry.family for ranked in ranking.entries):
        ranked = ranking.family_entry(family)
        if family not in (BASELINE, ANY_NAME) and ranked is not None and ranked.entry in known:
            representatives.append(ranked)
    representatives.sort(key=lambda ranked: -ranking.metric.sign * ranked.score.mean)
    pairs = []
    for position, first in enumerate(representatives):
        for second in representatives[position + 1 :]:
            pairs.append((first.entry, second.entry))
    compared = ranking.judged.compare_pairs("families", pairs).pairs
    families = []
    for (first_entry, second_entry), comparison in zip(pairs, compared, strict=True):
        families.append(FamilyComparison(first_entry.family, second_entry.family, comparison))
    return tuple(families)


def _strategy_readings_of_family(scores: Scores, ranking: Ranking, used: RankedEntry) -> list[StrategyReading]:
    readings = strategy_readings(scores, ranking.task)
    return [reading for reading in readings if reading.family == used.entry.family]


def _tuning_gain(scores: Scores, ranking: Ranking, used: RankedEntry) -> SearchGain | None:
    entry = used.entry._replace(stage="tuned")
    return next((gain for gain in search_gains(scores, ranking) if gain.entry == entry), None)


def _params_by_split(scores: Scores, task: str, entry: Entry) -> list[Mapping[str, Any]]:
    """The parameters of an entry in every split."""
    configurations: list[Mapping[str, Any]] = []
    for cell in scores.cells:
        if cell.record and (cell.task, cell.family, cell.strategy) == (task, entry.family, entry.strategy):
            configurations += [outcome.params for outcome in cell.record.outcomes if outcome.stage == entry.stage]
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
    choices = []
    for name in dict.fromkeys(name for configuration in configurations for name in configuration):
        choices.append(_parameter_choice(name, [params[name] for params in configurations if name in params]))
    return tuple(choices)


def _parameter_choice(name: str, chosen: Sequence[Any]) -> ParameterChoice:
    """The most frequent choice of a hyperparameter, or the median of numbers that differ in every split."""
    choice, count = Counter(map(repr, chosen)).most_common(1)[0]
    representative = next(option for option in chosen if repr(option) == choice)
    if count == 1 and all(type(option) in (int, float) for option in chosen):
        representative = sorted(chosen)[len(chosen) // 2]
    return ParameterChoice(name, representative, count, len(chosen))


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
    judged = ranking.judged
    if judged is None or entry not in judged.task_sample.entries:
        return False
    position = judged.task_sample.entries.index(entry)
    groups = judged.sample.groups
    ratios = []
    for other, group in enumerate(groups):
        if group == groups[position] and other != position:
            ratios.append(float(judged.variance.overdispersion[position, other]))
    return bool(ratios) and max(ratios) > UNSTABLE_RATIO


def _rarest_class_rows_if_few(scores: Scores, task: str) -> int | None:
    """The number of rows of the rarest class where there are few."""
    rarest = min(scores.run["tasks"][task]["counts"], default=0)
    return int(rarest) if rarest < FEW_POSITIVES else None
