"""What speaks against taking figures at their word: probabilities that are no frequencies, rows that are not as new as they look."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from harness.deploy.insights.given import NEW, Given
from harness.deploy.insights.markdown import figure, percent
from harness.deploy.insights.sureness import FEWEST, Sureness
from harness.deploy.markdown import text
from harness.deploy.shares import wilson

OFF = 1.2  #: times by which what was said differs from what came true, from which sums of probabilities mislead
FAR_OFF = 1.5  #: the same where only some of the training rows were held out
SURE = 1.96
MEND = "`evenhand export --calibration sigmoid` mends that"


def no_frequencies(given: Given, sure: Sureness) -> str:
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


def too_good(given: Given) -> str:
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


def new_to_it(given: Given) -> str:
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
