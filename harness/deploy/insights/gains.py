"""What contacting the likeliest rows first finds and earns, counted on rows whose outcome is known, and how sure that is.

Chance is measured by the bootstrap (Efron 1979): the rows are drawn again with replacement, many times. A best cut that is
chosen on rows and counted on the same rows flatters itself; here each is chosen on a drawn sample and counted on the rows
that this sample left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.deploy.error_analysis import exact, wilson
from harness.deploy.insights.campaign import Campaign

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

SHARES = np.linspace(0, 1, 101)  #: of rows contacted, at which curves are drawn
SHOWN = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5)  #: those in the table
MOST_DRAWS, FEWEST_DRAWS = 1000, 200
WORK = 20_000_000  #: rows times draws
LEVEL = (2.5, 97.5)
PER = 1000  #: rows to which profits are scaled
AS_LISTED = "as many as on the list"


@dataclass(frozen=True)
class Band:
    """A figure at each of `SHARES`, and its 95 % interval."""

    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Found:
    """How many positive rows are among the `contacted` likeliest; `low` to `high` is the 95 % interval.

    `chance` is what the same number of rows drawn at random holds, with the interval of that.
    """

    contacted: int
    found: int
    low: float
    high: float
    chance: tuple[float, float, float]


@dataclass(frozen=True)
class Cut:
    """A way to choose whom to contact, and what it earns per 1,000 rows, with its interval; `share` of rows contacted."""

    said: str
    share: tuple[float, float, float]
    profit: tuple[float, float, float]
    threshold: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Gains:
    """What is found by contacting rows in the order of their probabilities."""

    rows: int
    positives: int
    share_found: Band
    table: tuple[Found, ...]
    profit: Band | None = None  #: per 1,000 rows
    cuts: tuple[Cut, ...] = ()


def gains(y: Index, positive: Floats, campaign: Campaign, contacted: int | None, seed: int) -> Gains | None:
    """Gains among rows with outcomes `y` (n,) of 0 and 1 and probabilities (n,); None without rows of both classes.

    `contacted` is a number of contacts to be looked at besides the usual shares.
    """
    n, total = len(y), int(y.sum())
    if not 0 < total < n:
        return None
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(n), -positive))  # rows of one probability in no order
    y, positive = y[order], positive[order]
    counts = sorted(
        {max(1, round(share * n)) for share in SHOWN} | ({contacted} if contacted and contacted < n else set())
    )
    curves, tables, profits = [], [], []
    for weights in _draws(n, rng):
        curve, at = _curve(y, weights, np.array(counts) / n)
        curves.append(curve)
        tables.append(at)
        profits.append(_profit(curve, float((weights * y).sum()) / n, campaign))
    whole, found = _curve(y, np.ones(n), np.array(counts) / n)
    rows = [
        _found(n, total, contacts, round(float(found[j])), np.array([one[j] for one in tables]))
        for j, contacts in enumerate(counts)
    ]
    profit = None
    if campaign.gain is not None:
        profit = _band(_profit(whole, total / n, campaign), np.array(profits))
    cuts = _cuts(y, positive, campaign, contacted, rng) if campaign.gain is not None else ()
    return Gains(n, total, _band(whole, np.array(curves)), tuple(rows), profit, cuts)


def _draws(n: int, rng: np.random.Generator) -> Iterator[Floats]:
    """How often each row is in each drawn sample."""
    for _ in range(int(np.clip(WORK / n, FEWEST_DRAWS, MOST_DRAWS))):
        yield np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)


def _curve(y: Index, weights: Floats, shares: Floats) -> tuple[Floats, Floats]:
    """The share of all positive rows that is found by contacting `SHARES` of rows; how many are found by other shares."""
    contacted = np.append(0, np.cumsum(weights)) / weights.sum()
    hits = np.append(0, np.cumsum(weights * y))
    return np.interp(SHARES, contacted, hits) / max(hits[-1], 1.0), np.interp(shares, contacted, hits)


def _profit(curve: Floats, prevalence: float, campaign: Campaign) -> Floats:
    """What contacting each of `SHARES` earns, per 1,000 rows."""
    profit: Floats = PER * ((campaign.gain or 0) * prevalence * curve - (campaign.cost or 0) * SHARES)
    return profit


def _band(value: Floats, drawn: Floats) -> Band:
    low, high = np.percentile(drawn, LEVEL, axis=0)
    return Band(value, low, high)


def _found(n: int, total: int, contacts: int, found: int, drawn: Floats) -> Found:
    from scipy.stats import hypergeom

    low, high = np.percentile(drawn, LEVEL)
    # Of few contacts all or none may be positive, and so they are in every sample that is drawn of them.
    sure = wilson(found, contacts)
    low, high = min(low, contacts * sure[0]), max(high, contacts * sure[1])
    chance = hypergeom(n, total, contacts)
    least, most = chance.interval(0.95)
    return Found(contacts, found, float(low), float(high), (float(chance.mean()), float(least), float(most)))


def _cuts(
    y: Index, positive: Floats, campaign: Campaign, contacted: int | None, rng: np.random.Generator
) -> tuple[Cut, ...]:
    """Cuts compared: chosen for profit, as long as the list, where a contact should pay by its probability, everybody."""
    n, gain, cost = len(y), campaign.gain or 0.0, campaign.cost or 0.0
    each = PER * (gain * y - cost)  # what contacting a row earns
    chosen: list[tuple[float, float, float]] = []
    for weights in _draws(n, rng):
        best = _best(positive, np.cumsum(weights * each))
        out = weights == 0
        called = out & (positive >= best)
        chosen.append((best, called.sum() / max(out.sum(), 1), float(each[called].sum()) / max(out.sum(), 1)))
    thresholds, shares, profits = np.array(chosen).T
    own = _earned(y, positive >= _best(positive, np.cumsum(each)), campaign)
    mean, low, high = _middle(profits)
    # Drawn samples hold no rows but these: where few are positive they vary too little.
    profit = mean, min(low, own.profit[1]), max(high, own.profit[2])
    cuts = [Cut("the most profitable share, chosen on other rows", _middle(shares), profit, _middle(thresholds))]
    if campaign.limit is not None and contacted and contacted < n:
        cuts.append(_earned(y, np.arange(n) < contacted, campaign, AS_LISTED, fixed=True))
    if campaign.pays_from is not None:
        said = f"a contact should pay: probability {campaign.pays_from:.3g} or more"
        cuts.append(_earned(y, positive >= campaign.pays_from, campaign, said))
    return (*cuts, _earned(y, np.ones(n, dtype=bool), campaign, "everybody", fixed=True))


def _earned(y: Index, called: npt.NDArray[np.bool_], campaign: Campaign, said: str = "", *, fixed: bool = False) -> Cut:
    """What contacting these rows earns; `fixed`: another sample would have as many of them.

    Profit is a difference of two shares of all rows, times what these bring and cost: positive rows contacted, and rows
    contacted. Its interval is put together from theirs and their correlation (Zou, MOVER, 2007), which holds with few
    positive rows too.
    """
    n, k, m = len(y), int(y[called].sum()), int(called.sum())
    gain, cost = campaign.gain or 0.0, campaign.cost or 0.0
    hits, rows = k / n, m / n
    low, high = exact(k, n)
    least, most = (rows, rows) if fixed else exact(m, n)
    tied = np.sqrt(hits * (1 - rows) / (rows * (1 - hits))) if hits > 0 and rows < 1 and not fixed else 0.0

    def apart(one: float, other: float) -> float:
        return float(np.sqrt(max(0.0, one * one + other * other - 2 * tied * one * other)))

    mean = gain * hits - cost * rows
    down = apart(gain * (hits - low), cost * (most - rows))
    up = apart(gain * (high - hits), cost * (rows - least))
    return Cut(said, (rows, least, most), (PER * mean, PER * (mean - down), PER * (mean + up)))


def _best(positive: Floats, profit: Floats) -> float:
    """The probability down to which contacting earns most; above all where nothing earns anything."""
    ends = np.append(np.flatnonzero(np.diff(positive)), len(positive) - 1)  # rows of one probability stay together
    best = int(ends[profit[ends].argmax()])
    return float(positive[best]) if profit[best] > 0 else np.inf


def _middle(drawn: Floats) -> tuple[float, float, float]:
    """Mean (of finite figures) and 95 % interval."""
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return (np.inf,) * 3
    low, high = np.percentile(known, LEVEL)
    return float(known.mean()), float(low), float(high)
