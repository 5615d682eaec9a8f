"""The model card of a bundle: what it is, how it was measured, where it fails, what it is not for (Mitchell et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.deploy.card_inputs import HALF, TUNED, CardMetric, Facts, Standing
from harness.deploy.error_analysis import FEWEST, Share
from harness.deploy.markdown import code, number, plus_minus, table, text

SHIFTED = 0.02  #: a change of a class's share that is worth a warning
SHOWN = 5  #: parts in which it fails, the worst ones
CLASSES = 12  #: shown by their recall, the lowest


def card(about: Mapping[str, Any], facts: Facts) -> str:
    """The card as Markdown; the same for the same bundle, so there is no date in it."""
    parts = [
        f"# {text(about['title'] or about['task'])}: {code(about['entry'])}",
        _what(about, facts),
        "## How it was measured",
        _measured(about, facts.standing),
        _figures(about, facts.figures),
        "## How it decides",
        _decides(about),
        "## What its probabilities mean",
        _probabilities(about, facts),
        "## Where it fails",
        _fails(about, facts),
        "## What it must not be used for",
        _limits(about, facts),
        "## Data",
        _data(about, facts),
        "## Made with",
        _versions(about, facts),
        "## How to run it",
        RUN_TEXT.get(about["modality"], RUN_ROWS),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


RUN_ROWS = """```
evenhand predict BUNDLE rows.csv --out answers.csv
evenhand insights BUNDLE rows.csv
evenhand serve BUNDLE
```

`schema.json` says which columns are read; others are ignored. Values that training did not know and missing ones are
answered and flagged."""
RUN_TEXT = {
    "image": """```
evenhand predict BUNDLE pictures/ --out answers.csv
evenhand serve BUNDLE
```

Pictures are brought to the size in `schema.json`."""
}


def _what(about: Mapping[str, Any], facts: Facts) -> str:
    classes = [code(name) for name in about["classes"]]
    says = (
        f"how probable {code(about['positive'])} is, and whether to call it so"
        if about["positive"] is not None
        else f"which of {len(classes)} classes it is ({', '.join(classes[:CLASSES])}{' …' if len(classes) > CLASSES else ''})"
    )
    trial = (
        "the default one"
        if about["trial"] == 0
        else f"that of trial {about['trial']} (of {about['trials']}, counted from 0)"
    )
    params = ", ".join(f"{name} = {_value(value)}" for name, value in about["params"].items())
    return (
        f"{_sentence(facts.description)}For each row it says {says}: the column predicted is {code(facts.target)}.\n\n"
        f"A model of the family {code(about['family'])} with the imbalance strategy {code(about['strategy'])} "
        f"({text(facts.strategy)}), fitted to all {about['rows']:,} rows. "
        f"Its configuration is {trial}{': ' + code(params) if params else ''}."
    )


def _measured(about: Mapping[str, Any], standing: Standing) -> str:
    protocol, name = about["run"]["protocol"], about["objective"]
    effort = f"{protocol['trials']} trials" if protocol["trials"] else f"{protocol['budget']:g} s of search"
    if about["stage"] == "default":
        effort = "no search: the default configuration"
    said = [
        (
            f"Nested validation in the run {code(about['run']['name'])}: {standing.splits} outer splits whose test rows nothing had "
            f"seen that fitted, searched, resampled or chose a threshold; {effort}, {protocol['inner_folds']} inner folds, objective "
            f"{code(name)}."
        ),
        (
            "**The figures are of the procedure and not of this very model.** In every split the same procedure was done "
            "on the training part and scored on the rest; this model is what it gives on all rows, of which none is left to "
            "score it on. It had more rows to learn from than those that were measured."
        ),
    ]
    if standing.splits < standing.planned:
        said.append(f"Only {standing.splits} of {standing.planned} splits have figures: the others failed.")
    said.append(_selected(standing, str(name), about["calibration"]))
    return "\n\n".join(said)


def _selected(standing: Standing, objective: str, calibration: str) -> str:
    if standing.rank is None:
        place = "It has no place in the ranking of its run."
    elif standing.entries == 1:
        place = "It is the only entry of its run that has a place."
    else:
        as_is = "" if calibration == "none" else ", by its figures before recalibration"
        place = f"It is number {standing.rank} of the {standing.entries} ranked entries of its run by {code(objective)}{as_is}"
        place += f", of which {standing.tied} cannot be told from the first." if standing.tied is not None else "."
        if standing.tie is not None:
            place += f" It {'is one of those' if standing.tie else 'is below the first by more than chance explains'}."
    if standing.rank == 1 and standing.entries > 1:
        place += (
            " **It was selected** by looking at these very figures, so they are somewhat better than what is to be expected: "
            "the more entries compete, the more of a first place is luck."
        )
        if standing.chosen:
            place += (
                f" Choosing by inner scores alone, without a look at test rows, gave {plus_minus(*standing.chosen)}."
            )
    elif standing.by_hand:
        place += " It was named by whoever exported it."
    if standing.baseline is not None:
        place += f" Saying the same of every row gives {number(standing.baseline)}."
    if standing.no_test_reason:
        place += f" Intervals are not given: {text(standing.no_test_reason)}."
    return place


def _figures(about: Mapping[str, Any], figures: Sequence[CardMetric]) -> str:
    """Ranking and probabilities, then decisions at 0.5 and at the threshold side by side."""
    whole = [[text(one.label), plus_minus(one.mean, one.half)] for one in figures if one.metric_type != "decision"]
    decisions: dict[str, dict[str, str]] = {}
    for one in figures:
        if one.metric_type == "decision":
            decisions.setdefault(one.label, {})[one.at] = plus_minus(one.mean, one.half)
    parts = [table(["Figure", "Mean over splits ± 95 % interval"], whole)]
    if about["threshold"] is None:
        parts.append(
            table(["Decisions, the most probable class", ""], [[text(n), at[""]] for n, at in decisions.items()])
        )
    else:
        rows = [[text(n), at.get(HALF, "–"), at.get(TUNED, "–")] for n, at in decisions.items()]
        parts.append(table(["Decisions", "at 0.5", "at each split's own threshold"], rows))
    return "\n\n".join(parts)


def _decides(about: Mapping[str, Any]) -> str:
    if about["threshold"] is None:
        return "The most probable class is taken."
    aim = "cost least under the task's cost matrix" if about["costs"] else "maximise F1"
    costs = f" The costs, truth × decision: {code(about['costs'])}." if about["costs"] else ""
    return (
        f"A row is called {code(about['positive'])} where its probability is at least **{about['threshold']:.6g}**. That was chosen "
        f"to {aim} on inner out-of-fold rows, by the same rule as in every split.{costs} Whoever has other costs should choose "
        "another: at costs *a* for a false alarm and *b* for a miss, sound probabilities call for *a* / (*a* + *b*)."
    )


def _probabilities(about: Mapping[str, Any], facts: Facts) -> str:
    said = [CALIBRATED[about["calibration"]]]
    shift = max(
        abs(b / sum(facts.before) - a / sum(facts.after)) for b, a in zip(facts.before, facts.after, strict=True)
    )
    if shift > SHIFTED and about["calibration"] == "none":
        mend = (
            "`evenhand export --calibration prior`" if facts.correctable else "`evenhand export --calibration sigmoid`"
        )
        said.append(
            f"**They are not frequencies.** The strategy {code(about['strategy'])} made classes weigh otherwise than they are: "
            f"{_shares(about, facts.before)} in the data, {_shares(about, facts.after)} for the classifier. Rare classes get "
            f"probabilities that are too high. Rank by them and decide at the threshold; for frequencies use {mend}."
        )
    if facts.held_out:
        at = 1 if len(about["classes"]) == 2 else max(
            range(len(facts.came)), key=lambda i: abs(facts.said[i] - facts.came[i])
        )  # fmt: skip
        said.append(
            f"Over the {facts.held_out:,} held-out rows the mean probability of {code(about['classes'][at])} was "
            f"{number(facts.said[at])}; {number(facts.came[at])} of them were."
        )
    gap = next((one for one in facts.figures if one.name == "ece"), None)
    if gap is not None:
        said.append(
            f"The mean gap between probability and frequency (ECE) is {plus_minus(gap.mean, gap.half)} in the splits."
        )
    said.append("They hold for rows like those of the data: where a class is more or less common, they are off.")
    return " ".join(said)


CALIBRATED = {
    "none": "Probabilities are as the classifier gives them, not recalibrated.",
    "isotonic": "Probabilities were recalibrated by steps that never fall (isotonic), fitted on inner out-of-fold rows.",
    "sigmoid": "Probabilities were recalibrated by a logistic curve (sigmoid), fitted on inner out-of-fold rows.",
    "temperature": "Probabilities were recalibrated by one temperature, fitted on inner out-of-fold rows.",
    "prior": "The change of the classes' shares that the strategy made was taken back (prior); nothing was fitted for it.",
}


def _fails(about: Mapping[str, Any], facts: Facts) -> str:
    if not facts.held_out:
        return "Not known: what was said of sealed rows is not at hand."
    repeats = about["run"]["protocol"]["repeats"]
    over = f" (by the mean of {repeats} repeats, which is often a little better than one model)" if repeats > 1 else ""
    said = [
        (
            f"On the {facts.held_out:,} rows that were sealed test rows, decided as in the nested validation{over}. Parts are looked "
            f"at one column at a time, those with fewer than {FEWEST} rows to judge by left out; intervals (Clopper–Pearson) hold "
            "for all parts together at 95 %: a part is listed only where its whole interval is below the share over all rows."
        )
    ]
    for one in facts.failings:
        head = f"**{text(one.what[0].upper() + one.what[1:])}**: {_of(one.overall)} over all rows"
        if one.worse:
            rows = [
                [text(s.part), number(s.value), f"{number(s.low)} to {number(s.high)}", f"{s.right:,} of {s.n:,}"]
                for s in one.worse[:SHOWN]
            ]
            where = f"{len(one.worse)} of {one.parts} parts" + (", the lowest" if len(one.worse) > SHOWN else "")
            said.append(f"{head}; clearly lower in {where}:\n\n{table(['Part', 'Share', 'Interval', 'Rows'], rows)}")
        elif one.lowest:
            lowest = f"The lowest is {text(one.lowest.part)} with {_of(one.lowest)}."
            said.append(f"{head}; clearly lower in none of {one.parts} parts. {lowest}")
        else:
            said.append(f"{head}; no part has rows enough to look at.")
    if facts.classes:
        taken = [
            [
                text(s.part),
                number(s.value),
                f"{number(s.low)} to {number(s.high)}",
                f"{s.right:,} of {s.n:,}",
                text(other) or "–",
            ]
            for s, other in facts.classes[:CLASSES]
        ]
        header = ["Class", "Recall", "95 % interval", "Rows", "Most often taken for"]
        said.append(f"Classes, the lowest recall first:\n\n{table(header, taken)}")
    return "\n\n".join(said)


def _limits(about: Mapping[str, Any], facts: Facts) -> str:
    lines = [
        (
            "Rows of another population, place or time than the data: nothing here says how it does there. Watch the drift that "
            "`evenhand serve` reports, and export anew from a run on newer rows."
        ),
        "Conclusions about causes: what moves its answers is associated with the outcome, and changing it may change nothing.",
        (
            "Decisions about people that no person can look into and correct, or that a law forbids to be made so. Whether groups "
            "of people are treated alike was not examined beyond *Where it fails*."
        ),
        "Promises: at the figures above it is wrong as often as they say.",
    ]
    if about["modality"] == "tabular":
        lines.insert(1, "Rows whose columns mean something else, or are known only after the outcome is.")
    if facts.standing.tied:
        lines.append("An argument that its family or strategy is better than those it cannot be told from.")
    return "\n".join(f"- {line}" for line in lines)


def _data(about: Mapping[str, Any], facts: Facts) -> str:
    lines = [
        f"Source: {text(about['source'] or 'not said')}",
        f"Licence: {text(about['licence'] or 'not said')}",
        f"Rows: {about['rows']:,} ({_shares(about, about['counts'], counted=True)})",
        f"SHA-256 of the rows: {code(about['fingerprint'])}",
        *(text(note) for note in facts.notes),
    ]
    return "\n".join(f"- {line}" for line in lines)


def _versions(about: Mapping[str, Any], facts: Facts) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    changed = f" The run was made with others: {text(', '.join(facts.changed))}." if facts.changed else ""
    return f"{text(versions)}.{changed} The run: {code(about['run']['command'])}"


def _shares(about: Mapping[str, Any], counts: Sequence[float], *, counted: bool = False) -> str:
    total = sum(counts) or 1
    named = [
        f"{text(name)} {f'{n:,.0f}, ' if counted else ''}{n / total:.1%}"
        for name, n in zip(about["classes"], counts, strict=True)
    ]
    return "; ".join(named[:CLASSES]) + (" …" if len(named) > CLASSES else "")


def _of(share: Share) -> str:
    return f"{number(share.value)} ({share.right:,} of {share.n:,} rows)"


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _sentence(said: str) -> str:
    said = text(said)
    return said and (said if said.endswith((".", "!", "?")) else said + ".") + " "
