"""Declarations of the user's own program: scikit-learn classifiers as model families, and pickles for worker processes.

Pickled code travels through the pipe between parent and child only. It is never written to a run folder and never read
from one.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import pickle
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from harness.arguments import NAME, check_arguments
from harness.errors import DeclarationError, failure
from harness.registry.estimator_state import describe_fitted_part, is_installed, is_installed_module
from harness.registry.family import Family
from harness.registry.fingerprint import FINGERPRINTED, canonical_text, digest
from harness.registry.registry import suggest_similar_name
from harness.registry.space import SPACE, Space

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: The encodings of a user's classifier: a matrix of numbers, or a frame where a step selects columns by name.
MATRIX_ENCODINGS = {"tabular": "matrix", "text": "tfidf", "image": "embedding"}
FRAME_ENCODINGS = {"tabular": "frame"}
#: The list of modules that cloudpickle pickles by value belongs to the process, and runs may start in several threads.
PICKLE_LOCK = threading.Lock()
#: The step that selects columns by name.
COLUMN_TRANSFORMER = "ColumnTransformer"


@dataclass(frozen=True)
class EstimatorBuilder:
    """Builds unfitted copies of a user's classifier.

    Attributes
    ----------
    estimator : estimator
        The unfitted classifier or pipeline.
    fingerprint : str
        Digest of its parameters and of the code that is not installed; part of the key of its cells.
    """

    estimator: Any = field(metadata={FINGERPRINTED: False})
    fingerprint: str

    def __call__(self, seed: int, **params: Any) -> EstimatorClassifier:
        """Copy the classifier, with one thread and all its random states drawn from `seed`."""
        from sklearn.base import clone

        estimator = clone(self.estimator).set_params(**params)
        settings: dict[str, Any] = {}
        for name, parameter_setting in estimator.get_params(deep=True).items():
            final_name = name.rpartition("__")[2]
            if final_name == "random_state":
                settings[name] = seed
            elif final_name == "n_jobs" and parameter_setting is not None:
                settings[name] = 1
        return EstimatorClassifier(estimator.set_params(**settings))


class EstimatorClassifier:
    """A user's classifier with the methods of a family's classifier.

    Parameters
    ----------
    estimator : estimator
        Classifier or pipeline.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: npt.NDArray[np.int64], sample_weight: npt.NDArray[np.float64] | None = None) -> None:
        """Fit to rows with labels 0 to k - 1."""
        self.n_classes = int(y.max()) + 1
        weights = {}
        if sample_weight is not None:
            weights[sample_weight_argument(self.estimator)] = sample_weight
        self.estimator.fit(X, y, **weights)

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Predict probabilities (n, k), in the order of the labels."""
        import numpy as np

        proba = np.asarray(self.estimator.predict_proba(X), dtype=np.float64)
        labels = np.asarray(self.estimator.classes_)
        if np.array_equal(labels, np.arange(proba.shape[1])):
            return proba
        ordered_proba = np.zeros((len(proba), self.n_classes))
        ordered_proba[:, labels.astype(np.int64)] = proba
        return ordered_proba


@check_arguments(name=NAME, space=SPACE)
def estimator_family(name: str, estimator: Any, space: Space | None = None) -> Family:
    """Declare a user's classifier as a model family.

    Parameters
    ----------
    name : str
        Name of the family.
    estimator : estimator
        A classifier or pipeline with scikit-learn's `fit`, `predict_proba`, `get_params` and `set_params`.
    space : Space, optional
        Parameters that are searched, by the names of `set_params`; none by default.

    Returns
    -------
    Family
        The family. Its classifiers get a matrix of numbers, or a frame of prepared columns where the pipeline contains a
        `ColumnTransformer`.

    Raises
    ------
    DeclarationError
        If the object is no classifier that gives probabilities, or has no such parameter.
    """
    if isinstance(estimator, type):
        raise DeclarationError(
            f"family {name!r} is the class {estimator.__name__}: give an object, {estimator.__name__}()"
        )
    _check_methods(name, estimator)
    _check_unfitted(name, estimator)
    space = dict(space or {})
    params = estimator.get_params(deep=True)
    for parameter in space:
        if parameter not in params:
            raise DeclarationError(
                f"family {name!r} has no parameter {parameter!r}: {suggest_similar_name(parameter, params)}"
            )
    family_limits = {}
    if not sample_weight_argument(estimator):
        family_limits["weight"] = f"fit() of {final_step_class_name(estimator)} takes no sample_weight"
    return Family(
        name=name,
        build=EstimatorBuilder(estimator, estimator_fingerprint(estimator)),
        space=space,
        encodings=FRAME_ENCODINGS if _selects_columns_by_name(estimator) else MATRIX_ENCODINGS,
        description=f"{final_step_class_name(estimator)}, declared in Python",
        limits=family_limits,
    )


def _check_methods(name: str, estimator: Any) -> None:
    """Raise `DeclarationError` for what is no classifier that gives probabilities."""
    estimator_type = type(estimator).__name__
    for method_name in ("fit", "get_params", "set_params"):
        if not callable(getattr(estimator, method_name, None)):
            raise DeclarationError(
                f"family {name!r}: {estimator_type} has no {method_name}(): expected a scikit-learn classifier"
            )
    # The methods of a stack depend on its last classifier, which is known once it is fitted.
    if not hasattr(estimator, "predict_proba") and not hasattr(estimator, "final_estimator"):
        raise DeclarationError(
            f"family {name!r}: {estimator_type} has no predict_proba(), and entries are ranked and thresholds chosen by probabilities: "
            "use an option such as SVC(probability=True), or wrap it in sklearn.calibration.CalibratedClassifierCV"
        )


def _check_unfitted(name: str, estimator: Any) -> None:
    """Raise `DeclarationError` where a copy of an estimator would be fitted already, or cannot be made."""
    try:
        fitted = describe_fitted_part(estimator)
    except Exception as error:  # whatever the constructors of a user raise
        raise DeclarationError(f"family {name!r} cannot be copied by sklearn.base.clone: {failure(error)}") from error
    for component_estimator in _component_estimators(estimator):
        if type(component_estimator).__name__ == "FrozenEstimator":
            fitted = "FrozenEstimator"
    if fitted:
        raise DeclarationError(
            f"family {name!r} holds a {fitted}, which was fitted before and which clone() does not reset: it may have seen test "
            "rows. Hand over what is not fitted yet"
        )


def sample_weight_argument(estimator: Any) -> str:
    """Name the argument of `fit` that takes row weights, which a pipeline hands to its last step; empty without one."""
    prefix = ""
    while hasattr(estimator, "steps"):
        name, estimator = estimator.steps[-1]
        prefix += f"{name}__"
    try:
        parameters = inspect.signature(estimator.fit).parameters
    except (TypeError, ValueError):  # a `fit` that is not written in Python
        return ""
    return f"{prefix}sample_weight" if "sample_weight" in parameters else ""


def final_step_class_name(estimator: Any) -> str:
    """Name the class of a classifier, or that of the last step of a pipeline."""
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[-1][1]
    return type(estimator).__name__


def estimator_fingerprint(estimator: Any) -> str:
    """Compute a digest of an unfitted estimator.

    It covers the parameters of the estimator and of its steps; classes and functions that are not installed, such as those of
    a notebook, by their code; and installed ones by their names.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return digest(_estimator_text(estimator))


def user_modules() -> list[ModuleType]:
    """List the imported modules that are not installed, other than `__main__`: no worker could import them."""
    modules = []
    for module in list(sys.modules.values()):
        has_file = isinstance(module, ModuleType) and getattr(module, "__file__", None) is not None
        if has_file and module.__name__ != "__main__" and not is_installed_module(module):
            modules.append(module)
    return modules


def _component_estimators(nested_object: Any) -> Iterator[Any]:
    """An estimator, its parameters and those of its steps, one after the other."""
    yield nested_object
    if isinstance(nested_object, Mapping):
        nested_object = list(nested_object.values())
    if isinstance(nested_object, (list, tuple)):
        for nested_element in nested_object:
            yield from _component_estimators(nested_element)
    elif hasattr(nested_object, "get_params") and not isinstance(nested_object, type):
        yield from _component_estimators(nested_object.get_params(deep=False))


def _estimator_text(written_object: Any) -> str:
    if isinstance(written_object, Mapping):
        entries = [f"{_estimator_text(key)}: {_estimator_text(entry)}" for key, entry in written_object.items()]
        return f"{{{', '.join(entries)}}}"
    if isinstance(written_object, (list, tuple)):
        return f"[{', '.join(map(_estimator_text, written_object))}]"
    if isinstance(written_object, (type, FunctionType)):
        name = f"{written_object.__module__}.{written_object.__qualname__}"
        return name if is_installed(written_object) else f"{name}: {canonical_text(written_object)}"
    return _object_text(written_object)


def _object_text(written_object: Any) -> str:
    """An estimator by its class and parameters, an object of a class that is not installed by its attributes."""
    if hasattr(written_object, "get_params"):
        return f"{_estimator_text(type(written_object))}({_estimator_text(written_object.get_params(deep=False))})"
    if type(written_object).__module__.partition(".")[0] in ("pandas", "polars"):  # their `repr` leaves out rows
        return f"{type(written_object).__name__}({hashlib.sha256(pickle.dumps(written_object)).hexdigest()})"
    if hasattr(written_object, "__dict__") and not is_installed(type(written_object)):
        return f"{_estimator_text(type(written_object))}({_estimator_text(vars(written_object))})"
    return canonical_text(written_object)


def _selects_columns_by_name(estimator: Any) -> bool:
    """Whether a step of a pipeline selects columns by their names."""
    return any(
        type(component_estimator).__name__ == COLUMN_TRANSFORMER
        for component_estimator in _component_estimators(estimator)
    )


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

    pickled_declarations = tuple(declarations)
    if not pickled_declarations:
        return ""
    with PICKLE_LOCK:
        modules = user_modules()
        for module in modules:  # a worker cannot import what is not installed
            cloudpickle.register_pickle_by_value(module)
        try:
            return base64.b64encode(cloudpickle.dumps(pickled_declarations)).decode()
        except Exception as error:  # whatever the objects of a user raise
            names = ", ".join(declaration.name for declaration in pickled_declarations)
            raise DeclarationError(f"{names} cannot be sent to worker processes: {failure(error)}") from error
        finally:
            for module in modules:
                cloudpickle.unregister_pickle_by_value(module)


def unpickle_declarations(text: str) -> tuple[Any, ...]:
    """Read what `pickle_declarations` of the parent process returned."""
    import cloudpickle

    declarations: tuple[Any, ...] = cloudpickle.loads(base64.b64decode(text)) if text else ()
    return declarations
