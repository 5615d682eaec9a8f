"""How sure the model is: how many rows lie near the threshold, and whether its probabilities came true."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.deploy.insights.contacts import CLOSE
from harness.deploy.insights.given import Given
from harness.deploy.insights.reasons import log_odds
from harness.deploy.shares import wilson

BINS = 10
FEWEST = 100  #: rows with an outcome below which probabilities are not held against it
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Bin:
    """Rows of neighbouring probabilities: how many, what was said of them on average, and what came true (95 %)."""

    rows: int
    said: float
    positives: int
    low: float
    high: float


@dataclass(frozen=True)
class Sureness:
    """`close` rows are those whose odds are within half as much again of the threshold's; `quantiles` are those of QUANTILES.

    `odd` counts, by column, rows with values that training did not have; `missing` those without a value. `expected` and
    `positives` are over the rows with an outcome: what the probabilities add up to, and what came true.
    """

    rows: int
    called: int
    close: int
    quantiles: tuple[float, ...]
    odd: tuple[tuple[str, int], ...]
    missing: tuple[tuple[str, int], ...]
    bins: tuple[Bin, ...] = ()
    expected: float = 0.0
    spread: float = 0.0  #: standard deviation of the positives if the probabilities are right
    positives: int = 0

    @property
    def holds(self) -> bool:
        """Whether as many came true as the probabilities say, within what chance allows."""
        return abs(self.positives - self.expected) <= 1.96 * max(self.spread, 0.5)


def how_sure(given: Given) -> Sureness:
    """How sure the model is of these rows, of two classes."""
    threshold = 0.5 if given.bundle.threshold is None else given.bundle.threshold
    p = given.positive
    close = np.abs(log_odds(p) - log_odds(np.array(threshold))) < CLOSE
    odd: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    for flags in given.flags.values():
        for name, what in flags:
            (missing if "missing" in what else odd)[name] += 1
    known = given.known
    bins = _bins(p[known], given.y[known]) if len(known) >= FEWEST else ()
    return Sureness(
        rows=len(given),
        called=int((p >= threshold).sum()),
        close=int(close.sum()),
        quantiles=tuple(np.quantile(p, QUANTILES).tolist()),
        odd=tuple(odd.most_common()),
        missing=tuple(missing.most_common()),
        bins=bins,
        expected=float(p[known].sum()),
        spread=float(np.sqrt((p[known] * (1 - p[known])).sum())),
        positives=int((given.y[known] == 1).sum()),
    )


def _bins(p: npt.NDArray[np.float64], y: npt.NDArray[np.int64]) -> tuple[Bin, ...]:
    """Tenths of the rows by probability; rows of one probability stay together."""
    edges = np.unique(np.quantile(p, np.linspace(0, 1, BINS + 1)[1:-1]))
    place = np.searchsorted(edges, p, side="right")
    found = []
    for at in np.unique(place):
        here = place == at
        hits = int((y[here] == 1).sum())
        found.append(Bin(int(here.sum()), float(p[here].mean()), hits, *wilson(hits, int(here.sum()))))
    return tuple(found)
