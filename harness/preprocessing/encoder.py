"""What an encoding is: how the rows of one modality become what a family's classifier takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from harness.registry.space import Space
from harness.registry.task import Modality


class Encoder(Protocol):
    """A fitted encoding: small, picklable, and without any training row in it."""

    def transform(self, rows: Any) -> Any:
        """The rows as the classifier takes them: an array (n, …), a sparse matrix or a data frame."""


@dataclass(frozen=True)
class Encoding:
    """A way to encode rows; `fit` takes real training rows and what `space` has.

    Of tables it is `fit(rows, y, layout, **params)` with prepared rows, on which strategies have acted before; of texts and
    images `fit(X, y, seed, **params)` with raw ones, and strategies act on what the encoder makes of them. `points` is then the
    space under which that is an array or sparse matrix (n, d) of points, between which rows can be made; None: it never is,
    and `why` says why.
    """

    name: str
    fit: Callable[..., Encoder]
    space: Space
    modality: Modality = "tabular"
    points: Space | None = None
    why: str = ""
    needs: tuple[str, ...] = ()  #: packages without which rows cannot be encoded
