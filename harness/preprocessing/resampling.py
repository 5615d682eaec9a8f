"""Resampling strategies: tables in one metric space for numbers and categories, and back; texts and images as encoded."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, issparse

from harness.errors import EvenhandError, Inapplicable
from harness.preprocessing.cache import FoldCache
from harness.preprocessing.neighbors import FoldNeighbours, digest
from harness.preprocessing.tabular import Layout, Rows
from harness.registry.strategy import Strategy

Labels = npt.NDArray[np.int64]
Points = npt.NDArray[np.float64]

#: What samplers say of rows that do not suit them. Whatever else they raise is an error like any other.
REFUSALS = (
    "Not any neigbours belong to the majority",  # ADASYN, spelt so
    "No samples will be generated",  # ADASYN
    "No clusters found with sufficient samples",  # KMeansSMOTE
    "Expected n_neighbors <= n_samples_fit",  # scikit-learn's neighbours, of too few rows
    "The specified ratio required to remove samples",  # a ratio that the rows exceed already
    "needs to have more than 1 class",
)


def resample(  # noqa: PLR0913, PLR0917 -- four say what is resampled, three how
    strategy: Strategy, params: dict[str, Any], rows: Rows, y: Labels, layout: Layout, seed: int, cache: FoldCache
) -> tuple[Rows, Labels]:
    """Let a strategy of kind `resample` remove and add training rows.

    Real rows that stay come back exactly; a made row has interpolated numbers and, per category, the level that weighs
    most. The result depends on the arguments alone and is kept in `cache`: take `seed` from cell and fold,
    not from the trial.
    Raises `Inapplicable` where the strategy cannot act on these rows, with the reason.
    """
    content = digest(rows.numbers, rows.codes, y)
    build = strategy.build
    assert build is not None  # noqa: S101 -- a strategy of this kind has one, its declaration checked that

    def compute() -> tuple[Rows, Labels]:
        points = cache.get(("space", content), lambda: to_space(rows, layout))
        made, made_y, kept = _sampled(build(seed, **params), points, y, cache)
        return (from_space(made, layout) if kept is None else rows.take(kept)), made_y

    return cache.get(("resampled", strategy.name, tuple(sorted(params.items())), seed, content), compute)


def resample_points(
    strategy: Strategy, params: dict[str, Any], X: Any, y: Labels, seed: int, memo: tuple[FoldCache, Hashable]
) -> tuple[Any, Labels]:
    """The same for encoded texts and images: an array (n, …) or a sparse matrix, of which rows are chosen or made.

    A strategy that only chooses rows takes rows of any form; others take points (n, d), made ones coming back in the
    precision of the real ones. `memo` is the fold's cache and what names `X` in it. Raises `Inapplicable` as `resample` does.
    """
    cache, name = memo
    build = strategy.build
    assert build is not None  # noqa: S101 -- a strategy of this kind has one, its declaration checked that

    def compute() -> tuple[Any, Labels]:
        """The chosen or made rows and their labels, where the cache has none."""
        sampler = build(seed, **params)
        if strategy.selects_existing_rows:
            _, made_y, kept = _sampled(sampler, np.arange(len(y), dtype=np.float64)[:, None], y, cache)
            if kept is None:
                raise EvenhandError(f"{strategy.name} is declared to choose rows, but made some")
            return X[kept], made_y
        # For a sparse *matrix* `*` is the matrix product, which imbalanced-learn's borderline-2 does not reckon with.
        points = csr_array(X) if issparse(X) else np.asarray(X, dtype=np.float64)
        made, made_y, kept = _sampled(sampler, points, y, cache)
        if kept is not None:
            return X[kept], made_y
        return (type(X)(made, dtype=X.dtype) if issparse(X) else made.astype(X.dtype)), made_y

    return cache.get(("resampled", name, strategy.name, tuple(sorted(params.items())), seed), compute)


def to_space(rows: Rows, layout: Layout) -> Points:
    """Rows as points, shape (n, p + all levels): standardised numbers, then a block of levels per category.

    A level weighs half the median standard deviation of the numbers, as in SMOTE-NC (Chawla et al. 2002), so about 1/2;
    where there are no numbers, 1/2.
    """
    count, levels = rows.numbers.shape[1], layout.levels
    points = np.zeros((len(rows), count + sum(levels)))
    points[:, :count] = rows.numbers
    every, start, weight = np.arange(len(rows)), count, level_weight(rows)
    for j, width in enumerate(levels):
        points[every, start + rows.codes[:, j]] = weight
        start += width
    return points


def from_space(points: Points, layout: Layout) -> Rows:
    """Points as typed rows: of each category the level that weighs most, of equals the first."""
    count = len(layout.numbers)
    codes, start = np.empty((len(points), len(layout.levels)), dtype=np.int32), count
    for j, width in enumerate(layout.levels):
        codes[:, j] = points[:, start : start + width].argmax(axis=1)
        start += width
    return Rows(np.ascontiguousarray(points[:, :count]), codes)


def level_weight(rows: Rows) -> float:
    """What a level weighs in the space: half the median standard deviation of the numbers that vary."""
    spread = rows.numbers.std(axis=0)
    spread = spread[spread > 0]
    return float(np.median(spread)) / 2 if len(spread) else 0.5


def _sampled(sampler: Any, points: Any, y: Labels, cache: FoldCache) -> tuple[Any, Labels, Labels | None]:
    """Points and labels as the sampler leaves them, and which rows they are where it only chose among them.

    Raises `Inapplicable` where these rows do not suit the sampler, and whatever else it raises.
    """
    counts = np.bincount(y)
    there = counts[counts > 0]
    sampler, searches = _quickened(sampler, points, int(there.min()), cache)
    if searches and there.min() < 2:
        reason = "the rarest class has one training row, which has no neighbour of its class"
        raise Inapplicable(reason, always=True)
    try:
        made, made_y = sampler.fit_resample(points, y)
    except (ValueError, RuntimeError) as error:
        said = " ".join(str(error).split())
        if any(refusal in said for refusal in REFUSALS):
            raise Inapplicable(said) from error
        raise
    after = np.bincount(made_y, minlength=len(counts))
    if ((after == 0) & (counts > 0)).any():
        raise Inapplicable("cleaning left no training row of one class")
    if searches and there.min() < there.max() and (after == counts).all():
        raise Inapplicable("no row could be made: none of a rare class lies near another class")
    kept = getattr(sampler, "sample_indices_", None)
    # A sampler may choose rows and change them too.
    only_chosen = kept is not None and len(kept) == made.shape[0] and _equal(points[kept], made)
    return made, made_y, kept if only_chosen else None


def _equal(one: Any, other: Any) -> bool:
    return (one != other).nnz == 0 if issparse(one) else np.array_equal(one, other)


def _quickened(sampler: Any, points: Any, rarest: int, cache: FoldCache) -> tuple[Any, bool]:
    """The sampler, its cleaning done the quicker way and its neighbours looked up in the fold's memo.

    No more neighbours are asked for than there are. Also returns whether any are asked for at all. Samplers
    that are not known here stay as they are; on sparse points all do but for the number of neighbours.
    """
    from imblearn.over_sampling import ADASYN, SMOTE, BorderlineSMOTE

    from harness.preprocessing.neighbors import quick  # imports imbalanced-learn, which only resampling cells need

    if not hasattr(sampler, "get_params"):
        return sampler, False
    steps = {name: step for name, step in sampler.get_params().items() if hasattr(step, "fit_resample")}
    if not issparse(points):
        steps = {name: quick(step) for name, step in steps.items()}
        sampler = quick(sampler).set_params(**steps)
    searching = [step for step in (sampler, *steps.values()) if type(step) in (ADASYN, SMOTE, BorderlineSMOTE)]
    for step in searching:
        asked = {name: k for name, k in step.get_params().items() if name.endswith("_neighbors") and isinstance(k, int)}
        # `m_neighbors` are looked for among all rows, the others (ADASYN's too) among the rows of one class.
        most = {name: points.shape[0] - 1 if name == "m_neighbors" else max(1, rarest - 1) for name in asked}
        found: dict[str, Any] = {name: min(k, most[name]) for name, k in asked.items()}
        if not issparse(points):
            found = {name: FoldNeighbours(k + 1, cache) for name, k in found.items()}
        step.set_params(**found)
    return sampler, bool(searching)
