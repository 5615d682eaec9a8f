"""How a run was made: its data and what was noticed in them, protocol, versions, coverage and failures.

What was noticed in the data of a task is in `run.json` twice: as `findings`, with code, column and message, and as `notes`,
which are texts. Runs of earlier versions have texts only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any

from harness.evaluation.scores import STATUS_MISSING, Scores
from harness.findings import OMISSION_CODES, Reason, count_causes
from harness.report.content import CellValue, CollapsedParts, Part, ReportColumn, ReportTable, Section
from harness.report.render import markdown
from harness.report.render.cells import format_quantity
from harness.report.render.markdown import escape, format_count, join_names, join_words
from harness.store.record import STATUSES

COVERAGE_TITLE, FAILURES_TITLE = "Coverage", "Failures"
WARNING_CODES = ("leaky_column", "few_positives", "id_like")  #: what may make the scores meaningless
REMARK_CODES = ("conflicting_labels", "test_duplicates")
MAX_NAMES = 4


def make_protocol_sections(scores: Scores) -> list[Section]:
    """Write the sections about coverage and failures, and about the protocol."""
    coverage_parts = (tabulate_cell_statuses(scores), *list_failures(scores))
    return [
        Section(COVERAGE_TITLE, coverage_parts),
        Section("Protocol, data, versions", tuple(describe_protocol(scores))),
    ]


def list_data_warnings(description: Mapping[str, Any]) -> str:
    """Say what the scores of a task must be read with; `description` is that of the task in `run.json`.

    Returns
    -------
    str
        A sentence; empty where there is nothing to beware of, and for runs without findings.
    """
    messages = list(_messages_with_codes(description, WARNING_CODES))
    if not messages:
        return ""
    return f"Beware: {' '.join(_messages_to_sentences(messages, capitalize_first=False))}"


def list_data_remarks(description: Mapping[str, Any]) -> str:
    """Describe rows with equal features and different labels, rows that were left out, and columns that were, by reason.

    Parameters
    ----------
    description : mapping
        The description of the task in `run.json`. Without findings, its notes are listed.
    """
    if "findings" not in description:
        data_notes = _first_messages([escape(data_note) for data_note in description.get("notes", ())])
        return f"Noticed in the data: {'; '.join(data_notes)}." if data_notes else ""
    columns: dict[str, list[str]] = {}
    for finding in description["findings"]:
        if finding["code"] in OMISSION_CODES:
            columns.setdefault(finding["message"], []).append(escape(finding["column"]))
    sentences = _messages_to_sentences(list(_messages_with_codes(description, REMARK_CODES)))
    if columns:
        omitted_columns_texts = [
            f"{join_names(names, MAX_NAMES)} ({escape(reason)})" for reason, names in columns.items()
        ]
        sentences.append(f"Left out: {'; '.join(_first_messages(omitted_columns_texts))}.")
    return " ".join(sentences)


def format_class_shares(description: Mapping[str, Any], *, percent: bool = False) -> str:
    """Write the rows per class as plain text: `No 357; Yes 60`, with `percent` also as shares of all rows."""
    class_texts = []
    for name, n in zip(description["classes"], description["counts"], strict=True):
        class_text = f"{quote_class_name(name)} {n:,}"
        if percent:
            class_text += f" ({n / description['rows']:.1%})"
        class_texts.append(class_text)
    return "; ".join(class_texts)


def quote_class_name(name: str) -> str:
    """Write the name of a class within a list: in quotation marks where it has a comma or ends in a digit."""
    return f"“{name}”" if re.search(r"[,;]|\d$", name) else name


def _messages_with_codes(description: Mapping[str, Any], finding_codes: Iterable[str]) -> Iterator[str]:
    for finding_code in finding_codes:
        for finding in description.get("findings", ()):
            if finding["code"] == finding_code:
                yield escape(finding["message"])


def _messages_to_sentences(messages: Sequence[str], *, capitalize_first: bool = True) -> list[str]:
    sentences = []
    for position, message in enumerate(_first_messages(messages)):
        sentence = message
        if position or capitalize_first:
            sentence = message[0].upper() + message[1:]
        if not message.endswith("?"):
            sentence += "."
        sentences.append(sentence)
    return sentences


def _first_messages(message_texts: Sequence[str]) -> list[str]:
    if len(message_texts) <= MAX_NAMES:
        return list(message_texts)
    return [*message_texts[:MAX_NAMES], f"{len(message_texts) - MAX_NAMES} more: see the last section"]


def tabulate_cell_statuses(scores: Scores) -> Part:
    """Count the planned cells of every task by their status, as a table."""
    counts_by_task: dict[str, Counter[str]] = {}
    for cell in scores.cells:
        counts_by_task.setdefault(cell.task, Counter())[cell.status] += 1
    if not counts_by_task:
        return "No cell was planned."
    total_counts = sum(counts_by_task.values(), Counter[str]())
    statuses = list(filter(total_counts.__getitem__, (*STATUSES, STATUS_MISSING)))
    columns = [ReportColumn(heading, "count") for heading in ("Cells", *statuses)]
    rows: list[tuple[CellValue, ...]] = []
    for task, status_counts in counts_by_task.items():
        planned_cells = status_counts.total()
        rows.append(
            (task, planned_cells, *map(status_counts.__getitem__, statuses), status_counts["ok"] / planned_cells)
        )
    return ReportTable((ReportColumn("Task"), *columns, ReportColumn("Covered", "percent", 0)), tuple(rows))


def list_failures(scores: Scores) -> list[Part]:
    """List everything that is not `ok`, by status and reason: cells, entries, trials, declarations, metrics."""
    names_by_reason: dict[tuple[str, str], list[str]] = {}
    for cell in scores.cells:
        # The reason of an `ok` cell is that of an entry which could not be refitted.
        status = "entry failed" if cell.status == "ok" else cell.status
        if cell.status != "ok" or cell.reason:
            names_by_reason.setdefault((status, cell.reason), []).append(f"{cell.task}/{cell.family}/{cell.strategy}")
    rows: list[tuple[CellValue, ...]] = []
    groups = sorted(names_by_reason.items(), key=lambda group: (group[0][0], -len(group[1]), group[0][1]))
    for (status, reason), names in groups:
        rows.append((status, reason, format_count(len(names), "cell"), _names_with_counts(names)))
    rows += _count_trial_failures(scores)
    for skipped_declaration in scores.run.get("skipped", ()):
        rows.append(
            ("skipped", skipped_declaration["reason"], skipped_declaration["kind"], skipped_declaration["name"])
        )
    for name, messages in scores.metric_failures.items():
        n = format_count(len(messages), "set of predictions", "sets of predictions")
        rows.append(("metric failed", messages[0], n, name))
    cells = format_count(len(scores.cells), "cell")
    if not rows:
        return [f"Nothing: all {cells} are ok."]
    ok = list(map(attrgetter("status"), scores.cells)).count("ok")
    text = f"{ok:,} of {cells} are ok. A cell is task × family × strategy × outer split."
    columns = (ReportColumn("What"), ReportColumn("Why"), ReportColumn("How many", "count"), ReportColumn("Where"))
    return [text, ReportTable(columns, tuple(rows))]


def _count_trial_failures(scores: Scores) -> list[tuple[CellValue, ...]]:
    """Trials that failed inside cells, by reason, the most frequent first: how many and where."""
    failure_counts: Counter[Reason] = Counter()
    cells: dict[tuple[str, ...], list[str]] = {}
    for cell in scores.cells:
        if cell.record:
            failure_counts.update(cell.record.trial_failures)
            for failure_cause in dict.fromkeys(reason.cause for reason in cell.record.trial_failures):
                cells.setdefault(failure_cause, []).append(f"{cell.task}/{cell.family}/{cell.strategy}")
    rows: list[tuple[CellValue, ...]] = []
    for reason, n in count_causes(failure_counts).most_common():
        rows.append(("trial failed", reason.message, format_count(n, "trial"), _names_with_counts(cells[reason.cause])))
    return rows


def _names_with_counts(names: Iterable[str]) -> str:
    """The first names with how often each occurs: `a ×3, b and 2 more`."""
    name_counts = Counter(names)
    counted_names = []
    for name, n in list(name_counts.items())[:MAX_NAMES]:
        counted_names.append(name + (f" ×{n}" if n > 1 else ""))
    text = ", ".join(counted_names)
    if len(name_counts) > MAX_NAMES:
        text += f" and {len(name_counts) - MAX_NAMES} more"
    return text


def describe_protocol(scores: Scores) -> list[Part]:
    """Write what is needed to repeat the run: command, protocol, data, versions."""
    run = scores.run
    command = " ".join(str(run["command"]).replace("`", "'").split())
    section_parts: list[Part] = [f"```\n{command}\n```", _tabulate_protocol(scores), _tabulate_tasks(run["tasks"])]
    data_notes = []
    for name, task_description in run["tasks"].items():
        data_notes += [f"{escape(name)}: {escape(data_note)}" for data_note in task_description.get("notes", ())]
    if len(data_notes) > markdown.MAX_VISIBLE_ROWS:
        section_parts.append(
            CollapsedParts(f"{len(data_notes)} things noticed in the data", (markdown.bullet_list(data_notes),))
        )
    elif data_notes:
        section_parts.append(markdown.bullet_list(data_notes))
    environment_lines = []
    for environment_part in ("versions", "host"):
        if run.get(environment_part):
            environment_lines.append(
                join_words(
                    list(map(escape, map("{} {}".format, run[environment_part], run[environment_part].values())))
                )
            )
    if environment_lines:
        section_parts.append(f"Made with {'; on '.join(environment_lines)}.")
    section_parts.append("Fingerprints in full and the seed of every cell are in `run.json` and the records.")
    return section_parts


def _tabulate_protocol(scores: Scores) -> ReportTable:
    """The fields of the protocol as they were in force, in one row."""
    columns, setting_texts = [], []
    for name, protocol_setting in scores.run["protocol"].items():
        columns.append(ReportColumn(name.replace("_", " "), "text" if name == "objective" else "number"))
        setting_texts.append(_format_setting(scores, name, protocol_setting))
    return ReportTable(tuple(columns), (tuple(setting_texts),))


def _tabulate_tasks(task_descriptions: Mapping[str, Mapping[str, Any]]) -> ReportTable:
    """Size, classes, objective, splits, source, licence and fingerprint of every task, without empty columns."""
    columns = (
        ReportColumn("Task"),
        ReportColumn("Rows × columns", "count"),
        ReportColumn("Classes"),
        ReportColumn("Objective"),
        ReportColumn("Splits", "count"),
        ReportColumn("Source"),
        ReportColumn("Licence"),
        ReportColumn("SHA-256 of the rows"),
    )
    rows = []
    for name, task_description in task_descriptions.items():
        size_text = f"{task_description['rows']:,} "
        if task_description["columns"] is None:
            size_text += task_description["features"]  # of texts and images: what there is to learn from
        else:
            size_text += f"× {task_description['columns']:,}"
        splits: CellValue = task_description["splits"]
        if task_description.get("forward"):
            splits = f"{splits}, forward in time"
        task_origin = task_description["source"], task_description["licence"], task_description["fingerprint"][:16]
        rows.append(
            (
                name,
                size_text,
                format_class_shares(task_description),
                task_description["objective"],
                splits,
                *task_origin,
            )
        )
    filled_positions = [position for position in range(len(columns)) if any(row[position] for row in rows)]
    compact_rows = [tuple(map(row.__getitem__, filled_positions)) for row in rows]
    return ReportTable(tuple(map(columns.__getitem__, filled_positions)), tuple(compact_rows), foldable=False)


def _format_setting(scores: Scores, name: str, protocol_setting: Any) -> str | None:
    """A field of the protocol as it was in force."""
    if name == "objective" and protocol_setting is None:
        objective_names = dict.fromkeys(map(str, map(itemgetter("objective"), scores.run["tasks"].values())))
        return f"{', '.join(objective_names)} (default)"
    if protocol_setting is None:
        return None
    if name == "budget":
        return f"{format_quantity(float(protocol_setting))} s"
    return str(protocol_setting)
