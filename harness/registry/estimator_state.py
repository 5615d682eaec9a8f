"""What a user's estimator holds besides its parameters: estimators that were fitted before, and state that its copies share."""

from __future__ import annotations

import inspect
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

MAX_OBJECTS = 10_000  #: objects that are looked at
#: What is not looked into: it holds no estimators, and may be large.
PLAIN_TYPES = (str, bytes, int, float, complex, bool, type(None), ModuleType)
ROW_PACKAGES = ("numpy", "pandas", "polars", "scipy", "pyarrow")


def is_installed(declared: type | FunctionType) -> bool:
    """Whether the code of a class or function is part of Python, of a package, or of this project."""
    module = sys.modules.get(declared.__module__)
    return declared.__module__ != "__main__" and module is not None and is_installed_module(module)


def is_installed_module(module: ModuleType) -> bool:
    """Whether a module is part of Python, of an installed package, or of this project."""
    file = getattr(module, "__file__", None)
    if file is None or module.__name__.partition(".")[0] in ("harness", "evenhand"):
        return True
    path = Path(file).resolve()
    if "site-packages" in path.parts or "dist-packages" in path.parts:  # of another environment, reached by a .pth file
        return True
    folders = [*site.getsitepackages(), site.getusersitepackages(), sysconfig.get_paths()["stdlib"]]
    return any(path.is_relative_to(Path(folder).resolve()) for folder in folders)


def describe_fitted_part(estimator: Any) -> str:
    """Describe an estimator that was fitted before and that `sklearn.base.clone` does not reset.

    Scikit-learn's convention tells: attributes that end in an underscore are set by `fit`. Parameters, attributes, containers,
    attributes of classes, and objects that methods of the user's classes refer to are all looked at.

    Parameters
    ----------
    estimator : estimator
        The user's classifier.

    Returns
    -------
    str
        Its class and a fitted attribute; empty where there is none.
    """
    from sklearn.base import clone

    for component in iterate_objects(clone(estimator)):
        if not isinstance(component, type) and hasattr(component, "fit"):
            attributes = _fitted_attributes(component)
            if attributes:
                return f"{type(component).__name__} with {attributes[0]}"
    return ""


def _fitted_attributes(component: Any) -> list[str]:
    """Names of the attributes that `fit` has set, by scikit-learn's convention."""
    params = component.get_params(deep=False) if hasattr(component, "get_params") else ()
    names = []
    for name, setting in getattr(component, "__dict__", {}).items():
        is_unset = setting is None or setting is False  # LightGBM sets `fitted_ = False`
        if name.endswith("_") and not name.startswith("_") and name not in params and not is_unset:
            names.append(name)
    return names


def iterate_objects(root: Any) -> Iterator[Any]:
    """Yield an object and all that it holds: attributes, contents of containers, and what the user's own code refers to."""
    pending = [root]
    visited: dict[int, Any] = {}
    while pending and len(visited) < MAX_OBJECTS:
        component = pending.pop()
        if isinstance(component, PLAIN_TYPES) or id(component) in visited:
            continue
        visited[id(component)] = component  # keeps it alive, so that no other object gets its id
        yield component
        pending += _objects_in_object(component)


def _objects_in_object(component: Any) -> list[Any]:
    """The objects that an object holds itself."""
    if isinstance(component, Mapping):
        return [*component.keys(), *component.values()]
    if isinstance(component, (list, tuple, set, frozenset)):
        return list(component)
    if isinstance(component, (type, FunctionType)):
        return list(_code_state(component).values())
    if type(component).__module__.partition(".")[0] in ROW_PACKAGES:
        return []
    attributes = list(getattr(component, "__dict__", {}).values())
    classes = [owner for owner in type(component).__mro__ if not is_installed(owner)]
    return [*attributes, *classes]


def digest_shared_state(*roots: Any) -> dict[str, str]:
    """Compute a digest of every attribute of the user's classes, and of every object that their code refers to.

    All copies of a class share them in one process, so that a fit which changes them reaches later fits.

    Parameters
    ----------
    *roots : object
        Estimators, classes or functions.

    Returns
    -------
    dict
        Name such as ``Memory.rows`` → digest.
    """
    digests: dict[str, str] = {}
    for root in roots:
        for component in iterate_objects(root):
            if isinstance(component, (type, FunctionType)):
                for name, setting in _code_state(component).items():
                    if not isinstance(setting, (type, FunctionType, ModuleType)):
                        digests[name] = _settings_digest(setting)
    return digests


def _settings_digest(setting: Any) -> str:
    import joblib

    try:
        return str(joblib.hash(setting))
    except Exception:  # noqa: BLE001 -- what cannot be pickled, such as a lock, is told by its identity
        return f"{type(setting).__name__} {id(setting)}"


def _code_state(declared: type | FunctionType) -> dict[str, Any]:
    """What the user's own class or function holds or refers to, by name; nothing of installed ones."""
    if is_installed(declared):
        return {}
    if isinstance(declared, FunctionType):
        return _function_state(declared)
    state: dict[str, Any] = {}
    for owner in declared.__mro__:
        if is_installed(owner):
            continue
        for name, member in vars(owner).items():
            function = getattr(member, "__func__", getattr(member, "fget", member))  # of methods and properties
            if isinstance(function, FunctionType):
                state |= _function_state(function)
            elif not name.startswith("__") and not name.startswith("_abc"):
                state[f"{owner.__name__}.{name}"] = member
    return state


def _function_state(function: FunctionType) -> dict[str, Any]:
    """Default arguments, enclosed variables and global names of a function of the user."""
    state: dict[str, Any] = {}
    for position, default in enumerate(function.__defaults__ or ()):
        state[f"default {position} of {function.__qualname__}()"] = default
    try:
        variables = inspect.getclosurevars(function)
    except ValueError:  # an enclosed variable that has no value yet
        return state
    for names in (variables.nonlocals, variables.globals):
        for name, setting in names.items():
            if name != "__class__":
                state[name] = setting
    return state
