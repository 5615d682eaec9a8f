"""How much a fitted classifier is made of: parameters, bytes, layers."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.networks.history import History

if TYPE_CHECKING:
    from harness.search.pipeline import FittedPipeline


def complexity(classifier: Any) -> int | None:
    """Trained parameters of a network, coefficients of a linear model, nodes of trees; None where neither is known.

    Ensembles have those of all their members.
    """
    if isinstance(counted := getattr(classifier, "parameters", None), int):
        return counted
    if members := _members(classifier):
        counts = [complexity(one) for one in members]
        return None if None in counts else sum(n for n in counts if n is not None)
    if hasattr(classifier, "model_"):
        return complexity(classifier.model_)
    if hasattr(classifier, "coef_"):
        return int(np.size(classifier.coef_) + np.size(classifier.intercept_))
    return _nodes(classifier)


def size_in_bytes(fitted: FittedPipeline) -> int:
    """What the fitted preparation, encoder and classifier take when pickled, without curves; 0 where they cannot be."""
    sink = _Counter()
    try:
        _Pickler(sink, pickle.HIGHEST_PROTOCOL).dump((fitted.preparer, fitted.encoder, fitted.classifier))
    except (pickle.PicklingError, TypeError, AttributeError, ValueError):  # a plugin's classifier may hold anything
        return 0
    return sink.bytes


def architecture(classifier: Any) -> tuple[tuple[str, str, tuple[int, ...], int], ...]:
    """The layers of a network, of the first member where it is an ensemble; nothing for other classifiers."""
    layers = getattr(next(iter(_members(classifier)), classifier), "architecture", ())
    return tuple((name, kind, tuple(shape), parameters) for name, kind, shape, parameters in layers)


def _members(classifier: Any) -> list[Any]:
    """The classifiers that an ensemble is made of: a balanced ensemble's, a forest's trees."""
    for name in ("fitted_", "estimators_"):
        found = getattr(classifier, name, None)
        if isinstance(found, list | np.ndarray):
            return list(np.ravel(found)) if isinstance(found, np.ndarray) else found
    return []


def _nodes(classifier: Any) -> int | None:
    """The nodes of the trees of the libraries that this package knows."""
    if hasattr(classifier, "tree_"):  # a tree of scikit-learn
        return int(classifier.tree_.node_count)
    if hasattr(classifier, "_predictors"):  # HistGradientBoosting: iterations of trees, one per class
        return sum(len(tree.nodes) for trees in classifier._predictors for tree in trees)
    if hasattr(classifier, "get_booster"):  # XGBoost: a line for each node
        return sum(int(tree.count("\n")) for tree in classifier.get_booster().get_dump())
    if hasattr(classifier, "booster_"):  # LightGBM
        lines = classifier.booster_.model_to_string().splitlines()
        return sum(2 * int(line.partition("=")[2]) - 1 for line in lines if line.startswith("num_leaves="))
    if hasattr(classifier, "get_tree_leaf_counts"):  # CatBoost
        return sum(2 * int(leaves) - 1 for leaves in classifier.get_tree_leaf_counts())
    return None


class _Pickler(pickle.Pickler):
    """Leaves out the curves of a network: they are no part of what is needed to predict."""

    def reducer_override(self, obj: Any) -> Any:
        """How an object is pickled; `NotImplemented` means as usual."""
        return (History, ()) if isinstance(obj, History) else NotImplemented


class _Counter:
    """A file that only counts what is written to it."""

    bytes = 0

    def write(self, data: Any) -> int:
        """Count and forget."""
        written = memoryview(data).nbytes
        self.bytes += written
        return written
