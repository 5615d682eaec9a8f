"""Checks of the trees of scikit-learn and XGBoost that were read from a file.

Both libraries follow the indices in a tree without checking them: in a crafted file a node could refer to any address in
memory, or to one of its own ancestors, which never ends. skops checks types only, and leaves these checks to its users.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

LEAF = -1
NO_PARENT = 2**31 - 1  #: XGBoost's parent of a root
MAX_CATEGORY_CODE = 2**24  #: codes of categories that XGBoost distinguishes


def check_sklearn_trees(classifier: Any) -> None:
    """Check every tree of a classifier of scikit-learn, and of the classifiers that it contains.

    Raises
    ------
    ValueError
        If a node refers to a node outside of the tree or before itself, or to a column that does not exist.
    """
    pending: list[tuple[Any, int | None]] = [(classifier, None)]
    visited = set()
    while pending:
        component, columns = pending.pop()
        # The outermost classifier is the one that counts the columns of rows.
        if columns is None:
            columns = getattr(component, "n_features_in_", None)
        if (id(component), columns) in visited:
            continue
        visited.add((id(component), columns))
        if type(component).__name__ == "Tree":
            _check_tree(component, columns)
        elif type(component).__name__ == "TreePredictor":
            _check_predictor(component, columns)
        else:
            pending.extend((child, columns) for child in _components(component))
    if type(classifier).__name__ == "GradientBoostingClassifier":
        classes = len(classifier.classes_)
        _require(classifier.estimators_.shape[1] == (classes if classes > 2 else 1))


def _components(parent: Any) -> Iterable[Any]:
    """The members of a container or the attributes of an object, any of which may be a tree or contain one."""
    if isinstance(parent, dict):
        return parent.values()
    if isinstance(parent, list | tuple):
        return parent
    if isinstance(parent, np.ndarray):
        return parent.ravel().tolist() if parent.dtype == object else ()
    return getattr(parent, "__dict__", {}).values()


def _check_tree(tree: Any, columns: int | None) -> None:
    is_inner = tree.children_left != LEAF
    _require(tree.n_features == columns and len(is_inner) == tree.node_count)
    _check_children(is_inner, tree.children_left, tree.children_right)
    _require(_is_within(tree.feature[is_inner], tree.n_features))
    _require(tree.value.shape == (tree.node_count, tree.n_outputs, tree.max_n_classes) and tree.value.size > 0)


def _check_predictor(predictor: Any, columns: int | None) -> None:
    nodes = predictor.nodes
    is_inner = nodes["is_leaf"] == 0
    _check_children(is_inner, nodes["left"].astype(np.int64), nodes["right"].astype(np.int64))
    _require(columns is not None and _is_within(nodes["feature_idx"][is_inner], columns))
    bitsets = min(len(predictor.raw_left_cat_bitsets), len(predictor.binned_left_cat_bitsets))
    _require(_is_within(nodes["bitset_idx"][is_inner & (nodes["is_categorical"] == 1)], bitsets))


def check_xgboost_trees(description: Any) -> None:
    """Check every tree of a model of XGBoost.

    Parameters
    ----------
    description : dict
        The model as it is read from JSON.

    Raises
    ------
    ValueError
        If a node refers to a node outside of the tree or before itself, or to a column, class or category that does not
        exist.
    """
    learner = description["learner"]
    model, params = learner["gradient_booster"]["model"], learner["learner_model_param"]
    trees, outputs = model["trees"], np.array(model["tree_info"])
    _require([tree["id"] for tree in trees] == list(range(len(trees))) and len(outputs) == len(trees))
    _require(_is_within(outputs, max(1, int(params["num_class"]))))
    for tree in trees:
        _check_xgboost_nodes(tree, int(params["num_feature"]))
        _check_xgboost_categories(tree)


def _check_xgboost_nodes(tree: Any, columns: int) -> None:
    left, right = _integers(tree, "left_children"), _integers(tree, "right_children")
    splits, parents = _integers(tree, "split_indices"), _integers(tree, "parents")
    is_inner = left != LEAF
    _require(len(left) == len(right) == len(splits) == len(parents) == int(tree["tree_param"]["num_nodes"]) > 0)
    _require(int(tree["tree_param"]["size_leaf_vector"]) <= 1)
    _check_children(is_inner, left, right)
    _require(_is_within(splits[is_inner], columns))
    _require(parents[0] == NO_PARENT and _is_within(parents[1:], len(parents)))


def _check_xgboost_categories(tree: Any) -> None:
    split_types, nodes = _integers(tree, "split_type"), _integers(tree, "categories_nodes")
    codes, starts = _integers(tree, "categories"), _integers(tree, "categories_segments")
    sizes = _integers(tree, "categories_sizes")
    categorical_nodes = np.arange(len(tree["left_children"]))[: len(split_types)][split_types != 0]
    _require(len(nodes) == len(starts) == len(sizes) and np.array_equal(nodes, categorical_nodes))
    _require(_is_within(starts, len(codes) + 1) and _is_within(sizes, len(codes) + 1))
    _require(bool((starts + sizes <= len(codes)).all()) and _is_within(codes, MAX_CATEGORY_CODE))


def _integers(tree: Any, name: str) -> npt.NDArray[np.int64]:
    return np.array(tree[name], dtype=np.int64)


def _check_children(is_inner: npt.NDArray[np.bool_], *children: npt.NDArray[np.int64]) -> None:
    """Check that every child comes after its parent in the list of nodes, so that each path ends."""
    positions = np.arange(len(is_inner))
    for child in children:
        _require(bool((child[is_inner] > positions[is_inner]).all()) and _is_within(child[is_inner], len(is_inner)))


def _is_within(indices: npt.NDArray[np.integer[Any]], bound: int) -> bool:
    return bool(((indices >= 0) & (indices < bound)).all())


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError("a tree leads out of itself")
