"""Writes the tables of a run, and says in short what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.declare.metric import Metric
from harness.report.appendix import protocol, what_failed
from harness.report.complexity import complexity_table
from harness.report.curves import Training, collect_training, training_section
from harness.report.documented import method_table, model_table, network_tables
from harness.report.gallery import LAYERS, PARETO, TRAINING, Gallery, draw_all, layers_of, networks_of
from harness.report.layers import architecture_text
from harness.report.leaderboard import csv_text, leaderboard
from harness.report.markdown import IN_SIGHT, count, details, escape
from harness.report.noticed import about_rows, beware, shares
from harness.report.overall import overall
from harness.report.ranking import Ranking, rank
from harness.report.reading import how_to_read
from harness.report.scores import MISSING, Scores, collect
from harness.report.strategies import differences, strategy_table, strategy_verdict
from harness.report.suitability import suitability
from harness.report.summary import summary
from harness.report.task_section import confusion_table, effort_table, quality_table
from harness.report.verdict import headline, repeated, verdict
from harness.store.store import Store, write_atomic

SUMMARY_TEXT = (
    "Tuned parameters, threshold 0.5. The counts of all outer splits are added up (a row counts once per repeat), so within "
    "a row of a table accuracy, recalls and class shares agree exactly; the ROC AUC is the mean over splits. An accuracy "
    "means little until it is compared with that of `majority`. A dash: nothing was called so."
)
SEVERAL_TEXT = (
    "Several classes: the most probable one is taken, there is no threshold. The ROC AUC is the mean of one class against the "
    "rest; *macro* is the unweighted mean over the classes, where a class that nothing was called counts with precision 0."
)
STRATEGY_TEXT = (
    "Paired differences to `none` of the same family, tuned parameters, over the same splits, with 95 % intervals; Δ above "
    "zero is more than `none` (for Brier and cost less is better). *both at 0.5* and *both tuned* compare decisions at the "
    "same kind of threshold. *better threshold* gives the strategy whichever of its two thresholds served it better on the "
    "test rows (its p value counts twice for that), and `none` its tuned one: the question is whether a strategy does "
    "anything that moving the threshold does not. The reading takes only what is significant after Holm's adjustment over "
    "the whole table: *helps* or *hurts* in ranking or at its better threshold, *only moves the threshold* where decisions at "
    "0.5 differ but neither was shown, *cannot be told* where nothing was."
)


@dataclass(frozen=True)
class ReportFiles:
    """Where the tables were written, and the short summary that a terminal shows."""

    markdown: Path
    csv: Path
    summary: str


@dataclass(frozen=True)
class Inspected:
    """What stands beside the scores: how networks were trained, and which pictures there are."""

    training: Training
    gallery: Gallery


def write_report(store: Store, metrics: Mapping[str, Metric]) -> ReportFiles:
    """Write `leaderboard.md`, `leaderboard.csv` and `figures/` from what is stored; the same records give the same bytes.

    Raises `StoreError` where the folder is no run, cannot be read or not be written.
    """
    scores = collect(store, metrics)
    rankings = [rank(scores, task) for task in scores.run["tasks"]]
    files = ReportFiles(store.folder / "leaderboard.md", store.folder / "leaderboard.csv", summary(scores, rankings))
    write_atomic(files.csv, csv_text(leaderboard(scores, rankings)).encode())
    training = collect_training(store, scores)
    inspected = Inspected(training, draw_all(store, scores, rankings, training))
    write_atomic(files.markdown, leaderboard_markdown(scores, rankings, inspected).encode())
    return files


def leaderboard_markdown(scores: Scores, rankings: list[Ranking], inspected: Inspected) -> str:
    """The whole `leaderboard.md`: verdict, tasks, documented summary, strategies, all tasks, failures, protocol."""
    parts = [f"# Leaderboard of {escape(scores.run['name'])}"]
    first = [_verdict(scores, ranking) for ranking in rankings]
    parts.append("\n".join([*first[:IN_SIGHT], *_gaps(scores)]))
    parts += [details(f"{len(first) - IN_SIGHT} more tasks", "\n".join(first[IN_SIGHT:]))] if first[IN_SIGHT:] else []
    parts += [how_to_read(scores), inspected.gallery.hint]
    for ranking in rankings:
        parts += _task(scores, ranking)
        parts += _inspection(scores, ranking, inspected) if ranking.best else []
    parts += ["## The results summary, as it is usually written", SUMMARY_TEXT]
    evaluated = [ranking for ranking in rankings if any(place.score.n for place in ranking.places)]
    parts += [part for ranking in evaluated for part in _documented(scores, ranking.task)] or ["Nothing was evaluated."]
    parts += ["## Does the strategy help?", STRATEGY_TEXT]
    for ranking in rankings:
        table_of = strategy_table(scores, ranking.task) if differences(scores, ranking.task) else "Nothing to compare."
        parts += [f"### {escape(ranking.task)}", strategy_verdict(scores, ranking.task), table_of]
        parts += [f"No reading: {ranking.silent}."] if ranking.silent and ranking.best else []
    parts += ["## Over all tasks", overall(rankings)]
    parts += ["### Which family suits which data", suited] if (suited := suitability(scores, rankings)) else []
    parts += ["## What failed, was skipped or does not apply", what_failed(scores)]
    parts += ["## Protocol, data, versions", protocol(scores)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _verdict(scores: Scores, ranking: Ranking) -> str:
    """The line of a task at the top: who is first, whether strategies help, what to beware of."""
    said = (headline(ranking), strategy_verdict(scores, ranking.task), beware(scores.run["tasks"][ranking.task]))
    return f"- On **{escape(ranking.task)}**, {' '.join(part for part in said if part)}"


def _gaps(scores: Scores) -> list[str]:
    """A line about what is not there, so that nobody takes the tables for more than they are."""
    lost = sum(cell.status not in ("ok", MISSING) for cell in scores.cells)
    ahead = sum(cell.status == MISSING for cell in scores.cells)
    said = [f"{lost:,} ended without predictions"] if lost else []
    said += (
        [f"{ahead:,} {'has' if ahead == 1 else 'have'} not been run yet, so these tables are not final"]
        if ahead
        else []
    )
    return (
        [f"- Of {count(len(scores.cells), 'planned cell')}, {' and '.join(said)}: see *What failed*."] if said else []
    )


def _task(scores: Scores, ranking: Ranking) -> list[str]:
    about = scores.run["tasks"][ranking.task]
    parts = [
        f"## {escape(ranking.task)}",
        f"Data: {escape(about['title'])}. {about['rows']:,} rows: {shares(about, percent=True)}. {about_rows(about)}".rstrip(),
        f"{verdict(ranking)} {beware(about)}".rstrip(),
    ]
    if about["objective"] != ranking.metric.name:
        parts.append(
            f"The search was after {escape(about['objective'])}, which no metric of this installation is named."
        )
    if ranking.best is None:
        return parts
    repeats = scores.run["protocol"].get("repeats", 1)
    often = f", each row {repeats} times" if repeats > 1 else ""
    return [
        *parts,
        quality_table(scores, ranking),
        repeated(ranking),
        "Probabilities, over-fitting and effort, in the same order:",
        effort_table(scores, ranking),
        f"What was called what, and the report per class, added up over the splits{often}:",
        confusion_table(scores, ranking),
    ]


def _inspection(scores: Scores, ranking: Ranking, inspected: Inspected) -> list[str]:
    """What the entries of a task are made of and cost, and how its networks were trained."""
    gallery, task = inspected.gallery, ranking.task
    parts = []
    if weighed := complexity_table(ranking):
        said = "Score against time to fit and against size, with the entries that nothing beats"
        parts += ["### Complexity against quality", weighed, gallery.show(said, task, PARETO)]
    if trained := training_section(scores, ranking, inspected.training):
        parts += ["### Training of networks", *trained]
        for family in networks_of(ranking, inspected.training):
            parts.append(gallery.show(f"Loss of {escape(family)} by epoch", task, TRAINING, family))
    for family, chosen in layers_of(scores, ranking).items():
        parts += [gallery.show(f"Layers of {escape(family)}", task, LAYERS, family), architecture_text(chosen)]
    return parts


def _documented(scores: Scores, task: str) -> list[str]:
    networks = network_tables(scores, task)
    parts = [f"### {escape(task)}", SEVERAL_TEXT if len(scores.classes(task)) > 2 else ""]
    parts += ["Models, before imbalance is handled:", model_table(scores, task)]
    for title, body in networks:
        parts += [f"Network before imbalance is handled, {title}", body]
    if not networks:
        parts.append("No network took part.")
    return [*parts, "Methods:", method_table(scores, task)]
