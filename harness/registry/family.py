"""A model family: how to build its classifier, its search space, its encodings."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.arguments import (
    FLAG,
    FUNCTION,
    MAPPING,
    NAME,
    NAME_TUPLE,
    TEXT,
    check_declaration_fields,
    optional_kind,
    whole_number_kind,
)
from harness.errors import DeclarationError
from harness.registry.space import SPACE, Space, check_space
from harness.registry.strategy import Strategy

#: Names that have another meaning in a space of parameters, as a dot has.
RESERVED_NAMES = ("strategy", "seed")


#: Key of `Family.limits` for tables whose rows have weights, whatever the strategy.
ROW_WEIGHTS = "row_weights"
#: Parameter that bounds the size of leaves → rows that one unit of it stands for: XGBoost counts p(1 - p), at most 1/4 a row.
LEAF_SIZES = {"min_samples_leaf": 1, "min_child_samples": 1, "min_data_in_leaf": 1, "min_child_weight": 4}
MIN_LEAVES = 10  #: leaves that the rows must suffice for


#: Modality → names of the encodings that `harness.preprocessing.encodings` defines for it.
ENCODING_NAMES: dict[str, tuple[str, ...]] = {
    "tabular": ("one_hot_scaled", "one_hot", "mixed", "ordinal", "native", "frame", "matrix"),
    "text": ("texts", "tfidf", "lsa", "tokens"),
    "image": ("embedding", "pixels", "activations", "principal"),
}


@dataclass(frozen=True, kw_only=True)
class Family:
    """A model family.

    `build(seed, **params)` returns a new classifier with scikit-learn's methods: `fit(X, y, sample_weight=None)` and
    `predict_proba(X)` of shape (n, k); it uses one thread and draws only from `seed`. With `stops_early`, `fit` also
    takes `validation=(X, y)`, real rows that the strategy does not change; where rows of the table have weights, it is
    `(X, y, weights)`. The key `row_weights` of `limits` says why the family is not fitted to such tables.
    """

    name: str
    build: Callable[..., Any]
    space: Space
    encodings: Mapping[str, str]  #: modality → name of an encoding
    description: str = ""
    needs: tuple[str, ...] = ()  #: packages without which the family is skipped
    extra: str = "cpu"  #: the extra of this project that installs them
    strategies: tuple[str, ...] | None = None  #: the only strategies that make sense; None: all
    trials: int | None = None  #: the largest number of trials, where there is little to search
    stops_early: bool = False
    network: bool = False
    limits: Mapping[str, str] = field(default_factory=dict)  #: strategy kind → why it does not apply

    def __post_init__(self) -> None:
        check_declaration_fields(
            self,
            name=NAME,
            build=FUNCTION,
            space=SPACE,
            encodings=MAPPING,
            description=TEXT,
            needs=NAME_TUPLE,
            extra=TEXT,
            strategies=optional_kind(NAME_TUPLE),
            trials=optional_kind(whole_number_kind(1)),
            stops_early=FLAG,
            network=FLAG,
            limits=MAPPING,
        )
        check_space(self.space)
        check_encodings(self.name, self.encodings)
        if reserved_names := [name for name in self.space if name in RESERVED_NAMES or "." in name]:
            raise DeclarationError(
                f"family {self.name!r}: parameters {reserved_names} have names that mean something else"
            )


def check_encodings(family: str, encodings: Mapping[str, str]) -> None:
    """Raise `DeclarationError` where encodings of a family are for no known modality, or do not exist for it."""
    from harness.registry.registry import suggest_similar_name

    for modality, name in encodings.items():
        if modality not in ENCODING_NAMES:
            hint = suggest_similar_name(str(modality), ENCODING_NAMES)
            raise DeclarationError(f"family {family!r}: no encoding is for {modality!r} data: {hint}")
        names = ENCODING_NAMES[modality]
        if name not in names:
            hint = suggest_similar_name(str(name), names)
            raise DeclarationError(f"family {family!r}: unknown encoding {name!r} of {modality} data: {hint}")


def strategy_limit(family: Family, strategy: Strategy) -> str:
    """Say why a family cannot be combined with a strategy of its kind; empty where it can."""
    if strategy.kind in family.limits:
        return family.limits[strategy.kind]
    if strategy.weighs_rows:
        return family.limits.get("weight", "")
    return ""


def limit_leaf_sizes(params: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """Lower the smallest sizes of leaves to a tenth of the rows that a strategy leaves.

    With 20 rows left and at least 20 rows in a leaf every tree is a constant, which would be blamed on the strategy.

    Parameters
    ----------
    params : mapping
        Parameters of a family.
    rows : int
        Number of rows that the family is fitted on.

    Returns
    -------
    dict
        The parameters; those that do not count rows, and those that are small enough, are unchanged.
    """
    limited_params = dict(params)
    for name, rows_per_unit in LEAF_SIZES.items():
        if name in limited_params and not isinstance(limited_params[name], bool | str):
            largest_leaf_size = max(1, rows // (MIN_LEAVES * rows_per_unit))
            limited_params[name] = min(limited_params[name], largest_leaf_size)
    return limited_params


def import_needed_packages(family: Family) -> None:
    """Import the packages that a family needs, without what they print: TensorFlow writes greetings past Python's streams."""
    sys.stderr.flush()
    error_stream = os.dup(2)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        try:
            os.dup2(nowhere.fileno(), 2)
            for package in family.needs:
                importlib.import_module(package)
        finally:
            os.dup2(error_stream, 2)
            os.close(error_stream)


def missing_packages(family: Family, encoding_needs: Iterable[str] = ()) -> str:
    """Say which packages a family or its encoding needs that are not installed, and how to install them; empty otherwise."""
    needed_packages = dict.fromkeys((*family.needs, *encoding_needs))
    absent_packages = [
        package_name for package_name in needed_packages if importlib.util.find_spec(package_name) is None
    ]
    return f"needs {' and '.join(absent_packages)}: pip install 'evenhand[{family.extra}]'" if absent_packages else ""
