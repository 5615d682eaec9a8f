"""Labels: rows that are probably mislabelled, and how far the classes overlap."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from harness.findings import Finding
from harness.inspection.neighbors import Neighbors
from harness.inspection.quick_model import Index, Proba, score_probabilities
from harness.inspection.rows import InspectedRows

MAX_EXAMPLES = 5
SEPARABLE_AUC = 0.95  #: from here on, rows that contradict their label are rather mistakes than overlap
MANY_SUSPECTS = 0.005
MAX_AGREEMENT = 0.5  #: share of the neighbours of a suspect that have its label
#: Of ROC AUC, and of the likelihood ratio, for wrong labels to be claimed. On 3,000 rows, 1 % of wrong labels attain 3 to 17
#: and 3 % attain 36 to 61; four real tables attain 0, and simulated ones without wrong labels at most 5 where the area is so large.
MIN_AUC, MIN_LIKELIHOOD_RATIO = 0.8, 10.0
TEMPERATURES = np.geomspace(0.4, 5, 19)
WRONG_LABEL_RATES = np.array([0.0, *np.geomspace(0.002, 0.3, 16)])
MIN_PROBABILITY = 1e-6
OVERLAP_SHARE = 0.5  #: of the rows of the rarest class
MIN_CLASS_ROWS = 20


def find_label_suspects(y: Index, proba: Proba) -> Index:
    """Find rows that confident learning assigns to another class than their label's.

    A row counts as one of a class if its probability reaches the mean probability of that class over the rows with this
    label. A suspect is counted as one of another class, and not of its own.

    Parameters
    ----------
    y : array of shape (n_rows,), int
        Labels.
    proba : array of shape (n_rows, n_classes)
        Out-of-fold probabilities.

    Returns
    -------
    array of int
        Row positions, the clearest first.

    References
    ----------
    Northcutt, Jiang & Chuang (2021), Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 70.
    """
    n_classes = proba.shape[1]
    thresholds = np.array([proba[y == class_label, class_label].mean() for class_label in range(n_classes)])
    reached_proba = np.where(proba >= thresholds, proba, -1.0)
    assigned_classes = reached_proba.argmax(axis=1)
    label_proba = proba[np.arange(len(y)), y]
    is_suspect = (reached_proba.max(axis=1) >= 0) & (assigned_classes != y) & (reached_proba[np.arange(len(y)), y] < 0)
    suspect_rows = np.flatnonzero(is_suspect)
    suspect_margins = label_proba[suspect_rows] - proba[suspect_rows, assigned_classes[suspect_rows]]
    return suspect_rows[np.argsort(suspect_margins, kind="stable")]


def check_label_noise(rows: InspectedRows, neighbors: Neighbors | None) -> Iterator[Finding]:
    """Find rows whose label contradicts a model and most of their neighbours, where overlap of the classes does not explain it.

    Where classes overlap, right labels contradict any model, but rarely where it is sure. Suspects are reported only if labels
    contradict it at a rate that does not vanish there: see `wrong_label_rate`.
    """
    proba = rows.proba
    if proba is None or neighbors is None:
        return
    auc = score_probabilities(rows.y, proba).auc
    rate, likelihood_ratio = wrong_label_rate(rows.y, proba)
    if auc < MIN_AUC or likelihood_ratio < MIN_LIKELIHOOD_RATIO:
        return
    suspects = find_label_suspects(rows.y, proba)
    assigned_classes = proba[suspects].argmax(axis=1)
    agreeing_shares = (rows.y[neighbors.rows[suspects]] == rows.y[suspects][:, None]).mean(axis=1)
    suspects = suspects[(assigned_classes != rows.y[suspects]) & (agreeing_shares < MAX_AGREEMENT)]
    if not len(suspects):
        return
    message = (
        f"about {rate:.1%} of the labels seem to be wrong, more than the overlap of the classes explains: {len(suspects):,} of "
        f"{len(rows.y):,} rows that were compared have a label that contradicts a model of the other rows and most of their neighbours"
    )
    is_clear = auc >= SEPARABLE_AUC and len(suspects) >= MANY_SUSPECTS * len(rows.y)
    finding_advice = "look at these rows first"
    if is_clear:
        message += f", although the classes are well separated (ROC AUC {auc:.3f})"
        finding_advice = "look at these rows first: their labels are probably wrong"
    yield _make_label_suspects_finding(rows, suspects, message, finding_advice, is_clear=is_clear)


def wrong_label_rate(y: Index, proba: Proba) -> tuple[float, float]:
    """Estimate the rate of labels that are wrong at random.

    The label of a row is the most probable class with a probability c that is calibrated by a temperature. If labels are
    replaced by others at a rate e, this becomes (1 - e) c + e (1 - c) / (k - 1) with k classes: even where the model is sure,
    labels contradict it. Temperature and rate are fitted by maximum likelihood on a grid.

    Parameters
    ----------
    y : array of shape (n_rows,), int
        Labels.
    proba : array of shape (n_rows, n_classes)
        Out-of-fold probabilities.

    Returns
    -------
    rate : float
        The rate.
    likelihood_ratio : float
        Twice the logarithm of the ratio of the likelihood with this rate to that without wrong labels.

    References
    ----------
    Guo et al. (2017), On Calibration of Modern Neural Networks, ICML.
    """
    log_proba = np.log(np.clip(proba, MIN_PROBABILITY, 1))
    most_probable = proba.argmax(axis=1)
    is_right = most_probable == y
    log_likelihoods = []
    for temperature in TEMPERATURES:
        scaled_proba = np.exp(log_proba / temperature)
        sureness = scaled_proba[np.arange(len(y)), most_probable] / scaled_proba.sum(axis=1)
        sureness = sureness[:, None] * (1 - WRONG_LABEL_RATES) + (1 - sureness[:, None]) * WRONG_LABEL_RATES / (
            proba.shape[1] - 1
        )
        log_likelihoods.append(np.log(np.where(is_right[:, None], sureness, 1 - sureness)).sum(axis=0))
    best_likelihoods = np.max(log_likelihoods, axis=0)
    return float(WRONG_LABEL_RATES[best_likelihoods.argmax()]), float(
        2 * (best_likelihoods.max() - best_likelihoods[0])
    )


def _make_label_suspects_finding(
    rows: InspectedRows, suspect_rows: Index, message: str, finding_advice: str, *, is_clear: bool
) -> Finding:
    example_rows = tuple(rows.sample[suspect_rows][:MAX_EXAMPLES].tolist())
    return Finding(
        "label_suspects",
        "warning" if is_clear else "note",
        message,
        "",
        len(suspect_rows),
        finding_advice,
        example_rows,
    )


def check_class_overlap(rows: InspectedRows, neighbors: Neighbors | None) -> Iterator[Finding]:
    """Find out how many rows of the rarest class lie among rows of other classes.

    References
    ----------
    Napierala & Stefanowski (2016), Types of minority class examples and their influence on learning classifiers from
    imbalanced data, Journal of Intelligent Information Systems 46.
    """
    if neighbors is None:
        return
    class_counts = np.bincount(rows.y, minlength=len(rows.table.classes))
    rarest_class = int(class_counts.argmin())
    if class_counts[rarest_class] < MIN_CLASS_ROWS:
        return
    same_class_shares = same_class_neighbor_shares(rows.y, neighbors, rarest_class)
    overlapping_share = float((same_class_shares < 2).mean())
    if overlapping_share < OVERLAP_SHARE:
        return
    name = rows.table.classes[rarest_class]
    message = f"{overlapping_share:.0%} of the rows of class {name!r} have at most one row of their class among their five nearest"
    finding_advice = (
        "the classes overlap: expect probabilities rather than clear decisions, and choose a threshold by costs"
    )
    yield Finding(
        "class_overlap",
        "note",
        message,
        rows=round(overlapping_share * int(class_counts[rarest_class])),
        advice=finding_advice,
    )


def same_class_neighbor_shares(y: Index, neighbors: Neighbors, label: int) -> npt.NDArray[np.int64]:
    """How many of the nearest rows of every row of a class are of this class."""
    return np.asarray((y[neighbors.rows[y == label]] == label).sum(axis=1), dtype=np.int64)
