"""The Optuna dashboard over all studies of a run, also while it goes on."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import EvenhandError
from harness.store.store import Store

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

#: How often new trials are looked for, in seconds.
REFRESH = 5.0


class Merged:
    """One storage in memory that holds every cell's study; only journals that changed are read again."""

    def __init__(self, store: Store) -> None:
        from optuna.storages import InMemoryStorage

        self.store = store
        self.storage: BaseStorage = InMemoryStorage()
        self.seen: dict[Path, tuple[int, int]] = {}

    def refresh(self) -> int:
        """Bring what is new; returns how many studies there are."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        planned = (self.store.journal(cell["id"]) for cell in self.store.read_run()["cells"])
        for path in (one for one in planned if one.exists()):
            state = path.stat()
            if self.seen.get(path) != (state.st_size, state.st_mtime_ns):
                self._bring(path)
                self.seen[path] = (state.st_size, state.st_mtime_ns)
        return len(self.seen)

    def _bring(self, path: Path) -> None:
        """Copy the trials that the merged study does not have yet; begin it anew where the journal was."""
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        journal = JournalStorage(JournalFileBackend(str(path)))
        merged = {one.study_name for one in self.storage.get_all_studies()}
        for name in optuna.get_all_study_names(journal):
            study = optuna.load_study(study_name=name, storage=journal)
            if name in merged:
                old = optuna.load_study(study_name=name, storage=self.storage)
                if len(old.trials) <= len(study.trials):
                    old.add_trials(study.trials[len(old.trials) :])
                    continue
                optuna.delete_study(study_name=name, storage=self.storage)
            optuna.copy_study(from_study_name=name, from_storage=journal, to_storage=self.storage)


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
