"""The sections of a task about its predictions: how well rows are ranked, where to decide, whether probabilities hold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from harness.errors import StoreError
from harness.evaluation.diagnosis import FAMILIES, KEPT, Shown, families, in_detail, look
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD, TUNED_THRESHOLD, MetricCache, read_kept, write_kept
from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import Scores
from harness.report.content import Evidence, Figure, Section
from harness.report.figures.curves import gain_figure, ranks_figure, reliability_figure
from harness.report.figures.thresholds import Counts, Swept, confusion_figure, sweep_figure
from harness.report.figures.writer import file_name
from harness.report.render.markdown import count, escape
from harness.report.sections import diagnostics_text as words

RANKS, DECIDES, HOLDS = "How well it ranks", "Where to decide", "Whether its probabilities hold"
FEW_TASKS = 12  #: of more, each has only its first picture, or the page would be too large
MOST_CLASSES = 12  #: in a picture; tables have them all

PANELS = 4  #: entries whose probabilities are drawn

Part = str | Figure


@dataclass(frozen=True)
class _Seen:
    """What is known of a task: its entries of every family, and those in detail."""

    scores: Scores
    ranking: Ranking
    shown: tuple[Shown, ...]
    detail: tuple[Shown, ...]
    brief: bool  #: there are many tasks

    @property
    def classes(self) -> list[str]:
        return self.scores.classes(self.ranking.task)

    @property
    def binary(self) -> bool:
        return len(self.classes) == 2

    @property
    def confused(self) -> tuple[Shown, ...]:
        """Whose confusion matrices are drawn: of several classes one is large enough."""
        return self.detail if self.binary else self.detail[:1]

    def name(self, kind: str) -> str:
        return file_name(self.ranking.task, kind)


def sections(evidence: Evidence) -> list[Section]:
    """Three sections a task, from the predictions of its best entries; those are read once and what they show is kept."""
    kept, used = read_kept(evidence.store, KEPT), MetricCache()
    found = [section for ranking in evidence.rankings for section in _of_task(evidence, ranking, kept, used)]
    if used != kept:
        write_kept(evidence.store, used, KEPT)
    return found


def _of_task(evidence: Evidence, ranking: Ranking, kept: MetricCache, used: MetricCache) -> list[Section]:
    places = families(ranking)
    if not places:
        nothing = "No tuned entry of this task has predictions, so there are no curves."
        return [Section(RANKS, (nothing,), ranking.task)]
    found, lost = {}, []
    for place in {one.entry: one for one in [*places[:FAMILIES], *in_detail(ranking, places[0])]}.values():
        try:
            found[place.entry], row = look(evidence.store, evidence.scores, ranking, place, kept)
            used.update(row)
        except StoreError as error:
            lost.append(f"{escape(place.entry.name)} is not shown: {escape(str(error))}.")
    shown = tuple(found[place.entry] for place in places[:FAMILIES] if place.entry in found)
    if not shown:
        return [Section(RANKS, tuple(lost), ranking.task)]
    detail = tuple(found[place.entry] for place in in_detail(ranking, shown[0].place) if place.entry in found)
    seen = _Seen(evidence.scores, ranking, shown, detail, brief=len(evidence.rankings) > FEW_TASKS)
    which: list[Part] = [words.which(ranking, places, shown), *lost]
    if seen.brief:
        which.append(f"With as many tasks as here ({len(evidence.rankings)}) only one picture of each is drawn.")
    parts = {RANKS: [*which, *_ranks(seen)], DECIDES: _decides(seen), HOLDS: _holds(seen)}
    return [Section(title, tuple(part for part in some if part), ranking.task) for title, some in parts.items()]


def _ranks(seen: _Seen) -> list[Part]:
    first, lines = seen.shown[0], tuple((one.name, one.diagnosis.ranks) for one in seen.shown if one.diagnosis.ranks)
    said = words.ranks_said(first, seen.classes)
    if not lines:
        return [said]
    who = "the majority row" if seen.ranking.baseline else "rows in no order"
    draw = partial(ranks_figure, lines, who)
    picture = Figure(
        seen.name("ranks"), f"ROC and precision-recall curves of {count(len(lines), 'entry', 'entries')}", draw
    )
    parts: list[Part] = [said, picture, words.how_averaged(seen.scores, seen.ranking, seen.shown)]
    return [*parts, *(_gain(seen) if seen.binary else _against_rest(seen))]


def _gain(seen: _Seen) -> list[Part]:
    lines = tuple((one.name, one.diagnosis.ranks) for one in seen.detail if one.diagnosis.ranks)
    if seen.brief or not lines:
        return []
    said = f"Gain and lift of {' and '.join(name for name, _ in lines)}"
    return [Figure(seen.name("lift"), said, partial(gain_figure, lines))]


def _against_rest(seen: _Seen) -> list[Part]:
    first, classes = seen.shown[0], seen.classes
    few = tuple(words.hardest(first.diagnosis, classes, MOST_CLASSES))
    said = f"{escape(first.name)}, each class against the rest, the hardest first:"
    parts: list[Part] = [said, words.classes_table(first.diagnosis, classes)]
    if seen.brief or not few:
        return parts
    shown = f"The {len(few)} hardest classes" if len(few) < len(classes) else "Each class"
    draw = partial(ranks_figure, few, "rows in no order")
    return [*parts, Figure(seen.name("classes"), f"{shown} against the rest: ROC and precision-recall curves", draw)]


def _decides(seen: _Seen) -> list[Part]:
    parts: list[Part] = [words.decisions_said(seen.scores, seen.ranking, one) for one in seen.detail]
    parts += [words.costs_said(seen.scores, seen.ranking, one) for one in seen.detail[:1]]
    swept = _swept(seen)
    if swept and not seen.brief:
        said = f"Scores by class, and precision, recall and F1 at every threshold, of {' and '.join(o.name for o in swept)}"
        draw = partial(sweep_figure, swept, (seen.classes[0], seen.classes[1]), log_odds=_heavy(seen))
        axis = words.axis_said(seen.classes, log_odds=_heavy(seen))
        parts += [Figure(seen.name("thresholds"), said, draw), axis]
    if len(seen.classes) <= MOST_CLASSES and not seen.brief:
        said = f"Confusion matrices of {' and '.join(one.name for one in seen.confused)}"
        draw = partial(confusion_figure, _matrices(seen), tuple(seen.classes))
        parts.append(Figure(seen.name("confusion"), said, draw))
    parts.append(words.counted(seen.detail[0]))
    parts.append(words.class_table(seen.scores, seen.ranking, seen.detail, MOST_CLASSES))
    if not seen.binary:
        confusion = seen.scores.pooled(seen.ranking.task, seen.detail[0].place.entry, DEFAULT_THRESHOLD)
        parts += words.confused(seen.detail[0], confusion, seen.classes)
    return parts


def _heavy(seen: _Seen) -> bool:
    """Whether scores are shown on log-odds: one axis for all entries of the picture."""
    return any(one.diagnosis.heavy for one in seen.detail)


def _swept(seen: _Seen) -> tuple[Swept, ...]:
    found = [(one, one.diagnosis) for one in seen.detail]
    if _heavy(seen):
        along = [(one, it.log_odds, it.sweep_log_odds) for one, it in found]
    else:
        along = [(one, it.scores, it.sweep) for one, it in found]
    return tuple(Swept(one.name, scores, sweep, one.tuned) for one, scores, sweep in along if sweep)


def _matrices(seen: _Seen) -> tuple[tuple[str, Counts], ...]:
    """A title and the counts of all splits, for each entry in detail at both thresholds; of several classes the first."""
    found = []
    for one in seen.confused:
        for kind in seen.scores.kinds(seen.ranking.task):
            if len(seen.scores.rows_of(seen.ranking.task, one.place.entry, kind)):
                counts = seen.scores.pooled(seen.ranking.task, one.place.entry, kind).tolist()
                found.append((f"{one.name}{_at(one, kind) if seen.binary else ''}", tuple(map(tuple, counts))))
    return tuple(found)


def _at(shown: Shown, kind: str) -> str:
    return (
        f"\ntuned threshold, mean {sum(shown.tuned) / len(shown.tuned):.3g}" if kind == TUNED_THRESHOLD else "\nat 0.5"
    )


def _holds(seen: _Seen) -> list[Part]:
    parts: list[Part] = [words.probabilities_said(one, seen.classes) for one in seen.detail]
    if seen.brief:
        return parts
    found = [(one.name, one.diagnosis) for one in seen.shown[:PANELS]]
    entries = tuple((name, it.bins, it.log_odds if it.heavy else it.scores, it.heavy) for name, it in found)
    axis, groups = "score of the called class", ("called wrongly", "called rightly")
    if seen.binary:
        axis, groups = f"score for {seen.classes[1]}", (f"truly {seen.classes[0]}", f"truly {seen.classes[1]}")
    draw = partial(reliability_figure, entries, axis, groups)
    said = f"Reliability of the probabilities of {count(len(entries), 'entry', 'entries')}"
    return [*parts, Figure(seen.name("reliability"), said, draw), words.bins_said(seen.shown[:PANELS])]
