"""Fit a stored cell again in a child process, and describe how the outcome differs from what is stored."""

from __future__ import annotations

from dataclasses import asdict

from harness.execution.replay import CellReplay, ReplayRequest
from harness.execution.replay_entry import EntryReplay
from harness.processes import run_in_subprocess
from harness.report.render.markdown import MISSING, format_count, format_table

VERDICTS = {
    "same": "confirmed: equal to the last digit",
    "close": "confirmed within the tolerance",
    "different": "NOT confirmed",
}


def replay_cell(request: ReplayRequest) -> CellReplay:
    """Fit a cell again as a worker does, with one thread; raises `EvenhandError` where that is not possible."""
    response = run_in_subprocess("harness.execution.replay", asdict(request), f"fitted {request.cell} again")
    return CellReplay.from_dict(response)


def describe_replay(replayed: CellReplay) -> str:
    """Describe what has changed since the record was made, and the stored and the new scores of every entry."""
    lines = [f"{replayed.name} ({replayed.cell})", ""]
    lines += [f"differs: {difference}" for difference in replayed.differences]
    if replayed.obstacle:
        lines.append(f"NOT confirmed: {replayed.obstacle}")
        return "\n".join(lines)
    lines.append(f"tolerance {replayed.tolerance:g}: {replayed.reason}")
    stages: dict[int, str] = {}  # trial → the stage under which it was described
    for entry in replayed.entries:
        lines.append("")
        if entry.trial in stages:
            lines.append(f"{entry.stage}: the same configuration as {stages[entry.trial]}")
        else:
            stages[entry.trial] = entry.stage
            lines.append(_describe_entry(entry))
    return "\n".join(lines)


def _describe_entry(entry: EntryReplay) -> str:
    title = f"{entry.stage} (trial {entry.trial})"
    if entry.reason:
        return f"{title}: {VERDICTS['different']}: it cannot be fitted again: {entry.reason}"
    rows = []
    for part, (mean, largest) in entry.probability_differences.items():
        rows.append([f"probabilities, {part} rows", "", "", f"mean {mean:.3g}, largest {largest:.3g}"])
    for name, stored, refitted in entry.metric_values:
        if stored is not None or refitted is not None:
            rows.append([name, _format_score(stored), _format_score(refitted), _format_difference(stored, refitted)])
    table = format_table(["", "stored", "again", "difference"], rows, pipes=False)
    counts = [
        f"{format_count(count, 'row')} {threshold}".rstrip() for threshold, count in entry.changed_decisions.items()
    ]
    decisions = f"decided otherwise, of {entry.rows:,} test rows: {', '.join(counts)}"
    return f"{title}: {VERDICTS[entry.verdict]}\n\n{table}\n\n{decisions}"


def _format_difference(stored: float | None, refitted: float | None) -> str:
    if stored == refitted:
        return "0"
    if stored is None or refitted is None:
        return MISSING
    return f"{refitted - stored:+.3g}"


def _format_score(score: float | None) -> str:
    return MISSING if score is None else f"{score:.6g}"
