"""Two entries in words and tables for a terminal: what differs, what of, in which splits, at what cost, in which rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.evaluation.changed_predictions import changed, sides
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD, TUNED_THRESHOLD
from harness.evaluation.paired_comparison import Difference, Pair, adjusted, figures, likeness, per_class, reasons
from harness.evaluation.ranking import can_test
from harness.evaluation.significance import FEWEST_SPLITS
from harness.report.render.markdown import NONE, brief, count, number, plus_minus, table

KINDS = {DEFAULT_THRESHOLD: "at 0.5", TUNED_THRESHOLD: "at its tuned threshold"}
ALIKE = 0.99  #: rank correlation from which two orders are called nearly the same
COSTS = {
    "fit_seconds": "seconds of one fit",
    "predict_us_per_row": "microseconds per predicted row",
    "trials": "trials",
    "parameters": "parameters",
    "model_bytes": "bytes of the model",
}


def in_words(pair: Pair, rows: int, out: Path | None = None) -> str:
    """Everything there is to say of two entries."""
    shown, made_of = figures(pair), reasons(pair)
    classes = {kind: per_class(pair, kind) for kind in pair.kinds}
    everything = adjusted([*shown, *made_of, *(one for some in classes.values() for one in some)])
    parts = [_who(pair, len(everything)), _why(pair, everything)]
    parts.append(_section("All figures", _differences(pair, everything[: len(shown)])))
    if made_of:
        parts.append(
            _section("What they are made of", _differences(pair, everything[len(shown) : len(shown) + len(made_of)]))
        )
    if rest := everything[len(shown) + len(made_of) :]:
        parts.append(_section("Class by class", _differences(pair, rest)))
    parts += [_section("Split by split", _splits(pair)), _section("Cost, means over the splits", _costs(pair))]
    parts.append(_section("Rows that changed sides", _changed(pair, rows, out)))
    return "\n\n".join(parts)


def _section(title: str, body: str) -> str:
    return f"{title}\n{'=' * len(title)}\n\n{body}"


def _who(pair: Pair, tests: int) -> str:
    names = [
        side.name if pair.a.store.folder == pair.b.store.folder else f"{side.store.folder}  {side.name}"
        for side in (pair.a, pair.b)
    ]
    lines = [f"A  {names[0]}", f"B  {names[1]}", ""]
    if pair.unpaired:
        lines.append(f"Not comparable row by row: {pair.unpaired}. There are two means and no test.")
        return "\n".join(lines)
    lines.append(
        f"{count(len(pair.splits), 'split')} that both have, of the same rows. Differences are A − B, ± half of the 95 % interval "
        f"corrected for shared training rows (Nadeau & Bengio 2003); p after Holm over all {tests} differences below."
    )
    for side, name in ((pair.a, "A"), (pair.b, "B")):
        if more := len(side.rows(DEFAULT_THRESHOLD)) - len(pair.splits):
            lines.append(f"{name} has {count(more, 'split')} more, which the other lacks: not counted here.")
    if not can_test(pair.a.scores, pair.a.task):
        lines.append("The splits follow time, so they are no repetitions of one experiment: no test.")
    elif len(pair.splits) < FEWEST_SPLITS:
        lines.append("With fewer than three splits there is nothing to measure chance by: no test.")
    return "\n".join(lines)


def _why(pair: Pair, everything: list[Difference]) -> str:
    """Why one is above the other, as far as the figures carry."""
    if not everything:
        return "No split has figures of both."
    if _same(pair):
        kept = "the search kept the default parameters in every split, so " if _stages_of_one(pair) else ""
        return f"- {kept}both say the same of every row: one entry under two names, and nothing to explain"
    objective = pair.a.scores.objective(pair.a.task)
    kind = pair.a.scores.objective_kind(pair.a.task) if objective.metric_type == "decision" else ""
    by_name = {(one.name, one.kind): one for one in everything}
    decision = pair.a.scores.metrics["expected_cost" if pair.costs else "f1"].label
    lines = []
    for what, name, at in (
        ("searched for", objective.label or objective.name, kind),
        ("ranking", "ROC AUC", ""),
        ("decision", decision, DEFAULT_THRESHOLD),
        ("decision", decision, TUNED_THRESHOLD),
        ("probability", "Brier", ""),
    ):
        one = by_name.get((name, at))
        if one is not None and not (what == "ranking" and name == objective.label):
            lines.append(f"- {what}: {_said(pair, one)}")
    best, lost = (
        by_name.get((f"{decision} {what}", at))
        for what, at in (("at the best of all thresholds", ""), ("lost by the threshold chosen", TUNED_THRESHOLD))
    )
    if best and lost:
        lines.append(
            f"- of the difference in {decision} at the tuned thresholds ({_signed(best.difference.mean + lost.difference.mean)}) "
            f"{_signed(best.difference.mean)} is there with the best of all thresholds, so it comes of the ranking, and "
            f"{_signed(lost.difference.mean)} of which threshold was chosen"
        )
    missed, told = (by_name.get((f"Brier: {part}", "")) for part in ("miscalibration", "discrimination"))
    if missed and told:
        lines.append(
            f"- of the difference in Brier score ({_signed(missed.difference.mean - told.difference.mean)}, less is better) "
            f"{_signed(missed.difference.mean)} is miscalibration and {_signed(-told.difference.mean)} that rows are told apart "
            "less or more"
        )
    alike = likeness(pair)
    if not math.isnan(alike):
        nearly = (
            ": the same ranking but for little, what differs is mostly thresholds and probabilities"
            if alike >= ALIKE
            else ""
        )
        lines.append(f"- the rank correlation of their probabilities is {number(alike)}{nearly}")
    return "\n".join(lines)


def _same(pair: Pair) -> bool:
    """Whether both said and decided the same of every row, as far as that is stored."""
    return bool(pair.seen) and all(
        np.array_equal(one.proba, other.proba) and one.threshold == other.threshold for one, other in pair.seen.values()
    )


def _stages_of_one(pair: Pair) -> bool:
    """Whether the two are what a search found and what it began with."""
    a, b = pair.a.entry, pair.b.entry
    return pair.a.store.folder == pair.b.store.folder and {a.stage, b.stage} == {"default", "tuned"} and a[:2] == b[:2]


def _at(pair: Pair, kind: str) -> str:
    """Which threshold decides; with several classes none does."""
    return KINDS.get(kind, "") if len(pair.kinds) > 1 else ""


def _said(pair: Pair, one: Difference) -> str:
    where = f" {at}" if (at := _at(pair, one.kind)) else ""
    verdict = {1: "A is better by more than chance explains", -1: "B is better by more than chance explains"}.get(
        one.better
    )
    if verdict is None:
        verdict = "no test" if math.isnan(one.difference.p) else "cannot be told from chance"
    return f"{one.name}{where} {number(one.a)} and {number(one.b)}, {_estimate(one)}: {verdict}"


def _estimate(one: Difference) -> str:
    return plus_minus(one.difference.mean, one.difference.half, signed=True)


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else number(value)


def _signed(value: float) -> str:
    return plus_minus(value, math.nan, signed=True)


def _differences(pair: Pair, some: Sequence[Difference]) -> str:
    verdicts = {1: "A", -1: "B", 0: ""}
    rows = [
        [
            one.metric_type,
            one.name,
            _at(pair, one.kind),
            number(one.a),
            number(one.b),
            _estimate(one),
            _p(one.adjusted),
            verdicts[one.better],
        ]
        for one in some
    ]
    header = ["Face", "Figure", "Threshold", "A", "B", "A − B", "p", "Better"]
    keep = [at for at in range(len(header)) if header[at] != "Threshold" or any(row[at] for row in rows)]
    return table([header[at] for at in keep], [[row[at] for at in keep] for row in rows], pipes=False)


def _splits(pair: Pair) -> str:
    if not pair.splits:
        return "None."
    if pair.unpaired:
        return "Not paired."
    metric = pair.a.scores.objective(pair.a.task)
    kind = pair.a.scores.objective_kind(pair.a.task)
    mine, theirs = (side.rows(kind).at(pair.splits)[metric.name] for side in (pair.a, pair.b))
    rows = [
        [f"r{repeat}f{fold}", number(a), number(b), _signed(a - b)]
        for (repeat, fold), a, b in zip(pair.splits, mine, theirs, strict=True)
    ]
    sign = 1 if metric.greater_is_better else -1
    ahead, behind = int((sign * (mine - theirs) > 0).sum()), int((sign * (mine - theirs) < 0).sum())
    name, of = metric.label or metric.name, count(len(rows), "split")
    said = f"By {name} A is ahead in {ahead}, B in {behind} of {of}."
    if not ahead and not behind:
        said = f"By {name} the two are equal in each of {of}."
    return f"{said}\n\n{table(['Split', 'A', 'B', 'A − B'], rows, pipes=False)}"


def _costs(pair: Pair) -> str:
    sides_ = [pair.rows(side, DEFAULT_THRESHOLD) for side in (pair.a, pair.b)]
    rows = []
    for name, label in COSTS.items():
        a, b = (side.mean(name) for side in sides_)
        rows.append([label, brief(a), brief(b), f"{a / b:.3g}" if b and not math.isnan(a / b) else NONE])
    return table(["", "A", "B", "A / B"], rows, pipes=False)


def _changed(pair: Pair, shown: int, out: Path | None) -> str:
    if pair.unpaired:
        return "Not comparable row by row."
    if not pair.splits:
        return "None that both have tested."
    if len(pair.seen) < len(pair.splits):
        return "The probabilities of at least one of them are made when tables are made and are not stored: no rows to show."
    classes = pair.a.scores.classes(pair.a.task)
    parts = []
    for kind in pair.kinds:
        body = [
            [
                classes[s.truth],
                f"{s.rows:,}",
                f"{s.both:,}",
                f"{s.only_a:,}",
                f"{s.only_b:,}",
                f"{s.neither:,}",
                f"{s.apart:,}",
            ]
            for s in sides(pair, kind)
        ]
        header = ["Class", "Rows", "Both right", "Only A right", "Only B right", "Neither", "Decided otherwise"]
        parts.append(f"{_threshold(pair, kind)}:\n\n{table(header, body, pipes=False)}")
    parts.append("Counts of these fits on these rows, without a test: the fits share training rows.")
    kind = pair.kinds[-1]
    rows = changed(pair, kind)
    which = "of the positive class" if len(classes) == 2 else "of the true class"
    if rows:
        some = [
            [
                f"r{r.split[0]}f{r.split[1]}",
                str(r.row),
                classes[r.truth],
                classes[r.a],
                classes[r.b],
                number(r.proba_a),
                number(r.proba_b),
            ]
            for r in rows[:shown]
        ]
        header = ["Split", "Row", "Truth", "A decides", "B decides", "A says", "B says"]
        more = f" ({len(some)} of {len(rows):,}, those furthest apart)" if len(some) < len(rows) else ""
        parts.append(
            f"{_threshold(pair, kind)}, by position in the task's table, probabilities {which}{more}:\n\n"
            f"{table(header, some, pipes=False)}"
        )
    parts.append(f"All of them: {out}" if out else "--out FILE.csv writes all of them.")
    return "\n\n".join(parts)


def _threshold(pair: Pair, kind: str) -> str:
    if len(pair.kinds) == 1:
        return "By the most probable class"
    return "At 0.5" if kind == DEFAULT_THRESHOLD else "Each at its tuned threshold"
