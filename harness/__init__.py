"""The implementation of evenhand; programs and plug-ins import from `evenhand`."""

import warnings
from pathlib import Path
from typing import Any

PROJECT = "evenhand"  #: tells this package from others of its name

_FOLDER = Path(__file__).parent
if not (_FOLDER / "tasks").exists() and (_FOLDER.parent / "tasks" / "suites.py").exists():
    # In a clone, `harness.tasks` and `harness.searchspaces` are the folders beside this one; a wheel has them inside.
    __path__.append(str(_FOLDER.parent))

#: Names that plug-ins imported from here before there was `evenhand`.
_MOVED_NAMES = (
    *("DataError", "EvenhandError", "Family", "Inapplicable", "Metric", "Predictions", "Strategy", "Table", "Task"),
    *("Unavailable", "choice", "integer", "log_float", "real", "when"),
)


def __getattr__(name: str) -> Any:
    """Import a public name from where it is now, with a warning."""
    if name not in _MOVED_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import evenhand

    warnings.warn(
        f"import {name} from evenhand: harness will not have it from version 0.3 on", FutureWarning, stacklevel=2
    )
    return getattr(evenhand, name)
