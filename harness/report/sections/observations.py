"""Key observations in words: one sentence per code of an observation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.evaluation.observations import Observation
from harness.evaluation.scores import Entry
from harness.report.render.cells import format_number, percent_text
from harness.report.render.markdown import bullets, escape, join_names

HEADING = "**Key observations**"
MAX_NAMES = 4
Wording = Callable[[Observation], str]


def observation_text(observations: Sequence[Observation]) -> str:
    """Word observations as a list below their heading; empty without any."""
    if not observations:
        return ""
    return "\n".join(
        [f"{HEADING}\n", bullets(SENTENCES[observation.code](observation) for observation in observations)]
    )


def _name(entry: Entry) -> str:
    return escape(f"{entry.family}/{entry.strategy}")


def _span(observation: Observation, low: str = "lowest", high: str = "highest") -> str:
    """A range of numbers, or the one number where both ends are equal."""
    first, last = format_number(observation.numbers[low]), format_number(observation.numbers[high])
    return first if first == last else f"{first}–{last}"


def _percent(observation: Observation, name: str) -> str:
    return percent_text(observation.numbers[name], 1)


def _accuracy(comment: str) -> Wording:
    def sentence(observation: Observation) -> str:
        always = f"always deciding {escape(observation.label)} gives {format_number(observation.numbers['majority'])}"
        return f"Accuracy is {_span(observation)}; {always}: {comment}."

    return sentence


def _recalls(comment: str) -> Wording:
    def sentence(observation: Observation) -> str:
        best = escape(observation.entries[0].family)
        return f"Recall of {escape(observation.label)} is {_span(observation)} (highest: {best}): {comment}."

    return sentence


def _ranking(comment: str) -> Wording:
    def sentence(observation: Observation) -> str:
        best = escape(observation.entries[0].family)
        return f"ROC AUC is {_span(observation)} (highest: {best}), {comment} discrimination."

    return sentence


def _positive_recall(head: str) -> Wording:
    def sentence(observation: Observation) -> str:
        missed = format_number(100 * (1 - observation.numbers["recall"]), 0)
        recall = _percent(observation, "recall")
        return f"{head} recall of {escape(observation.label)}, {recall}: {missed} of 100 are missed."

    return sentence


def _bias(head: str) -> Wording:
    def sentence(observation: Observation) -> str:
        predicted, true = _percent(observation, "predicted"), _percent(observation, "true")
        return f"{head.format(escape(observation.label))}: the positive class is predicted for {predicted} of the rows, and {true} are."

    return sentence


def _training(head: str) -> Wording:
    def sentence(observation: Observation) -> str:
        training, sealed = _percent(observation, "training"), _percent(observation, "sealed")
        return f"{head}: accuracy is {training} on training rows and {sealed} on sealed rows."

    return sentence


def _changed_recall(verb: str) -> Wording:
    def sentence(observation: Observation) -> str:
        names = join_names([_name(entry) for entry in observation.entries], MAX_NAMES)
        before = _span(observation, "before_lowest", "before_highest")
        after = _span(observation, "after_lowest", "after_highest")
        number = len(observation.entries)
        share = f"{number} of {observation.numbers['compared']:.0f} pairs of family and strategy"
        return f"{share} clearly {verb} recall of {escape(observation.label)}, from {before} to {after}: {names}."

    return sentence


def _unchanged_recall(observation: Observation) -> str:
    compared = f"{observation.numbers['compared']:.0f}"
    return f"None of {compared} pairs of family and strategy clearly changes recall of {escape(observation.label)}."


def _best_recall(observation: Observation) -> str:
    precision, accuracy = _percent(observation, "precision"), _percent(observation, "accuracy")
    return (
        f"{_name(observation.entries[0])} has the best recall of {escape(observation.label)}, {_percent(observation, 'recall')}, "
        f"at a precision of {precision} and an accuracy of {accuracy}."
    )


def _best_balance(observation: Observation) -> str:
    precision, recall = _percent(observation, "precision"), _percent(observation, "recall")
    return (
        f"{_name(observation.entries[0])} has the best balance of precision ({precision}) and recall ({recall}) of "
        f"{escape(observation.label)}, F1 {format_number(observation.numbers['f1'])}."
    )


def _price(observation: Observation) -> str:
    accuracy = f"accuracy goes from {_percent(observation, 'plain_accuracy')} to {_percent(observation, 'accuracy')}"
    precision = f"precision from {_percent(observation, 'plain_precision')} to {_percent(observation, 'precision')}"
    return f"That recall has its price against {_name(observation.entries[1])}: {accuracy}, {precision}."


def _no_price(observation: Observation) -> str:
    return f"That recall costs neither accuracy nor precision against {_name(observation.entries[1])}."


def _weights(verb: str) -> Wording:
    def sentence(observation: Observation) -> str:
        weighted, resampled = _percent(observation, "weighted"), _percent(observation, "resampled")
        weights, resampling = map(_name, observation.entries)
        return (
            f"Class weights {verb} the best resampling: recall of {escape(observation.label)} {weighted} ({weights}) against "
            f"{resampled} ({resampling})."
        )

    return sentence


def _weakest_class(observation: Observation) -> str:
    recall, mean = _percent(observation, "recall"), _percent(observation, "mean")
    return f"{_name(observation.entries[0])} finds {escape(observation.label)} least: recall {recall}, mean over classes {mean}."


def _best_accuracy(observation: Observation) -> str:
    accuracy, recall = _percent(observation, "accuracy"), _percent(observation, "macro_recall")
    return f"{_name(observation.entries[0])} has the best accuracy, {accuracy}, with a mean recall of {recall}."


SENTENCES: dict[str, Wording] = {
    "accuracy_near_majority": _accuracy("the accuracy shows no use of the features, look at recall and ROC AUC"),
    "accuracy_above_majority": _accuracy("the best is clearly above that"),
    "accuracy_below_majority": _accuracy("even the best is clearly below that"),
    "recall_low": _recalls("every model misses more than half of them at 0.5"),
    "recall_sufficient": _recalls("every model finds at least half of them at 0.5"),
    "recall_differs": _recalls("only some models find at least half of them at 0.5"),
    "ranking_poor": _ranking("which is called poor"),
    "ranking_acceptable": _ranking("which is called acceptable"),
    "ranking_excellent": _ranking("which is called excellent"),
    "ranking_outstanding": _ranking("which is called outstanding"),
    "positive_recall_very_low": _positive_recall("Severely low"),
    "positive_recall_low": _positive_recall("Low"),
    "positive_recall_moderate": _positive_recall("Moderate"),
    "positive_recall_high": _positive_recall("High"),
    "bias_to_majority": _bias("It is biased toward the majority class {}"),
    "bias_to_minority": _bias("It is biased toward the minority class {}"),
    "no_bias": _bias("It is biased toward neither class"),
    "training_apart": _training("Training and sealed rows are apart (over-fitting)"),
    "training_close": _training("Training and sealed rows are close"),
    "recall_raised": _changed_recall("raise"),
    "recall_lowered": _changed_recall("lower"),
    "recall_unchanged": _unchanged_recall,
    "best_recall": _best_recall,
    "best_balance": _best_balance,
    "recall_has_price": _price,
    "recall_is_free": _no_price,
    "weights_find_less": _weights("find less than"),
    "weights_find_as_much": _weights("find about as much as"),
    "weights_find_more": _weights("find more than"),
    "weakest_class": _weakest_class,
    "best_accuracy": _best_accuracy,
}
