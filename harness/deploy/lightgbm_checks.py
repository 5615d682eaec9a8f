"""Checks of the text of LightGBM's trees before LightGBM reads it.

Its reader follows the sizes and indices in the text without checking them: a crafted text could make it read any address in
memory, or never end. Only what `Booster.model_to_string` writes for two or more classes is allowed.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

END = "end of trees\n"  #: training parameters follow it
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
        What `Booster.model_to_string` wrote, up to `END`.
    classes : int
        Number of classes that the classifier has.
    best_iteration : int
        Number of iterations to predict with; -1 for all.

    Raises
    ------
    ValueError
        If LightGBM does not write such a text, or if a node refers to a node outside of the tree or before itself.
    """
    head, _, body = text.partition("\n\n")
    kind, *lines = head.split("\n")
    header = _parse_fields(lines)
    _require(kind == "tree" and text.isascii() and text.endswith(END) and set(header) == HEADER_FIELDS)
    columns = _parse_integer(header["max_feature_idx"]) + 1
    outputs = _check_outputs(header, classes)
    _require(header["version"] == "v4" and columns > 0 and header["label_index"] == "0")
    _require(len(header["feature_names"].split(" ")) == len(header["feature_infos"].split(" ")) == columns)
    sizes = list(map(_parse_integer, header["tree_sizes"].split(" ")))
    _require(type(best_iteration) is int and -1 <= best_iteration <= len(sizes) // outputs)
    _require(len(sizes) % outputs == 0)
    start = 0
    for number, size in enumerate(sizes):
        _check_tree(body[start : start + size], number, columns)
        start += size
    _require(body[start:].strip("\n") == END.strip("\n"))


def _check_outputs(header: dict[str, str], classes: int) -> int:
    """Check that the model is one for this number of classes; returns its trees per iteration."""
    _require(classes >= 2)
    outputs, objective = 1, "binary sigmoid:1"
    if classes > 2:
        outputs, objective = classes, f"multiclass num_class:{classes}"
    _require(_parse_integer(header["num_class"]) == _parse_integer(header["num_tree_per_iteration"]) == outputs)
    _require(header["objective"] == objective)
    return outputs


def _check_tree(text: str, number: int, columns: int) -> None:
    first, *lines = text.split("\n")
    _require(first == f"Tree={number}" and text.endswith("\n\n") and "\n\n" not in text.rstrip("\n"))
    fields = _parse_fields(list(filter(None, lines)))
    leaves, category_sets = _parse_integer(fields.get("num_leaves", "")), _parse_integer(fields.get("num_cat", ""))
    expected = {*SCALAR_FIELDS, *SPLIT_FIELDS, *LEAF_FIELDS}
    if category_sets:
        expected.update(CATEGORY_FIELDS)
    _require(set(fields) == expected and fields["is_linear"] == "0")
    _require(1 <= leaves <= MAX_LEAVES and bool(np.isfinite(float(fields["shrinkage"]))))
    arrays = {name: _parse_array(name, fields[name]) for name in expected.difference(SCALAR_FIELDS)}
    _check_lengths(arrays, leaves)
    _require(_is_within(arrays["split_feature"], columns) and _is_within(arrays["decision_type"], DECISION_TYPES))
    _check_children(arrays["left_child"], arrays["right_child"], leaves)
    _check_categories(arrays, category_sets)


def _check_lengths(arrays: dict[str, npt.NDArray[Any]], leaves: int) -> None:
    allowed_lengths = (leaves,) if leaves > 1 else (0, 1)  # without a split, weight and count may be empty
    _require(all(len(arrays[name]) == leaves - 1 for name in SPLIT_FIELDS) and len(arrays["leaf_value"]) == leaves)
    _require(all(len(arrays[name]) in allowed_lengths for name in LEAF_FIELDS))


def _check_children(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], leaves: int) -> None:
    """Check that each child comes after its parent, and that each node and leaf (written as -1 - leaf) has one parent."""
    children, parents = np.concatenate([left, right]), np.tile(np.arange(leaves - 1), 2)
    _require(bool((children[children >= 0] > parents[children >= 0]).all()))
    _require(leaves == 1 or np.array_equal(np.sort(children), [*range(-leaves, 0), *range(1, leaves - 1)]))


def _check_categories(arrays: dict[str, npt.NDArray[Any]], category_sets: int) -> None:
    set_numbers = arrays["threshold"][arrays["decision_type"] % 2 == 1]
    _require(_is_within(set_numbers, category_sets) and bool((set_numbers == np.floor(set_numbers)).all()))
    if category_sets:
        boundaries, codes = arrays["cat_boundaries"], arrays["cat_threshold"]
        _require(len(boundaries) == category_sets + 1 and boundaries[0] == 0 and boundaries[-1] == len(codes))
        _require(bool((np.diff(boundaries) > 0).all()) and _is_within(codes, 2**32))


def _parse_fields(lines: list[str]) -> dict[str, str]:
    pairs = [line.partition("=")[::2] for line in lines]
    fields = dict(pairs)
    _require(len(fields) == len(pairs))
    return fields


def _parse_array(name: str, text: str) -> npt.NDArray[Any]:
    words = text.split(" ") if text else []
    if name in INTEGER_FIELDS:
        return np.array(list(map(_parse_integer, words)), dtype=np.int64)
    _require(all(map(FLOAT.fullmatch, words)))
    return np.array(list(map(float, words)), dtype=np.float64)


def _parse_integer(text: str) -> int:
    _require(INTEGER.fullmatch(text) is not None)
    return int(text)


def _is_within(indices: npt.NDArray[Any], bound: int) -> bool:
    return bool(((indices >= 0) & (indices < bound)).all())


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError("this is no text of LightGBM's")
