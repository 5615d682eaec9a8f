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


def _format_range(observation: Observation, low_key: str = "lowest", high_key: str = "highest") -> str:
    """A range of numbers, or the one number where both ends are equal."""
    low_text, high_text = format_number(observation.numbers[low_key]), format_number(observation.numbers[high_key])
    return low_text if low_text == high_text else f"{low_text}–{high_text}"


def _format_percent(observation: Observation, name: str) -> str:
    return format_percent(observation.numbers[name], 1)


def _word_accuracy_range(closing_comment: str) -> Wording:
    def sentence(observation: Observation) -> str:
        majority_text = (
            f"always deciding {escape(observation.label)} gives {format_number(observation.numbers['majority'])}"
        )
        return f"Accuracy is {_format_range(observation)}; {majority_text}: {closing_comment}."

    return sentence


def _word_recall_range(closing_comment: str) -> Wording:
    def sentence(observation: Observation) -> str:
        best_family = escape(observation.entries[0].family)
        return f"Recall of {escape(observation.label)} is {_format_range(observation)} (highest: {best_family}): {closing_comment}."

    return sentence


def _word_roc_auc_range(closing_comment: str) -> Wording:
    def sentence(observation: Observation) -> str:
        best_family = escape(observation.entries[0].family)
        return f"ROC AUC is {_format_range(observation)} (highest: {best_family}), {closing_comment} discrimination."

    return sentence


def _word_positive_recall(sentence_head: str) -> Wording:
    def sentence(observation: Observation) -> str:
        missed_percent = format_number(100 * (1 - observation.numbers["recall"]), 0)
        recall_percent = _format_percent(observation, "recall")
        return f"{sentence_head} recall of {escape(observation.label)}, {recall_percent}: {missed_percent} of 100 are missed."

    return sentence


def _word_predicted_positive_share(head: str) -> Wording:
    def sentence(observation: Observation) -> str:
        predicted, true = _format_percent(observation, "predicted"), _format_percent(observation, "true")
        return f"{head.format(escape(observation.label))}: the positive class is predicted for {predicted} of the rows, and {true} are."

    return sentence


def _word_training_gap(sentence_head: str) -> Wording:
    def sentence(observation: Observation) -> str:
        training_percent, sealed_percent = (
            _format_percent(observation, "training"),
            _format_percent(observation, "sealed"),
        )
        return f"{sentence_head}: accuracy is {training_percent} on training rows and {sealed_percent} on sealed rows."

    return sentence


def _word_changed_recall(verb: str) -> Wording:
    def sentence(observation: Observation) -> str:
        names = join_names([_entry_name(entry) for entry in observation.entries], MAX_NAMES)
        recall_before = _format_range(observation, "before_lowest", "before_highest")
        recall_after = _format_range(observation, "after_lowest", "after_highest")
        pair_count = len(observation.entries)
        pairs_text = f"{pair_count} of {observation.numbers['compared']:.0f} pairs of family and strategy"
        return f"{pairs_text} clearly {verb} recall of {escape(observation.label)}, from {recall_before} to {recall_after}: {names}."

    return sentence


def _word_unchanged_recall(observation: Observation) -> str:
    compared_count = f"{observation.numbers['compared']:.0f}"
    return (
        f"None of {compared_count} pairs of family and strategy clearly changes recall of {escape(observation.label)}."
    )


def _word_best_recall(observation: Observation) -> str:
    precision_percent, accuracy_percent = (
        _format_percent(observation, "precision"),
        _format_percent(observation, "accuracy"),
    )
    recall_percent = _format_percent(observation, "recall")
    return (
        f"{_entry_name(observation.entries[0])} has the best recall of {escape(observation.label)}, {recall_percent}, "
        f"at a precision of {precision_percent} and an accuracy of {accuracy_percent}."
    )


def _word_best_f1(observation: Observation) -> str:
    precision, recall = (
        _format_percent(observation, "precision"),
        _format_percent(observation, "recall"),
    )
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
        weighted, resampled_recall = (
            _format_percent(observation, "weighted"),
            _format_percent(observation, "resampled"),
        )
        weights, resampling_name = map(_entry_name, observation.entries)
        return (
            f"Class weights {verb} the best resampling: recall of {escape(observation.label)} {weighted} ({weights}) against "
            f"{resampled_recall} ({resampling_name})."
        )

    return sentence


def _word_weakest_class(observation: Observation) -> str:
    recall, mean = _format_percent(observation, "recall"), _format_percent(observation, "mean")
    return f"{_entry_name(observation.entries[0])} finds {escape(observation.label)} least: recall {recall}, mean over classes {mean}."


def _word_best_accuracy(observation: Observation) -> str:
    accuracy_percent, recall_percent = (
        _format_percent(observation, "accuracy"),
        _format_percent(observation, "macro_recall"),
    )
    return f"{_entry_name(observation.entries[0])} has the best accuracy, {accuracy_percent}, with a mean recall of {recall_percent}."


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
