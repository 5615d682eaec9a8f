"""A stored cell fitted again, in a process of its own; what came of it in words."""

from __future__ import annotations

from dataclasses import asdict

from harness.processes import run_in_subprocess
from harness.execution.replay import CellReplay, ReplayRequest
from harness.execution.replay_entry import EntryReplay
from harness.report.render.markdown import count, table

WORDS = {
    "same": "confirmed: equal to the last digit",
    "close": "confirmed within the tolerance",
    "different": "NOT confirmed",
}


def replay(asked: ReplayRequest) -> CellReplay:
    """Fit again as a worker would, with one thread; raises `EvenhandError` where that is not possible."""
    answer = run_in_subprocess("harness.execution.replay", asdict(asked), f"fitted {asked.cell} again")
    return CellReplay.from_dict(answer)


def in_words(replayed: CellReplay) -> str:
    """What differs from when the record was made, and then and now of every entry."""
    lines = [f"{replayed.name} ({replayed.cell})", ""]
    lines += [f"differs: {one}" for one in replayed.differs]
    if replayed.against:
        return "\n".join([*lines, f"NOT confirmed: {replayed.against}"])
    lines.append(f"tolerance {replayed.tolerance:g}: {replayed.why}")
    shown: dict[int, str] = {}
    for again in replayed.entries:
        if again.trial in shown:
            lines += ["", f"{again.stage}: the same configuration as {shown[again.trial]}"]
            continue
        shown[again.trial] = again.stage
        lines += ["", _entry(again)]
    return "\n".join(lines)


def _entry(again: EntryReplay) -> str:
    title = f"{again.stage} (trial {again.trial})"
    if again.reason:
        return f"{title}: {WORDS['different']}: it cannot be fitted again: {again.reason}"
    rows = [
        [f"probabilities, {where} rows", "", "", f"mean {mean:.3g}, largest {largest:.3g}"]
        for where, (mean, largest) in again.gaps.items()
    ]
    rows += [
        [name, _digits(before), _digits(now), "0" if before == now else _difference(before, now)]
        for name, before, now in again.figures
        if before is not None or now is not None
    ]
    decided = [f"{count(n, 'row')} {where}".rstrip() for where, n in again.moved.items()]
    moved = f"decided otherwise, of {again.rows:,} test rows: {', '.join(decided)}"
    shown = table(["", "stored", "again", "difference"], rows, pipes=False)
    return f"{title}: {WORDS[again.verdict]}\n\n{shown}\n\n{moved}"


def _difference(before: float | None, now: float | None) -> str:
    return "–" if before is None or now is None else f"{now - before:+.3g}"


def _digits(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"
