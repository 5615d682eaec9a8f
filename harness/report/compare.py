"""`evenhand compare`: two entries or two runs, in words and tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import EvenhandError
from harness.evaluation.changed_predictions import changed_rows
from harness.evaluation.paired_comparison import ComparedEntry, EntryPair, make_pair
from harness.evaluation.score_collection import collect_scores
from harness.evaluation.scores import find_entry
from harness.metrics.metric import Metric
from harness.report.render.markdown import format_count
from harness.report.render.tables import format_csv
from harness.report.sections.comparison import pair_comparison_text
from harness.report.sections.run_comparison import run_comparison_text
from harness.store.files import write_atomic
from harness.store.store import Store

CHANGED_ROW_COLUMNS = (
    "task", "a", "b", "threshold_kind", "repeat", "fold", "row", "truth", "decision_a", "decision_b", "probability_a", "probability_b",
)  # fmt: skip


def compare(
    arguments: Sequence[str],
    metrics: Mapping[str, Metric],
    *,
    task: str | None = None,
    rows: int = 20,
    out: Path | None = None,
) -> str:
    """Compare a run's two entries, two runs, or an entry of one run with an entry of another.

    Parameters
    ----------
    arguments : sequence of str
        A run and two of its entries, two runs, or two runs and one entry of each.
    metrics : mapping of str to Metric
        The metrics by their names.
    task : str, optional
        The only task of two runs that is compared; all tasks by default.
    rows : int, default=20
        How many of the rows whose prediction changed are shown.
    out : Path, optional
        Where all rows whose prediction changed are written as CSV.

    Returns
    -------
    str
        The comparison, for a terminal.

    Raises
    ------
    EvenhandError
        If the arguments are other ones, or a run or an entry does not exist.
    """
    stores = [Store(Path(argument)) for argument in arguments[:2]]
    if len(stores) == 2 and not stores[1].run_file.exists():
        stores = stores[:1]
    entries = arguments[len(stores) :]
    runs = [(store, collect_scores(store, metrics)) for store in stores]
    if len(runs) == 2 and not entries:
        if out is not None:
            raise EvenhandError("--out takes the rows of two entries: name one after the two runs")
        return _replace_unprintable(run_comparison_text(runs[0], runs[1], task))
    if len(entries) not in (1, 2) or len(runs) + len(entries) < 3:
        raise EvenhandError(
            "name two runs, or a run and two entries like caravan/xgb/smote, or two runs and the entry of each: "
            f"found {format_count(len(runs), 'run')} and {format_count(len(entries), 'entry', 'entries')}"
        )
    compared = []
    for (store, scores), entry in zip((runs[0], runs[-1]), (entries[0], entries[-1]), strict=True):
        compared.append(ComparedEntry(store, scores, *find_entry(scores, entry)))
    pair = make_pair(*compared)
    if out is not None:
        write_atomic(out, changed_rows_csv(pair).encode())
    return _replace_unprintable(pair_comparison_text(pair, rows, out))


def changed_rows_csv(pair: EntryPair) -> str:
    """Format every row whose prediction differs as CSV, by threshold kind, in the order of splits and rows."""
    classes = pair.a.scores.classes(pair.a.task)
    names = [pair.a.task, pair.a.entry.name, pair.b.entry.name]
    lines: list[Sequence[str]] = [CHANGED_ROW_COLUMNS]
    for kind in pair.threshold_kinds:
        for row in sorted(changed_rows(pair, kind), key=lambda row: (row.split, row.row)):
            labels = [classes[label] for label in (row.label, row.predicted_a, row.predicted_b)]
            probabilities = [f"{row.proba_a:.6g}", f"{row.proba_b:.6g}"]
            lines.append([*names, kind, *map(str, row.split), str(row.row), *labels, *probabilities])
    return format_csv(lines)


def _replace_unprintable(text: str) -> str:
    """Text of unknown origin for a terminal, without the characters that move the cursor or set colours."""
    return "".join(character if character.isprintable() or character == "\n" else "�" for character in text)
