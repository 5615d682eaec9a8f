"""Error analysis: subgroups of the held-out rows in which recall or precision is clearly lower than over all rows.

Every proportion is of rows that the models were not trained on. Subgroups are formed by one column at a time, so an error that
takes two columns to describe is not found.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.deploy.schema import Feature, Schema, text_length_or_brightness
from harness.registry.task import Features

Labels = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MIN_ROWS = 20  #: of a subgroup; the proportion of fewer rows is high or low by chance alone
MAX_LEVELS = 12  #: of a category, the commonest ones
CONFIDENCE = 0.95


def wilson_interval(hits: int, rows: int, alpha: float = 0.05) -> tuple[float, float]:
    """Compute Wilson's interval of a binomial proportion, whose mean coverage over proportions is 1 − `alpha`.

    Parameters
    ----------
    hits, rows : int
        The proportion is ``hits / rows``.
    alpha : float, default 0.05
        One minus the confidence level.

    Returns
    -------
    low, high : float
        The interval; 0 and 1 without rows.

    References
    ----------
    Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    from scipy.special import ndtri

    if not rows:
        return 0.0, 1.0
    z = float(ndtri(1 - alpha / 2))
    centre = (hits + z * z / 2) / (rows + z * z)
    half_width = z * math.sqrt(hits * (rows - hits) / rows + z * z / 4) / (rows + z * z)
    return max(0.0, centre - half_width), min(1.0, centre + half_width)


def clopper_pearson_interval(hits: int, rows: int, alpha: float = 0.05) -> tuple[float, float]:
    """Compute the interval of Clopper and Pearson of a binomial proportion, whose coverage is never below 1 − `alpha`.

    Used for many proportions at once and for rare classes, where Wilson's interval misses several times as often as stated.

    Parameters
    ----------
    hits, rows : int
        The proportion is ``hits / rows``.
    alpha : float, default 0.05
        One minus the confidence level.

    Returns
    -------
    low, high : float
        The interval; 0 and 1 without rows.

    References
    ----------
    Clopper & Pearson, The use of confidence or fiducial limits illustrated in the case of the binomial, Biometrika 26 (1934).
    """
    from scipy.special import betaincinv

    interval_low = float(betaincinv(hits, rows - hits + 1, alpha / 2)) if hits else 0.0
    interval_high = float(betaincinv(hits + 1, rows - hits, 1 - alpha / 2)) if hits < rows else 1.0
    return interval_low, interval_high


@dataclass(frozen=True)
class SubgroupProportion:
    """The proportion of correct rows in a subgroup of `rows` rows, with its interval."""

    subgroup: str
    rows: int
    correct: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """The proportion."""
        return self.correct / self.rows


@dataclass(frozen=True)
class ErrorAnalysis:
    """A metric over all rows, and the subgroups in which it is clearly lower.

    Attributes
    ----------
    metric : str
        The proportion that was compared.
    overall : SubgroupProportion
        Over all rows.
    subgroups : int
        Number of subgroups that were compared.
    worse : tuple of SubgroupProportion
        The subgroups whose interval lies below the overall proportion, lowest first; the intervals hold simultaneously.
    lowest : SubgroupProportion or None
        The lowest subgroup where none is clearly lower.
    """

    metric: str
    overall: SubgroupProportion
    subgroups: int
    worse: tuple[SubgroupProportion, ...]
    lowest: SubgroupProportion | None


def analyze_errors(X: Features, schema: Schema, y: Labels, labels: Labels) -> tuple[ErrorAnalysis, ...]:
    """Find the subgroups with the lowest recall and precision of the positive class, or with several classes accuracy.

    Parameters
    ----------
    X : DataFrame or ndarray
        Held-out rows.
    schema : Schema
        Their columns.
    y : ndarray of int, shape (n,)
        Their classes.
    labels : ndarray of int, shape (n,)
        The predicted classes.

    Returns
    -------
    tuple of ErrorAnalysis
        One per metric.
    """
    # The same rows are one subgroup, under the name that comes first.
    subgroups: dict[bytes, tuple[str, Mask]] = {}
    for feature in schema.features:
        for name, mask in _subgroups_of_feature(feature, _values_to_group_by(X, feature)):
            subgroups.setdefault(mask.tobytes(), (name, mask))
    if len(schema.classes) > 2:
        rows_by_metric = {"share decided correctly": np.ones(len(y), dtype=bool)}
    else:
        positive_class = schema.classes[1]
        rows_by_metric = {f"recall of {positive_class}": y == 1, f"precision of {positive_class}": labels == 1}
    metric_analyses = []
    for metric, metric_rows in rows_by_metric.items():
        if metric_rows.any():
            metric_analyses.append(
                _find_subgroups_below_overall(metric, metric_rows, y == labels, list(subgroups.values()))
            )
    return tuple(metric_analyses)


def _find_subgroups_below_overall(
    metric: str, metric_rows: Mask, is_correct: Mask, subgroups: list[tuple[str, Mask]]
) -> ErrorAnalysis:
    counts = []
    for name, mask in subgroups:
        rows = int((mask & metric_rows).sum())
        if MIN_ROWS <= rows < metric_rows.sum():
            counts.append((name, rows, int((mask & metric_rows & is_correct).sum())))
    alpha = (1 - CONFIDENCE) / max(1, len(counts))  # Bonferroni
    proportions = [_subgroup_proportion(name, rows, correct_rows, alpha) for name, rows, correct_rows in counts]
    proportions.sort(key=lambda proportion: (proportion.share, proportion.subgroup))
    overall_proportion = _subgroup_proportion(
        "all rows", int(metric_rows.sum()), int((metric_rows & is_correct).sum()), 1 - CONFIDENCE
    )
    worse_subgroups = tuple(proportion for proportion in proportions if proportion.high < overall_proportion.share)
    lowest_proportion = proportions[0] if proportions and not worse_subgroups else None
    return ErrorAnalysis(metric, overall_proportion, len(proportions), worse_subgroups, lowest_proportion)


def class_recalls(classes: tuple[str, ...], y: Labels, labels: Labels) -> list[tuple[SubgroupProportion, str]]:
    """Compute the recall of every class that occurs, lowest first.

    Parameters
    ----------
    classes : tuple of str
        Names of the classes.
    y, labels : ndarray of int, shape (n,)
        True and predicted classes.

    Returns
    -------
    list of (Proportion, str)
        The recall, and the class that it is most often confused with; empty where it is always recognised.
    """
    recalls = []
    for label, name in enumerate(classes):
        is_class = y == label
        if not is_class.any():
            continue
        confusions = np.bincount(labels[is_class & (labels != label)], minlength=len(classes))
        confused_with = classes[int(confusions.argmax())] if confusions.any() else ""
        correct_rows = int((labels[is_class] == label).sum())
        recalls.append((_subgroup_proportion(name, int(is_class.sum()), correct_rows, 1 - CONFIDENCE), confused_with))
    return sorted(recalls, key=lambda pair: pair[0].share)


def _subgroup_proportion(subgroup: str, rows: int, correct_rows: int, alpha: float) -> SubgroupProportion:
    return SubgroupProportion(subgroup, rows, correct_rows, *clopper_pearson_interval(correct_rows, rows, alpha))


def _values_to_group_by(X: Features, feature: Feature) -> npt.NDArray[np.float64] | npt.NDArray[np.object_]:
    """One value per row: of a text its length, of an image its mean brightness; None or NaN where it is missing."""
    if feature.kind in ("text", "picture"):
        return text_length_or_brightness(X)
    column = X[feature.name]
    if feature.kind == "category":
        return np.asarray(column.astype(object).where(column.notna(), None), dtype=object)
    return np.asarray(column, dtype=np.float64)


def _subgroups_of_feature(
    feature: Feature, feature_values: npt.NDArray[np.float64] | npt.NDArray[np.object_]
) -> Iterator[tuple[str, Mask]]:
    """Levels of a category, quarters of a number, and the rows in which it is missing."""
    name = {"text": "characters", "picture": "mean brightness"}.get(feature.kind, feature.name)
    if feature.kind == "category":
        for level in feature.levels[:MAX_LEVELS]:
            yield f"{name} = {level}", feature_values == level
        is_missing: Mask = np.array([level is None for level in feature_values], dtype=bool)
    else:
        is_missing = np.isnan(feature_values.astype(float))
        if not is_missing.all():
            yield from _quartile_subgroups(feature, name, feature_values.astype(float), is_missing)
    if is_missing.any():
        yield f"{name} missing", is_missing


def _quartile_subgroups(
    feature: Feature, name: str, feature_numbers: npt.NDArray[np.float64], is_missing: Mask
) -> Iterator[tuple[str, Mask]]:
    known_numbers = feature_numbers[~is_missing]
    edges = np.unique(np.quantile(known_numbers, [0.25, 0.5, 0.75], method="lower"))
    edges = edges[edges < known_numbers.max()] + 0.0  # + 0.0 turns -0 into 0
    for bin_low, bin_high in zip([-np.inf, *edges], [*edges, np.inf], strict=True):
        with np.errstate(invalid="ignore"):
            mask = (feature_numbers > bin_low) & (feature_numbers <= bin_high)
        if np.isinf(bin_high):
            yield f"{name} > {feature.format_number(float(bin_low))}", mask
        elif np.isinf(bin_low):
            yield f"{name} ≤ {feature.format_number(float(bin_high))}", mask
        else:
            yield f"{feature.format_number(float(bin_low))} < {name} ≤ {feature.format_number(float(bin_high))}", mask
