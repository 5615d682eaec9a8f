"""Encoding of pictures for trees and networks on columns: the leading directions of the pretrained network's features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.search.directions import Directions, fit_directions
from harness.search.encoding import Encoding
from harness.search.pictures import FROZEN, FrozenEncoder, fit_embedding


@dataclass(frozen=True)
class PrincipalEncoder:
    """Features of the pretrained network, seen along their leading directions."""

    frozen: FrozenEncoder
    directions: Directions

    def transform(self, rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Pictures (n, h, w, 1 or 3) as an array (n, kept)."""
        return self.directions.transform(self.frozen.transform(rows))


def fit_principal(X: npt.NDArray[np.uint8], y: npt.NDArray[np.int64], seed: int) -> PrincipalEncoder:
    """Learn the leading directions of the features of training pictures.

    Boosted trees took 46 s a fit on all 1,728 columns of 3,333 pictures in ten classes, and 1.4 s on 64 directions, where
    their accuracy fell from 0.965 to 0.951.
    """
    frozen = fit_embedding(X, y, seed)
    return PrincipalEncoder(frozen, fit_directions(frozen.transform(X), DIRECTIONS, seed))


DIRECTIONS = 48
PRINCIPAL = Encoding("principal", fit_principal, {}, "image", {}, needs=FROZEN)
