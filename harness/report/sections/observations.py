"""Key observations in words: one sentence per code of an observation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.evaluation.observations import Observation
from harness.evaluation.scores import Entry
from harness.report.render.cells import format_number, format_percent
from harness.report.render.markdown import bullet_list, escape, join_names

HEADING = "**Key observations**"
MAX_NAMES = 4
Wording = Callable[[Observation], str]


def describe_observations(observations: Sequence[Observation]) -> str:
    """Word observations as a list below their heading; empty without any."""
    if not observations:
        return ""
    return "\n".join(
        [f"{HEADING}\n", bullet_list(SENTENCES[observation.code](observation) for observation in observations)]
    )


def _entry_name(entry: Entry) -> str:
    return escape(f"{entry.family}/{entry.strategy}")


def _format_range(observation: Observation, low: str = "lowest", high: str = "highest") -> str:
    """A range of numbers, or the one number where both ends are equal."""
    first, last = format_number(observation.numbers[low]), format_number(observation.numbers[high])
    return first if first == last else f"{first}–{last}"


def _format_percent(observation: Observation, name: str) -> str:
    return format_percent(observation.numbers[name], 1)


def _word_accuracy_range(comment: str) -> Wording:
    def sentence(observation: Observation) -> str:
        always = f"always deciding {escape(observation.label)} gives {format_number(observation.numbers['majority'])}"
        return f"Accuracy is {_format_range(observation)}; {always}: {comment}."

    return sentence


def _word_recall_range(comment: str) -> Wording:
    def sentence(observation: Observation) -> str:
        best = escape(observation.entries[0].family)
        return f"Recall of {escape(observation.label)} is {_format_range(observation)} (highest: {best}): {comment}."

    return sentence


def _word_roc_auc_range(comment: str) -> Wording:
    def sentence(observation: Observation) -> str:
        best = escape(observation.entries[0].family)
        return f"ROC AUC is {_format_range(observation)} (highest: {best}), {comment} discrimination."

    return sentence


def _word_positive_recall(head: str) -> Wording:
    def sentence(observation: Observation) -> str:
        missed = format_number(100 * (1 - observation.numbers["recall"]), 0)
        recall = _format_percent(observation, "recall")
        return f"{head} recall of {escape(observation.label)}, {recall}: {missed} of 100 are missed."

    return sentence


def _word_predicted_positive_share(head: str) -> Wording:
    def sentence(observation: Observation) -> str:
        predicted, true = _format_percent(observation, "predicted"), _format_percent(observation, "true")
        return f"{head.format(escape(observation.label))}: the positive class is predicted for {predicted} of the rows, and {true} are."

    return sentence


def _word_training_gap(head: str) -> Wording:
    def sentence(observation: Observation) -> str:
        training, sealed = _format_percent(observation, "training"), _format_percent(observation, "sealed")
        return f"{head}: accuracy is {training} on training rows and {sealed} on sealed rows."

    return sentence


def _word_changed_recall(verb: str) -> Wording:
    def sentence(observation: Observation) -> str:
        names = join_names([_entry_name(entry) for entry in observation.entries], MAX_NAMES)
        before = _format_range(observation, "before_lowest", "before_highest")
        after = _format_range(observation, "after_lowest", "after_highest")
        number = len(observation.entries)
        share = f"{number} of {observation.numbers['compared']:.0f} pairs of family and strategy"
        return f"{share} clearly {verb} recall of {escape(observation.label)}, from {before} to {after}: {names}."

    return sentence


def _word_unchanged_recall(observation: Observation) -> str:
    compared = f"{observation.numbers['compared']:.0f}"
    return f"None of {compared} pairs of family and strategy clearly changes recall of {escape(observation.label)}."


def _word_best_recall(observation: Observation) -> str:
    precision, accuracy = _format_percent(observation, "precision"), _format_percent(observation, "accuracy")
    recall = _format_percent(observation, "recall")
    return (
        f"{_entry_name(observation.entries[0])} has the best recall of {escape(observation.label)}, {recall}, "
        f"at a precision of {precision} and an accuracy of {accuracy}."
    )


def _word_best_f1(observation: Observation) -> str:
    precision, recall = _format_percent(observation, "precision"), _format_percent(observation, "recall")
    return (
        f"{_entry_name(observation.entries[0])} has the best balance of precision ({precision}) and recall ({recall}) of "
        f"{escape(observation.label)}, F1 {format_number(observation.numbers['f1'])}."
    )


def _word_cost_of_recall(observation: Observation) -> str:
    accuracy = f"accuracy goes from {_format_percent(observation, 'plain_accuracy')} to {_format_percent(observation, 'accuracy')}"
    precision = f"precision from {_format_percent(observation, 'plain_precision')} to {_format_percent(observation, 'precision')}"
    return f"That recall has its price against {_entry_name(observation.entries[1])}: {accuracy}, {precision}."


def _word_recall_without_cost(observation: Observation) -> str:
    return f"That recall costs neither accuracy nor precision against {_entry_name(observation.entries[1])}."


def _word_weights_against_resampling(verb: str) -> Wording:
    def sentence(observation: Observation) -> str:
        weighted, resampled = _format_percent(observation, "weighted"), _format_percent(observation, "resampled")
        weights, resampling = map(_entry_name, observation.entries)
        return (
            f"Class weights {verb} the best resampling: recall of {escape(observation.label)} {weighted} ({weights}) against "
            f"{resampled} ({resampling})."
        )

    return sentence


def _word_weakest_class(observation: Observation) -> str:
    recall, mean = _format_percent(observation, "recall"), _format_percent(observation, "mean")
    return f"{_entry_name(observation.entries[0])} finds {escape(observation.label)} least: recall {recall}, mean over classes {mean}."


def _word_best_accuracy(observation: Observation) -> str:
    accuracy, recall = _format_percent(observation, "accuracy"), _format_percent(observation, "macro_recall")
    return f"{_entry_name(observation.entries[0])} has the best accuracy, {accuracy}, with a mean recall of {recall}."


SENTENCES: dict[str, Wording] = {
    "accuracy_near_majority": _word_accuracy_range(
        "the accuracy shows no use of the features, look at recall and ROC AUC"
    ),
    "accuracy_above_majority": _word_accuracy_range("the best is clearly above that"),
    "accuracy_below_majority": _word_accuracy_range("even the best is clearly below that"),
    "recall_low": _word_recall_range("every model misses more than half of them at 0.5"),
    "recall_sufficient": _word_recall_range("every model finds at least half of them at 0.5"),
    "recall_differs": _word_recall_range("only some models find at least half of them at 0.5"),
    "ranking_poor": _word_roc_auc_range("which is called poor"),
    "ranking_acceptable": _word_roc_auc_range("which is called acceptable"),
    "ranking_excellent": _word_roc_auc_range("which is called excellent"),
    "ranking_outstanding": _word_roc_auc_range("which is called outstanding"),
    "positive_recall_very_low": _word_positive_recall("Severely low"),
    "positive_recall_low": _word_positive_recall("Low"),
    "positive_recall_moderate": _word_positive_recall("Moderate"),
    "positive_recall_high": _word_positive_recall("High"),
    "bias_to_majority": _word_predicted_positive_share("It is biased toward the majority class {}"),
    "bias_to_minority": _word_predicted_positive_share("It is biased toward the minority class {}"),
    "no_bias": _word_predicted_positive_share("It is biased toward neither class"),
    "training_apart": _word_training_gap("Training and sealed rows are apart (over-fitting)"),
    "training_close": _word_training_gap("Training and sealed rows are close"),
    "recall_raised": _word_changed_recall("raise"),
    "recall_lowered": _word_changed_recall("lower"),
    "recall_unchanged": _word_unchanged_recall,
    "best_recall": _word_best_recall,
    "best_balance": _word_best_f1,
    "recall_has_price": _word_cost_of_recall,
    "recall_is_free": _word_recall_without_cost,
    "weights_find_less": _word_weights_against_resampling("find less than"),
    "weights_find_as_much": _word_weights_against_resampling("find about as much as"),
    "weights_find_more": _word_weights_against_resampling("find more than"),
    "weakest_class": _word_weakest_class,
    "best_accuracy": _word_best_accuracy,
}
