"""Find an entry of a run by the name that a user typed."""

from __future__ import annotations

import difflib

from harness.errors import EvenhandError
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD
from harness.evaluation.scores import Entry, Scores, entry_statuses


def find_entry(scores: Scores, name: str) -> tuple[str, Entry]:
    """Find an entry by its name.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    name : str
        ``task/family/strategy[/stage[/calibration]]``. Without a stage it is the tuned entry; the task may be left out if
        there is only one.

    Returns
    -------
    str, Entry
        The task and the entry.

    Raises
    ------
    EvenhandError
        If there is no such entry, or if it has no scores.
    """
    known: dict[str, tuple[str, Entry, str]] = {}
    for task in scores.run["tasks"]:
        for entry, status in _all_statuses(scores, task).items():
            names = [entry.name]
            if entry.stage == "tuned":
                names.append(entry.name.removesuffix("/tuned"))
            for entry_name in names:
                known[f"{task}/{entry_name}"] = task, entry, status
                if len(scores.run["tasks"]) == 1:
                    known[entry_name] = task, entry, status
    if name not in known:
        suggestions = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"entries are like {next(iter(known), 'task/family/strategy')!r}"
        if suggestions:
            hint = f"did you mean {suggestions[0]!r}?"
        raise EvenhandError(f"no such entry {name!r} in this run: {hint}")
    task, entry, status = known[name]
    if not len(scores.rows_of(task, entry, DEFAULT_THRESHOLD)):
        raise EvenhandError(f"{name} has no scores to compare ({status})")
    return task, entry


def _all_statuses(scores: Scores, task: str) -> dict[Entry, str]:
    """The entries of a task, recalibrated ones too, with their status."""
    statuses = entry_statuses(scores, task)
    scored = (entry for entry_task, entry, _ in scores.by_entry if entry_task == task and entry not in statuses)
    return statuses | dict.fromkeys(scored, "ok")
