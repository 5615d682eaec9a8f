"""How sure the model is: how many rows lie near the threshold, and whether its probabilities came true."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.deploy.error_analysis import wilson
from harness.deploy.insights.contact_list import CLOSE
from harness.deploy.insights.markdown import figure, percent
from harness.deploy.insights.scored_rows import NEW, ScoredRows
from harness.deploy.insights.shapley import log_odds
from harness.deploy.markdown import text

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


def how_sure(given: ScoredRows) -> Sureness:
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


OFF = 1.2  #: times by which what was said differs from what came true, from which sums of probabilities mislead
FAR_OFF = 1.5  #: the same where only some of the training rows were held out
SURE = 1.96
MEND = "`evenhand export --calibration sigmoid` mends that"


def no_frequencies(given: ScoredRows, sure: Sureness) -> str:
    """A warning where probabilities of two classes add up to much more or less than came true; empty where they do not.

    It is judged by the training rows while they were held out, which needs no outcomes of the given ones; then by those.
    """
    positive = text(given.positive_name)
    held, counts = given.bundle.held_out(), given.bundle.manifest.get("counts")
    if held is not None and counts:
        p = held.proba[~np.isnan(held.proba).any(axis=1), 1].astype(np.float64)
        came = counts[1] / sum(counts)
        # Where some rows were never held out, those that were may truly differ from the rest: by time, or as a test part does.
        if len(p) and _off(p, came, OFF if len(p) == len(held.proba) else FAR_OFF):
            mend = f"; {MEND}" if given.bundle.manifest["calibration"] == "none" else ""
            return (
                f"**The probabilities are no frequencies.** Of the {len(p):,} training rows that were held out they said "
                f"{percent(float(p.mean()))} {positive} on average, and {percent(came)} of all are. Rank by them, and take numbers and "
                f"profits that are expected from them as an order only{mend}."
            )
    if sure.bins and not sure.holds:
        p = given.positive[given.known]
        came = sure.positives / len(p)
        if _off(p, came):
            return (
                f"**The probabilities do not hold here.** Of the {len(p):,} rows whose outcome is known they say "
                f"{percent(float(p.mean()))} {positive} on average, and {percent(came)} are. Take numbers and profits that are "
                "expected from them as an order only."
            )
    return ""


def _off(p: npt.NDArray[np.float64], came: float, times: float = OFF) -> bool:
    """Whether these probabilities (n,) differ on average from the share that came true, by much and by more than chance."""
    said, chance = float(p.mean()), SURE * math.sqrt(float((p * (1 - p)).sum())) / len(p)
    return abs(said - came) > chance and max(said, came) > times * min(said, came)


def too_good(given: ScoredRows) -> str:
    """A warning where new rows are answered better than the run measured on sealed ones; empty where they are not.

    A row that was changed after the model had learnt from it, a month more or a rounded number, cannot be told from a new one
    by what it holds; how well it is answered can give it away.
    """
    rows = np.flatnonzero((given.y >= 0) & (given.source == NEW))
    name = "roc_auc" if given.binary else "accuracy"
    measured = (given.bundle.manifest.get("measured") or {}).get(name)
    if measured is None or len(rows) < FEWEST or len(np.unique(given.y[rows])) < 2:
        return ""
    if given.binary:
        found, low = _auc(given.y[rows], given.positive[rows])
    else:
        right = int((given.bundle.decide(given.proba[rows]) == given.y[rows]).sum())
        found, low = right / len(rows), wilson(right, len(rows))[0]
    high = measured["mean"] if measured["high"] is None else measured["high"]
    if low <= high:
        return ""
    label = "ROC AUC" if given.binary else "accuracy"
    return (
        f"**Too good to be new?** On the {len(rows):,} rows that equal none of the training rows the {label} is {figure(found)}, where "
        f"the run measured {figure(measured['mean'])} on sealed rows. They may be rows that the model has learnt from, in a changed "
        "form: a month more, a rounded number. If so, all that is counted on them flatters."
    )


def new_to_it(given: ScoredRows) -> str:
    """What is to be known of rows with an outcome that equal no training row: `too_good`, or that this may be; empty without any."""
    if not ((given.y >= 0) & (given.source == NEW)).any():
        return ""
    return too_good(given) or (
        "A row counts as new where it equals none of the training rows. One that the model has learnt from and that was changed "
        "since does so too, the same customer a month later, though the model knows the outcome: leave such rows out."
    )


def _auc(y: npt.NDArray[np.int64], p: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The area under the ROC curve, and the lower end of its 95 % interval (Hanley & McNeil 1982)."""
    from scipy.stats import rankdata

    ones, zeros = int((y == 1).sum()), int((y == 0).sum())
    auc = float((rankdata(p)[y == 1].sum() - ones * (ones + 1) / 2) / (ones * zeros))
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (ones - 1) * (one - auc**2) + (zeros - 1) * (two - auc**2)
    return auc, auc - SURE * math.sqrt(max(0.0, variance) / (ones * zeros))
