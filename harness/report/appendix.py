"""What did not come about and why, how everything was evaluated, and what the words mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from harness.report.markdown import IN_SIGHT, count, details, escape, folded_table, listed, table
from harness.report.scores import Scores

PLACES_NAMED = 4

READING = (
    (
        "An **entry** is `family/strategy/stage`: a model family, what is done about the uneven classes, and whether its "
        "parameters are the *default* ones or *tuned* by Optuna on the training rows. *chosen* entries (†) take, in every split, "
        "the best by inner score among the strategies of a family or among everything (`any`); they had the trials of all of "
        "these together, so they get no rank and take no part in comparisons of strategies."
    ),
    "Figures are unweighted means over the outer **splits**; test rows are never used to fit, tune, stop or pick a threshold.",
    (
        "**±** is a 95 % interval. Splits share training rows, so its variance is s² (1/n + n_test/n_train) with n − 1 degrees of "
        "freedom (Nadeau & Bengio 2003)."
    ),
    (
        "**≈** marks what cannot be told from the first entry: a paired test of the differences per split, with the same variance "
        "and Holm's adjustment over all pairs of entries, as the first is known only after looking; the majority row, fixed "
        "beforehand, is tested against all others. A missing ≈ is a difference that chance does not explain; a ≈ is no proof of "
        "equality."
    ),
    (
        "Decisions (F1, precision, recall …) are those at the **tuned threshold**, which was chosen on inner out-of-fold rows to "
        "maximise F1, or to minimise the cost where the task has one; tables that say 0.5 use 0.5. With several classes the most "
        "probable one is taken."
    ),
    (
        "*inner* and *training* are the objective on the inner folds and on the training rows: far above the test figure means "
        "over-fitting. *Fit s* is the time of one refit, *Trials* what the search was given."
    ),
    (
        "**Bold** is best in its column among the entries that have all splits, the majority row aside. Entries "
        "without all splits stand below (–): their means are over fewer splits and not comparable."
    ),
)


def how_to_read(scores: Scores) -> str:
    """Every word and abbreviation of the tables, once."""
    figures = [
        f"**{escape(metric.label or metric.name)}**: {escape(metric.description)}" for metric in scores.metrics.values()
    ]
    body = "\n".join(f"- {line}" for line in (*READING, *figures))
    return details("How to read the tables", body)


def what_failed(scores: Scores) -> str:
    """Everything that is not `ok`, by status and reason."""
    lost: dict[tuple[str, str], list[str]] = {}
    for cell in scores.cells:
        if cell.status != "ok":
            lost.setdefault((cell.status, cell.reason), []).append(f"{cell.task}/{cell.family}/{cell.strategy}")
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
    if not rows:
        return f"Nothing: all {count(len(scores.cells), 'cell')} are ok."
    ok = sum(cell.status == "ok" for cell in scores.cells)
    said = f"{ok:,} of {count(len(scores.cells), 'cell')} are ok. A cell is task × family × strategy × outer split."
    return f"{said}\n\n{folded_table(['What', 'Why', 'How many', 'Where'], rows)}"


def protocol(scores: Scores) -> str:
    """Protocol, data, versions, seeds, command: what it takes to do it again."""
    run = scores.run
    names = [name.replace("_", " ") for name in run["protocol"]]
    values = [_plain(value) for value in run["protocol"].values()]
    tasks = [
        [
            escape(name),
            f"{about['rows']:,} × {about['columns']:,}",
            _classes(about),
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
    parts += [table(names, [values]), table(header, tasks)]
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


def _classes(about: Mapping[str, Any]) -> str:
    return ", ".join(f"{escape(name)} {n:,}" for name, n in zip(about["classes"], about["counts"], strict=True))


def _splits(about: Mapping[str, Any]) -> str:
    return f"{about['splits']}{', forward in time' if about.get('forward') else ''}"


def _plain(value: Any) -> str:
    return "–" if value is None else escape(str(value))
