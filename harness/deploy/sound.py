"""Trees that were read are looked at before they are used.

scikit-learn and XGBoost follow the indices in a tree without checking them: of a crafted file one step could lead anywhere in
memory, or round in circles. skops checks types alone, and leaves that to whoever reads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

LEAF = -1


def check_trees(classifier: Any) -> None:
    """Raise `ValueError` where a step in a tree of scikit-learn's leads out of the tree, back, or to a column that is not there."""
    kind = type(classifier).__name__
    if kind == "RandomForestClassifier":
        trees = list(classifier.estimators_)
    elif kind == "GradientBoostingClassifier":
        trees = classifier.estimators_.ravel().tolist()
    else:
        trees = []
    for one in trees:
        _check_tree(one.tree_, classifier.n_features_in_)
    if kind == "HistGradientBoostingClassifier":
        for predictor in (one for step in classifier._predictors for one in step):
            _check_predictor(predictor, classifier.n_features_in_)


def check_boosted(description: Any) -> None:
    """The same for a model of XGBoost's, as it is read from JSON."""
    learner = description["learner"]
    columns = int(learner["learner_model_param"]["num_feature"])
    for tree in learner["gradient_booster"]["model"]["trees"]:
        left, right, splits = (np.array(tree[name]) for name in ("left_children", "right_children", "split_indices"))
        inner = left != LEAF
        _expect(len(left) == len(right) == len(splits) == int(tree["tree_param"]["num_nodes"]) > 0)
        _check_steps(inner, left, right)
        _expect(_within(splits[inner], columns))


def _check_tree(tree: Any, columns: int) -> None:
    inner = tree.children_left != LEAF
    _expect(tree.n_features == columns and len(inner) == tree.node_count)
    _check_steps(inner, tree.children_left, tree.children_right)
    _expect(_within(tree.feature[inner], columns))
    _expect(tree.value.shape == (tree.node_count, tree.n_outputs, tree.max_n_classes))


def _check_predictor(predictor: Any, columns: int) -> None:
    nodes = predictor.nodes
    inner = nodes["is_leaf"] == 0
    _check_steps(inner, nodes["left"].astype(np.int64), nodes["right"].astype(np.int64))
    _expect(_within(nodes["feature_idx"][inner], columns))
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
