"""Open a stored run, with the declarations that it needs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.api.results import Run
from harness.arguments import DECLARATIONS, PATH, PLUGINS, check_arguments


@check_arguments(folder=PATH, plugins=PLUGINS, declarations=DECLARATIONS)
def open_run(folder: str | Path, *, plugins: Iterable[str] = (), declarations: Iterable[Any] = ()) -> Run:
    """Open a stored run.

    Parameters
    ----------
    folder : str or Path
        The folder of the run.
    plugins : iterable of str, optional
        Installed modules and paths of files with the declarations that the run was made with.
    declarations : iterable of Task, Family, Strategy or Metric, optional
        Declarations of this program; metrics among them are computed for the run.

    Returns
    -------
    Run
        The run.

    Raises
    ------
    StoreError
        If the folder holds no run.
    """
    from harness.registry.registry import load_registry
    from harness.registry.user_declarations import pickle_declarations
    from harness.store.store import Store

    declarations = tuple(declarations)
    registry = load_registry(plugins).with_declarations(declarations, "declarations")
    Store(Path(folder)).read_run()
    return Run(Path(folder), registry, pickle_declarations(declarations))
