"""The Optuna dashboard over all studies of a run, also while it goes on.

The dashboard draws history, importances, slices and parallel coordinates itself; a note on every study says what it cannot
know. All of it is kept in memory: nothing on disk changes.
"""

from __future__ import annotations

import csv
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.errors import EvenhandError, StoreError
from harness.report.render.markdown import NONE, count, escape, number, table
from harness.store.journal import read_journal
from harness.store.store import Store

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage

#: How often new trials are looked for, in seconds.
REFRESH = 5.0
TABLE = "leaderboard.csv"
COLUMNS = {"task", "family", "strategy", "stage", "calibration", "threshold_kind", "objective"}
HALF = "half"  #: what the table calls decisions at 0.5
REPORTS = ("report.html", "leaderboard.md")  #: the first that is there is named in notes
State: TypeAlias = tuple[int, int] | None  #: size and time of a file; None where it is not there
Who: TypeAlias = tuple[str, str, str, str]  #: task, family, strategy, stage


class Merged:
    """One storage in memory that holds every cell's study, each with a note; only journals that changed are read again."""

    def __init__(self, store: Store) -> None:
        from optuna.storages import InMemoryStorage

        self.store = store
        self.storage: BaseStorage = InMemoryStorage()
        self.seen: dict[Path, State] = {}
        self.names: dict[Path, list[str]] = {}  #: the studies of a journal: one, or none yet
        self.reported: tuple[State, ...] = ()

    def refresh(self) -> int:
        """Bring what is new and write notes on it; returns how many studies there are."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        run = self.store.read_run()
        reported = tuple(_state(self.store.folder / name) for name in (TABLE, *REPORTS))
        outer = read_outer(self.store.folder / TABLE)
        for cell in run["cells"]:
            path = self.store.journal(cell["id"])
            state = _state(path)
            changed = self.seen.get(path) != state
            if state is not None and changed:
                self.names[path] = self._bring(path)
                self.seen[path] = state
            if state is not None and (changed or self.reported != reported):
                self._note(path, cell, run, outer)
        self.reported = reported
        return len(self.seen)

    def _note(self, path: Path, cell: Mapping[str, Any], run: Mapping[str, Any], outer: Mapping[Who, str]) -> None:
        import optuna
        from optuna_dashboard import save_note

        report = next((one for one in REPORTS if (self.store.folder / one).exists()), "")
        for name in self.names[path]:
            study = optuna.load_study(study_name=name, storage=self.storage)
            save_note(study, note(study, cell, run["tasks"][cell["task"]], outer, report))

    def _bring(self, path: Path) -> list[str]:
        """Copy the trials that the merged study does not have yet, or begin it anew where the journal was; returns its name."""
        import optuna

        try:
            journal = read_journal(path)
        except StoreError:  # the other cells can be displayed; the report names this one
            return []
        merged = {one.study_name for one in self.storage.get_all_studies()}
        names = optuna.get_all_study_names(journal)
        for name in names:
            study = optuna.load_study(study_name=name, storage=journal)
            if name in merged:
                old = optuna.load_study(study_name=name, storage=self.storage)
                if len(old.trials) <= len(study.trials):
                    old.add_trials(study.trials[len(old.trials) :])
                    continue
                optuna.delete_study(study_name=name, storage=self.storage)
            optuna.copy_study(from_study_name=name, from_storage=journal, to_storage=self.storage)
        return names


def note(
    study: optuna.Study, cell: Mapping[str, Any], about: Mapping[str, Any], outer: Mapping[Who, str], report: str
) -> str:
    """What is worth knowing about a study, as Markdown: whose it is, of which data, what it found, and where the report is.

    `about` is what the run says of the task, `outer` what `read_outer` gave, `report` the name of a file in the run's folder.
    """
    classes = ", ".join(f"{n:,} {escape(name)}" for name, n in zip(about["classes"], about["counts"], strict=True))
    shape = f"{about['rows']:,} rows of {escape(about.get('features') or count(about['columns'], 'column'))}"
    facts = [
        ["Task", f"{escape(cell['task'])}: {escape(about['title'])}"],
        ["Data", f"{shape}: {classes}"],
        ["Family", escape(cell["family"])],
        ["Strategy", escape(cell["strategy"])],
        ["Split", f"repeat {cell['repeat']}, fold {cell['fold']}, counted from 0"],
        ["Score here", f"{escape(about['objective'])}, the mean of the inner folds: no test row took part"],
    ]
    who = (cell["task"], cell["family"], cell["strategy"])
    facts += [[f"Test rows, {stage}", said] for stage in ("default", "tuned") if (said := outer.get((*who, stage)))]
    ending = f"The report on the whole run is `{report}` in its folder." if report else ""
    return "\n\n".join(
        part for part in (table(["Study", ""], facts), "### Configurations", _found(study), ending) if part
    )


def _found(study: optuna.Study) -> str:
    """The default and the best configuration beside each other, and how many trials failed."""
    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.value is not None]
    failed = _failures([trial for trial in trials if trial.value is None])
    if not complete:
        return f"No trial has a score yet. {failed}".rstrip()
    shown = {"Best": study.best_trial} | ({"Default": trials[0]} if trials[0].value is not None else {})
    names = dict.fromkeys(name for trial in shown.values() for name in trial.params)
    rows = [["inner score", *(number(trial.value or 0.0, 4) for trial in shown.values())]]
    rows += [[escape(name), *(_value(trial.params.get(name)) for trial in shown.values())] for name in names]
    header = ["", *(f"{what} (trial {trial.number})" for what, trial in shown.items())]
    return "\n\n".join(part for part in (table(header, rows), failed) if part)


def _failures(failed: Sequence[optuna.trial.FrozenTrial]) -> str:
    """How many trials failed, and why most of them did."""
    if not failed:
        return ""
    (reason, n), *others = Counter(str(trial.user_attrs.get("reason", "")) for trial in failed).most_common()
    which = f", {n} of them" if others else ""
    return f"{count(len(failed), 'trial')} failed{which}: {escape(reason) or 'no reason noted'}."


def _value(value: Any) -> str:
    if value is None:
        return NONE
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))


def read_outer(path: Path) -> dict[Who, str]:
    """What entries scored on test rows, over all splits, from `leaderboard.csv`; nothing where there is none of this form.

    Decisions are those at 0.5, like those of the inner score that stands beside; recalibrated entries are others.
    """
    found: dict[Who, str] = {}
    if not path.exists():
        return found
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if not COLUMNS.issubset(rows.fieldnames or ()):
            return found
        for row in rows:
            objective = row["objective"]
            plain = row["calibration"] == "none" and row["threshold_kind"] == HALF  # as the search looked at decisions
            if plain and row.get(objective):
                spread = f" ± {number(float(sd))}" if (sd := row.get(f"{objective}_sd")) else ""
                said = f"{escape(objective)} {number(float(row[objective]))}{spread} (mean ± standard deviation, all splits)"
                found[row["task"], row["family"], row["strategy"], row["stage"]] = said
    return found


def _state(path: Path) -> State:
    """What a file looks like from outside."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


def dashboard(store: Store, port: int) -> None:
    """Serve the dashboard on 127.0.0.1 until interrupted; raises `EvenhandError` where there is nothing to show or no port."""
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    from optuna_dashboard import wsgi

    class Silent(WSGIRequestHandler):
        """Requests are nobody's business."""

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is the base class's
            """Write nothing."""

    store.read_run()
    merged = Merged(store)
    if not (studies := merged.refresh()):
        raise EvenhandError(f"{store.folder} has no studies yet: start its run first")
    try:
        server = make_server("127.0.0.1", port, wsgi(merged.storage), handler_class=Silent)
    except OSError as error:
        raise EvenhandError(f"cannot listen on 127.0.0.1:{port}: {error.strerror}: choose another --port") from error

    def follow() -> None:
        while True:
            time.sleep(REFRESH)
            merged.refresh()

    threading.Thread(target=follow, daemon=True).start()
    sys.stdout.write(f"{studies} studies of {store.folder}: http://127.0.0.1:{server.server_port}/ (Ctrl-C ends it)\n")
    sys.stdout.flush()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
