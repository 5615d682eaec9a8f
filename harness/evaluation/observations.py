"""Key observations on the documented tables of results: what the numbers show, as values that a report words.

Decisions are those of tuned entries at 0.5 (several classes: the most probable one); counts of all outer splits are added up,
as in the tables. *Clearly* means that 95 % intervals do not overlap, which is stricter than a paired test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import filterfalse
from operator import attrgetter, itemgetter

import numpy as np

from harness.evaluation.decision_measures import Counts, MeasureInterval, decision_measures, measure_interval
from harness.evaluation.evaluate import BASELINE
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD
from harness.evaluation.scores import ANY_NAME, Entry, Scores, entry_statuses
from harness.metrics.classification import class_report

LOW_RECALL = 0.5  #: below it more than half of the positive rows are missed
BIAS_RATIO = 1.25  #: of predicted to true positive rows, or its inverse, from which decisions lean to a class
MIN_ACCURACY_GAP = 0.02  #: difference of two accuracies or recalls from which they are apart


@dataclass(frozen=True)
class Observation:
    """What numbers show.

    Attributes
    ----------
    code : str
        Which observation it is; other numbers give another code.
    entries : tuple of Entry
        The entries that it names, the first one first.
    numbers : mapping of str to float
        The numbers of the sentence by name.
    label : str, default ""
        The class that it is about, if it is about one.
    """

    code: str
    entries: tuple[Entry, ...]
    numbers: Mapping[str, float]
    label: str = ""


@dataclass(frozen=True)
class EntryDecisions:
    """The decisions of an entry, split by split, with its mean ROC AUC and its mean accuracy on training rows."""

    entry: Entry
    confusions: tuple[Counts, ...]
    repeats: int
    roc_auc: float
    training_accuracy: float
    intervals: Mapping[str, MeasureInterval] = field(default_factory=dict)

    @property
    def pooled_counts(self) -> Counts:
        """The counts of all splits together, (k, k)."""
        return np.asarray(np.sum(self.confusions, axis=0))

    @property
    def accuracy(self) -> float:
        """The share of rows decided correctly."""
        return float(self.pooled_counts.trace() / self.pooled_counts.sum())

    @property
    def class_recalls(self) -> list[float]:
        """The recall of every class."""
        return [float(recall) for recall in class_report(self.pooled_counts)[1]]

    def compute_measure(self, name: str) -> float:
        """Get a measure of two classes; 0 for a precision or an F1 of nothing."""
        measure_value = self.intervals[name].value
        return 0.0 if math.isnan(measure_value) else measure_value


def collect_entry_decisions(scores: Scores, task: str) -> list[EntryDecisions]:
    """Collect the decisions of the tuned entries of a task, without the baseline."""
    training, measures_by_name = (
        _training_accuracies(scores, task),
        decision_measures(len(scores.classes(task)), None),
    )
    collected = []
    for entry in _tuned_entries(scores, task):
        rows = scores.score_rows_of_entry(task, entry, DEFAULT_THRESHOLD)
        confusion_matrices = tuple(scores.metric_values[key].confusion for key in rows.score_keys)
        repeats = len(set(map(itemgetter(0), rows.splits)))
        intervals = {
            name: measure_interval(measure, confusion_matrices, repeats) for name, measure in measures_by_name.items()
        }
        accuracy = float(np.mean(training.get((entry.family, entry.strategy), [math.nan])))
        collected.append(EntryDecisions(entry, confusion_matrices, repeats, rows.mean("roc_auc"), accuracy, intervals))
    return collected


def _tuned_entries(scores: Scores, task: str) -> list[Entry]:
    """The tuned entries with scores, without the baseline and without entries that combine several."""
    entries = []
    for entry in entry_statuses(scores, task):
        is_single = entry.stage == "tuned" and entry.strategy != ANY_NAME and entry.family != BASELINE
        if is_single and len(scores.score_rows_of_entry(task, entry, DEFAULT_THRESHOLD)):
            entries.append(entry)
    return entries


def _training_accuracies(scores: Scores, task: str) -> dict[tuple[str, str], list[float]]:
    """The accuracies of tuned entries on their training rows, split by split, by family and strategy."""
    accuracies: dict[tuple[str, str], list[float]] = {}
    for cell in scores.cells:
        if cell.record is None or cell.task != task:
            continue
        for entry_outcome in cell.record.outcomes:
            if entry_outcome.stage == "tuned":
                accuracy = entry_outcome.train_scores.get("accuracy", math.nan)
                accuracies.setdefault((cell.family, cell.strategy), []).append(accuracy)
    return accuracies


def list_plain_network_entries(scores: Scores, task: str) -> list[Entry]:
    """List the tuned networks that do nothing about imbalance, in the order of the run."""
    entries = []
    for entry in _tuned_entries(scores, task):
        if entry.strategy == "none" and scores.run["families"][entry.family].get("network"):
            entries.append(entry)
    return entries


def model_observations(scores: Scores, task: str) -> list[Observation]:
    """Observe models before imbalance is handled: accuracy against always deciding for one class, recall, ranking."""
    models, classes = (
        list(_entries_without_strategy(collect_entry_decisions(scores, task)).values()),
        scores.classes(task),
    )
    if not models:
        return []
    best_model = max(models, key=attrgetter("accuracy"))
    observations = [_compare_accuracy_with_majority(models, best_model, classes)]
    if len(classes) == 2:
        observations.append(_observe_recall_range(models, classes[1]))
    else:
        observations.append(_observe_weakest_class(best_model, classes))
    roc_areas = list(filterfalse(math.isnan, map(attrgetter("roc_auc"), models)))
    if roc_areas:
        first = next(model for model in models if model.roc_auc == max(roc_areas))
        numbers = {"lowest": min(roc_areas), "highest": max(roc_areas), "models": float(len(roc_areas))}
        observations.append(Observation(_roc_auc_quality_code(max(roc_areas)), (first.entry,), numbers))
    return observations


def _compare_accuracy_with_majority(
    models: Sequence[EntryDecisions], best_model: EntryDecisions, classes: Sequence[str]
) -> Observation:
    """Whether the best accuracy differs from that of always deciding for the largest class by more than two standard errors."""
    class_counts = best_model.pooled_counts.sum(axis=1)
    majority_class = int(class_counts.argmax())
    share = float(class_counts[majority_class] / class_counts.sum())
    rows = class_counts.sum() / best_model.repeats
    error_margin = 2 * math.sqrt(share * (1 - share) / rows)
    code = "accuracy_above_majority" if best_model.accuracy > share + error_margin else "accuracy_near_majority"
    if best_model.accuracy < share - error_margin:
        code = "accuracy_below_majority"
    lowest = min(map(attrgetter("accuracy"), models))
    numbers_by_name = {"lowest": lowest, "highest": best_model.accuracy, "majority": share}
    return Observation(code, (best_model.entry,), numbers_by_name, classes[majority_class])


def _observe_recall_range(models: Sequence[EntryDecisions], positive_class: str) -> Observation:
    """Whether all models, some or none find at least half of the positive rows."""
    best_model = max(models, key=_recall_of_decisions)
    recalls = list(map(_recall_of_decisions, models))
    code = "recall_differs"
    if max(recalls) < LOW_RECALL:
        code = "recall_low"
    elif min(recalls) >= LOW_RECALL:
        code = "recall_sufficient"
    return Observation(code, (best_model.entry,), {"lowest": min(recalls), "highest": max(recalls)}, positive_class)


def _recall_of_decisions(entry_decisions: EntryDecisions) -> float:
    return entry_decisions.compute_measure("recall")


def _observe_weakest_class(entry_decisions: EntryDecisions, classes: Sequence[str]) -> Observation:
    """The class that is found least."""
    recalls = entry_decisions.class_recalls
    weakest_class = int(np.nanargmin(recalls))
    numbers_by_name = {"recall": recalls[weakest_class], "mean": float(np.nanmean(recalls))}
    return Observation("weakest_class", (entry_decisions.entry,), numbers_by_name, classes[weakest_class])


def _roc_auc_quality_code(roc_auc: float) -> str:
    """The usual words for areas under the ROC curve (Hosmer, Lemeshow & Sturdivant 2013)."""
    for area_limit, quality_code in ((0.7, "ranking_poor"), (0.8, "ranking_acceptable"), (0.9, "ranking_excellent")):
        if roc_auc < area_limit:
            return quality_code
    return "ranking_outstanding"


def network_observations(scores: Scores, task: str, entry: Entry) -> list[Observation]:
    """Observe one entry before imbalance is handled: recall of the positive class, bias, training against sealed rows."""
    classes = scores.classes(task)
    for entry_decisions in collect_entry_decisions(scores, task):
        if entry_decisions.entry == entry:
            observations = [_observe_weakest_class(entry_decisions, classes)]
            if len(classes) == 2:
                observations = [
                    _observe_positive_recall(entry_decisions, classes[1]),
                    _observe_class_bias(entry_decisions, classes),
                ]
            return [*observations, *_observe_training_gap(entry_decisions)]
    return []


def _observe_positive_recall(entry_decisions: EntryDecisions, positive_class: str) -> Observation:
    recall = entry_decisions.compute_measure("recall")
    code = "positive_recall_high"
    for recall_limit, name in (
        (0.25, "positive_recall_very_low"),
        (0.5, "positive_recall_low"),
        (0.75, "positive_recall_moderate"),
    ):
        if recall < recall_limit:
            code = name
            break
    return Observation(
        code,
        (entry_decisions.entry,),
        {"recall": recall, "precision": entry_decisions.compute_measure("precision")},
        positive_class,
    )


def _observe_class_bias(entry_decisions: EntryDecisions, classes: Sequence[str]) -> Observation:
    """Whether a class is predicted clearly more often than it occurs."""
    pooled = entry_decisions.pooled_counts
    predicted, true = float(pooled[:, 1].sum()), float(pooled[1].sum())
    majority_class = int(pooled.sum(axis=1).argmax())
    code, class_label = "no_bias", classes[majority_class]
    if predicted * BIAS_RATIO < true:
        code, class_label = "bias", classes[0]
    elif predicted > BIAS_RATIO * true:
        code, class_label = "bias", classes[1]
    if code == "bias":
        code = "bias_to_majority" if class_label == classes[majority_class] else "bias_to_minority"
    total_rows = float(pooled.sum())
    return Observation(
        code,
        (entry_decisions.entry,),
        {"predicted": predicted / total_rows, "true": true / total_rows},
        class_label,
    )


def _observe_training_gap(entry_decisions: EntryDecisions) -> list[Observation]:
    """Whether accuracy on training rows and on sealed rows are apart; nothing where the former is not stored."""
    training, sealed = entry_decisions.training_accuracy, entry_decisions.accuracy
    if math.isnan(training):
        return []
    code = "training_close"
    if training - sealed > MIN_ACCURACY_GAP:
        code = "training_apart"
    return [Observation(code, (entry_decisions.entry,), {"training": training, "sealed": sealed})]


def method_observations(scores: Scores, task: str) -> list[Observation]:
    """Observe methods against doing nothing: which raise recall, the best recall and balance, what it costs, weights."""
    methods = collect_entry_decisions(scores, task)
    if not methods:
        return []
    classes = scores.classes(task)
    if len(classes) > 2:
        best = max(methods, key=attrgetter("accuracy"))
        numbers = {
            "accuracy": best.accuracy,
            "macro_recall": float(np.nanmean(best.class_recalls)),
        }
        return [
            Observation("best_accuracy", (best.entry,), numbers),
            _observe_weakest_class(best, classes),
        ]
    observations = [*_strategies_by_recall_effect(methods, classes[1])]
    first = max(methods, key=_recall_of_decisions)
    numbers = {
        "recall": _recall_of_decisions(first),
        "precision": first.compute_measure("precision"),
        "accuracy": first.accuracy,
    }
    observations.append(Observation("best_recall", (first.entry,), numbers, classes[1]))
    observations += _cost_of_best_recall(first, methods, classes[1])
    best_f1_method = max(methods, key=lambda method: method.compute_measure("f1"))
    numbers = {
        "f1": best_f1_method.compute_measure("f1"),
        "precision": best_f1_method.compute_measure("precision"),
        "recall": _recall_of_decisions(best_f1_method),
    }
    observations.append(Observation("best_balance", (best_f1_method.entry,), numbers, classes[1]))
    return observations + _compare_weights_with_resampling(scores, methods, classes[1])


def _entries_without_strategy(methods: Sequence[EntryDecisions]) -> dict[str, EntryDecisions]:
    """The entries that do nothing about imbalance, by family."""
    return {method.entry.family: method for method in methods if method.entry.strategy == "none"}


def _strategies_by_recall_effect(methods: Sequence[EntryDecisions], positive_class: str) -> list[Observation]:
    """Which strategies clearly raise or lower the recall of the positive class, by direction; or that none does."""
    plain_entries = _entries_without_strategy(methods)
    changed: dict[str, list[EntryDecisions]] = {"recall_raised": [], "recall_lowered": []}
    compared_count = 0
    for method in methods:
        plain_entry = plain_entries.get(method.entry.family)
        if plain_entry is None or plain_entry is method:
            continue
        compared_count += 1
        recall_interval, plain_interval = method.intervals["recall"], plain_entry.intervals["recall"]
        if recall_interval.low > plain_interval.high:
            changed["recall_raised"].append(method)
        elif recall_interval.high < plain_interval.low:
            changed["recall_lowered"].append(method)
    observations = []
    for effect_code, changed_methods in changed.items():
        if changed_methods:
            numbers_by_name = _recall_with_and_without_methods(changed_methods, plain_entries) | {
                "compared": float(compared_count)
            }
            entries = tuple(map(attrgetter("entry"), sorted(changed_methods, key=_recall_of_decisions, reverse=True)))
            observations.append(Observation(effect_code, entries, numbers_by_name, positive_class))
    if compared_count and not observations:
        observations.append(Observation("recall_unchanged", (), {"compared": float(compared_count)}, positive_class))
    return observations


def _recall_with_and_without_methods(
    methods: Sequence[EntryDecisions], plain_entries: Mapping[str, EntryDecisions]
) -> dict[str, float]:
    """The ranges of the recall of methods, and of the entries that do nothing in their families."""
    recalls_before = [_recall_of_decisions(plain_entries[method.entry.family]) for method in methods]
    recalls_after = list(map(_recall_of_decisions, methods))
    numbers_by_name = {"before_lowest": min(recalls_before), "before_highest": max(recalls_before)}
    return numbers_by_name | {"after_lowest": min(recalls_after), "after_highest": max(recalls_after)}


def _cost_of_best_recall(
    first: EntryDecisions, methods: Sequence[EntryDecisions], positive_class: str
) -> list[Observation]:
    """What the best recall costs in accuracy and precision, against doing nothing in the same family."""
    plain_entry = _entries_without_strategy(methods).get(first.entry.family)
    if plain_entry is None or plain_entry is first:
        return []
    numbers_by_name = {"accuracy": first.accuracy, "plain_accuracy": plain_entry.accuracy}
    numbers_by_name |= {
        "precision": first.compute_measure("precision"),
        "plain_precision": plain_entry.compute_measure("precision"),
    }
    loses_quality = (
        first.accuracy < plain_entry.accuracy or numbers_by_name["precision"] < numbers_by_name["plain_precision"]
    )
    return [
        Observation(
            "recall_has_price" if loses_quality else "recall_is_free",
            (first.entry, plain_entry.entry),
            numbers_by_name,
            positive_class,
        )
    ]


def _compare_weights_with_resampling(
    scores: Scores, methods: Sequence[EntryDecisions], positive_class: str
) -> list[Observation]:
    """Whether the recall of the best class weights differs from that of the best resampling by more than `MIN_ACCURACY_GAP`."""
    best_by_kind: dict[str, EntryDecisions] = {}
    for method in methods:
        kind = str(scores.run["strategies"].get(method.entry.strategy, {}).get("kind", ""))
        if kind not in best_by_kind or method.compute_measure("recall") > best_by_kind[kind].compute_measure("recall"):
            best_by_kind[kind] = method
    if "weight" not in best_by_kind or "resample" not in best_by_kind:
        return []
    weighted_recall, resampled_recall = (
        best_by_kind["weight"].compute_measure("recall"),
        best_by_kind["resample"].compute_measure("recall"),
    )
    code = "weights_find_as_much"
    if abs(weighted_recall - resampled_recall) > MIN_ACCURACY_GAP:
        code = "weights_find_less" if weighted_recall < resampled_recall else "weights_find_more"
    numbers_by_name = {"weighted": weighted_recall, "resampled": resampled_recall}
    return [
        Observation(
            code,
            (best_by_kind["weight"].entry, best_by_kind["resample"].entry),
            numbers_by_name,
            positive_class,
        )
    ]
