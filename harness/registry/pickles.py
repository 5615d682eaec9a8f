"""Declarations of the user's own program, on their way to the worker processes of this program.

Pickled code travels through the pipe between parent and child only. It is never written to a run folder and never read
from one.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from harness.errors import DeclarationError, failure
from harness.registry.estimators import EstimatorBuilder, user_modules


def pickle_declarations(declarations: Iterable[Any]) -> str:
    """Pickle declarations with the code that is not installed, such as classes of a notebook.

    Parameters
    ----------
    declarations : iterable of Task, Family, Strategy or Metric
        The declarations.

    Returns
    -------
    str
        The pickle in base64, for a message; empty without declarations.

    Raises
    ------
    DeclarationError
        If a declaration holds something that cannot be pickled, such as an open file.
    """
    import cloudpickle

    pickled, modules = tuple(declarations), []
    if not pickled:
        return ""
    for declaration in pickled:
        build = getattr(declaration, "build", None)
        if isinstance(build, EstimatorBuilder):
            modules += user_modules(build.estimator)
    for module in modules:  # a worker cannot import what is not installed
        cloudpickle.register_pickle_by_value(module)
    try:
        return base64.b64encode(cloudpickle.dumps(pickled)).decode()
    except Exception as error:  # whatever the objects of a user raise
        names = ", ".join(declaration.name for declaration in pickled)
        raise DeclarationError(f"{names} cannot be sent to worker processes: {failure(error)}") from error
    finally:
        for module in {module.__name__: module for module in modules}.values():
            cloudpickle.unregister_pickle_by_value(module)


def unpickle_declarations(text: str) -> tuple[Any, ...]:
    """Read what `pickle_declarations` of the parent process returned."""
    import cloudpickle

    declarations: tuple[Any, ...] = cloudpickle.loads(base64.b64decode(text)) if text else ()
    return declarations
