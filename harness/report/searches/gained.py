"""Whether tuning was worth it, in words and as a table."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.markdown import count, escape, folded_table, listed, plus_minus
from harness.report.ranking import Ranking
from harness.report.searches.effort import HURTS, KEPT, PAYS, UNTOLD, Gain

NAMED = 5


def gains_text(found: Sequence[Gain], ranking: Ranking) -> str:
    """For which entries the search paid on rows that it never saw, and what the two columns mean."""
    by_reading = {word: [one for one in found if one.reading == word] for word in (PAYS, HURTS, UNTOLD, KEPT)}
    said = []
    for word, ends in ((PAYS, "scores higher"), (HURTS, "scores lower")):
        if some := by_reading[word]:
            names = [
                f"{escape('/'.join(one.entry[:2]))} ({plus_minus(one.outer.mean, one.outer.half, signed=True)})"
                for one in some
            ]
            more = [*names[:NAMED], f"{len(names) - NAMED} more"] if len(names) > NAMED else names
            said.append(f"the configuration found {ends} on the test rows for {listed(more)}")
    if some := by_reading[UNTOLD]:
        said.append(f"for {count(len(some), 'entry', 'entries')} it cannot be told from the default configuration")
    if some := by_reading[KEPT]:
        said.append(f"for {count(len(some), 'entry', 'entries')} every split kept the default configuration")
    tested = sum(len(by_reading[word]) for word in (PAYS, HURTS, UNTOLD))
    adjusted = f"; readings are after Holm's adjustment over {count(tested, 'entry', 'entries')}, so an interval without 0 in it "
    adjusted += "need not be enough"
    adjusted = adjusted if tested > 1 else ""
    verdict = "; ".join(said)
    verdict = (
        f"{verdict[0].upper()}{verdict[1:]}. " if said else f"No verdict: {ranking.silent or 'splits are missing'}. "
    )
    return (
        f"{verdict}*Inner* is the gain on the folds that the search looked at: the largest of many tries, so it is never "
        "negative and tends to promise too much. *Outer* is the gain on sealed test rows, with its corrected 95 % interval"
        f"{adjusted}. Above zero is better."
    )


def gains_table(found: Sequence[Gain], label: str) -> str:
    """Every tuned entry against its own default configuration."""
    header = ["Family", "Strategy", f"{label}: inner gain", "Outer gain", "Splits", "Tuning"]
    rows = [
        [
            escape(one.entry.family),
            escape(one.entry.strategy),
            plus_minus(one.inner, float("nan"), signed=True),
            plus_minus(one.outer.mean, one.outer.half, signed=True),
            str(one.outer.n),
            one.reading or "–",
        ]
        for one in found
    ]
    return folded_table(header, rows)
