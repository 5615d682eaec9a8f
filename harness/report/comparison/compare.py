"""`evenhand compare`: two entries, or two runs, in words and tables for a terminal."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.declare.metric import Metric
from harness.errors import EvenhandError
from harness.report.comparison.changed import rows_as_csv
from harness.report.comparison.pair import Side, make_pair
from harness.report.comparison.two_runs import two_runs
from harness.report.comparison.words import in_words
from harness.report.markdown import count
from harness.report.scoring.derived import HALF
from harness.report.scoring.scores import Entry, Scores, collect, entries
from harness.store.store import Store, write_atomic


def compare(
    named: Sequence[str],
    metrics: Mapping[str, Metric],
    *,
    task: str | None = None,
    rows: int = 20,
    out: Path | None = None,
) -> str:
    """What is named, compared: a run and two of its entries, two runs, or two runs and one entry of each.

    `task` keeps to one task of two runs; of the rows that changed sides `rows` are shown and all are written to `out`, a
    CSV. Raises `EvenhandError` where something else is named, or what there is not.
    """
    stores = [Store(Path(one)) for one in named[:2]]
    if len(stores) == 2 and not stores[1].run_file.exists():
        stores = stores[:1]
    runs, wanted = [(store, collect(store, metrics)) for store in stores], named[len(stores) :]
    if len(runs) == 2 and not wanted:
        if out is not None:
            raise EvenhandError("--out takes the rows of two entries: name one after the two runs")
        return _printable(two_runs(runs[0], runs[1], task))
    if not wanted or len(wanted) > 2 or (len(runs) == 1 and len(wanted) < 2):
        raise EvenhandError(
            "name two runs, or a run and two entries like caravan/xgb/smote, or two runs and the entry of each: "
            f"found {count(len(runs), 'run')} and {count(len(wanted), 'entry', 'entries')}"
        )
    both = [
        _side(store, scores, one)
        for (store, scores), one in zip([runs[0], runs[-1]], [wanted[0], wanted[-1]], strict=True)
    ]
    pair = make_pair(both[0], both[1])
    if out is not None:
        write_atomic(out, rows_as_csv(pair).encode())
    return _printable(in_words(pair, rows, out))


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
    if not len(scores.rows_of(task, entry, HALF)):
        raise EvenhandError(f"{named} has no figures to compare ({said})")
    return task, entry


def _side(store: Store, scores: Scores, named: str) -> Side:
    return Side(store, scores, *find_entry(scores, named))


def _printable(text: str) -> str:
    """Text of unknown origin for a terminal: what moves the cursor or colours is shown as a mark."""
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in text)
