"""What a model card says that the manifest does not: metrics, position in the ranking, error analysis."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.deploy.error_analysis import ErrorAnalysis, Proportion
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD


@dataclass(frozen=True)
class CardMetric:
    """A nested metric of an entry: its mean over the outer splits with a 95 % interval.

    Attributes
    ----------
    name, label : str
        Name of the metric, and its name in tables.
    metric_type : str
        ``"ranking"``, ``"decision"`` or ``"probability"``.
    threshold_kind : str
        At which threshold decisions were taken, DEFAULT_THRESHOLD or TUNED_THRESHOLD; empty where none matters.
    mean, ci_half_width : float
        Mean, and half the width of its interval; NaN where there is none.
    """

    name: str
    label: str
    metric_type: str
    threshold_kind: str
    mean: float
    ci_half_width: float

    @property
    def key(self) -> str:
        """Its name in the manifest."""
        return f"{self.name}_at_half" if self.threshold_kind == DEFAULT_THRESHOLD else self.name

    def as_dict(self) -> dict[str, float | None]:
        """Convert mean and interval to plain values for JSON."""
        if math.isnan(self.ci_half_width):
            return {"mean": self.mean, "low": None, "high": None}
        return {"mean": self.mean, "low": self.mean - self.ci_half_width, "high": self.mean + self.ci_half_width}


@dataclass(frozen=True)
class RankingPosition:
    """The position of an entry in the ranking of its run.

    Attributes
    ----------
    rank : int or None
        Its rank; None without one.
    entries : int
        Number of ranked entries.
    tied : int or None
        Number of entries that are not significantly different from the first; None where no test can be made.
    is_tied : bool or None
        Whether it is one of them; None where it is the first, or no test can be made.
    chosen_by_name : bool
        Whether it was named for the export, and not taken for being first.
    splits, planned_splits : int
        Outer splits with and without scores.
    no_test_reason : str
        Why there are no tests and intervals; empty where there are.
    inner_choice : (float, float) or None
        Objective of the choice by inner scores alone: mean, and half the width of its interval.
    baseline : float or None
        Objective of the baseline.
    """

    rank: int | None
    entries: int
    tied: int | None
    is_tied: bool | None
    chosen_by_name: bool
    splits: int
    planned_splits: int
    no_test_reason: str
    inner_choice: tuple[float, float] | None
    baseline: float | None


@dataclass(frozen=True)
class CardInputs:
    """All that a card says and the manifest does not.

    Attributes
    ----------
    target, description, notes : str, str, tuple of str
        Of the task.
    metrics : tuple of CardMetric
        Nested metrics of the entry, the objective first.
    position : RankingPosition
        Its position in the ranking.
    strategy : str
        Description of the strategy.
    counts_before, counts_after : tuple of float
        Training rows per class, before and after the strategy.
    mean_proba, class_shares : tuple of float
        Mean probability per class over the held-out rows, and the share of these rows that belong to it.
    error_analyses : tuple of ErrorAnalysis
        Where it fails.
    recalls : tuple of (Proportion, str)
        With several classes the recall of each, and the class that it is most often confused with.
    held_out_rows : int
        Number of held-out rows.
    changed_versions : tuple of str
        Packages whose version is not that of the run.
    prior_is_correctable : bool
        Whether prior correction applies to the strategy.
    """

    target: str
    description: str
    notes: tuple[str, ...]
    metrics: tuple[CardMetric, ...]
    position: RankingPosition
    strategy: str
    counts_before: tuple[float, ...]
    counts_after: tuple[float, ...]
    mean_proba: tuple[float, ...]
    class_shares: tuple[float, ...]
    error_analyses: tuple[ErrorAnalysis, ...] = ()
    recalls: tuple[tuple[Proportion, str], ...] = ()
    held_out_rows: int = 0
    changed_versions: tuple[str, ...] = ()
    prior_is_correctable: bool = False
