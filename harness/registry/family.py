"""A model family: how to build its classifier, its search space, its encodings."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.errors import DeclarationError
from harness.registry.space import Space, check_space

#: Names that mean something else in a space of parameters, as does a dot.
RESERVED = ("strategy", "seed")


@dataclass(frozen=True, kw_only=True)
class Family:
    """A model family.

    `build(seed, **params)` returns a fresh classifier in scikit-learn's manner: `fit(X, y, sample_weight=None)` and
    `predict_proba(X)` of shape (n, k); it uses one thread and draws only from `seed`. With `stops_early`, `fit` also
    takes `validation=(X, y)`, real rows that the strategy never touched.
    """

    name: str
    build: Callable[..., Any]
    space: Space
    encodings: Mapping[str, str]  #: modality → name of an encoding
    description: str = ""
    needs: tuple[str, ...] = ()  #: packages without which the family is skipped
    extra: str = "cpu"  #: the extra of this project that installs them
    strategies: tuple[str, ...] | None = None  #: the only strategies that make sense; None: all
    trials: int | None = None  #: at most so many trials, where there is nothing to search
    stops_early: bool = False
    network: bool = False
    limits: Mapping[str, str] = field(default_factory=dict)  #: strategy kind → why it does not apply

    def __post_init__(self) -> None:
        check_space(self.space)
        if taken := [name for name in self.space if name in RESERVED or "." in name]:
            raise DeclarationError(f"family {self.name!r}: parameters {taken} have names that mean something else")


def missing_packages(family: Family, also: Iterable[str] = ()) -> str:
    """Why a family cannot be built here and what to install, or nothing; `also` are packages that its encoding needs."""
    needed = dict.fromkeys((*family.needs, *also))
    missing = [package for package in needed if importlib.util.find_spec(package) is None]
    return f"needs {' and '.join(missing)}: pip install 'evenhand[{family.extra}]'" if missing else ""
