"""`evenhand compare`: two entries, or two runs, in words and tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import EvenhandError
from harness.evaluation.changed_predictions import changed
from harness.evaluation.find_entry import find_entry
from harness.evaluation.paired_comparison import Pair, Side, make_pair
from harness.evaluation.scores import Scores, collect
from harness.metrics.metric import Metric
from harness.report.render.markdown import format_count
from harness.report.render.tables import format_csv
from harness.report.sections.comparison import pair_comparison_text
from harness.report.sections.run_comparison import run_comparison_text
from harness.store.files import write_atomic
from harness.store.store import Store

COLUMNS = (
    "task", "a", "b", "threshold_kind", "repeat", "fold", "row", "truth", "decision_a", "decision_b", "probability_a", "probability_b",
)  # fmt: skip


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
        return _printable(run_comparison_text(runs[0], runs[1], task))
    if not wanted or len(wanted) > 2 or (len(runs) == 1 and len(wanted) < 2):
        raise EvenhandError(
            "name two runs, or a run and two entries like caravan/xgb/smote, or two runs and the entry of each: "
            f"found {format_count(len(runs), 'run')} and {format_count(len(wanted), 'entry', 'entries')}"
        )
    both = [
        _side(store, scores, one)
        for (store, scores), one in zip([runs[0], runs[-1]], [wanted[0], wanted[-1]], strict=True)
    ]
    pair = make_pair(both[0], both[1])
    if out is not None:
        write_atomic(out, rows_as_csv(pair).encode())
    return _printable(pair_comparison_text(pair, rows, out))


def rows_as_csv(pair: Pair) -> str:
    """Every row whose prediction differs, for each threshold kind, in the order of splits and rows."""
    classes = pair.a.scores.classes(pair.a.task)
    names = [pair.a.task, pair.a.entry.name, pair.b.entry.name]
    lines: list[Sequence[str]] = [COLUMNS]
    for kind in pair.kinds:
        for row in sorted(changed(pair, kind), key=lambda row: (row.split, row.row)):
            labels = [classes[label] for label in (row.truth, row.a, row.b)]
            probabilities = [f"{row.proba_a:.6g}", f"{row.proba_b:.6g}"]
            lines.append([*names, kind, *map(str, row.split), str(row.row), *labels, *probabilities])
    return format_csv(lines)


def _side(store: Store, scores: Scores, named: str) -> Side:
    return Side(store, scores, *find_entry(scores, named))


def _printable(text: str) -> str:
    """Text of unknown origin for a terminal: what moves the cursor or colours is shown as a mark."""
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in text)
