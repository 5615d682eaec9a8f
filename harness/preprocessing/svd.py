"""The leading directions of many columns: few and full ones, for families that grow slow with width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Directions:
    """Points (n, width) seen along some directions; those of the training points have mean 0 and variance 1 there."""

    axes: npt.NDArray[np.float32]  #: (width, kept)
    mean: npt.NDArray[np.float32]
    spread: npt.NDArray[np.float32]

    def transform(self, points: Any) -> npt.NDArray[np.float32]:
        """An array (n, kept), float32, from an array or a sparse matrix."""
        return np.asarray((points @ self.axes - self.mean) / self.spread, dtype=np.float32)


def fit_directions(points: Any, count: int, seed: int) -> Directions:
    """Learn at most `count` leading directions of training points (n, width), an array or a sparse matrix.

    By a truncated singular value decomposition without centring, which sparse points could not bear (Halko et al. 2011).
    """
    from sklearn.utils.extmath import randomized_svd

    kept = max(1, min(count, min(points.shape) - 1))
    _, _, axes = randomized_svd(points, kept, n_iter=3, random_state=seed % 2**32)
    seen = points @ axes.T
    spread = np.maximum(seen.std(axis=0), 1e-6)
    return Directions(axes.T.astype(np.float32), seen.mean(axis=0).astype(np.float32), spread.astype(np.float32))
