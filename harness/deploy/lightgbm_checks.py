"""The text of LightGBM's trees is looked at before LightGBM reads it.

Its reader follows the sizes and indices in the text without checking them: of a crafted one it would read any memory, or go
round in circles. Here is allowed what `Booster.model_to_string` writes of two classes or several, and nothing else.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

END = "end of trees\n"  #: what comes after it is of training
MOST_LEAVES = 4_096  #: of a tree; LightGBM goes down into it by recursion
ABOUT = {
    "version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective", "feature_names",
    "feature_infos", "tree_sizes",
}  # fmt: skip
SPLITS = (
    "split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child", "internal_value",
    "internal_weight", "internal_count",
)  # fmt: skip
LEAVES = ("leaf_value", "leaf_weight", "leaf_count")
SETS = ("cat_boundaries", "cat_threshold")
SINGLE = ("num_leaves", "num_cat", "is_linear", "shrinkage")
WHOLE = {"split_feature", "decision_type", "left_child", "right_child", "internal_count", "leaf_count", *SETS}
DECISIONS = 12  #: by category or not, missing ones left or right, three kinds of missing


def check_leaves(text: str, classes: int, best_iteration: int) -> None:
    """Raise `ValueError` where the text is not what LightGBM writes, or a step in a tree leads out of the tree or back."""
    head, _, rest = text.partition("\n\n")
    kind, *lines = head.split("\n")
    about, several = _values(lines), classes > 2
    _expect(kind == "tree" and text.isascii() and text.endswith(END) and set(about) == ABOUT and classes >= 2)
    columns, outputs = _whole(about["max_feature_idx"]) + 1, classes if several else 1
    _expect(about["version"] == "v4" and columns > 0 and about["label_index"] == "0")
    _expect(_whole(about["num_class"]) == _whole(about["num_tree_per_iteration"]) == outputs)
    _expect(about["objective"] == (f"multiclass num_class:{classes}" if several else "binary sigmoid:1"))
    _expect(len(about["feature_names"].split(" ")) == len(about["feature_infos"].split(" ")) == columns)
    sizes, at = [_whole(size) for size in about["tree_sizes"].split(" ")], 0
    _expect(type(best_iteration) is int and -1 <= best_iteration <= len(sizes) // outputs and len(sizes) % outputs == 0)
    for number, size in enumerate(sizes):
        _check_tree(rest[at : at + size], number, columns)
        at += size
    _expect(rest[at:].strip("\n") == END.strip("\n"))


def _check_tree(text: str, number: int, columns: int) -> None:
    first, *lines = text.split("\n")
    _expect(first == f"Tree={number}" and text.endswith("\n\n"))
    told = _values([line for line in lines if line])
    _expect("\n\n" not in text.rstrip("\n"))
    leaves, sets = _whole(told.get("num_leaves", "")), _whole(told.get("num_cat", ""))
    _expect(set(told) == {*SINGLE, *SPLITS, *LEAVES, *(SETS if sets else ())} and told["is_linear"] == "0")
    _expect(1 <= leaves <= MOST_LEAVES and bool(np.isfinite(float(told["shrinkage"]))))
    arrays = {name: _numbers(told[name], name in WHOLE) for name in told if name not in SINGLE}
    _expect(all(len(arrays[name]) == leaves - 1 for name in SPLITS) and len(arrays["leaf_value"]) == leaves)
    _expect(all(len(arrays[name]) in ((leaves,) if leaves > 1 else (0, 1)) for name in LEAVES))
    _expect(_within(arrays["split_feature"], columns) and _within(arrays["decision_type"], DECISIONS))
    _check_steps(arrays["left_child"], arrays["right_child"], leaves)
    chosen = arrays["threshold"][arrays["decision_type"] % 2 == 1]
    _expect(_within(chosen, sets) and bool((chosen == np.floor(chosen)).all()))
    if sets:
        begins, codes = arrays["cat_boundaries"], arrays["cat_threshold"]
        _expect(len(begins) == sets + 1 and begins[0] == 0 and begins[-1] == len(codes))
        _expect(bool((np.diff(begins) > 0).all()) and _within(codes, 2**32))


def _check_steps(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], leaves: int) -> None:
    """Every step leads further down in the list of nodes, and to each node and leaf (written as -1 - leaf) there is one."""
    steps, places = np.concatenate([left, right]), np.tile(np.arange(leaves - 1), 2)
    _expect(bool((steps[steps >= 0] > places[steps >= 0]).all()))
    _expect(leaves == 1 or np.array_equal(np.sort(steps), [*range(-leaves, 0), *range(1, leaves - 1)]))


def _values(lines: list[str]) -> dict[str, str]:
    pairs = [line.partition("=")[::2] for line in lines]
    _expect(len(dict(pairs)) == len(pairs))
    return dict(pairs)


def _numbers(written: str, whole: bool) -> npt.NDArray[Any]:
    parts = written.split(" ") if written else []
    if whole:
        return np.array([_whole(one) for one in parts], dtype=np.int64)
    _expect(all(re.fullmatch(r"-?(\d[\d.]*(e[+-]?\d+)?|inf|nan)", one) for one in parts))
    return np.array([float(one) for one in parts], dtype=np.float64)


def _whole(written: str) -> int:
    _expect(re.fullmatch(r"-?\d{1,10}", written) is not None)
    return int(written)


def _within(found: npt.NDArray[Any], bound: int) -> bool:
    return bool(((found >= 0) & (found < bound)).all())


def _expect(sound: bool) -> None:
    if not sound:
        raise ValueError("this is no text of LightGBM's")
