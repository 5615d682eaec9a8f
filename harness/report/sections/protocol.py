"""What did not come about and why, and how everything was evaluated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from harness.evaluation.scores import Scores
from harness.report.render.markdown import (
    IN_SIGHT,
    brief,
    count,
    details,
    escape,
    filled_table,
    folded_table,
    listed,
    table,
)
from harness.report.sections.data_notes import shares

PLACES_NAMED = 4


def what_failed(scores: Scores) -> str:
    """Everything that is not `ok`, by status and reason."""
    lost: dict[tuple[str, str], list[str]] = {}
    for cell in scores.cells:
        if (
            cell.status != "ok" or cell.reason
        ):  # of an `ok` cell the reason tells of an entry that could not be refitted
            status = "entry failed" if cell.status == "ok" else cell.status
            lost.setdefault((status, cell.reason), []).append(f"{cell.task}/{cell.family}/{cell.strategy}")
    rows = [
        [escape(status), escape(reason), count(len(where), "cell"), _where(where)]
        for (status, reason), where in sorted(lost.items(), key=lambda one: (one[0][0], -len(one[1]), one[0][1]))
    ]
    rows += [
        ["trial failed", escape(reason), count(n, "trial"), _where(where)]
        for reason, (n, where) in _trials(scores).items()
    ]
    rows += [
        ["skipped", escape(one["reason"]), f"{escape(one['kind'])}", escape(one["name"])]
        for one in scores.run.get("skipped", ())
    ]
    rows += [
        [
            "metric failed",
            escape(messages[0]),
            count(len(messages), "set of predictions", "sets of predictions"),
            escape(name),
        ]
        for name, messages in scores.metric_failures.items()
    ]
    if not rows:
        return f"Nothing: all {count(len(scores.cells), 'cell')} are ok."
    ok = sum(cell.status == "ok" for cell in scores.cells)
    said = f"{ok:,} of {count(len(scores.cells), 'cell')} are ok. A cell is task × family × strategy × outer split."
    return f"{said}\n\n{folded_table(['What', 'Why', 'How many', 'Where'], rows)}"


def protocol(scores: Scores) -> str:
    """Protocol, data, versions, seeds, command: what it takes to do it again."""
    run = scores.run
    names = [name.replace("_", " ") for name in run["protocol"]]
    values = [_setting(scores, name, value) for name, value in run["protocol"].items()]
    tasks = [
        [
            escape(name),
            _size(about),
            shares(about),
            escape(about["objective"]),
            _splits(about),
            escape(about["source"]),
            escape(about["licence"]),
            f"`{about['fingerprint'][:16]}`",
        ]
        for name, about in run["tasks"].items()
    ]
    header = ["Task", "Rows × columns", "Classes", "Objective", "Splits", "Source", "Licence", "SHA-256 of the rows"]
    parts = ["```\n" + " ".join(str(run["command"]).replace("`", "'").split()) + "\n```"]
    parts += [table(names, [values]), filled_table(header, tasks)]
    notes = [
        f"- {escape(name)}: {escape(note)}" for name, about in run["tasks"].items() for note in about.get("notes", ())
    ]
    if notes:
        listing = "\n".join(notes)
        parts.append(
            listing if len(notes) <= IN_SIGHT else details(f"{len(notes)} things noticed in the data", listing)
        )
    made = [
        listed([escape(f"{k} {v}") for k, v in run[part].items()]) for part in ("versions", "host") if run.get(part)
    ]
    parts.append(f"Made with {'; on '.join(made)}." if made else "")
    parts.append("Fingerprints in full and the seed of every cell are in `run.json` and the records.")
    return "\n\n".join(part for part in parts if part)


def _trials(scores: Scores) -> dict[str, tuple[int, list[str]]]:
    """Trials that failed inside cells, by reason: how many and where."""
    found: Counter[str] = Counter()
    where: dict[str, list[str]] = {}
    for cell in scores.cells:
        for reason, n in (cell.record.trial_failures if cell.record else {}).items():
            found[reason] += n
            where.setdefault(reason, []).append(f"{cell.task}/{cell.family}/{cell.strategy}")
    return {reason: (n, where[reason]) for reason, n in found.most_common()}


def _where(places: Iterable[str]) -> str:
    counted = Counter(places)
    named = [escape(place) + (f" ×{n}" if n > 1 else "") for place, n in list(counted.items())[:PLACES_NAMED]]
    more = len(counted) - PLACES_NAMED
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def _size(about: Mapping[str, Any]) -> str:
    """Rows by columns; of texts and images what there is to learn from."""
    if about["columns"] is not None:
        return f"{about['rows']:,} × {about['columns']:,}"
    return f"{about['rows']:,} {about['features']}"


def _splits(about: Mapping[str, Any]) -> str:
    return f"{about['splits']}{', forward in time' if about.get('forward') else ''}"


def _setting(scores: Scores, name: str, value: Any) -> str:
    """A field of the protocol as it was in force."""
    if name == "objective" and value is None:
        used = dict.fromkeys(str(about["objective"]) for about in scores.run["tasks"].values())
        return f"{escape(', '.join(used))} (default)"
    if name == "budget" and value is not None:
        return f"{brief(float(value))} s"
    return "–" if value is None else escape(str(value))
