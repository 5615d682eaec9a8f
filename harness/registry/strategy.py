"""An imbalance strategy: how uneven classes are treated before a classifier is fitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from harness.arguments import FLAG, FUNCTION, NAME, TEXT, check_declaration_fields, optional_kind
from harness.errors import DeclarationError
from harness.registry.space import SPACE, Space, check_space

Kind: TypeAlias = Literal["none", "weight", "resample", "ensemble", "searched"]


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """An imbalance strategy; what `build` is depends on its kind.

    - `weight`: `build(y, costs, **params)` returns one weight per training row; `costs` is the task's matrix or None;
    - `resample`: `build(seed, **params)` returns a sampler with imbalanced-learn's method `fit_resample(X, y)`;
    - `ensemble`: `build(member, seed, **params)` returns a classifier made of classifiers `member(seed)`;
    - `none` and `searched` build nothing.
    """

    name: str
    kind: Kind
    build: Callable[..., Any] | None = None
    space: Space = field(default_factory=dict)
    description: str = ""
    selects_existing_rows: bool = False  #: of kind `resample`: only selects rows, whatever their features
    weighs_rows: bool = False  #: of kind `ensemble`: fits its members with `sample_weight`
    uses_costs: bool = False  #: where the task has a cost matrix it is used, and nothing is searched

    @property
    def counts_rows(self) -> bool:
        """Whether rows are drawn by how many there are of each class, so that a row of weight 3 must stand there three times."""
        return self.kind == "ensemble" or (self.kind == "resample" and self.selects_existing_rows)

    def __post_init__(self) -> None:
        check_declaration_fields(
            self,
            name=NAME,
            build=optional_kind(FUNCTION),
            space=SPACE,
            description=TEXT,
            selects_existing_rows=FLAG,
            weighs_rows=FLAG,
            uses_costs=FLAG,
        )
        check_space(self.space)
        if self.kind not in get_args(Kind):
            raise DeclarationError(
                f"strategy {self.name!r}: kind must be one of {', '.join(get_args(Kind))}, but got {self.kind!r}"
            )
        if (self.build is None) != (self.kind in ("none", "searched")):
            raise DeclarationError(f"strategy {self.name!r} of kind {self.kind!r}: build is {self.build!r}")
