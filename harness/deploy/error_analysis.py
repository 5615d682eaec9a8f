"""Where a model fails: parts of the held-out rows in which it finds or hits clearly less than elsewhere.

Every share is of rows that the models had not learnt from. Parts are looked at one column at a time, so a failing that takes
two columns to describe is not found.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from harness.deploy.schema import Feature, Schema
    from harness.registry.task import Features


def wilson(hits: int, rows: int, alpha: float = 0.05) -> tuple[float, float]:
    """Wilson's interval (1927) of a share; 0 to 1 of no rows. It covers 1 − `alpha` on average over shares."""
    from scipy.special import ndtri

    if not rows:
        return 0.0, 1.0
    z = float(ndtri(1 - alpha / 2))
    middle = (hits + z * z / 2) / (rows + z * z)
    half = z * math.sqrt(hits * (rows - hits) / rows + z * z / 4) / (rows + z * z)
    return max(0.0, middle - half), min(1.0, middle + half)


def exact(hits: int, rows: int, alpha: float = 0.05) -> tuple[float, float]:
    """The interval of a share that never covers less than 1 − `alpha` (Clopper & Pearson 1934); 0 to 1 of no rows.

    For many shares at once and for rare classes: there Wilson's misses several times as often as it says.
    """
    from scipy.special import betaincinv

    low = float(betaincinv(hits, rows - hits + 1, alpha / 2)) if hits else 0.0
    high = float(betaincinv(hits + 1, rows - hits, 1 - alpha / 2)) if hits < rows else 1.0
    return low, high


Labels = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

FEWEST = 20  #: rows that a share must be of, or chance alone makes it good or bad
LEVELS = 12  #: of a category, the commonest ones
LEVEL = 0.95


@dataclass(frozen=True)
class Share:
    """How many of `n` rows were right in a part of the rows, with an interval of the share."""

    part: str
    n: int
    right: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share."""
        return self.right / self.n


@dataclass(frozen=True)
class Looked:
    """What was looked for in `parts` parts of the rows: the share over all rows, and the parts that are clearly below it.

    The intervals of `worse` hold for all parts together. `lowest` is the lowest part where none is clearly below.
    """

    what: str
    overall: Share
    parts: int
    worse: tuple[Share, ...]
    lowest: Share | None


def failings(X: Features, schema: Schema, y: Labels, decided: Labels) -> tuple[Looked, ...]:
    """Where recall and precision of the positive class are worst, or with several classes the share decided correctly.

    `X` are held-out rows, `y` (n,) their classes and `decided` (n,) what was decided of them.
    """
    every = [(name, mask) for feature in schema.features for name, mask in _parts(feature, _values(X, feature))]
    parts = list({mask.tobytes(): (name, mask) for name, mask in reversed(every)}.values())[::-1]  # the same rows once
    right = y == decided
    if len(schema.classes) > 2:
        among = {"share decided correctly": np.ones(len(y), dtype=bool)}
    else:
        among = {f"recall of {schema.classes[1]}": y == 1, f"precision of {schema.classes[1]}": decided == 1}
    return tuple(_looked(what, rows, right, parts) for what, rows in among.items() if rows.any())


def per_class(classes: tuple[str, ...], y: Labels, decided: Labels) -> list[tuple[Share, str]]:
    """The recall of every class, lowest first, and the class that it is most often taken for."""
    found = []
    for one, name in enumerate(classes):
        rows = y == one
        if rows.any():
            taken = np.bincount(decided[rows & (decided != one)], minlength=len(classes))
            other = classes[int(taken.argmax())] if taken.any() else ""
            found.append((_share(name, int(rows.sum()), int((decided[rows] == one).sum()), 1 - LEVEL), other))
    return sorted(found, key=lambda pair: pair[0].value)


def _looked(what: str, rows: Mask, right: Mask, parts: list[tuple[str, Mask]]) -> Looked:
    counted = [(name, int((mask & rows).sum()), int((mask & rows & right).sum())) for name, mask in parts]
    counted = [one for one in counted if FEWEST <= one[1] < rows.sum()]
    chance = (1 - LEVEL) / max(1, len(counted))
    shares = sorted((_share(*one, chance) for one in counted), key=lambda share: (share.value, share.part))
    overall = _share("all rows", int(rows.sum()), int((rows & right).sum()), 1 - LEVEL)
    worse = tuple(share for share in shares if share.high < overall.value)
    return Looked(what, overall, len(shares), worse, shares[0] if shares and not worse else None)


def _share(part: str, n: int, right: int, chance: float) -> Share:
    """With an interval that misses with no more than this probability."""
    return Share(part, n, right, *exact(right, n, chance))


def _values(X: Features, feature: Feature) -> npt.NDArray[np.float64] | npt.NDArray[np.object_]:
    """One value per row: of a text its length, of a picture its mean brightness; None or NaN where it is missing."""
    if feature.kind == "text":
        return np.array([len(text) for text in X], dtype=np.float64)
    if feature.kind == "picture":
        return np.asarray(X.reshape(len(X), -1).mean(axis=1), dtype=np.float64)
    column = X[feature.name]
    if feature.kind == "category":
        return np.asarray(column.astype(object).where(column.notna(), None), dtype=object)
    return np.asarray(column, dtype=np.float64)


def _parts(feature: Feature, values: npt.NDArray[np.float64] | npt.NDArray[np.object_]) -> Iterator[tuple[str, Mask]]:
    """Levels of a category, quarters of what is counted, and the rows where nothing is known."""
    name = {"text": "characters", "picture": "mean brightness"}.get(feature.kind, feature.name)
    if feature.kind == "category":
        for level in feature.levels[:LEVELS]:
            yield f"{name} = {level}", values == level
        missing: Mask = np.array([value is None for value in values], dtype=bool)
    else:
        missing = np.isnan(values.astype(float))
        yield from _quarters(feature, name, values.astype(float), missing)
    if missing.any():
        yield f"{name} missing", missing


def _quarters(
    feature: Feature, name: str, values: npt.NDArray[np.float64], missing: Mask
) -> Iterator[tuple[str, Mask]]:
    if missing.all():
        return
    edges = np.unique(np.quantile(values[~missing], [0.25, 0.5, 0.75], method="lower"))
    edges = edges[edges < values[~missing].max()] + 0.0  # -0 is 0
    below = np.append(-np.inf, edges)
    for low, high in zip(below, np.append(edges, np.inf), strict=True):
        with np.errstate(invalid="ignore"):
            mask = (values > low) & (values <= high)
        if np.isinf(high):
            said = f"{name} > {feature.shown(float(low))}"
        else:
            said = f"{name} ≤ {feature.shown(float(high))}"
            said = said if np.isinf(low) else f"{feature.shown(float(low))} < {said}"
        yield said, mask
