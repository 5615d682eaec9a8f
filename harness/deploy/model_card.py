"""The model card of a bundle: what it is, how it was measured, where it fails, what it is not for (Mitchell et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.deploy.error_analysis import MIN_ROWS, ErrorAnalysis, Proportion
from harness.deploy.markdown import escape, format_code, format_plain_table
from harness.deploy.run_entry import CardMetric, RankingPosition
from harness.deploy.threshold_goal import goal_rule
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD, TUNED_THRESHOLD
from harness.report.render.cells import MISSING, format_interval, format_number

WARNED_SHIFT = 0.02  #: change of a class's share from which the card warns
MAX_SUBGROUPS = 5  #: listed per metric, the lowest ones
MAX_CLASSES = 12  #: listed, those with the lowest recall

RUN_ROWS = """```
evenhand predict BUNDLE rows.csv --out answers.csv
evenhand insights BUNDLE rows.csv
evenhand serve BUNDLE
```

`schema.json` says which columns are read; others are ignored. Values that training did not know and missing ones are
answered and flagged."""
RUN_IMAGES = """```
evenhand predict BUNDLE images/ --out answers.csv
evenhand serve BUNDLE
```

Images are brought to the size in `schema.json`."""
CALIBRATIONS = {
    "none": "Probabilities are as the classifier gives them, not recalibrated.",
    "isotonic": "Probabilities were recalibrated by steps that never fall (isotonic), fitted on inner out-of-fold rows.",
    "sigmoid": "Probabilities were recalibrated by a logistic curve (sigmoid), fitted on inner out-of-fold rows.",
    "temperature": "Probabilities were recalibrated by one temperature, fitted on inner out-of-fold rows.",
    "prior": "The change of the classes' shares that the strategy made was taken back (prior); nothing was fitted for it.",
}


@dataclass(frozen=True)
class CardInputs:
    """All that a card says and the manifest does not.

    Attributes
    ----------
    target, description, notes : str, str, tuple of str
        Of the task.
    metrics : tuple of CardMetric
        Nested metrics of the entry, the objective first.
    position : RankingPosition
        Its position in the ranking.
    strategy : str
        Description of the strategy.
    counts_before, counts_after : tuple of float
        Training rows per class, before and after the strategy.
    mean_proba, class_shares : tuple of float
        Mean probability per class over the held-out rows, and the share of these rows that belong to it.
    error_analyses : tuple of ErrorAnalysis
        Where it fails.
    recalls : tuple of (Proportion, str)
        With several classes the recall of each, and the class that it is most often confused with.
    held_out_rows : int
        Number of held-out rows.
    changed_versions : tuple of str
        Packages whose version is not that of the run.
    prior_is_correctable : bool
        Whether prior correction applies to the strategy.
    """

    target: str
    description: str
    notes: tuple[str, ...]
    metrics: tuple[CardMetric, ...]
    position: RankingPosition
    strategy: str
    counts_before: tuple[float, ...]
    counts_after: tuple[float, ...]
    mean_proba: tuple[float, ...]
    class_shares: tuple[float, ...]
    error_analyses: tuple[ErrorAnalysis, ...] = ()
    recalls: tuple[tuple[Proportion, str], ...] = ()
    held_out_rows: int = 0
    changed_versions: tuple[str, ...] = ()
    prior_is_correctable: bool = False


def write_card(manifest: Mapping[str, Any], inputs: CardInputs) -> str:
    """Write the card of a bundle.

    Parameters
    ----------
    manifest : mapping
        The manifest of the bundle, without the fields that are computed on writing.
    inputs : CardInputs
        Everything else.

    Returns
    -------
    str
        Markdown; it has no date, so that the same bundle has the same card.
    """
    sections = [
        f"# {escape(manifest['title'] or manifest['task'])}: {format_code(manifest['entry'])}",
        _description(manifest, inputs),
        "## How it was measured",
        _measurement(manifest, inputs.position),
        _metric_tables(manifest, inputs.metrics),
        "## How it decides",
        _decision_rule(manifest),
        "## What its probabilities mean",
        _probabilities(manifest, inputs),
        "## Where it fails",
        _errors(manifest, inputs),
        "## What it must not be used for",
        _limits(manifest, inputs),
        "## Data",
        _data(manifest, inputs),
        "## Made with",
        _versions(manifest, inputs),
        "## How to run it",
        RUN_IMAGES if manifest["modality"] == "image" else RUN_ROWS,
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def _description(manifest: Mapping[str, Any], inputs: CardInputs) -> str:
    if manifest["positive"] is not None:
        output = f"how probable {format_code(manifest['positive'])} is, and whether to predict it"
    else:
        names = list(map(format_code, manifest["classes"]))
        more = " …" if len(names) > MAX_CLASSES else ""
        output = f"which of {len(names)} classes it is ({', '.join(names[:MAX_CLASSES])}{more})"
    configuration = "the default one"
    if manifest["trial"] != 0:
        configuration = f"that of trial {manifest['trial']} (of {manifest['trials']}, counted from 0)"
    params = []
    for name, param in manifest["params"].items():
        params.append(f"{name} = {param:.4g}" if isinstance(param, float) else f"{name} = {param}")
    if params:
        configuration += f": {format_code(', '.join(params))}"
    description = escape(inputs.description)
    if description and not description.endswith((".", "!", "?")):
        description += "."
    return (
        f"{description} For each row it says {output}: the column predicted is {format_code(inputs.target)}.\n\n"
        f"A model of the family {format_code(manifest['family'])} with the imbalance strategy "
        f"{format_code(manifest['strategy'])} ({escape(inputs.strategy)}), fitted to all {manifest['rows']:,} rows. "
        f"Its configuration is {configuration}."
    ).lstrip()


def _measurement(manifest: Mapping[str, Any], position: RankingPosition) -> str:
    protocol, objective = manifest["run"]["protocol"], format_code(manifest["objective"])
    effort = f"{protocol['trials']} trials" if protocol["trials"] else f"{protocol['budget']:g} s of search"
    if manifest["stage"] == "default":
        effort = "no search: the default configuration"
    paragraphs = [
        (
            f"Nested validation in the run {format_code(manifest['run']['name'])}: {position.splits} outer splits whose test "
            "rows nothing had seen that fitted, searched, resampled or chose a threshold; "
            f"{effort}, {protocol['inner_folds']} inner folds, objective {objective}."
        ),
        (
            "**The scores are of the procedure and not of this very model.** In every split the same procedure was done "
            "on the training part and scored on the rest; this model is what it gives on all rows, of which none is left to "
            "score it on. It had more rows to learn from than those that were measured."
        ),
    ]
    if position.splits < position.planned_splits:
        paragraphs.append(f"Only {position.splits} of {position.planned_splits} splits have scores: the others failed.")
    paragraphs.append(" ".join([_rank(position, objective, manifest["calibration"]), *_selection(position)]))
    return "\n\n".join(paragraphs)


def _rank(position: RankingPosition, objective: str, calibration: str) -> str:
    if position.rank is None:
        return "It has no place in the ranking of its run."
    if position.entries == 1:
        return "It is the only entry of its run that has a place."
    text = f"It is number {position.rank} of the {position.entries} ranked entries of its run by {objective}"
    if calibration != "none":
        text += ", by its scores before recalibration"
    if position.tied is not None:
        text += f", of which {position.tied} are not significantly different from the first"
    text += "."
    if position.is_tied:
        text += " It is one of those."
    elif position.is_tied is not None:
        text += " It is significantly worse than the first."
    return text


def _selection(position: RankingPosition) -> list[str]:
    """Sentences on how the entry was selected, and what its scores compare to."""
    sentences = []
    if position.rank == 1 and position.entries > 1:
        sentences.append(
            "**It was selected** by looking at these very scores, so they are somewhat better than what is to be expected: "
            "the more entries compete, the more of a first place is luck."
        )
        if position.inner_choice:
            interval = format_interval(*position.inner_choice)
            sentences.append(f"Choosing by inner scores alone, without a look at test rows, gave {interval}.")
    elif position.chosen_by_name:
        sentences.append("It was named by whoever exported it.")
    if position.baseline is not None:
        baseline = format_number(position.baseline)
        sentences.append(f"The baseline, which predicts the same for every row, scores {baseline}.")
    if position.no_test_reason:
        sentences.append(f"Intervals are not given: {escape(position.no_test_reason)}.")
    return sentences


def _metric_tables(manifest: Mapping[str, Any], metrics: Sequence[CardMetric]) -> str:
    """Ranking and probabilities, then decisions at 0.5 and at the tuned threshold side by side."""
    rows: list[list[str]] = []
    decisions: dict[str, dict[str, str]] = {}
    for metric in metrics:
        interval = format_interval(metric.mean, metric.ci_half_width, ends=metric.interval)
        if metric.metric_type == "decision":
            decisions.setdefault(metric.label, {})[metric.threshold_kind] = interval
        else:
            rows.append([escape(metric.label), interval])
    threshold_kinds = [DEFAULT_THRESHOLD, TUNED_THRESHOLD]
    header = ["Decisions", "at 0.5", "at each split's own threshold"]
    if manifest["threshold"] is None:
        threshold_kinds, header = [""], ["Decisions, the most probable class", ""]
    decision_rows = []
    for label, intervals in decisions.items():
        decision_rows.append([escape(label), *(intervals.get(kind, MISSING) for kind in threshold_kinds)])
    metric_table = format_plain_table(["Metric", "Mean over splits ± 95 % interval"], rows)
    return "\n\n".join(filter(None, [metric_table, format_plain_table(header, decision_rows)]))


def _decision_rule(manifest: Mapping[str, Any]) -> str:
    if manifest.get("threshold_goal"):
        return goal_rule(manifest, manifest["threshold_goal"])
    if manifest["threshold"] is None:
        return "The most probable class is taken."
    aim, costs = "maximise F1", ""
    if manifest["costs"]:
        aim = "cost least under the task's cost matrix"
        costs = f" The costs, truth × decision: {format_code(manifest['costs'])}."
    return (
        f"A row is predicted as {format_code(manifest['positive'])} where its probability is at least "
        f"**{manifest['threshold']:.6g}**. That was chosen to {aim} on inner out-of-fold rows, by the same rule as in every "
        f"split.{costs} Whoever has other costs should choose another: at costs *a* for a false alarm and *b* for a miss, "
        "calibrated probabilities call for *a* / (*a* + *b*)."
    )


def _probabilities(manifest: Mapping[str, Any], inputs: CardInputs) -> str:
    sentences = [CALIBRATIONS[manifest["calibration"]]]
    if manifest["calibration"] == "none" and _prior_shift(inputs) > WARNED_SHIFT:
        calibration = "prior" if inputs.prior_is_correctable else "sigmoid"
        sentences.append(
            f"**They are not frequencies.** The strategy {format_code(manifest['strategy'])} made classes weigh otherwise than "
            f"they are: {_class_shares(manifest, inputs.counts_before)} in the data, "
            f"{_class_shares(manifest, inputs.counts_after)} for the classifier. Rare classes get probabilities that are too "
            "high. Rank by them and decide at the threshold; for frequencies use "
            f"`evenhand export --calibration {calibration}`."
        )
    if inputs.held_out_rows:
        label = 1
        if len(manifest["classes"]) > 2:
            label = int(np.abs(np.subtract(inputs.mean_proba, inputs.class_shares)).argmax())
        sentences.append(
            f"Over the {inputs.held_out_rows:,} held-out rows the mean probability of "
            f"{format_code(manifest['classes'][label])} was {format_number(inputs.mean_proba[label])}; "
            f"{format_number(inputs.class_shares[label])} of them were."
        )
    for metric in inputs.metrics:
        if metric.name == "ece":
            gap = format_interval(metric.mean, metric.ci_half_width)
            sentences.append(f"The mean gap between probability and frequency (ECE) is {gap} in the splits.")
    sentences.append("They hold for rows like those of the data: where a class is more or less common, they are off.")
    return " ".join(sentences)


def _prior_shift(inputs: CardInputs) -> float:
    """The largest change of a class's share by the strategy."""
    shares_before = np.array(inputs.counts_before) / sum(inputs.counts_before)
    shares_after = np.array(inputs.counts_after) / sum(inputs.counts_after)
    return float(np.abs(shares_before - shares_after).max())


def _errors(manifest: Mapping[str, Any], inputs: CardInputs) -> str:
    if not inputs.held_out_rows:
        return "Not known: there are no predictions for sealed rows."
    repeats, average = manifest["run"]["protocol"]["repeats"], ""
    if repeats > 1:
        average = f" (by the mean of {repeats} repeats, which is often a little better than one model)"
    introduction = (
        f"On the {inputs.held_out_rows:,} rows that were sealed test rows, decided as in the nested validation{average}. Parts "
        f"are looked at one column at a time, those with fewer than {MIN_ROWS} rows to judge by left out; intervals "
        "(Clopper–Pearson) hold for all parts together at 95 %: a part is listed only where its whole interval is below the "
        "share over all rows."
    )
    paragraphs = [introduction, *map(_error_paragraph, inputs.error_analyses)]
    if inputs.recalls:
        rows = []
        for recall, confused_with in inputs.recalls[:MAX_CLASSES]:
            rows.append([*_proportion_cells(recall), escape(confused_with) or MISSING])
        header = ["Class", "Recall", "95 % interval", "Rows", "Most often taken for"]
        paragraphs.append(f"Classes, the lowest recall first:\n\n{format_plain_table(header, rows)}")
    return "\n\n".join(paragraphs)


def _error_paragraph(analysis: ErrorAnalysis) -> str:
    metric = escape(analysis.metric[0].upper() + analysis.metric[1:])
    head = f"**{metric}**: {_format_proportion(analysis.overall)} over all rows"
    if analysis.worse:
        rows = list(map(_proportion_cells, analysis.worse[:MAX_SUBGROUPS]))
        selection = ", the lowest" if len(analysis.worse) > MAX_SUBGROUPS else ""
        table = format_plain_table(["Part", "Share", "Interval", "Rows"], rows)
        return f"{head}; clearly lower in {len(analysis.worse)} of {analysis.subgroups} parts{selection}:\n\n{table}"
    if analysis.lowest is None:
        return f"{head}; no part has rows enough to look at."
    lowest = f"{escape(analysis.lowest.subgroup)} with {_format_proportion(analysis.lowest)}"
    return f"{head}; clearly lower in none of {analysis.subgroups} parts. The lowest is {lowest}."


def _proportion_cells(proportion: Proportion) -> list[str]:
    return [
        escape(proportion.subgroup),
        format_number(proportion.share),
        f"{format_number(proportion.low)} to {format_number(proportion.high)}",
        f"{proportion.correct:,} of {proportion.rows:,}",
    ]


def _format_proportion(proportion: Proportion) -> str:
    return f"{format_number(proportion.share)} ({proportion.correct:,} of {proportion.rows:,} rows)"


def _limits(manifest: Mapping[str, Any], inputs: CardInputs) -> str:
    limits = [
        (
            "Rows of another population, place or time than the data: nothing here says how it does there. Watch the drift that "
            "`evenhand serve` reports, and export anew from a run on newer rows."
        ),
        "Conclusions about causes: what moves its answers is associated with the outcome, and changing it may change nothing.",
        (
            "Decisions about people that no person can look into and correct, or that a law forbids to be made so. Whether groups "
            "of people are treated alike was not examined beyond *Where it fails*."
        ),
        "Promises: at the scores above it is wrong as often as they say.",
    ]
    if manifest["modality"] == "tabular":
        limits.insert(1, "Rows whose columns mean something else, or are known only after the outcome is.")
    if inputs.position.tied:
        others = "those that are not significantly different from it"
        limits.append(f"An argument that its family or strategy is better than {others}.")
    return _bullets(limits)


def _data(manifest: Mapping[str, Any], inputs: CardInputs) -> str:
    lines = [
        f"Source: {escape(manifest['source'] or 'not said')}",
        f"Licence: {escape(manifest['licence'] or 'not said')}",
        f"Rows: {manifest['rows']:,} ({_class_shares(manifest, manifest['counts'], with_counts=True)})",
        f"SHA-256 of the rows: {format_code(manifest['fingerprint'])}",
    ]
    return _bullets([*lines, *map(escape, inputs.notes)])


def _versions(manifest: Mapping[str, Any], inputs: CardInputs) -> str:
    versions = ", ".join(map(" ".join, manifest["versions"].items()))
    changed = ""
    if inputs.changed_versions:
        changed = f" The run was made with others: {escape(', '.join(inputs.changed_versions))}."
    return f"{escape(versions)}.{changed} The run: {format_code(manifest['run']['command'])}"


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(map("- {}".format, lines))


def _class_shares(manifest: Mapping[str, Any], counts: Sequence[float], *, with_counts: bool = False) -> str:
    total = sum(counts) or 1
    shares = []
    for name, count in zip(manifest["classes"], counts, strict=True):
        share = f"{count:,.0f}, {count / total:.1%}" if with_counts else f"{count / total:.1%}"
        shares.append(f"{escape(name)} {share}")
    return "; ".join(shares[:MAX_CLASSES]) + (" …" if len(shares) > MAX_CLASSES else "")
