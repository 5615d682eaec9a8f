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

    for estimator_component in iterate_objects(clone(estimator)):
        if not isinstance(estimator_component, type) and hasattr(estimator_component, "fit"):
            fitted_attributes = _fitted_attributes(estimator_component)
            if fitted_attributes:
                return f"{type(estimator_component).__name__} with {fitted_attributes[0]}"
    return ""


def _fitted_attributes(estimator_component: Any) -> list[str]:
    """Names of the attributes that `fit` has set, by scikit-learn's convention."""
    params = estimator_component.get_params(deep=False) if hasattr(estimator_component, "get_params") else ()
    names = []
    for name, attribute_value in getattr(estimator_component, "__dict__", {}).items():
        is_unset = attribute_value is None or attribute_value is False  # LightGBM sets `fitted_ = False`
        if name.endswith("_") and not name.startswith("_") and name not in params and not is_unset:
            names.append(name)
    return names


def iterate_objects(root: Any) -> Iterator[Any]:
    """Yield an object and all that it holds: attributes, contents of containers, and what the user's own code refers to."""
    pending_objects = [root]
    visited_by_id: dict[int, Any] = {}
    while pending_objects and len(visited_by_id) < MAX_OBJECTS:
        nested_object = pending_objects.pop()
        if isinstance(nested_object, PLAIN_TYPES) or id(nested_object) in visited_by_id:
            continue
        visited_by_id[id(nested_object)] = nested_object  # keeps it alive, so that no other object gets its id
        yield nested_object
        pending_objects += _objects_in_object(nested_object)


def _objects_in_object(nested_object: Any) -> list[Any]:
    """The objects that an object holds itself."""
    if isinstance(nested_object, Mapping):
        return [*nested_object.keys(), *nested_object.values()]
    if isinstance(nested_object, (list, tuple, set, frozenset)):
        return list(nested_object)
    if isinstance(nested_object, (type, FunctionType)):
        return list(_code_state(nested_object).values())
    if type(nested_object).__module__.partition(".")[0] in ROW_PACKAGES:
        return []
    attribute_values = list(getattr(nested_object, "__dict__", {}).values())
    classes = [base_class for base_class in type(nested_object).__mro__ if not is_installed(base_class)]
    return [*attribute_values, *classes]


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
    digests_by_name: dict[str, str] = {}
    for root_object in roots:
        for nested_object in iterate_objects(root_object):
            if isinstance(nested_object, (type, FunctionType)):
                for name, attribute_value in _code_state(nested_object).items():
                    if not isinstance(attribute_value, (type, FunctionType, ModuleType)):
                        digests_by_name[name] = _settings_digest(attribute_value)
    return digests_by_name


def _settings_digest(attribute_value: Any) -> str:
    import joblib

    try:
        return str(joblib.hash(attribute_value))
    except Exception:  # noqa: BLE001 -- what cannot be pickled, such as a lock, is told by its identity
        return f"{type(attribute_value).__name__} {id(attribute_value)}"


def _code_state(declared_object: type | FunctionType) -> dict[str, Any]:
    """What the user's own class or function holds or refers to, by name; nothing of installed ones."""
    if is_installed(declared_object):
        return {}
    if isinstance(declared_object, FunctionType):
        return _function_state(declared_object)
    code_state_by_name: dict[str, Any] = {}
    for base_class in declared_object.__mro__:
        if is_installed(base_class):
            continue
        for name, member in vars(base_class).items():
            python_function = getattr(member, "__func__", getattr(member, "fget", member))  # of methods and properties
            if isinstance(python_function, FunctionType):
                code_state_by_name |= _function_state(python_function)
            elif not name.startswith("__") and not name.startswith("_abc"):
                code_state_by_name[f"{base_class.__name__}.{name}"] = member
    return code_state_by_name


def _function_state(python_function: FunctionType) -> dict[str, Any]:
    """Default arguments, enclosed variables and global names of a function of the user."""
    state_by_name: dict[str, Any] = {}
    for position, default in enumerate(python_function.__defaults__ or ()):
        state_by_name[f"default {position} of {python_function.__qualname__}()"] = default
    try:
        closure_variables = inspect.getclosurevars(python_function)
    except ValueError:  # an enclosed variable that has no value yet
        return state_by_name
    for names in (closure_variables.nonlocals, closure_variables.globals):
        for name, attribute_value in names.items():
            if name != "__class__":
                state_by_name[name] = attribute_value
    return state_by_name
