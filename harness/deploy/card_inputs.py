"""What a model card says that the manifest does not: figures, standing, failings."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.deploy.error_analysis import Looked, Share

HALF, TUNED = "half", "tuned"  #: of decisions: at 0.5, at the tuned threshold


@dataclass(frozen=True)
class CardMetric:
    """One nested figure of an entry: its mean over the outer splits and half its 95 % interval, NaN where there is none.

    `at` says at which threshold decisions were taken, HALF or TUNED, and is empty where none enters.
    """

    name: str
    label: str
    metric_type: str
    at: str
    mean: float
    half: float

    @property
    def key(self) -> str:
        """Its name in the manifest."""
        return f"{self.name}_at_half" if self.at == HALF else self.name

    def as_dict(self) -> dict[str, float | None]:
        """Mean and interval for JSON."""
        low, high = (None if math.isnan(self.half) else self.mean + sign * self.half for sign in (-1, 1))
        return {"mean": self.mean, "low": low, "high": high}


@dataclass(frozen=True)
class Standing:
    """How an entry stands in its run: its place (None without one), among how many, and how many cannot be told from it.

    `by_hand` says that it was named and not taken for being first; `chosen` is what choosing by inner scores alone gave,
    mean and half interval of the objective.
    """

    rank: int | None
    entries: int
    tied: int | None
    tie: bool | None  #: whether it is itself one of those; None where it is the first, or nothing is claimed
    by_hand: bool
    splits: int
    planned: int
    no_test_reason: str
    chosen: tuple[float, float] | None
    baseline: float | None


@dataclass(frozen=True)
class Facts:
    """All that a card says and the manifest does not."""

    target: str
    description: str
    notes: tuple[str, ...]
    figures: tuple[CardMetric, ...]
    standing: Standing
    strategy: str  #: what it does, in words
    before: tuple[float, ...]  #: training rows per class
    after: tuple[float, ...]  #: the same as the classifier weighed or saw them
    said: tuple[float, ...]  #: mean held-out probability per class
    came: tuple[float, ...]  #: share of the same rows per class
    failings: tuple[Looked, ...] = ()
    classes: tuple[tuple[Share, str], ...] = ()  #: of several: recall, and what each is taken for
    held_out: int = 0
    changed: tuple[str, ...] = ()  #: versions that are not those of the run
    correctable: bool = False
