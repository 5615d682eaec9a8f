"""How far entries are from the best of each task: wins, normalised score, improvability."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.report.across.together import Array, Together

SCALED = (
    "log_loss",
    "expected_cost",
    "lift_at_10",
)  #: have no common scale: told in units of the majority row's figure


def wins(means: Array) -> npt.NDArray[np.int64]:
    """First places of each entry, from `means` (entries, tasks), more being better; shared ones count for each."""
    firsts: npt.NDArray[np.int64] = (means == means.max(axis=0)).sum(axis=1)
    return firsts


def normalised(together: Together) -> Array:
    """0 at the majority row of a task or below it (where it has none: at the worst entry), 1 at the best entry.

    The mean over the tasks; those on which all are equal are left out, NaN where none remains.
    """
    means, floors = together.means, together.floor_means
    low = np.where(np.isnan(floors), means.min(axis=0), floors)
    span = means.max(axis=0) - low
    told = span > 0
    if not told.any():
        return np.full(len(means), np.nan)
    return np.asarray(np.clip((means[:, told] - low[told]) / span[told], 0, None).mean(axis=1))


def improvability(together: Together) -> Array:
    """By which part the error of an entry would fall if it were the best entry of the task; mean over the tasks.

    1 − (error of the best)/(own error), the error being 1 − score, or the score itself where less is better: Erickson et
    al., TabArena (2025). Tasks whose objective has no error that ends at 0 are left out; NaN where none remains.
    """
    told = []
    for metric, column in zip(together.metrics, together.means.T, strict=True):
        errors = 1 - column if metric.greater_is_better else -column
        if metric.name == "lift_at_10" or (errors < 0).any():
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            told.append(np.where(errors > 0, 1 - errors.min() / errors, 0.0))
    return np.asarray(np.mean(told, axis=0)) if told else np.full(len(together.entries), np.nan)


def scales(together: Together) -> Array:
    """What a difference of 1 is on each task: 1, or the majority row's figure where the objective has no common scale."""
    floors = np.abs(together.floor_means)
    scaled = np.array([metric.name in SCALED for metric in together.metrics], dtype=bool)
    return np.where(scaled, np.where(floors > 0, floors, np.nan), 1.0)
