"""A metric: one number computed from stored predictions; and the threshold from which a row is predicted positive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, get_args

from harness.arguments import (
    FLAG,
    FUNCTION,
    NAME,
    NUMBER,
    TEXT,
    check_declaration_fields,
    describe_argument,
    option_kind,
    optional_kind,
    whole_number_kind,
)
from harness.errors import DataError, DeclarationError
from harness.metrics.steps import count_steps

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from harness.metrics.influence import Influence

    Floats = npt.NDArray[np.float64]

Array = TypeVar("Array", bound="npt.NDArray[Any]")
CostMatrix: TypeAlias = tuple[tuple[float, ...], ...] | None  #: ``costs[true][predicted]``
MetricType: TypeAlias = Literal["ranking", "decision", "probability"]
DEFAULT_CUT = 0.5
ABOVE_ALL = 1.0 + 1e-6  # more than any probability, in float32 too


#: Columns of tables of scores, which no metric may be named.
RESERVED_COLUMNS = (
    "task", "entry", "family", "strategy", "stage", "calibration", "threshold_kind", "threshold", "repeat", "fold", "folds",
    "status", "rank", "tied", "objective", "inner_score", "training_score", "trial", "trials", "fit_seconds", "parameters",
)  # fmt: skip


@dataclass(frozen=True)
class Predictions:
    """The predictions of a classifier for some rows, with their true classes.

    All arrays are read-only: several metrics are computed from the same predictions.

    Parameters
    ----------
    y : ndarray of shape (n,)
        True classes, 0 to k - 1.
    proba : ndarray of shape (n, k)
        Probabilities.
    threshold : float or None, default=0.5
        With two classes a row is predicted positive where ``proba[:, 1] >= threshold``; with more, or without a threshold,
        the most probable class is predicted.
    costs : tuple of tuple of float, optional
        ``costs[true][predicted]``.
    weights : ndarray of shape (n,), optional
        Weights of the rows, above 0: a row counts as so many rows. None where each counts as one.
    """

    y: npt.NDArray[np.int64]
    proba: npt.NDArray[np.floating]
    threshold: float | None = 0.5
    costs: CostMatrix = None
    weights: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        for array_field in ("y", "proba", "weights"):
            array = getattr(self, array_field)
            if array_field == "weights" and array is None:
                continue
            if not hasattr(array, "flags"):
                raise DataError(f"{array_field} must be an array of NumPy, but got {describe_argument(array)}")
            object.__setattr__(self, array_field, _immutable_copy(array))

    @property
    def binary(self) -> bool:
        """Whether there are two classes."""
        return bool(self.proba.shape[1] == 2)

    @cached_property
    def labels(self) -> npt.NDArray[np.int64]:
        """The predicted class of every row, shape (n,)."""
        if self.binary and self.threshold is not None:
            predicted_labels: npt.NDArray[np.int64] = (self.proba[:, 1] >= self.threshold).astype("int64")
            return _make_read_only(predicted_labels)
        most_probable: npt.NDArray[np.int64] = self.proba.argmax(axis=1)
        return _make_read_only(most_probable)

    @cached_property
    def _steps(self) -> dict[int, tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        return {}

    def mean(self, terms: npt.NDArray[np.floating]) -> float:
        """The mean over the rows of a term of each (n,), weighted where the rows are."""
        import numpy as np

        return float(terms.mean() if self.weights is None else np.average(terms, weights=self.weights))

    @property
    def total_weight(self) -> float:
        """The number of rows, or the sum of their weights."""
        return float(len(self.y) if self.weights is None else self.weights.sum())

    def steps(self, label: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Count rows at or above each distinct probability of a class, from the highest probability down.

        Rows are sorted once for all metrics that rank.

        Parameters
        ----------
        label : int
            The class.

        Returns
        -------
        hits, rows : ndarray of int, or of float where rows are weighted
            Rows of the class, and all rows.
        """
        if label not in self._steps:
            hits, rows = count_steps(self.y == label, self.proba[:, label], self.weights)
            self._steps[label] = _make_read_only(hits), _make_read_only(rows)
        return self._steps[label]

    @cached_property
    def confusion(self) -> npt.NDArray[Any]:
        """Counts of shape (k, k), or sums of weights: rows are the truth, columns the predictions."""
        import numpy as np

        k = self.proba.shape[1]
        confusion_counts = np.bincount(self.y * k + self.labels, weights=self.weights, minlength=k * k).reshape(k, k)
        return _make_read_only(confusion_counts)


def _immutable_copy(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Copy an array to memory that no code can make writable again, as it could with a read-only view.

    The copy of a million rows of two classes takes 6 ms, sorting them once for the metrics that rank 95 ms.
    """
    import numpy as np

    memory_order: Literal["F", "C"] = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    return np.frombuffer(array.tobytes(memory_order), dtype=array.dtype).reshape(array.shape, order=memory_order)


def _make_read_only(array: Array) -> Array:
    """The same array, which can no longer be written to."""
    array.flags.writeable = False
    return array


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One measure of quality, as a declaration.

    Parameters
    ----------
    name : str
        Unique name; the column of the metric in tables.
    compute : callable
        ``compute(predictions)`` returns a float, NaN where the metric is not defined.
    metric_type : {"ranking", "decision", "probability"}
        What is measured.
    greater_is_better : bool, default=True
        The direction of the metric.
    binary_only : bool, default=False
        Whether it is only defined for two classes.
    needs_costs : bool, default=False
        Whether it is only defined with a cost matrix.
    over_rows : bool, default=False
        Whether a metric of decisions is a plain mean over all rows, so that one row of n changes it by 1/n of the value of
        a decision, and not by a share of its class.
    span : float, default=1.0
        The difference between the worst and the best value, 1 where there are no bounds: tests assume that one row changes
        the metric by a share of it.
    version : int, default=1
        Raise it whenever `compute` changes, so that cached values are computed anew.
    label : str
        Heading in tables; the name by default.
    description : str
        One sentence for the glossary of the report.
    influence : callable, optional
        ``influence(predictions, weights)`` returns how much each row moves the metric, see `harness.metrics.influence`. Tests
        use it for the part of chance that comes from the rows; without it they delete groups of rows.
    steps_score : callable, optional
        ``steps_score(hits, rows)`` computes a metric that ranks one class against the rest from what `Predictions.steps` returns,
        where the class has some but not all rows. Ensembles are selected sooner by it.
    is_detail : bool, default=False
        Whether it is left out of the leaderboard and of tests, and stands in the scores of every split and the model card only.
    """

    name: str
    compute: Callable[[Predictions], float]
    metric_type: MetricType
    greater_is_better: bool = True
    binary_only: bool = False
    needs_costs: bool = False
    over_rows: bool = False
    span: float = 1.0
    version: int = 1
    label: str = ""
    description: str = ""
    influence: Influence | None = None
    steps_score: Callable[[npt.NDArray[Any], npt.NDArray[Any]], float] | None = None
    is_detail: bool = False

    def __post_init__(self) -> None:
        check_declaration_fields(
            self,
            name=NAME,
            compute=FUNCTION,
            metric_type=option_kind(*get_args(MetricType)),
            greater_is_better=FLAG,
            binary_only=FLAG,
            needs_costs=FLAG,
            over_rows=FLAG,
            span=NUMBER,
            version=whole_number_kind(0),
            label=TEXT,
            description=TEXT,
            influence=optional_kind(FUNCTION),
            steps_score=optional_kind(FUNCTION),
            is_detail=FLAG,
        )
        if self.name in RESERVED_COLUMNS:
            raise DeclarationError(
                f"no metric can be named {self.name!r}: it is another column of the tables of scores"
            )

    @property
    def sign(self) -> int:
        """1 if greater is better, else −1: scores times this number are better the greater they are."""
        return 1 if self.greater_is_better else -1


@dataclass(frozen=True)
class ThresholdCounts:
    """What every possible decision threshold predicts, from the lowest threshold to the one above all rows.

    Attributes
    ----------
    cuts : ndarray of shape (m + 1,)
        The thresholds: the middles between the m distinct probabilities, and both ends.
    predicted, hits : ndarray of shape (m + 1,)
        Rows that are predicted positive, and how many of these are.
    rows : int
        All rows with a probability.
    positives : float
        The positive ones among them.
    """

    cuts: Floats
    predicted: npt.NDArray[Any]
    hits: Floats
    rows: float
    positives: float

    def threshold_nearest_half(self, candidates: npt.NDArray[np.int64]) -> float:
        """Choose the threshold that is nearest 0.5 among several positions, of two the lower one."""
        import numpy as np

        distances = np.abs(self.cuts[candidates] - DEFAULT_CUT)
        return float(self.cuts[candidates[np.argmin(distances)]])


def count_by_threshold(
    y: npt.NDArray[np.int64], proba: npt.NDArray[np.floating], weights: npt.NDArray[np.float64] | None = None
) -> ThresholdCounts | None:
    """Count what is predicted positive at every possible threshold.

    Parameters
    ----------
    y : ndarray of shape (n,)
        0 and 1.
    proba : ndarray of shape (n, 2) or (n,)
        Probabilities, or those of the positive class. Rows with NaN are left out.
    weights : ndarray of shape (n,), optional
        Weights of the rows, whose sums take the place of counts.

    Returns
    -------
    ThresholdCounts or None
        None without rows.
    """
    import numpy as np

    positive_proba = proba[:, 1] if proba.ndim == 2 else proba
    is_known = ~np.isnan(positive_proba)
    y, positive_proba = y[is_known], positive_proba[is_known]
    if not len(y):
        return None
    known_weights = None if weights is None else weights[is_known]
    positive_rows = (y == 1) * (1.0 if known_weights is None else known_weights)
    distinct_proba, proba_ranks = np.unique(positive_proba, return_inverse=True)
    # Counts among the rows at or above each distinct probability; the last entry is the cut above all of them.
    predicted_counts = np.append(np.bincount(proba_ranks, weights=known_weights)[::-1].cumsum()[::-1], 0)
    hit_counts = np.append(np.bincount(proba_ranks, weights=positive_rows)[::-1].cumsum()[::-1], 0.0)
    total = float(len(y)) if known_weights is None else float(known_weights.sum())
    return ThresholdCounts(
        _candidate_thresholds(distinct_proba), predicted_counts, hit_counts, total, float(positive_rows.sum())
    )


def best_threshold(
    y: npt.NDArray[np.int64],
    proba: npt.NDArray[np.floating],
    costs: CostMatrix = None,
    *,
    beta: float = 1.0,
    weights: npt.NDArray[np.float64] | None = None,
) -> float:
    """Choose the decision threshold that is best on these rows.

    Every cut between neighbouring probabilities is tried, including those that predict all rows or (with costs) none as
    positive. The middle between the two neighbours is returned, 0 and 1 being the neighbours at the ends.

    Parameters
    ----------
    y : ndarray of shape (n,)
        0 and 1.
    proba : ndarray of shape (n, 2) or (n,)
        Probabilities, or those of the positive class. Rows with NaN are left out.
    costs : tuple of tuple of float, optional
        ``costs[true][predicted]``. Without it the F score of the positive class is maximised [1]_, with it the cost of the
        decisions is minimised [2]_.
    beta : float, default 1.0
        How many times as much recall counts as precision in the F score.
    weights : ndarray of shape (n,), optional
        Weights of the rows.

    Returns
    -------
    float
        A row is predicted positive if its probability is ``>=`` this threshold. Of equally good cuts it is the one nearest
        0.5, then the lowest; 0.5 without rows or, without `costs`, without positive rows.

    References
    ----------
    .. [1] Lipton, Elkan & Naryanaswamy (2014), Optimal Thresholding of Classifiers to Maximize F1 Measure, ECML PKDD.
    .. [2] Elkan (2001), The Foundations of Cost-Sensitive Learning, IJCAI.
    """
    import numpy as np

    threshold_counts = count_by_threshold(y, proba, weights)
    if threshold_counts is None or (costs is None and not threshold_counts.positives):
        return DEFAULT_CUT
    loss = _loss_per_threshold(threshold_counts, costs, beta)
    return threshold_counts.threshold_nearest_half(np.flatnonzero(loss <= loss.min() + 1e-12 * abs(loss.min())))


def _loss_per_threshold(threshold_counts: ThresholdCounts, costs: CostMatrix, f_beta: float) -> Floats:
    """The loss of every cut: minus the F score, or the total cost."""
    hit_counts, predicted_counts, positive_rows = (
        threshold_counts.hits,
        threshold_counts.predicted,
        threshold_counts.positives,
    )
    if costs is None:
        f_score: Floats = (1 + f_beta**2) * hit_counts / (predicted_counts + f_beta**2 * positive_rows)
        return -f_score
    false_positives, false_negatives = predicted_counts - hit_counts, positive_rows - hit_counts
    true_negatives = threshold_counts.rows - positive_rows - false_positives
    (cost_tn, cost_fp), (cost_fn, cost_tp) = costs
    costs_of_positives: Floats = hit_counts * cost_tp + false_positives * cost_fp
    return costs_of_positives + false_negatives * cost_fn + true_negatives * cost_tn


def _candidate_thresholds(distinct_proba: npt.NDArray[np.floating]) -> Floats:
    """The middle below each of the sorted distinct probabilities, and one above the last: shape (n + 1,).

    Rounded to the precision of the probabilities, where a middle may equal its lower neighbour: then it is the upper one.
    """
    import numpy as np

    lower_ends = np.concatenate([[0], distinct_proba]).astype(distinct_proba.dtype)
    upper_ends = np.concatenate([distinct_proba, [1]]).astype(distinct_proba.dtype)
    interval_middles = ((lower_ends.astype(float) + upper_ends) / 2).astype(distinct_proba.dtype)
    candidate_cuts = np.where(interval_middles > lower_ends, interval_middles, upper_ends).astype(float)
    candidate_cuts[0] = float(interval_middles[0])  # everything is positive: the least probability may be 0 itself
    if distinct_proba[-1] >= 1:
        candidate_cuts[-1] = ABOVE_ALL
    return candidate_cuts
