"""The notes on the studies of a run that the Optuna dashboard displays: what Optuna does not know, as Markdown."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.findings import count_causes, trial_reason
from harness.report.content import CellValue, Part, ReportColumn, ReportTable
from harness.report.render.cells import format_number
from harness.report.render.markdown import escape, format_count, render_markdown_part

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

#: Columns that the leaderboard must have for its scores to be displayed.
COLUMNS = {"task", "family", "strategy", "stage", "calibration", "objective", "score"}
COMPLETE_STATE = 1  #: the state of a trial with a score, a value of Optuna's `TrialState`
EntryKey: TypeAlias = tuple[str, str, str, str]  #: task, family, strategy, stage


@dataclass(frozen=True)
class SplitTrials:
    """The finished trials of one outer split of a family and a strategy, in order."""

    split: str
    trials: tuple[FrozenTrial, ...]
    minimizes: bool = False

    @property
    def best(self) -> FrozenTrial | None:
        """The trial with the best inner score; None where none has a score."""
        scored_trials = [trial for trial in self.trials if trial.state == COMPLETE_STATE and trial.value is not None]
        scored_trials.sort(key=attrgetter("value"), reverse=not self.minimizes)  # of equal ones, the first stays first
        return scored_trials[0] if scored_trials else None


def describe_study(
    splits: Sequence[SplitTrials],
    cell: Mapping[str, Any],
    task: Mapping[str, Any],
    test_scores: Mapping[EntryKey, str],
    report: str,
) -> str:
    """Describe a study as Markdown: its data, what was chosen in every split, the name of the report.

    Parameters
    ----------
    splits : sequence of SplitTrials
        The trials of the study, by outer split.
    cell, task : mapping
        A cell of the study, and its task as described in `run.json`.
    test_scores : mapping
        Scores on test rows, from `read_test_scores`.
    report : str
        Name of the report's file in the folder of the run; empty where there is none.

    Returns
    -------
    str
        Markdown.
    """
    counts = zip(task["classes"], task["counts"], strict=True)
    classes = ", ".join(f"{count:,} {name}" for name, count in counts)
    features = task.get("features") or format_count(task["columns"], "column")
    study_facts = [
        ("Task", f"{cell['task']}: {task['title']}"),
        ("Data", f"{task['rows']:,} rows of {features}: {classes}"),
        ("Family", cell["family"]),
        ("Strategy", cell["strategy"]),
        ("Outer splits", _describe_splits(splits, int(task.get("splits", len(splits))))),
        ("Score here", f"{task['objective']}, the mean of the inner folds of a split: no test row took part"),
    ]
    if best_score := mean_best_score(splits):
        study_facts.append(("Best inner score", best_score))
    for entry_stage in ("default", "tuned"):
        score = test_scores.get((cell["task"], cell["family"], cell["strategy"], entry_stage))
        if score:
            study_facts.append((f"Test rows, {entry_stage}", score))
    fact_table = ReportTable((ReportColumn("Study"), ReportColumn("")), tuple(study_facts))
    note_parts: list[Part] = [fact_table]
    if len(splits) == 1:
        note_parts += ["### Configurations", *_describe_configurations(splits[0])]
    else:
        note_parts += ["### Chosen in each split", *_describe_chosen(splits)]
    if report:
        note_parts.append(f"The report on the whole run is `{report}` in its folder.")
    return "\n\n".join(map(render_markdown_part, note_parts))


def make_study_title(name: str, splits: Sequence[SplitTrials], planned_splits: int) -> str:
    """Make the title of a study of the dashboard.

    Parameters
    ----------
    name : str
        Name of the study.
    splits : sequence of SplitTrials
        The outer splits that are there.
    planned_splits : int
        How many there will be.

    Returns
    -------
    str
        The name, the mean of the best inner scores, and how many splits have one, unless all do.
    """
    best_scores = _list_best_scores(splits)
    if not best_scores:
        return f"{name}: no score yet"
    title = f"{name}: best {fmean(best_scores):.4f}"
    if len(best_scores) < planned_splits:
        title += f" ({len(best_scores)} of {planned_splits} splits)"
    return title


def mean_best_score(splits: Sequence[SplitTrials]) -> str:
    """The best inner score of a split, or the mean of those of several and their range; empty where there is none."""
    best_scores = _list_best_scores(splits)
    if not best_scores:
        return ""
    mean = fmean(best_scores)
    if len(best_scores) == 1:
        return f"{mean:.4f}"
    return f"{mean:.4f}, the mean of the best of {len(best_scores)} splits ({min(best_scores):.4f} to {max(best_scores):.4f})"


def _list_best_scores(splits: Sequence[SplitTrials]) -> list[float]:
    best_scores = []
    for split in splits:
        if split.best is not None and split.best.value is not None:
            best_scores.append(split.best.value)
    return best_scores


def _describe_splits(splits: Sequence[SplitTrials], planned_trials: int) -> str:
    if len(splits) == 1:
        repeat, fold = splits[0].split.removeprefix("r").split("f")
        return f"repeat {repeat}, fold {fold}, counted from 0"
    trials = sum(len(split.trials) for split in splits)
    return (
        f"{len(splits)} of {planned_trials}, with {format_count(trials, 'trial')} (user attribute split of each trial)"
    )


def _describe_chosen(splits: Sequence[SplitTrials]) -> list[Part]:
    """Show what was chosen in each split, and how many trials failed."""
    columns = (
        ReportColumn("Split"),
        ReportColumn("Trials", "number", digits=0),
        ReportColumn("Default", digits=4),
        ReportColumn("Best", digits=4),
        ReportColumn("Parameters of the best trial"),
    )
    rows: list[tuple[CellValue, ...]] = []
    for split in splits:
        best_trial = split.best
        if best_trial is None:
            rows.append((split.split, len(split.trials), None, None, "no trial has a score yet"))
            continue
        setting_texts = []
        for name, parameter_setting in best_trial.params.items():
            setting_texts.append(f"{name} = {_format_parameter_setting(parameter_setting)}")
        default = split.trials[0].value
        rows.append(
            (split.split, len(split.trials), default, best_trial.value, ", ".join(setting_texts) or "none to choose")
        )
    note_parts: list[Part] = [ReportTable(columns, tuple(rows), foldable=False)]
    failed_trials = []
    for split in splits:
        failed_trials += [trial for trial in split.trials if trial.value is None]
    if failed_trials:
        note_parts.append(_describe_failed_trials(failed_trials))
    return note_parts


def _describe_configurations(split: SplitTrials) -> list[Part]:
    """Show the best and the default configuration side by side, and how many trials failed."""
    trials, best_trial = split.trials, split.best
    failed_text = _describe_failed_trials([trial for trial in trials if trial.value is None])
    if best_trial is None:
        return [f"No trial has a score yet. {failed_text}".rstrip()]
    described_trials = {"Best": best_trial}
    if trials[0].value is not None:
        described_trials["Default"] = trials[0]
    columns, scores = [ReportColumn("")], []
    names: dict[str, None] = {}
    for title, trial in described_trials.items():
        columns.append(ReportColumn(f"{title} (trial {trial.number})", digits=4))
        scores.append(trial.value)
        names |= dict.fromkeys(trial.params)
    rows: list[tuple[CellValue, ...]] = [("inner score", *scores)]
    for name in names:
        rows.append((name, *(_format_parameter_setting(trial.params.get(name)) for trial in described_trials.values())))
    note_parts: list[Part] = [ReportTable(tuple(columns), tuple(rows), foldable=False)]
    if failed_text:
        note_parts.append(failed_text)
    return note_parts


def _describe_failed_trials(failed_trials: Sequence[FrozenTrial]) -> str:
    """State how many trials failed, and the most frequent reason."""
    if not failed_trials:
        return ""
    reasons = count_causes(Counter(trial_reason(trial.user_attrs) for trial in failed_trials))
    reason, count = reasons.most_common(1)[0]
    count_text = f", {count} of them" if len(reasons) > 1 else ""
    return f"{format_count(len(failed_trials), 'trial')} failed{count_text}: {escape(reason.message) or 'no reason noted'}."


def _format_parameter_setting(parameter_setting: Any) -> str | None:
    if parameter_setting is None:
        return None
    return f"{parameter_setting:.4g}" if isinstance(parameter_setting, float) else str(parameter_setting)


def read_test_scores(path: Path) -> dict[EntryKey, str]:
    """Read the scores of entries on test rows, over all splits, from `leaderboard.csv`.

    Decision metrics are those at 0.5, as in the inner scores beside them; recalibrated entries are left out.

    Parameters
    ----------
    path : Path
        The file; it need not exist.

    Returns
    -------
    dict
        Entry → the score of the objective as text; empty where the file has another form.
    """
    scores: dict[EntryKey, str] = {}
    if not path.exists():
        return scores
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if not COLUMNS.issubset(rows.fieldnames or ()):
            return scores
        for row in rows:
            if row["calibration"] != "none" or not row["score"]:
                continue
            score = f"{row['objective']} {format_number(float(row['score']))}"
            score_deviation = row.get("score_sd")
            if score_deviation:
                score += f" ± {format_number(float(score_deviation))}"
            key = row["task"], row["family"], row["strategy"], row["stage"]
            scores[key] = f"{score} (mean ± standard deviation, all splits)"
    return scores
