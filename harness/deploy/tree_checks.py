"""Trees that were read are looked at before they are used.

scikit-learn and XGBoost follow the indices in a tree without checking them: of a crafted file one step could lead anywhere in
memory, or round in circles. skops checks types alone, and leaves that to whoever reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

LEAF = -1
NOBODY = 2**31 - 1  #: XGBoost's parent of a root
LARGEST_CODE = 2**24  #: of a category that XGBoost tells apart


def check_trees(classifier: Any) -> None:
    """Raise `ValueError` where a step in a tree of scikit-learn's leads out of the tree, back, or to a column that is not there.

    Trees are looked for in all that a classifier holds: what it starts from may be a classifier of trees too.
    """
    waiting: list[tuple[Any, int | None]] = [(classifier, None)]
    seen = set()
    while waiting:
        held, columns = waiting.pop()
        # The outermost classifier is the one that counts the columns of rows.
        columns = getattr(held, "n_features_in_", None) if columns is None else columns
        if (id(held), columns) not in seen:
            seen.add((id(held), columns))
            if type(held).__name__ == "Tree":
                _check_tree(held, columns)
            elif type(held).__name__ == "TreePredictor":
                _check_predictor(held, columns)
            else:
                waiting.extend((one, columns) for one in _parts(held))
    if type(classifier).__name__ == "GradientBoostingClassifier":
        _expect(classifier.estimators_.shape[1] == (k if (k := len(classifier.classes_)) > 2 else 1))


def check_boosted(description: Any) -> None:
    """The same for a model of XGBoost's, as it is read from JSON."""
    learner = description["learner"]
    model, about = learner["gradient_booster"]["model"], learner["learner_model_param"]
    trees, outputs = model["trees"], np.array(model["tree_info"])
    _expect([tree["id"] for tree in trees] == list(range(len(trees))) and len(outputs) == len(trees))
    _expect(_within(outputs, max(1, int(about["num_class"]))))
    for tree in trees:
        _check_boosted(tree, int(about["num_feature"]))


def _check_boosted(tree: Any, columns: int) -> None:
    left, right, splits, parents, kinds = (
        np.array(tree[name], dtype=np.int64)
        for name in ("left_children", "right_children", "split_indices", "parents", "split_type")
    )
    inner, places = left != LEAF, np.arange(len(left))
    _expect(len(left) == len(right) == len(splits) == len(parents) == int(tree["tree_param"]["num_nodes"]) > 0)
    _expect(int(tree["tree_param"]["size_leaf_vector"]) <= 1)
    _check_steps(inner, left, right)
    _expect(_within(splits[inner], columns))
    _expect(parents[0] == NOBODY and _within(parents[1:], len(parents)))
    codes, nodes, begins, sizes = (
        np.array(tree[name], dtype=np.int64)
        for name in ("categories", "categories_nodes", "categories_segments", "categories_sizes")
    )
    _expect(len(nodes) == len(begins) == len(sizes) and np.array_equal(nodes, places[: len(kinds)][kinds != 0]))
    _expect(_within(begins, len(codes) + 1) and _within(sizes, len(codes) + 1))
    _expect(bool((begins + sizes <= len(codes)).all()) and _within(codes, LARGEST_CODE))


def _parts(held: Any) -> Iterable[Any]:
    """What a container or an object holds that may be a tree, or hold one."""
    if isinstance(held, dict):
        return held.values()
    if isinstance(held, list | tuple):
        return held
    if isinstance(held, np.ndarray):
        return held.ravel().tolist() if held.dtype == object else ()
    return getattr(held, "__dict__", {}).values()


def _check_tree(tree: Any, columns: int | None) -> None:
    inner = tree.children_left != LEAF
    _expect(tree.n_features == columns and len(inner) == tree.node_count)
    _check_steps(inner, tree.children_left, tree.children_right)
    _expect(_within(tree.feature[inner], tree.n_features))
    _expect(tree.value.shape == (tree.node_count, tree.n_outputs, tree.max_n_classes) and tree.value.size > 0)


def _check_predictor(predictor: Any, columns: int | None) -> None:
    nodes = predictor.nodes
    inner = nodes["is_leaf"] == 0
    _check_steps(inner, nodes["left"].astype(np.int64), nodes["right"].astype(np.int64))
    _expect(columns is not None and _within(nodes["feature_idx"][inner], columns))
    sets = min(len(predictor.raw_left_cat_bitsets), len(predictor.binned_left_cat_bitsets))
    _expect(_within(nodes["bitset_idx"][inner & (nodes["is_categorical"] == 1)], sets))


def _check_steps(inner: npt.NDArray[np.bool_], *children: npt.NDArray[np.int64]) -> None:
    """Every step leads further down in the list of nodes, so that it ends."""
    places = np.arange(len(inner))
    for child in children:
        _expect(bool((child[inner] > places[inner]).all()) and _within(child[inner], len(inner)))


def _within(found: npt.NDArray[np.integer[Any]], bound: int) -> bool:
    return bool(((found >= 0) & (found < bound)).all())


def _expect(sound: bool) -> None:
    if not sound:
        raise ValueError("a tree leads out of itself")
