"""The ranking of one task: its best entry in words, tables of entries and confusion matrices, the usual results summary."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from harness.evaluation.metric_cache import DEFAULT_THRESHOLD
from harness.evaluation.ranking import BASELINE, RankedEntry, Ranking, choose_decimals
from harness.evaluation.scores import ANY_NAME, COMBINED_STAGES, STATUS_MISSING, Entry, Scores, entry_statuses
from harness.metrics.classification import class_report
from harness.metrics.metric import Metric
from harness.report.render import markdown
from harness.report.render.cells import MISSING, estimate_text, format_number, format_quantity
from harness.report.render.markdown import bold, escape, folded_table

QUALITY_METRICS = ("roc_auc", "average_precision", "f1", "precision", "recall", "balanced_accuracy", "mcc")
PROBABILITY_METRICS = ("log_loss", "brier", "ece")
CLASS_METRICS = ("Precision", "Recall", "F1")  #: in the order of `class_report`
MAX_BASELINE_ROW = 15  #: so that the baseline is not folded away
MAX_QUICK_SHARE = 0.5  #: of the first entry's time to fit: less of a difference may be the noise of a busy machine
METRIC_PHRASES = {  # metrics whose column heading does not read well within a sentence
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "precision": "precision",
    "recall": "recall",
    "precision_negative": "precision of the negative class",
    "recall_negative": "recall of the negative class",
    "f1_negative": "F1 of the negative class",
    "average_precision": "average precision (AP)",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
    "lift_at_10": "lift of the first tenth",
    "expected_cost": "expected cost",
}
Counts = npt.NDArray[np.int64]


def headline(ranking: Ranking, describe: Callable[[Entry], str] = attrgetter("name")) -> str:
    """Say which entry is first, by how much, and from how many others it does not differ significantly.

    Parameters
    ----------
    ranking : Ranking
        The ranking of the task.
    describe : callable, default the name of the entry
        Turns the first entry into text.

    Returns
    -------
    str
        A sentence that begins with the entry; without any ranked entry, the reason.
    """
    best = ranking.best
    if best is None:
        return _no_best(ranking)
    threshold = ""
    if ranking.metric.metric_type == "decision" and ranking.threshold_text:
        threshold = f" {ranking.threshold_text}"
    score = f"{_score(ranking, best)}{_against_baseline(ranking)}"
    first = f"{bold(escape(describe(best.entry)))} is first by {metric_phrase(ranking.metric)}{threshold}, {score}"
    if ranking.no_test_reason:
        return f"{first}; whether by more than chance is not known: {ranking.no_test_reason}."
    others = [ranked for ranked in ranking.entries if ranked.rank is not None and ranked is not best]
    if not others:
        return f"{first}; it had no competitor."
    return f"{first}; {_differences(others)}."


def _differences(others: list[RankedEntry]) -> str:
    """How many of the other ranked entries differ significantly from the first one."""
    n, tied = len(others), sum(bool(ranked.tied) for ranked in others)
    if not tied:
        below = {1: "the other entry is", 2: "both other entries are"}.get(n, f"all {n} other entries are")
        return f"{below} significantly below it"
    if tied < n:
        differ = "is" if tied == 1 else "are"
        return f"{tied} of the {markdown.format_count(n, 'other entry', 'other entries')} {differ} not significantly different from it"
    subjects = {1: "the other entry is not", 2: "neither of the other entries is"}
    subject = subjects.get(n, f"none of the {n} other entries is")
    return f"{subject} significantly different from it"


def verdict(ranking: Ranking) -> str:
    """Give the headline of a task, the quickest tied entry, and the score of choosing without the test rows."""
    sentence = headline(ranking)
    parts = [sentence[0].upper() + sentence[1:], _quickest_tied(ranking)]
    chosen = ranking.find(ANY_NAME, ANY_NAME, "chosen")
    if chosen is not None and chosen.complete:
        parts.append(
            "The first place is known only after looking at the test rows; choosing by inner scores alone, as one has "
            f"to in practice, gives {_score(ranking, chosen)} (`{chosen.entry.name}`)."
        )
    return " ".join(filter(None, parts))


def unchanged_defaults(ranking: Ranking) -> str:
    """Say how many tuned entries equal their default; the baseline, with nothing to search, always does."""
    unchanged = sum(ranked.also_default and ranked.entry.family != BASELINE for ranked in ranking.entries)
    if not unchanged:
        return ""
    return (
        f"For {markdown.format_count(unchanged, 'pair')} of family and strategy the search kept the default parameters in every split: "
        "default and tuned are one entry then, marked *= default*."
    )


def metric_phrase(metric: Metric) -> str:
    """Name a metric within a sentence: with its abbreviation where it has one, a common noun in lower case."""
    return METRIC_PHRASES.get(metric.name) or escape(markdown.metric_name(metric))


def _no_best(ranking: Ranking) -> str:
    if any(ranked.score.n for ranked in ranking.entries):
        return f"{metric_phrase(ranking.metric)} is defined for no entry."
    if all(ranked.status.startswith(STATUS_MISSING) for ranked in ranking.entries):
        return "nothing has been evaluated yet."
    return "no cell is ok, so there is nothing to rank."


def _score(ranking: Ranking, ranked: RankedEntry) -> str:
    return estimate_text(ranked.score, digits=ranking.digits)


def _quickest_tied(ranking: Ranking) -> str:
    """Which entry that is tied with the best one takes clearly less time to fit than it does."""
    tied = [ranked for ranked in ranking.entries if ranked.tied and ranked.rank and ranked.entry.family != BASELINE]
    if ranking.best is None or not tied:
        return ""
    quickest = min(tied, key=lambda ranked: ranked.rows.mean("fit_seconds"))
    seconds, best_seconds = quickest.rows.mean("fit_seconds"), ranking.best.rows.mean("fit_seconds")
    if not seconds <= MAX_QUICK_SHARE * best_seconds:
        return ""
    times = f"{format_quantity(seconds)} s; the first {format_quantity(best_seconds)} s"
    return f"Of these, {escape(quickest.entry.name)} is the quickest to fit ({times})."


def _against_baseline(ranking: Ranking) -> str:
    baseline = ranking.baseline
    if baseline is None or not baseline.score.n or baseline is ranking.best:
        return ""
    tied = ""
    if ranking.above_baseline is False:
        tied = ", not significantly different"
    return f" (majority: {format_number(baseline.score.mean)}{tied})"


def quality_table(scores: Scores, ranking: Ranking) -> str:
    """Write how well each entry ranks and decides, in the order of the ranking."""
    entries = _displayed_entries(ranking)
    names = [*QUALITY_METRICS]
    if scores.run["tasks"][ranking.task].get("costs"):
        names.append("expected_cost")
    names = [name for name in names if name != ranking.metric.name]
    columns = map(partial(_metric_column, scores, entries), names)
    rows = []
    for ranked, *cells in zip(entries, *columns, strict=True):
        splits = f"{ranked.score.n}/{ranking.splits}"
        rows.append([rank_mark(ranked), escape(ranked.name), marked_score(ranking, ranked), *cells, splits])
    labels = map(attrgetter("label"), map(scores.metrics.__getitem__, names))
    return folded_table(["#", "Entry", ranking.metric.label, *labels, "Splits"], rows)


def effort_table(scores: Scores, ranking: Ranking) -> str:
    """Write how good the probabilities of each entry are, how much it over-fits, and its effort, in the same order."""
    entries, label = _displayed_entries(ranking), ranking.metric.label
    columns = list(map(partial(_metric_column, scores, entries), PROBABILITY_METRICS))
    write_score = partial(format_number, digits=ranking.digits)
    formats: dict[str, Callable[[float], str]] = dict.fromkeys(("inner", "train"), write_score)
    formats |= dict.fromkeys(("fit_seconds", "predict_us_per_row", "trials"), format_quantity)
    for name, write in formats.items():
        columns.append([write(ranked.rows.mean(name)) for ranked in entries])
    rows = []
    for ranked, *cells in zip(entries, *columns, strict=True):
        rows.append([rank_mark(ranked), escape(ranked.name), *cells, ranked.status])
    labels = map(attrgetter("label"), map(scores.metrics.__getitem__, PROBABILITY_METRICS))
    header = ["#", "Entry", *labels, f"{label} inner", f"{label} training", "Fit s", "Predict µs/row", "Trials"]
    return folded_table([*header, "Status"], rows)


def confusion_table(scores: Scores, ranking: Ranking) -> str:
    """Write the confusion matrix and the report per class of the best entry and of its family without any strategy."""
    best = ranking.best
    if best is None:
        return ""
    entries, plain = [best.entry], ranking.find(best.entry.family, "none")
    if plain is not None and plain.entry != best.entry and plain.score.n:
        entries.append(plain.entry)
    rows = []
    for entry in entries:
        for kind in scores.threshold_kinds(ranking.task):
            rows += _class_rows(scores, ranking.task, entry, kind)
    called = map("called {}".format, map(escape, scores.classes(ranking.task)))
    return markdown.format_table(["Entry", "Decision", "Class", *called, *CLASS_METRICS], rows)


def _class_rows(scores: Scores, task: str, entry: Entry, kind: str) -> list[list[str]]:
    """A row per class: counts by predicted class, precision, recall and F1; entry and threshold in the first row only."""
    confusion = scores.pooled_confusion(task, entry, kind)
    threshold = scores.rows_of(task, entry, kind).mean("threshold")
    decision = f"at tuned {threshold:.3f}"
    if math.isnan(threshold):
        decision = "most probable"
    elif kind == DEFAULT_THRESHOLD:
        decision = "at 0.5"
    first_cells = [escape(entry.name), decision]
    columns = map(partial(_class_metric, confusion), range(len(CLASS_METRICS)))
    rows = []
    for name, counts, *metrics in zip(scores.classes(task), confusion, *columns, strict=True):
        rows.append([*first_cells, escape(name), *map("{:,}".format, counts), *metrics])
        first_cells = ["", ""]
    return rows


def _displayed_entries(ranking: Ranking) -> list[RankedEntry]:
    """The entries with scores; the baseline moves up so that it is not folded away."""
    entries = list(filter(attrgetter("score.n"), ranking.entries))
    baseline = ranking.baseline
    if baseline is not None and baseline in entries[MAX_BASELINE_ROW:]:
        entries.remove(baseline)
        entries.insert(MAX_BASELINE_ROW - 1, baseline)
    return entries


def rank_mark(ranked: RankedEntry) -> str:
    """Write the rank: a dagger for what inner scores chose or combined, a dash for what cannot be ranked."""
    if ranked.entry.stage in COMBINED_STAGES:
        return "†"
    return str(ranked.rank) if ranked.rank else MISSING


def marked_score(ranking: Ranking, ranked: RankedEntry, emphasize: Callable[[str], str] = bold) -> str:
    """Write the objective with its interval, with `≈` where it is not significantly different from the best.

    Parameters
    ----------
    ranking : Ranking
        The ranking of the task.
    ranked : RankedEntry
        The entry.
    emphasize : callable, default bold
        Turns the text of the best score into another.
    """
    score = estimate_text(ranked.score, digits=ranking.digits)
    if ranked.rank == 1:
        score = emphasize(score)
    return f"≈ {score}" if ranked.tied else score


def _metric_column(scores: Scores, entries: Sequence[RankedEntry], name: str) -> list[str]:
    """The means of a metric, the best one among complete entries bold, the baseline aside."""
    means = np.array([ranked.rows.mean(name) for ranked in entries])
    compared = [ranked.complete and ranked.entry.family != BASELINE for ranked in entries]
    candidates = np.where(compared, means, np.nan).tolist()
    greater = scores.metrics[name].greater_is_better
    digits = choose_decimals(candidates, greater_is_better=greater)
    texts = list(map(partial(format_number, digits=digits), means.tolist()))
    return markdown.bold_best(candidates, texts, greater=greater, digits=digits)


def model_table(scores: Scores, task: str) -> str:
    """Write "Model | Accuracy | ROC AUC" of every family without a strategy, tuned, at threshold 0.5."""
    labels, accuracies, aucs = [], [], []
    for entry in _tuned_entries(scores, task):
        if entry.strategy == "none":
            labels.append(_label(scores, task, entry.family, entry))
            accuracies.append(_accuracy(scores.pooled_confusion(task, entry, DEFAULT_THRESHOLD)))
            aucs.append(scores.rows_of(task, entry, DEFAULT_THRESHOLD).mean("roc_auc"))
    columns = [markdown.bold_best(column, [*map(format_number, column)], greater=True) for column in (accuracies, aucs)]
    return folded_table(["Model", "Accuracy", "ROC AUC"], list(zip(labels, *columns, strict=True)))


def network_tables(scores: Scores, task: str) -> list[tuple[str, str]]:
    """Write "Metric | Class 0 (No) | Class 1 (Yes)" of every network before imbalance is handled.

    Returns
    -------
    list of (str, str)
        The title and the table of every network; with several classes a table has a row per class.
    """
    names = scores.classes(task)
    class_labels = [f"Class {number} ({escape(name)})" for number, name in enumerate(names)]
    written = []
    for entry in _tuned_entries(scores, task):
        if entry.strategy != "none" or not scores.run["families"][entry.family].get("network"):
            continue
        confusion = scores.pooled_confusion(task, entry, DEFAULT_THRESHOLD)
        by_metric = dict(zip(CLASS_METRICS, map(partial(_class_metric, confusion), range(3)), strict=True))
        by_metric["Rows"] = list(map("{:,}".format, confusion.sum(axis=1)))
        title = f"{_label(scores, task, entry.family, entry)}: overall accuracy {format_number(_accuracy(confusion))}"
        if len(names) == 2:
            rows = [[label, *cells] for label, cells in by_metric.items()]
            written.append((title, markdown.format_table(["Metric", *class_labels], rows)))
        else:
            columns = list(zip(class_labels, *by_metric.values(), strict=True))
            written.append((title, folded_table(["Class", *by_metric], columns)))
    return written


def method_table(scores: Scores, task: str) -> str:
    """Write "Method | Accuracy | Precision (No) | …" of every family × strategy, tuned, at threshold 0.5.

    With several classes precision, recall and F1 are unweighted means over them ("macro").
    """
    header = ["Macro precision", "Macro recall", "Macro F1"]
    macro = len(scores.classes(task)) > 2
    if not macro:
        header = []
        for name in scores.classes(task):
            header += [f"Precision ({escape(name)})", f"Recall ({escape(name)})"]
    rows = []
    for entry in _tuned_entries(scores, task):
        confusion = scores.pooled_confusion(task, entry, DEFAULT_THRESHOLD)
        cells = [_label(scores, task, f"{entry.family}, {entry.strategy}", entry), format_number(_accuracy(confusion))]
        if macro:
            cells += map(format_number, np.mean(class_report(confusion), axis=1).tolist())
        else:
            for precision, recall in zip(_class_metric(confusion, 0), _class_metric(confusion, 1), strict=True):
                cells += [precision, recall]
        rows.append(cells)
    return folded_table(["Method", "Accuracy", *header], rows)


def _tuned_entries(scores: Scores, task: str) -> list[Entry]:
    entries = []
    for entry in entry_statuses(scores, task):
        tuned = entry.stage == "tuned" and entry.strategy != ANY_NAME
        if tuned and len(scores.rows_of(task, entry, DEFAULT_THRESHOLD)):
            entries.append(entry)
    return entries


def _label(scores: Scores, task: str, text: str, entry: Entry) -> str:
    """The name of a row, with the number of splits where some are missing: its rows are others then."""
    splits, planned = len(scores.rows_of(task, entry, DEFAULT_THRESHOLD)), scores.run["tasks"][task].get("splits", 0)
    return escape(text) if splits >= planned else f"{escape(text)} ({splits} of {planned} splits)"


def _accuracy(confusion: Counts) -> float:
    return float(confusion.trace() / confusion.sum())


def _class_metric(confusion: Counts, position: int) -> list[str]:
    """Precision (0), recall (1) or F1 (2) per class; no precision where no row was predicted as the class."""
    cells = list(map(format_number, class_report(confusion)[position]))
    if position == 0:
        for column in np.flatnonzero(confusion.sum(axis=0) == 0):
            cells[column] = MISSING
    return cells
