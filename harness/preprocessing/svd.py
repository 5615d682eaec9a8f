"""Truncated singular value decomposition: few dense columns for families whose fit is slow on wide rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class TruncatedSvd:
    """Projection onto the leading right singular vectors, standardised on the training rows.

    Attributes
    ----------
    components : array of shape (n_features, n_components), float32
        Singular vectors as columns.
    mean, scale : array of shape (n_components,), float32
        Mean and standard deviation of the projected training rows.
    """

    components: npt.NDArray[np.float32]
    mean: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float32]

    def transform(self, X: Any) -> npt.NDArray[np.float32]:
        """Project an array or sparse matrix of shape (n_rows, n_features) to shape (n_rows, n_components), float32."""
        return np.asarray((X @ self.components - self.mean) / self.scale, dtype=np.float32)


def fit_truncated_svd(X: Any, n_components: int, seed: int) -> TruncatedSvd:
    """Find the leading singular vectors of training rows, without centring, which would make sparse rows dense.

    Parameters
    ----------
    X : array or sparse matrix of shape (n_rows, n_features)
        Training rows.
    n_components : int
        Maximum number of vectors; fewer are found where the matrix is smaller.
    seed : int
        Seed of the randomised algorithm.

    Returns
    -------
    TruncatedSvd
        The projection.

    References
    ----------
    Halko, Martinsson and Tropp (2011), Finding structure with randomness, SIAM Review 53.
    """
    from sklearn.utils.extmath import randomized_svd

    n_components = max(1, min(n_components, min(X.shape) - 1))
    _, _, vectors = randomized_svd(X, n_components, n_iter=3, random_state=seed % 2**32)
    projected = X @ vectors.T
    scale = np.maximum(projected.std(axis=0), 1e-6)
    return TruncatedSvd(
        vectors.T.astype(np.float32), projected.mean(axis=0).astype(np.float32), scale.astype(np.float32)
    )
