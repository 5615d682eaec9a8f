"""How far a run may be believed: optimism, how firm the first place is, what could have been found, what is missing."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import partial

import numpy as np

from harness.evaluation.bootstrap import MOST, RESAMPLES, Stability, stabilities
from harness.evaluation.optimism import Belief, Selection, beliefs, selection
from harness.evaluation.power import POWER, Spread, detectable, repeats_needed
from harness.evaluation.ranking import BASELINE, RankedEntry, Ranking
from harness.evaluation.scores import MISSING, Scores
from harness.evaluation.significance import Estimate, estimate
from harness.report.content import Evidence, Figure, Section
from harness.report.figures.reliability import Point, Tie, honesty_figure
from harness.report.figures.writer import file_name
from harness.report.render.markdown import NONE, brief, count, escape, folded_table, listed, number, plus_minus
from harness.report.sections.imbalance import PICTURED
from harness.report.sections.protocol import protocol, what_failed
from harness.store.record import STATUSES

TITLE = "How far may this be believed?"
KIND = "honesty"
OPTIMISM_TEXT = (
    "*Believed too much* is the inner score minus the score on test rows (turned round where less is better), per entry, ± half of "
    "its 95 % interval: whoever picks the best of many trials picks luck too. Inner folds train on fewer rows than the refit, which "
    "works the other way; default configurations, which nothing chose, show how much that is."
)
STABILITY_TEXT = (
    f"*First in* is the share of {RESAMPLES} bootstrap resamples in which an entry is first: test rows are drawn anew within every "
    "outer split, class by class, the same rows for all entries that have a rank. Rows count as independent, and models stay as they "
    "were fitted, so this is what other test rows could have changed; other training rows could have changed more."
)
POWER_TEXT = (
    f"*Detectable* is the smallest true difference from the first entry that this run would have told apart in {100 * POWER:.0f} % "
    "of its repetitions, at the strictest step of Holm's adjustment over all pairs, with the spread seen here; one beyond the range "
    "of the metric means that nothing would have been. *Repeats to settle* is how many repeats of the outer folds would take a "
    "difference like the one seen out of its interval, as the only comparison and among all pairs, if difference and spread stayed "
    "as they are; *none ever* where the training rows that splits share leave more doubt than that (the variance "
    "s² (1/n + n_test/n_train) never falls below s² n_test/n_train)."
)


@dataclass(frozen=True)
class Rival:
    """An entry against the first one: the difference (above zero: the first is better), its spread, whether told apart."""

    place: RankedEntry
    difference: Estimate
    spread: Spread
    folds: int

    @property
    def alone(self) -> int | None:
        """Repeats that would settle it as the only comparison; None: none ever would."""
        return repeats_needed(self.difference.mean, self._only, self.folds)

    @property
    def among(self) -> int | None:
        """Repeats that would settle it at the strictest step among all pairs; None: none ever would."""
        return repeats_needed(self.difference.mean, self.spread, self.folds)

    @property
    def _only(self) -> Spread:
        return Spread(self.spread.deviation, self.spread.n, self.spread.ratio)


def sections(evidence: Evidence) -> list[Section]:
    """A section per task, one over them where there are several, what is missing, and how everything was evaluated."""
    scores, rankings = evidence.scores, [ranking for ranking in evidence.rankings if ranking.best]
    firm = stabilities(evidence.store, scores, tuple(rankings))
    pictured = len(rankings) <= PICTURED
    found = [_of_task(scores, ranking, firm.get(ranking.task), pictured=pictured) for ranking in rankings]
    if len(rankings) > 1:
        found.append(Section(f"{TITLE} All tasks", (_overview(scores, rankings, firm),)))
    found.append(Section("What is there and what is not", (coverage(scores), what_failed(scores))))
    return [*found, Section("Protocol, data, versions", (protocol(scores),))]


def rivals(scores: Scores, ranking: Ranking) -> list[Rival]:
    """Every ranked entry but the majority row against the first; nothing where the splits allow no claims."""
    best, metric = ranking.best, ranking.metric
    if best is None or ranking.no_test_reason:
        return []
    complete = [place for place in ranking.entries if place.complete]
    pairs = len(complete) * (len(complete) - 1) // 2
    grain = max(scores.grain(ranking.task, metric, place.rows) for place in complete)
    ratio, n = best.rows.mean("ratio"), len(best.rows)
    folds = max(1, n // int(scores.run["protocol"].get("repeats", 1)))
    found = []
    for place in complete:
        if place.rank and place is not best and place.entry.family != BASELINE:
            values = (best.rows[metric.name] - place.rows[metric.name]) * (1 if metric.greater_is_better else -1)
            deviation = math.sqrt(max(float(values.var(ddof=1)), grain**2 / 12))
            found.append(Rival(place, estimate(values, ratio, grain=grain), Spread(deviation, n, ratio, pairs), folds))
    return found


def coverage(scores: Scores) -> str:
    """Planned cells by task and how they ended."""
    by_task: dict[str, Counter[str]] = {}
    for cell in scores.cells:
        by_task.setdefault(cell.task, Counter())[cell.status] += 1
    seen = [status for status in (*STATUSES, MISSING) if any(counted[status] for counted in by_task.values())]
    header = ["Task", "Cells", *(escape(status) for status in seen), "Covered"]
    rows = [
        [escape(task), f"{counted.total():,}"]
        + [f"{counted[status]:,}" for status in seen]
        + [f"{100 * counted['ok'] / counted.total():.0f} %"]
        for task, counted in by_task.items()
    ]
    return folded_table(header, rows) if rows else "No cell was planned."


def _of_task(scores: Scores, ranking: Ranking, firm: Stability | None, *, pictured: bool) -> Section:
    believed, against = beliefs(scores, ranking), rivals(scores, ranking)
    parts: list[str | Figure] = ["\n".join(f"- {said}" for said in _sentences(scores, ranking, firm, against))]
    if pictured and (believed or firm):
        parts.append(_picture(ranking, believed, firm, against))
    if believed:
        parts += [OPTIMISM_TEXT, _optimism_table(ranking, believed)]
    if firm:
        parts += [STABILITY_TEXT, _stability_table(firm)]
    if against:
        parts += [POWER_TEXT, _power_table(against)]
    return Section(TITLE, tuple(parts), ranking.task)


def _sentences(scores: Scores, ranking: Ranking, firm: Stability | None, against: list[Rival]) -> list[str]:
    """What the tables below come to, a sentence each."""
    chosen = selection(scores, ranking)
    said = [_selection_words(ranking, chosen) if chosen else "Nothing was searched, so nothing was believed too much."]
    said.append(_stability_words(firm) if firm else _no_stability(ranking))
    if ranking.no_test_reason:
        return [*said, f"What could have been told apart is not known: {ranking.no_test_reason}."]
    return [*said, *(_power_words(ranking, against) if against else [])]


def _selection_words(ranking: Ranking, chosen: Selection) -> str:
    name, added = escape(ranking.metric.label or ranking.metric.name), chosen.added
    doubt = "" if math.isnan(added.half) or abs(added.mean) > added.half else ", which chance may explain"
    return (
        f"Over {count(chosen.pairs, 'pair')} of family and strategy, searches of {brief(chosen.trials)} trials believed "
        f"{_too_much(chosen.tuned)} of {name} than held on test rows; default configurations, which nothing chose, "
        f"{_too_much(chosen.default)}. Choosing added {plus_minus(added.mean, added.half, signed=True)}{doubt}."
    )


def _too_much(gap: Estimate) -> str:
    """`0.003 ± 0.010 more`: what an inner score was above the one on test rows."""
    return f"{plus_minus(abs(gap.mean), gap.half)} {'more' if gap.mean >= 0 else 'less'}"


def _stability_words(firm: Stability) -> str:
    by_family: dict[str, float] = {}
    for entry, share in zip(firm.entries, firm.shares, strict=True):
        by_family[entry.family] = by_family.get(entry.family, 0.0) + share
    first = firm.entries[0]
    said = (
        f"With other test rows **{escape(first.name)}** stays first in {_percent(firm.shares[0])} of {RESAMPLES} resamples, so the "
        f"winner changes in {_percent(1 - firm.shares[0])}"
    )
    if len(by_family) > 1 and sum(entry.family == first.family for entry in firm.entries) > 1:
        said += f"; some entry of {escape(first.family)} is first in {_percent(by_family[first.family])}"
    limited = f" Only the first {MOST} places were resampled, {firm.left_out:,} were not." if firm.left_out else ""
    return f"{said}.{limited}"


def _power_words(ranking: Ranking, against: list[Rival]) -> list[str]:
    name = escape(ranking.metric.label or ranking.metric.name)
    smallest = [detectable(rival.spread) for rival in against]
    found = (
        f"The smallest difference in {name} from the first entry that this run would have found in {100 * POWER:.0f} % of its "
        f"repetitions is {number(float(np.median(smallest)))} (median over {count(len(against), 'other entry', 'other entries')}; "
        f"from {number(min(smallest))} to {number(max(smallest))})."
    )
    second = against[0]
    lead = "The majority row is second; the next" if _floor_between(ranking, second) else "The second"
    who = f"{lead}, {escape(second.place.entry.name)}, is {number(second.difference.mean)} behind"
    if second.place.tied is False:
        return [found, f"{who} and told apart already."]
    if second.alone is None:
        return [found, f"{who}: if that is all there is, no number of repeats would ever tell the two apart."]
    times = f"{count(second.alone, 'repeat')} of the {count(second.folds, 'fold')}"
    if second.among is None:
        rest = f"{times} could tell the two apart as the only comparison, but none ever among all {second.spread.tests:,} pairs"
    else:
        rest = f"{times} could tell the two apart as the only comparison, {second.among:,} among all {second.spread.tests:,} pairs"
    return [found, f"{who}: if it stays so, {rest}."]


def _floor_between(ranking: Ranking, rival: Rival) -> bool:
    """Whether the majority row stands between the first entry and the next one, its best rival."""
    floor = ranking.baseline
    return floor is not None and floor.rank == 2 and rival.place.rank == 3


def _no_stability(ranking: Ranking) -> str:
    if sum(place.rank is not None for place in ranking.entries) < 2:
        return "There is one entry only, so nobody else can be first."
    return "How often another entry would be first is not known: the stored predictions cannot be read any more."


def _percent(share: float) -> str:
    """A share in whole per cent, never 0 or 100 where it is not that."""
    if 0 < share < 0.005 or 0.995 < share < 1:
        return f"{100 * share:.1f} %"
    return f"{100 * share:.0f} %"


def _optimism_table(ranking: Ranking, believed: list[Belief]) -> str:
    name = ranking.metric.label or ranking.metric.name
    header = ["Entry", "Trials", f"Inner {name}", f"Test {name}", "Believed too much"]
    rows = [
        [
            escape(one.name),
            brief(one.trials),
            number(one.inner),
            number(one.outer),
            plus_minus(one.gap.mean, one.gap.half, signed=True),
        ]
        for one in believed
    ]
    return folded_table([escape(title) for title in header], rows)


def _stability_table(firm: Stability) -> str:
    rows = [[escape(e.name), _percent(share)] for e, share in zip(firm.entries, firm.shares, strict=True)]
    return folded_table(["Entry", "First in"], rows)


def _power_table(against: list[Rival]) -> str:
    header = ["Entry", "Behind the first", "Told apart", "Detectable", "Repeats to settle, alone", "Among all pairs"]
    rows = []
    for one in against:
        apart = {True: "no", False: "yes", None: NONE}[one.place.tied]
        settled = [NONE, NONE] if one.place.tied is False else [_times(one.alone), _times(one.among)]
        behind = plus_minus(one.difference.mean, one.difference.half, signed=True)
        rows.append([escape(one.place.name), behind, apart, number(detectable(one.spread)), *settled])
    return folded_table(header, rows)


def _times(repeats: int | None) -> str:
    return "none ever" if repeats is None else f"{repeats:,}"


def _overview(scores: Scores, rankings: list[Ranking], firm: dict[str, Stability]) -> str:
    """A line per task, and where the second is not the second place."""
    passed_over = []
    header = ["Task", "First", "Stays first in", "Searches believed too much", "Detectable", "Second behind by"]
    header += ["Repeats to settle, alone", "Among all pairs"]
    rows = []
    for ranking in rankings:
        chosen, against, stays = selection(scores, ranking), rivals(scores, ranking), firm.get(ranking.task)
        row = [escape(ranking.task), escape(ranking.best.entry.name) if ranking.best else NONE]
        row.append(_percent(stays.shares[0]) if stays else NONE)
        row.append(plus_minus(chosen.tuned.mean, chosen.tuned.half, signed=True) if chosen else NONE)
        if against:
            second = against[0]
            passed_over += [escape(ranking.task)] if _floor_between(ranking, second) else []
            row += [
                number(float(np.median([detectable(one.spread) for one in against]))),
                number(second.difference.mean),
            ]
            row += ["told apart"] * 2 if second.place.tied is False else [_times(second.alone), _times(second.among)]
        else:
            row += [NONE] * 4
        rows.append(row)
    said = f"The majority row, itself second on {listed(passed_over)}, is passed over there." if passed_over else ""
    return "\n\n".join(part for part in (folded_table(header, rows), said) if part)


def _picture(ranking: Ranking, believed: list[Belief], firm: Stability | None, against: list[Rival]) -> Figure:
    points = tuple(Point(one.entry.stage, one.trials, one.inner, one.outer, one.gap.mean) for one in believed)
    shares = tuple((e.name, share) for e, share in zip(firm.entries, firm.shares, strict=True)) if firm else ()
    second = against[0] if against else None
    tie = Tie(float(second.difference.mean), second.spread) if second and second.spread.deviation else None
    metric, folds = ranking.metric, second.folds if second else 1
    said = (
        "Inner against test scores, who is first when test rows are drawn anew, and what repeats could settle on "
        f"{escape(ranking.task)}"
    )
    draw = partial(honesty_figure, metric.label or metric.name, points, shares, tie, folds)
    return Figure(file_name(ranking.task, KIND), said, draw)
