"""What the results of a task must be read with: findings about entries, in the form of those about data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from harness.evaluation.corrected_t import MIN_SPLITS
from harness.evaluation.gains import HURTS, recalibration_effects, search_gains
from harness.evaluation.ranking import BASELINE, RankedEntry, Ranking
from harness.evaluation.scores import Entry, Scores
from harness.evaluation.search_history import CellSearch, RunSearches, SearchParameter
from harness.evaluation.training import entry_costs
from harness.findings import Finding

#: Codes of findings about entries, in the order in which they are listed.
MODEL_CODES = (
    "worse_than_baseline", "tuning_hurts", "space_edge", "overfitting", "unstable_training", "poor_probabilities", "needless_cost",
)  # fmt: skip
EDGE_SHARE = 0.02  #: of a range, from either end
EDGE_SPLITS = 0.6  #: share of the splits whose best trial is there
MIN_EDGE_TRIALS = 10
OVERFIT_GAP = 0.1  #: between the scores on training and test rows
OVERFIT_SHARE = 0.5  #: of what the training score is above the baseline
SPREAD_FACTOR = 3.0  #: of the median standard deviation over splits of the other entries
MIN_ENTRIES = 4
COST_FACTOR = 5.0  #: times the fit time of an entry whose score is practically as good
MIN_SECONDS = 1.0


def collect_model_findings(scores: Scores, ranking: Ranking, searches: RunSearches) -> list[Finding]:
    """Find what is conspicuous in the results of a task.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    ranking : Ranking
        The ranking of the task.
    searches : RunSearches
        The searches of the run.

    Returns
    -------
    list of Finding
        In the order of `MODEL_CODES`; `column` is the name of the entry.
    """
    entries = _tuned_entries(ranking)
    return [
        *find_entries_below_baseline(ranking, entries),
        *find_harmful_tuning(scores, ranking),
        *find_parameters_at_range_ends(searches, ranking),
        *find_overfitted_entries(ranking, entries),
        *find_unstable_entries(ranking, entries),
        *find_miscalibrated_entries(scores, ranking),
        *find_cheaper_equivalent_entry(ranking),
    ]


def _tuned_entries(ranking: Ranking) -> list[RankedEntry]:
    """Tuned entries that have scores in all splits, best first, without the baseline."""
    entries = []
    for ranked_entry in ranking.entries:
        if ranked_entry.complete and ranked_entry.entry.stage == "tuned" and ranked_entry.entry.family != BASELINE:
            entries.append(ranked_entry)
    return entries


def find_entries_below_baseline(ranking: Ranking, entries: Sequence[RankedEntry]) -> Iterator[Finding]:
    """Find entries that are worse than the majority baseline: significantly, or by their mean where nothing can be tested."""
    baseline = ranking.baseline
    if baseline is None or not len(baseline.rows):
        return
    for ranked in entries:
        if _is_below_baseline(ranking, ranked, baseline):
            message = f"{ranked.name} is worse than the majority baseline: {_format_score(ranked)} against {_format_score(baseline)}"
            finding_advice = "its probabilities or its space do not suit this task: do not use it"
            yield Finding("worse_than_baseline", "warning", message, ranked.entry.name, advice=finding_advice)


def _is_below_baseline(ranking: Ranking, ranked_entry: RankedEntry, baseline: RankedEntry) -> bool:
    if ranked_entry.entry in ranking.with_baseline:
        return ranking.with_baseline[ranked_entry.entry].verdict == "better"
    return bool(ranking.no_test_reason) and ranking.metric.sign * (ranked_entry.score.mean - baseline.score.mean) < 0


def find_harmful_tuning(scores: Scores, ranking: Ranking) -> Iterator[Finding]:
    """Find entries whose tuned configuration is significantly worse on test rows than the default one."""
    for search_gain in search_gains(scores, ranking):
        if search_gain.reading == HURTS:
            message = f"{search_gain.entry.name} is worse than its default configuration by {-search_gain.outer.mean:.3f} on test rows"
            finding_advice = "use the default, more --inner-folds, or fewer --trials: the search fits the inner folds"
            yield Finding("tuning_hurts", "warning", message, search_gain.entry.name, advice=finding_advice)


def find_parameters_at_range_ends(searches: RunSearches, ranking: Ranking) -> Iterator[Finding]:
    """Find parameters whose best values lie at an end of their range in most splits."""
    greater_is_better = ranking.metric.greater_is_better
    for (family, strategy), cells in searches.searches_by_entry(ranking.task).items():
        cells_by_range_end: dict[str, int] = {}
        n_cells = 0
        for cell in cells:
            if len(cell.complete_trials) >= MIN_EDGE_TRIALS:
                n_cells += 1
                for name in parameters_at_range_ends(cell, greater=greater_is_better):
                    cells_by_range_end[name] = cells_by_range_end.get(name, 0) + 1
        for name, count in cells_by_range_end.items():
            if n_cells >= MIN_SPLITS and count >= EDGE_SPLITS * n_cells:
                entry = Entry(family, strategy, "tuned").name
                parameter, end = name.rsplit(" ", 1)
                message = (
                    f"{entry}: the best {parameter} is at the {end} end of its range in {count} of {n_cells} splits"
                )
                yield Finding("space_edge", "note", message, entry, advice="a wider range may be better")


def parameters_at_range_ends(cell: CellSearch, *, greater: bool) -> list[str]:
    """List the numeric parameters whose value in the best trial is at the lower or the upper end of their range."""
    trials = cell.complete_trials
    best_trial = max(trials, key=lambda trial: trial.value if greater else -trial.value)
    range_ends = []
    for axis in cell.axes:
        position = _setting_position_in_range(axis, best_trial.params.get(axis.name))
        if position <= EDGE_SHARE:
            range_ends.append(f"{axis.name} lower")
        elif position >= 1 - EDGE_SHARE:
            range_ends.append(f"{axis.name} upper")
    return range_ends


def _setting_position_in_range(axis: SearchParameter, parameter_setting: object) -> float:
    """Where a setting lies in its range, from 0 to 1; NaN for options, and for ranges of a few whole numbers."""
    if axis.options or isinstance(parameter_setting, bool) or not isinstance(parameter_setting, int | float):
        return math.nan
    range_low, range_high, setting_number = axis.low, axis.high, float(parameter_setting)
    if isinstance(parameter_setting, int) and range_high - range_low < 1 / EDGE_SHARE:
        return math.nan
    if axis.log:
        range_low, range_high, setting_number = math.log(range_low), math.log(range_high), math.log(setting_number)
    return (setting_number - range_low) / (range_high - range_low) if range_high > range_low else math.nan


def find_overfitted_entries(ranking: Ranking, entries: Iterable[RankedEntry]) -> Iterator[Finding]:
    """Find entries whose score on training rows is far better than on test rows."""
    baseline, metric = ranking.baseline, ranking.metric
    if baseline is None:
        return
    for ranked_entry in entries:
        train_score, test_score = ranked_entry.rows.mean("train"), ranked_entry.rows.mean(metric.name)
        score_gap = metric.sign * (train_score - test_score)
        gain_over_baseline = metric.sign * (train_score - baseline.score.mean)
        if score_gap >= OVERFIT_GAP and score_gap >= OVERFIT_SHARE * gain_over_baseline:
            message = (
                f"{ranked_entry.name} scores {train_score:.3f} on its training rows and {test_score:.3f} on test rows"
            )
            finding_advice = "regularise it more, or give it more rows; its test score is still a fair one"
            yield Finding("overfitting", "note", message, ranked_entry.entry.name, advice=finding_advice)


def find_unstable_entries(ranking: Ranking, entries: Sequence[RankedEntry]) -> Iterator[Finding]:
    """Find entries whose scores vary far more from split to split than those of the others."""
    if len(entries) < MIN_ENTRIES or ranking.splits < MIN_SPLITS:
        return
    score_deviations = [float(np.std(ranked_entry.rows[ranking.metric.name], ddof=1)) for ranked_entry in entries]
    median = float(np.median(score_deviations))
    for ranked_entry, score_deviation in zip(entries, score_deviations, strict=True):
        if median > 0 and score_deviation > SPREAD_FACTOR * median:
            message = (
                f"{ranked_entry.name} varies from split to split with a standard deviation of {score_deviation:.3f}, "
                f"the median of all entries is {median:.3f}"
            )
            finding_advice = "some of its fits fail to learn: look at its splits before using it"
            yield Finding("unstable_training", "warning", message, ranked_entry.entry.name, advice=finding_advice)


def find_miscalibrated_entries(scores: Scores, ranking: Ranking) -> Iterator[Finding]:
    """Find entries whose probabilities are significantly improved by a recalibration that does not harm decisions."""
    reported_names: set[str] = set()
    for effect in recalibration_effects(scores, ranking):
        plain = effect.entry._replace(calibration="none")
        if (
            effect.directions
            and max(effect.directions[:2]) > 0
            and min(effect.directions) >= 0
            and plain.name not in reported_names
        ):
            reported_names.add(plain.name)
            message = (
                f"the probabilities of {plain.name} do not hold: {effect.entry.calibration} recalibration improves log loss by "
                f"{-effect.differences[0].mean:.3f}"
            )
            finding_advice = f"export it with --calibration {effect.entry.calibration} where probabilities are used"
            yield Finding("poor_probabilities", "note", message, plain.name, advice=finding_advice)


def find_cheaper_equivalent_entry(ranking: Ranking) -> Iterator[Finding]:
    """Find out whether an entry whose score is as good, within the region of equivalence, is fitted in a fraction of the time."""
    best = ranking.best
    seconds = {costs.entry: costs.costs["fit_seconds"] for costs in entry_costs(ranking)}
    if best is None or best.entry not in seconds:
        return
    quickest = best
    for ranked_entry in ranking.entries:
        comparison = ranked_entry.comparison
        if comparison is None or abs(comparison.difference) > ranking.rope:
            continue
        if seconds.get(ranked_entry.entry, math.inf) < seconds[quickest.entry]:
            quickest = ranked_entry
    most, least = seconds[best.entry], seconds[quickest.entry]
    if most >= MIN_SECONDS and most >= COST_FACTOR * least > 0:
        message = (
            f"{best.name} takes {most:.1f} s to fit, {quickest.name} {least:.2f} s, and their scores differ by no "
            f"more than {ranking.rope:.2g}"
        )
        yield Finding("needless_cost", "note", message, best.entry.name, advice=f"consider {quickest.name}")


def _format_score(ranked_entry: RankedEntry) -> str:
    return f"{ranked_entry.score.mean:.3f}"
