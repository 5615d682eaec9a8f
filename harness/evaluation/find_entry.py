"""Find an entry of a run by the name that a user typed."""

from __future__ import annotations

import difflib

from harness.errors import EvenhandError
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD
from harness.evaluation.scores import Entry, Scores, entries


def find_entry(scores: Scores, named: str) -> tuple[str, Entry]:
    """The entry of this name: task/family/strategy[/stage[/calibration]], tuned if no stage is said, the task if there are several.

    Raises `EvenhandError` where there is none, or where it has no figures.
    """
    tasks, known = list(scores.run["tasks"]), {}
    for task in tasks:
        status = entries(scores, task)
        status |= {entry: "ok" for of, entry, _ in scores.by_entry if of == task and entry not in status}
        for entry, said in status.items():
            names = [entry.name] + ([entry.name.removesuffix("/tuned")] if entry.stage == "tuned" else [])
            for name in names:
                known[f"{task}/{name}"] = task, entry, said
                if len(tasks) == 1:
                    known[name] = task, entry, said
    if named not in known:
        close = difflib.get_close_matches(named, known, n=1, cutoff=0.5)
        mend = (
            f"did you mean {close[0]!r}?"
            if close
            else f"entries are like {next(iter(known), 'task/family/strategy')!r}"
        )
        raise EvenhandError(f"no such entry {named!r} in this run: {mend}")
    task, entry, said = known[named]
    if not len(scores.rows_of(task, entry, DEFAULT_THRESHOLD)):
        raise EvenhandError(f"{named} has no figures to compare ({said})")
    return task, entry
