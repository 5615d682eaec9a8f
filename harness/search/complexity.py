"""The size of a fitted classifier: parameters, bytes, layers."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.networks.history import TrainingHistory

if TYPE_CHECKING:
    from harness.search.pipeline import FittedPipeline


def count_parameters_or_nodes(classifier: Any) -> int | None:
    """Count the trained parameters of a network, the coefficients of a linear model or the nodes of trees.

    Parameters
    ----------
    classifier : object
        A fitted classifier; the counts of the members of an ensemble are added.

    Returns
    -------
    int or None
        None where neither is known.
    """
    parameters = getattr(classifier, "parameters", None)
    if isinstance(parameters, int):
        return parameters
    if members := _ensemble_members(classifier):
        total_count = 0
        for member in members:
            count = count_parameters_or_nodes(member)
            if count is None:
                return None
            total_count += count
        return total_count
    if hasattr(classifier, "model_"):
        return count_parameters_or_nodes(classifier.model_)
    if hasattr(classifier, "coef_"):
        return int(np.size(classifier.coef_) + np.size(classifier.intercept_))
    return _count_nodes(classifier)


def pickled_size_in_bytes(fitted: FittedPipeline) -> int:
    """The size of the pickled preprocessor, encoder and classifier, without curves; 0 where they cannot be pickled."""
    byte_counter = _ByteCounter()
    try:
        _CurvelessPickler(byte_counter, pickle.HIGHEST_PROTOCOL).dump(
            (fitted.preparer, fitted.encoder, fitted.classifier)
        )
    except (pickle.PicklingError, TypeError, AttributeError, ValueError):  # a plugin's classifier may hold anything
        return 0
    return byte_counter.bytes


def network_layers(classifier: Any) -> tuple[tuple[str, str, tuple[int, ...], int], ...]:
    """The layers of a network, or of the first member of an ensemble of them; empty for other classifiers.

    Each layer is its name, its kind, the shape of one row's output and the number of its parameters.
    """
    layers = getattr(next(iter(_ensemble_members(classifier)), classifier), "architecture", ())
    return tuple((name, layer_kind, tuple(shape), parameters) for name, layer_kind, shape, parameters in layers)


def _ensemble_members(classifier: Any) -> list[Any]:
    """The classifiers of an ensemble: the members of a balanced ensemble, the trees of a forest."""
    for attribute_name in ("fitted_", "estimators_"):
        members = getattr(classifier, attribute_name, None)
        if isinstance(members, list):
            return members
        if isinstance(members, np.ndarray):
            return list(np.ravel(members))
    return []


def _count_nodes(classifier: Any) -> int | None:
    """The nodes of the trees of libraries that declare families here; None for other classifiers."""
    if hasattr(classifier, "tree_"):  # scikit-learn
        return int(classifier.tree_.node_count)
    if hasattr(classifier, "_predictors"):  # HistGradientBoosting: iterations of trees, one per class
        return sum(len(tree.nodes) for iteration_trees in classifier._predictors for tree in iteration_trees)
    if hasattr(classifier, "get_booster"):  # XGBoost writes a line for each node
        return "".join(classifier.get_booster().get_dump()).count("\n")
    if hasattr(classifier, "booster_"):  # LightGBM
        model = classifier.booster_.model_to_string().splitlines()
        return _count_nodes_from_leaves(line.partition("=")[2] for line in model if line.startswith("num_leaves="))
    if hasattr(classifier, "get_tree_leaf_counts"):  # CatBoost
        return _count_nodes_from_leaves(classifier.get_tree_leaf_counts())
    return None


def _count_nodes_from_leaves(leaf_counts: Any) -> int:
    """The nodes of binary trees with these numbers of leaves."""
    return sum(2 * int(leaf_count) - 1 for leaf_count in leaf_counts)


class _CurvelessPickler(pickle.Pickler):
    """Leaves out the curves of a network: prediction does not need them."""

    def reducer_override(self, obj: Any) -> Any:
        """How an object is pickled; `NotImplemented` means as usual."""
        return (TrainingHistory, ()) if isinstance(obj, TrainingHistory) else NotImplemented


class _ByteCounter:
    """A file that only counts what is written to it."""

    bytes = 0

    def write(self, chunk: Any) -> int:
        """Count the bytes of a chunk."""
        written_bytes = memoryview(chunk).nbytes
        self.bytes += written_bytes
        return written_bytes
