"""The Optuna dashboard over a run, also while it goes on: one study per task, family and strategy, with a note.

The dashboard draws history, importances, slices and parallel coordinates itself; the note on a study (`study_notes`) adds what
Optuna does not know. Everything is in memory: nothing on disk changes.
"""

from __future__ import annotations

import copy
import itertools
import sys
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.api.merged_storage import TitledStudies, explain_absent_importances
from harness.api.study_notes import (
    EntryKey,
    SplitTrials,
    describe_study,
    make_study_title,
    mean_best_score,
    read_test_scores,
)
from harness.errors import EvenhandError, StoreError
from harness.execution.plan import BASELINE
from harness.store.files import read_journal
from harness.store.store import Store

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

    import optuna

#: Seconds between two looks for new trials.
REFRESH_SECONDS = 5.0
LEADERBOARD = "leaderboard.csv"
REPORT_FILES = ("report.html", "leaderboard.md")  #: the first that exists is named in notes
FileState: TypeAlias = tuple[int, int] | None  #: size and time of a file; None where it does not exist


@dataclass
class CellTrials:
    """What was read of the journal of a cell: its state then, its finished trials, and what they are scored by."""

    cell: Mapping[str, Any]
    state: FileState = None
    trials: list[optuna.trial.FrozenTrial] = field(default_factory=list)
    minimizes: bool = False
    metric_names: list[str] | None = None

    @property
    def split(self) -> str:
        """Name of the outer split."""
        return f"r{self.cell['repeat']}f{self.cell['fold']}"


class MergedStudies:
    """A storage in memory with one study per task, family and strategy, whose trials are those of all outer splits.

    Only journals that changed are read again, and only finished trials are copied. The baseline has nothing to search and is
    left out.

    Parameters
    ----------
    store : Store
        The run.
    by_cell : bool, default False
        Make a study of every cell instead, that is, of every outer split.
    """

    def __init__(self, store: Store, *, by_cell: bool = False) -> None:
        self.store, self.by_cell = store, by_cell
        self.storage = TitledStudies()
        self.groups: dict[str, dict[str, CellTrials]] = {}  #: name of a study → id of a cell → what was read of it
        self.report_states: tuple[FileState, ...] = ()

    def read_new_trials(self) -> int:
        """Add new trials and notes; returns the number of studies."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        run = self.store.read_run()
        report_states = tuple(_file_size_and_time(self.store.folder / name) for name in (LEADERBOARD, *REPORT_FILES))
        test_scores = read_test_scores(self.store.folder / LEADERBOARD)
        self._forget_deleted_studies()
        changed_names: dict[str, None] = {}
        for cell in run["cells"]:
            if cell["family"] != BASELINE and self._read_cell(cell):
                changed_names[self._study_name(cell)] = None
        if report_states != self.report_states:
            changed_names = dict.fromkeys(self.groups)
        for name in changed_names:
            self._write_study_note(name, run, test_scores)
        self.report_states = report_states
        return len(self.groups)

    def _forget_deleted_studies(self) -> None:
        """Forget the studies that were deleted on the page, so that they are read again."""
        for name in list(self.groups):
            try:
                self.storage.get_study_id_from_name(name)
            except KeyError:
                del self.groups[name]

    def _study_name(self, cell: Mapping[str, Any]) -> str:
        name = f"{cell['task']}/{cell['family']}/{cell['strategy']}"
        return f"{name}/r{cell['repeat']}f{cell['fold']}" if self.by_cell else name

    def _read_cell(self, cell: Mapping[str, Any]) -> bool:
        """Copy the new trials of a cell into its study; returns whether its journal has changed."""
        import optuna

        path = self.store.journal_path(cell["id"])
        file_state = _file_size_and_time(path)
        name = self._study_name(cell)
        known_cell = self.groups.get(name, {}).get(cell["id"])
        if file_state is None or (known_cell is not None and known_cell.state == file_state):
            return False
        read_cell = _read_journal_of_cell(path, cell, file_state)
        if read_cell is None:
            return False
        n_copied = len(known_cell.trials) if known_cell else 0
        group = self.groups.setdefault(name, {})
        group[cell["id"]] = read_cell
        if len(read_cell.trials) >= n_copied:
            self._add_trials(name, read_cell, n_copied)
        else:  # the journal was begun anew
            optuna.delete_study(study_name=name, storage=self.storage)
            for other_cell in group.values():
                self._add_trials(name, other_cell, 0)
        return True

    def _add_trials(self, name: str, cell_trials: CellTrials, first_number: int) -> None:
        """Add the trials of a cell to its study, from one on; each says from which split it is."""
        import optuna

        study = self._open_study(name, minimizes=cell_trials.minimizes)
        if cell_trials.metric_names and study.metric_names is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(cell_trials.metric_names)
        for trial in cell_trials.trials[first_number:]:
            copied_trial = copy.copy(trial)
            copied_trial.user_attrs = {
                "split": cell_trials.split,
                "trial of the split": trial.number,
            } | trial.user_attrs
            study.add_trial(copied_trial)

    def _open_study(self, name: str, *, minimizes: bool) -> optuna.Study:
        """Load a study, or create it: `create_study` with `load_if_exists` takes a new number at every call."""
        import optuna
        from optuna.study import StudyDirection

        try:
            return optuna.load_study(study_name=name, storage=self.storage)
        except KeyError:
            direction = StudyDirection.MINIMIZE if minimizes else StudyDirection.MAXIMIZE
            return optuna.create_study(direction=direction, study_name=name, storage=self.storage)

    def _write_study_note(self, name: str, run: Mapping[str, Any], test_scores: Mapping[EntryKey, str]) -> None:
        import optuna
        from optuna_dashboard import save_note

        report = next((file for file in REPORT_FILES if (self.store.folder / file).exists()), "")
        cells = sorted(
            self.groups[name].values(), key=lambda cell_trials: (cell_trials.cell["repeat"], cell_trials.cell["fold"])
        )
        splits = [
            SplitTrials(cell_trials.split, tuple(cell_trials.trials), cell_trials.minimizes) for cell_trials in cells
        ]
        study = optuna.load_study(study_name=name, storage=self.storage)
        task = run["tasks"][cells[0].cell["task"]]
        save_note(study, describe_study(splits, cells[0].cell, task, test_scores, report))
        best_score = mean_best_score(splits)
        if best_score:
            study.set_user_attr("best inner score", best_score)
        planned_splits = int(task.get("splits", len(splits)))
        if self.by_cell:
            planned_splits = 1
        if len(run["tasks"]) == 1:
            name = name.removeprefix(f"{cells[0].cell['task']}/")
        self.storage.set_title(study._study_id, make_study_title(name, splits, planned_splits))


def _read_journal_of_cell(path: Path, cell: Mapping[str, Any], file_state: FileState) -> CellTrials | None:
    """The trials of a cell up to the first that has not ended; None where its journal cannot be read or has no study."""
    import optuna
    from optuna.study import StudyDirection

    try:
        journal_study = read_journal(path)
    except StoreError:  # the other cells can be displayed; the report names this one
        return None
    names = optuna.get_all_study_names(journal_study)
    if not names:
        return None
    study = optuna.load_study(study_name=names[0], storage=journal_study)
    trials = list(itertools.takewhile(lambda trial: trial.state.is_finished(), study.trials))
    return CellTrials(cell, file_state, trials, study.direction == StudyDirection.MINIMIZE, study.metric_names)


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


def start_dashboard(store: Store, port: int, *, by_cell: bool = False) -> RunningDashboard:
    """Serve the dashboard of a run on 127.0.0.1 in the background.

    Parameters
    ----------
    store : Store
        The run, which may still be going on.
    port : int
        The port; 0 takes a free one.
    by_cell : bool, default False
        Show a study for every outer split instead of one for each family and strategy.

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
    merged_studies = MergedStudies(store, by_cell=by_cell)
    studies = merged_studies.read_new_trials()
    if not studies:
        raise EvenhandError(f"{store.folder} has no studies yet: start its run first")
    app = explain_absent_importances(wsgi(merged_studies.storage), merged_studies.storage)
    try:
        server = make_server("127.0.0.1", port, app, handler_class=SilentHandler)
    except OSError as error:
        raise EvenhandError(f"cannot listen on 127.0.0.1:{port}: {error.strerror}: choose another port") from error
    return RunningDashboard(server, merged_studies, studies)


def serve_dashboard(store: Store, port: int, *, by_cell: bool = False) -> None:
    """Serve the dashboard until interrupted; parameters and errors of `start_dashboard`."""
    dashboard_server = start_dashboard(store, port, by_cell=by_cell)
    noun = "study" if dashboard_server.studies == 1 else "studies"
    sys.stdout.write(f"{dashboard_server.studies} {noun} of {store.folder}: {dashboard_server.url} (Ctrl-C ends it)\n")
    sys.stdout.flush()
    dashboard_server.wait()
