"""Encodings: how the rows of a modality are converted to the input of a classifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from harness.registry.space import Space
from harness.registry.task import Modality


class Encoder(Protocol):
    """A fitted encoding: small, picklable, and without any training row in it."""

    def transform(self, rows: Any) -> Any:
        """Convert rows to the input of the classifier: an array (n_rows, …), a sparse matrix or a data frame."""


@dataclass(frozen=True)
class Encoding:
    """A way to encode rows.

    Attributes
    ----------
    name : str
        Name by which families refer to the encoding.
    fit : callable
        Fits the encoder to real training rows. For tables, ``fit(rows, y, layout, **params)`` with prepared rows, on which
        strategies act before; for texts and images, ``fit(X, y, seed, **params)`` with raw rows, and strategies act on the
        encoded rows.
    space : Space
        Parameters of `fit` that are searched.
    modality : str, default "tabular"
        Kind of rows.
    interpolation_space : Space or None, default None
        For texts and images, the space within which encoded rows are an array or sparse matrix (n_rows, n_features) of
        points that strategies may interpolate between; None if they never are.
    reason : str, default ""
        Why there is no `interpolation_space`.
    needs : tuple of str, default ()
        Packages without which rows cannot be encoded.
    """

    name: str
    fit: Callable[..., Encoder]
    space: Space
    modality: Modality = "tabular"
    interpolation_space: Space | None = None
    reason: str = ""
    needs: tuple[str, ...] = ()
