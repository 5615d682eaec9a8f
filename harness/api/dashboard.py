"""The Optuna dashboard over all studies of a run, also while it goes on.

The dashboard draws history, importances, slices and parallel coordinates itself; a note on every study adds what Optuna
does not know. Everything is kept in memory: nothing on disk changes.
"""

from __future__ import annotations

import csv
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.errors import EvenhandError, StoreError
from harness.findings import count_causes, trial_reason
from harness.report.content import CellValue, Part, ReportColumn, ReportTable
from harness.report.render.cells import format_number
from harness.report.render.markdown import escape, format_count, render_markdown_part
from harness.store.files import read_journal
from harness.store.store import Store

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

    import optuna
    from optuna.storages import BaseStorage

#: Seconds between two looks for new trials.
REFRESH_SECONDS = 5.0
LEADERBOARD = "leaderboard.csv"
#: Columns that the leaderboard must have for its scores to be displayed.
COLUMNS = {"task", "family", "strategy", "stage", "calibration", "objective", "score"}
REPORT_FILES = ("report.html", "leaderboard.md")  #: the first that exists is named in notes
FileState: TypeAlias = tuple[int, int] | None  #: size and time of a file; None where it does not exist
EntryKey: TypeAlias = tuple[str, str, str, str]  #: task, family, strategy, stage


class MergedStudies:
    """A storage in memory that holds every cell's study, each with a note; only journals that changed are read again."""

    def __init__(self, store: Store) -> None:
        from optuna.storages import InMemoryStorage

        self.store = store
        self.storage: BaseStorage = InMemoryStorage()
        self.journal_states: dict[Path, FileState] = {}
        self.study_names: dict[Path, list[str]] = {}  #: the studies of a journal: one, or none yet
        self.report_states: tuple[FileState, ...] = ()

    def read_new_trials(self) -> int:
        """Add new trials and notes; returns the number of studies."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        run = self.store.read_run()
        report_states = tuple(_file_size_and_time(self.store.folder / name) for name in (LEADERBOARD, *REPORT_FILES))
        test_scores = read_test_scores(self.store.folder / LEADERBOARD)
        for cell in run["cells"]:
            path = self.store.journal_path(cell["id"])
            state = _file_size_and_time(path)
            if state is None:
                continue
            changed = self.journal_states.get(path) != state
            if changed:
                self.study_names[path] = self._copy_new_trials(path)
                self.journal_states[path] = state
            if changed or self.report_states != report_states:
                self._write_study_notes(path, cell, run, test_scores)
        self.report_states = report_states
        return len(self.journal_states)

    def _write_study_notes(
        self, path: Path, cell: Mapping[str, Any], run: Mapping[str, Any], test_scores: Mapping[EntryKey, str]
    ) -> None:
        import optuna
        from optuna_dashboard import save_note

        report = next((name for name in REPORT_FILES if (self.store.folder / name).exists()), "")
        for name in self.study_names[path]:
            study = optuna.load_study(study_name=name, storage=self.storage)
            save_note(study, describe_study(study, cell, run["tasks"][cell["task"]], test_scores, report))

    def _copy_new_trials(self, path: Path) -> list[str]:
        """Copy the new trials of a journal, or all of them where the journal was begun anew; returns its studies."""
        import optuna

        try:
            journal = read_journal(path)
        except StoreError:  # the other cells can be displayed; the report names this one
            return []
        merged = {study.study_name for study in self.storage.get_all_studies()}
        names = optuna.get_all_study_names(journal)
        for name in names:
            study = optuna.load_study(study_name=name, storage=journal)
            if name in merged:
                copy = optuna.load_study(study_name=name, storage=self.storage)
                if len(copy.trials) <= len(study.trials):
                    copy.add_trials(study.trials[len(copy.trials) :])
                    continue
                optuna.delete_study(study_name=name, storage=self.storage)
            optuna.copy_study(from_study_name=name, from_storage=journal, to_storage=self.storage)
        return names


def describe_study(
    study: optuna.Study,
    cell: Mapping[str, Any],
    task: Mapping[str, Any],
    test_scores: Mapping[EntryKey, str],
    report: str,
) -> str:
    """Describe a study as Markdown: its cell, its data, its configurations, the name of the report.

    Parameters
    ----------
    study : optuna.Study
        The study of a cell.
    cell, task : mapping
        The cell and its task as described in `run.json`.
    test_scores : mapping
        Scores on test rows, from `read_test_scores`.
    report : str
        Name of the report's file in the folder of the run; empty where there is none.

    Returns
    -------
    str
        Markdown.
    """
    counts = zip(task["classes"], task["counts"], strict=True)
    classes = ", ".join(f"{count:,} {name}" for name, count in counts)
    features = task.get("features") or format_count(task["columns"], "column")
    facts = [
        ("Task", f"{cell['task']}: {task['title']}"),
        ("Data", f"{task['rows']:,} rows of {features}: {classes}"),
        ("Family", cell["family"]),
        ("Strategy", cell["strategy"]),
        ("Split", f"repeat {cell['repeat']}, fold {cell['fold']}, counted from 0"),
        ("Score here", f"{task['objective']}, the mean of the inner folds: no test row took part"),
    ]
    for stage in ("default", "tuned"):
        score = test_scores.get((cell["task"], cell["family"], cell["strategy"], stage))
        if score:
            facts.append((f"Test rows, {stage}", score))
    fact_table = ReportTable((ReportColumn("Study"), ReportColumn("")), tuple(facts))
    parts: list[Part] = [fact_table, "### Configurations", *_describe_configurations(study)]
    if report:
        parts.append(f"The report on the whole run is `{report}` in its folder.")
    return "\n\n".join(map(render_markdown_part, parts))


def _describe_configurations(study: optuna.Study) -> list[Part]:
    """Show the best and the default configuration side by side, and how many trials failed."""
    trials = study.get_trials(deepcopy=False)
    failed = _describe_failed_trials([trial for trial in trials if trial.value is None])
    if all(trial.value is None for trial in trials):
        return [f"No trial has a score yet. {failed}".rstrip()]
    described = {"Best": study.best_trial}
    if trials[0].value is not None:
        described["Default"] = trials[0]
    columns, scores = [ReportColumn("")], []
    names: dict[str, None] = {}
    for title, trial in described.items():
        columns.append(ReportColumn(f"{title} (trial {trial.number})", digits=4))
        scores.append(trial.value)
        names |= dict.fromkeys(trial.params)
    rows: list[tuple[CellValue, ...]] = [("inner score", *scores)]
    for name in names:
        rows.append((name, *(_format_parameter_setting(trial.params.get(name)) for trial in described.values())))
    parts: list[Part] = [ReportTable(tuple(columns), tuple(rows), foldable=False)]
    if failed:
        parts.append(failed)
    return parts


def _describe_failed_trials(failed: Sequence[optuna.trial.FrozenTrial]) -> str:
    """State how many trials failed, and the most frequent reason."""
    if not failed:
        return ""
    reasons = count_causes(Counter(trial_reason(trial.user_attrs) for trial in failed))
    reason, count = reasons.most_common(1)[0]
    share = f", {count} of them" if len(reasons) > 1 else ""
    return f"{format_count(len(failed), 'trial')} failed{share}: {escape(reason.message) or 'no reason noted'}."


def _format_parameter_setting(setting: Any) -> str | None:
    if setting is None:
        return None
    return f"{setting:.4g}" if isinstance(setting, float) else str(setting)


def read_test_scores(path: Path) -> dict[EntryKey, str]:
    """Read the scores of entries on test rows, over all splits, from `leaderboard.csv`.

    Decision metrics are those at 0.5, as in the inner scores beside them; recalibrated entries are left out.

    Parameters
    ----------
    path : Path
        The file; it need not exist.

    Returns
    -------
    dict
        Entry → the score of the objective as text; empty where the file has another form.
    """
    scores: dict[EntryKey, str] = {}
    if not path.exists():
        return scores
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if not COLUMNS.issubset(rows.fieldnames or ()):
            return scores
        for row in rows:
            if row["calibration"] != "none" or not row["score"]:
                continue
            score = f"{row['objective']} {format_number(float(row['score']))}"
            deviation = row.get("score_sd")
            if deviation:
                score += f" ± {format_number(float(deviation))}"
            key = row["task"], row["family"], row["strategy"], row["stage"]
            scores[key] = f"{score} (mean ± standard deviation, all splits)"
    return scores


def _file_size_and_time(path: Path) -> FileState:
    """Size and time of modification of a file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns


class RunningDashboard:
    """The dashboard of a run, served on 127.0.0.1 from a thread of this process; a context manager that closes it.

    Attributes
    ----------
    url : str
        The address of its page.
    studies : int
        The number of studies at the start.
    """

    def __init__(self, server: WSGIServer, merged: MergedStudies, studies: int) -> None:
        self.url, self.studies = f"http://127.0.0.1:{server.server_port}/", studies
        self._server, self._merged, self._closed = server, merged, threading.Event()
        self._server_thread = threading.Thread(target=server.serve_forever, daemon=True)
        self._server_thread.start()
        threading.Thread(target=self._read_new_trials_repeatedly, daemon=True).start()

    def __repr__(self) -> str:
        return f"RunningDashboard({self.url})"

    def __enter__(self) -> RunningDashboard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def wait(self) -> None:
        """Wait until it is closed, or for Ctrl-C, which closes it."""
        try:
            self._server_thread.join()
        except KeyboardInterrupt:
            self.close()

    def _read_new_trials_repeatedly(self) -> None:
        while not self._closed.wait(REFRESH_SECONDS):
            self._merged.read_new_trials()


def start_dashboard(store: Store, port: int) -> RunningDashboard:
    """Serve the dashboard of a run on 127.0.0.1 in the background.

    Parameters
    ----------
    store : Store
        The run, which may still be going on.
    port : int
        The port; 0 takes a free one.

    Returns
    -------
    RunningDashboard
        The dashboard.

    Raises
    ------
    EvenhandError
        If the run has no studies yet, or the port cannot be opened.
    """
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    from optuna_dashboard import wsgi

    class SilentHandler(WSGIRequestHandler):
        """Handles requests without a log."""

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is the base class's
            """Write nothing."""

    store.read_run()
    merged = MergedStudies(store)
    studies = merged.read_new_trials()
    if not studies:
        raise EvenhandError(f"{store.folder} has no studies yet: start its run first")
    try:
        server = make_server("127.0.0.1", port, wsgi(merged.storage), handler_class=SilentHandler)
    except OSError as error:
        raise EvenhandError(f"cannot listen on 127.0.0.1:{port}: {error.strerror}: choose another port") from error
    return RunningDashboard(server, merged, studies)


def serve_dashboard(store: Store, port: int) -> None:
    """Serve the dashboard until interrupted; parameters and errors of `start_dashboard`."""
    dashboard = start_dashboard(store, port)
    sys.stdout.write(f"{dashboard.studies} studies of {store.folder}: {dashboard.url} (Ctrl-C ends it)\n")
    sys.stdout.flush()
    dashboard.wait()
