"""Checks of the trees of scikit-learn, XGBoost and LightGBM that were read from a file.

These libraries follow the indices in a tree without checking them: in a crafted file a node could refer to any address in
memory, or to one of its own ancestors, which never ends. skops checks types only, and leaves these checks to its users.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

END_OF_TREES = "end of trees\n"  #: training parameters follow it
MAX_LEAVES = 4_096  #: of a tree; LightGBM descends it recursively
HEADER_FIELDS = {
    "version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective", "feature_names",
    "feature_infos", "tree_sizes",
}  # fmt: skip
SPLIT_FIELDS = (
    "split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child", "internal_value",
    "internal_weight", "internal_count",
)  # fmt: skip
LEAF_FIELDS = ("leaf_value", "leaf_weight", "leaf_count")
CATEGORY_FIELDS = ("cat_boundaries", "cat_threshold")
SCALAR_FIELDS = ("num_leaves", "num_cat", "is_linear", "shrinkage")
INTEGER_FIELDS = {
    "split_feature", "decision_type", "left_child", "right_child", "internal_count", "leaf_count", *CATEGORY_FIELDS,
}  # fmt: skip
DECISION_TYPES = 12  #: categorical or not, missing values left or right, three kinds of missing values
FLOAT = re.compile(r"-?(\d[\d.]*(e[+-]?\d+)?|inf|nan)")
INTEGER = re.compile(r"-?\d{1,10}")


def check_lightgbm_trees(text: str, classes: int, best_iteration: int) -> None:
    """Check the text of a model.

    Parameters
    ----------
    text : str
        What `Booster.model_to_string` wrote, up to `END_OF_TREES`.
    classes : int
        Number of classes that the classifier has.
    best_iteration : int
        Number of iterations to predict with; -1 for all.

    Raises
    ------
    ValueError
        If LightGBM does not write such a text, or if a node refers to a node outside of the tree or before itself.
    """
    header_text, _, tree_text = text.partition("\n\n")
    file_kind, *lines = header_text.split("\n")
    header = _parse_lightgbm_fields(lines)
    _require_valid_lightgbm_text(
        file_kind == "tree" and text.isascii() and text.endswith(END_OF_TREES) and set(header) == HEADER_FIELDS
    )
    columns = _parse_integer(header["max_feature_idx"]) + 1
    output_count = _check_lightgbm_outputs(header, classes)
    _require_valid_lightgbm_text(header["version"] == "v4" and columns > 0 and header["label_index"] == "0")
    _require_valid_lightgbm_text(
        len(header["feature_names"].split(" ")) == len(header["feature_infos"].split(" ")) == columns
    )
    sizes = list(map(_parse_integer, header["tree_sizes"].split(" ")))
    _require_valid_lightgbm_text(type(best_iteration) is int and -1 <= best_iteration <= len(sizes) // output_count)
    _require_valid_lightgbm_text(len(sizes) % output_count == 0)
    tree_start = 0
    for tree_number, size in enumerate(sizes):
        _check_lightgbm_tree(tree_text[tree_start : tree_start + size], tree_number, columns)
        tree_start += size
    _require_valid_lightgbm_text(tree_text[tree_start:].strip("\n") == END_OF_TREES.strip("\n"))


def _check_lightgbm_outputs(header: dict[str, str], classes: int) -> int:
    """Check that the model is one for this number of classes; returns its trees per iteration."""
    _require_valid_lightgbm_text(classes >= 2)
    output_count, objective = 1, "binary sigmoid:1"
    if classes > 2:
        output_count, objective = classes, f"multiclass num_class:{classes}"
    _require_valid_lightgbm_text(
        _parse_integer(header["num_class"]) == _parse_integer(header["num_tree_per_iteration"]) == output_count
    )
    _require_valid_lightgbm_text(header["objective"] == objective)
    return output_count


def _check_lightgbm_tree(text: str, tree_number: int, columns: int) -> None:
    first_line, *lines = text.split("\n")
    _require_valid_lightgbm_text(
        first_line == f"Tree={tree_number}" and text.endswith("\n\n") and "\n\n" not in text.rstrip("\n")
    )
    tree_fields = _parse_lightgbm_fields(list(filter(None, lines)))
    leaf_count, category_sets = (
        _parse_integer(tree_fields.get("num_leaves", "")),
        _parse_integer(tree_fields.get("num_cat", "")),
    )
    expected_fields = {*SCALAR_FIELDS, *SPLIT_FIELDS, *LEAF_FIELDS}
    if category_sets:
        expected_fields.update(CATEGORY_FIELDS)
    _require_valid_lightgbm_text(set(tree_fields) == expected_fields and tree_fields["is_linear"] == "0")
    _require_valid_lightgbm_text(1 <= leaf_count <= MAX_LEAVES and bool(np.isfinite(float(tree_fields["shrinkage"]))))
    arrays = {name: _parse_number_array(name, tree_fields[name]) for name in expected_fields.difference(SCALAR_FIELDS)}
    _check_lightgbm_array_lengths(arrays, leaf_count)
    _require_valid_lightgbm_text(
        _are_indices_within(arrays["split_feature"], columns)
        and _are_indices_within(arrays["decision_type"], DECISION_TYPES)
    )
    _check_lightgbm_children(arrays["left_child"], arrays["right_child"], leaf_count)
    _check_lightgbm_categories(arrays, category_sets)


def _check_lightgbm_array_lengths(arrays: dict[str, npt.NDArray[Any]], leaf_count: int) -> None:
    allowed_lengths = (leaf_count,) if leaf_count > 1 else (0, 1)  # without a split, weight and count may be empty
    _require_valid_lightgbm_text(
        all(len(arrays[name]) == leaf_count - 1 for name in SPLIT_FIELDS) and len(arrays["leaf_value"]) == leaf_count
    )
    _require_valid_lightgbm_text(all(len(arrays[name]) in allowed_lengths for name in LEAF_FIELDS))


def _check_lightgbm_children(
    left_children: npt.NDArray[np.int64], right_children: npt.NDArray[np.int64], leaf_count: int
) -> None:
    """Check that each child comes after its parent, and that each node and leaf (written as -1 - leaf) has one parent."""
    all_children, parent_nodes = np.concatenate([left_children, right_children]), np.tile(np.arange(leaf_count - 1), 2)
    _require_valid_lightgbm_text(bool((all_children[all_children >= 0] > parent_nodes[all_children >= 0]).all()))
    _require_valid_lightgbm_text(
        leaf_count == 1 or np.array_equal(np.sort(all_children), [*range(-leaf_count, 0), *range(1, leaf_count - 1)])
    )


def _check_lightgbm_categories(arrays: dict[str, npt.NDArray[Any]], category_sets: int) -> None:
    set_numbers = arrays["threshold"][arrays["decision_type"] % 2 == 1]
    _require_valid_lightgbm_text(
        _are_indices_within(set_numbers, category_sets) and bool((set_numbers == np.floor(set_numbers)).all())
    )
    if category_sets:
        category_boundaries, category_codes = arrays["cat_boundaries"], arrays["cat_threshold"]
        _require_valid_lightgbm_text(
            len(category_boundaries) == category_sets + 1
            and category_boundaries[0] == 0
            and category_boundaries[-1] == len(category_codes)
        )
        _require_valid_lightgbm_text(
            bool((np.diff(category_boundaries) > 0).all()) and _are_indices_within(category_codes, 2**32)
        )


def _parse_lightgbm_fields(lines: list[str]) -> dict[str, str]:
    name_value_pairs = [line.partition("=")[::2] for line in lines]
    tree_fields = dict(name_value_pairs)
    _require_valid_lightgbm_text(len(tree_fields) == len(name_value_pairs))
    return tree_fields


def _parse_number_array(name: str, text: str) -> npt.NDArray[Any]:
    words = text.split(" ") if text else []
    if name in INTEGER_FIELDS:
        return np.array(list(map(_parse_integer, words)), dtype=np.int64)
    _require_valid_lightgbm_text(all(map(FLOAT.fullmatch, words)))
    return np.array(list(map(float, words)), dtype=np.float64)


def _parse_integer(text: str) -> int:
    _require_valid_lightgbm_text(INTEGER.fullmatch(text) is not None)
    return int(text)


def _are_indices_within(node_indices: npt.NDArray[Any], upper_bound: int) -> bool:
    return bool(((node_indices >= 0) & (node_indices < upper_bound)).all())


def _require_valid_lightgbm_text(is_valid: bool) -> None:
    if not is_valid:
        raise ValueError("this is no text of LightGBM's")


LEAF_CHILD = -1
NO_PARENT = 2**31 - 1  #: XGBoost's parent of a root
MAX_CATEGORY_CODE = 2**24  #: codes of categories that XGBoost distinguishes


def check_sklearn_trees(classifier: Any) -> None:
    """Check every tree of a classifier of scikit-learn, and of the classifiers that it contains.

    Raises
    ------
    ValueError
        If a node refers to a node outside of the tree or before itself, or to a column that does not exist.
    """
    pending_components: list[tuple[Any, int | None]] = [(classifier, None)]
    visited_ids = set()
    while pending_components:
        model_component, columns = pending_components.pop()
        # The outermost classifier is the one that counts the columns of rows.
        if columns is None:
            columns = getattr(model_component, "n_features_in_", None)
        if (id(model_component), columns) in visited_ids:
            continue
        visited_ids.add((id(model_component), columns))
        if type(model_component).__name__ == "Tree":
            _check_sklearn_tree(model_component, columns)
        elif type(model_component).__name__ == "TreePredictor":
            _check_histogram_tree(model_component, columns)
        else:
            pending_components.extend(
                (child_component, columns) for child_component in _objects_in_container(model_component)
            )
    if type(classifier).__name__ == "GradientBoostingClassifier":
        classes = len(classifier.classes_)
        _require_valid_tree(classifier.estimators_.shape[1] == (classes if classes > 2 else 1))


def _objects_in_container(parent_object: Any) -> Iterable[Any]:
    """The members of a container or the attributes of an object, any of which may be a tree or contain one."""
    if isinstance(parent_object, dict):
        return parent_object.values()
    if isinstance(parent_object, list | tuple):
        return parent_object
    if isinstance(parent_object, np.ndarray):
        return parent_object.ravel().tolist() if parent_object.dtype == object else ()
    return getattr(parent_object, "__dict__", {}).values()


def _check_sklearn_tree(tree: Any, columns: int | None) -> None:
    is_inner = tree.children_left != LEAF_CHILD
    _require_valid_tree(tree.n_features == columns and len(is_inner) == tree.node_count)
    _check_children_follow_parents(is_inner, tree.children_left, tree.children_right)
    _require_valid_tree(_are_indices_within(tree.feature[is_inner], tree.n_features))
    _require_valid_tree(
        tree.value.shape == (tree.node_count, tree.n_outputs, tree.max_n_classes) and tree.value.size > 0
    )


def _check_histogram_tree(predictor: Any, columns: int | None) -> None:
    nodes = predictor.nodes
    is_inner = nodes["is_leaf"] == 0
    _check_children_follow_parents(is_inner, nodes["left"].astype(np.int64), nodes["right"].astype(np.int64))
    _require_valid_tree(columns is not None and _are_indices_within(nodes["feature_idx"][is_inner], columns))
    bitsets = min(len(predictor.raw_left_cat_bitsets), len(predictor.binned_left_cat_bitsets))
    _require_valid_tree(_are_indices_within(nodes["bitset_idx"][is_inner & (nodes["is_categorical"] == 1)], bitsets))


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
    xgboost_learner = description["learner"]
    model, params = xgboost_learner["gradient_booster"]["model"], xgboost_learner["learner_model_param"]
    trees, output_indices = model["trees"], np.array(model["tree_info"])
    _require_valid_tree([tree["id"] for tree in trees] == list(range(len(trees))) and len(output_indices) == len(trees))
    _require_valid_tree(_are_indices_within(output_indices, max(1, int(params["num_class"]))))
    for tree in trees:
        _check_xgboost_nodes(tree, int(params["num_feature"]))
        _check_xgboost_category_splits(tree)


def _check_xgboost_nodes(tree: Any, columns: int) -> None:
    left_children, right_children = _integer_array(tree, "left_children"), _integer_array(tree, "right_children")
    splits, parent_nodes = _integer_array(tree, "split_indices"), _integer_array(tree, "parents")
    is_inner = left_children != LEAF_CHILD
    _require_valid_tree(
        len(left_children)
        == len(right_children)
        == len(splits)
        == len(parent_nodes)
        == int(tree["tree_param"]["num_nodes"])
        > 0
    )
    _require_valid_tree(int(tree["tree_param"]["size_leaf_vector"]) <= 1)
    _check_children_follow_parents(is_inner, left_children, right_children)
    _require_valid_tree(_are_indices_within(splits[is_inner], columns))
    _require_valid_tree(parent_nodes[0] == NO_PARENT and _are_indices_within(parent_nodes[1:], len(parent_nodes)))


def _check_xgboost_category_splits(tree: Any) -> None:
    split_types, nodes = _integer_array(tree, "split_type"), _integer_array(tree, "categories_nodes")
    category_codes, segment_starts = _integer_array(tree, "categories"), _integer_array(tree, "categories_segments")
    sizes = _integer_array(tree, "categories_sizes")
    categorical_nodes = np.arange(len(tree["left_children"]))[: len(split_types)][split_types != 0]
    _require_valid_tree(len(nodes) == len(segment_starts) == len(sizes) and np.array_equal(nodes, categorical_nodes))
    _require_valid_tree(
        _are_indices_within(segment_starts, len(category_codes) + 1)
        and _are_indices_within(sizes, len(category_codes) + 1)
    )
    _require_valid_tree(
        bool((segment_starts + sizes <= len(category_codes)).all())
        and _are_indices_within(category_codes, MAX_CATEGORY_CODE)
    )


def _integer_array(tree: Any, name: str) -> npt.NDArray[np.int64]:
    return np.array(tree[name], dtype=np.int64)


def _check_children_follow_parents(is_inner: npt.NDArray[np.bool_], *children: npt.NDArray[np.int64]) -> None:
    """Check that every child comes after its parent in the list of nodes, so that each path ends."""
    positions = np.arange(len(is_inner))
    for child_node in children:
        _require_valid_tree(
            bool((child_node[is_inner] > positions[is_inner]).all())
            and _are_indices_within(child_node[is_inner], len(is_inner))
        )


def _require_valid_tree(is_valid: bool) -> None:
    if not is_valid:
        raise ValueError("a tree leads out of itself")
