"""Read what the variance of differences is estimated from: scores per split and the influence of every test row on them."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.evaluation.evaluate import ScoreKey
from harness.evaluation.scores import Entry, ScoreRows, Scores
from harness.evaluation.variance import Floats, ScoreSample
from harness.metrics.influence import group_jackknife_influence
from harness.metrics.metric import Metric, Predictions
from harness.seeding import seed_of
from harness.store.files import write_atomic
from harness.store.record import Record, StoredPredictions
from harness.store.store import Store

JACKKNIFE_GROUPS = 20  #: of test rows that are deleted at a time, for metrics that declare no influence values
MIN_CLASS_ROWS = 5  #: test rows of the rarest class in every split: with fewer nothing is claimed
SAMPLE_VERSION = 1  #: raised where the computation changes, so that cached samples are computed again


@dataclass(frozen=True)
class TaskSample:
    """The sample of a task by one metric: its entries, the scores with their variation, the kind of threshold."""

    entries: tuple[Entry, ...]
    sample: ScoreSample
    metric: Metric
    threshold_kind: str

    def select(self, entries: Sequence[Entry]) -> TaskSample:
        """The sample of some of its entries."""
        positions = np.array([self.entries.index(entry) for entry in entries])
        return replace(self, entries=tuple(entries), sample=self.sample.select(positions))


@dataclass
class SampleReader:
    """Reads samples of a run; what was computed is kept under `<run>/derived/samples` and in memory.

    Parameters
    ----------
    store : Store
        The run.
    """

    store: Store
    _predictions: dict[str, StoredPredictions] = field(default_factory=dict, repr=False)
    _task: str = ""

    def read_sample(
        self, scores: Scores, task: str, rows: Mapping[Entry, ScoreRows], metric: Metric, threshold_kind: str
    ) -> TaskSample:
        """Read the sample of entries that have the same splits.

        Parameters
        ----------
        scores : Scores
            The scores of the run.
        task : str
            Name of the task.
        rows : mapping of Entry to ScoreRows
            The scores of every entry at the kind of threshold, all on the same splits. Entries whose predictions are not
            stored (calibrated and ensembled ones) must not be among them.
        metric : Metric
            The metric.
        threshold_kind : str
            The kind of threshold.

        Returns
        -------
        TaskSample
            The sample.

        Raises
        ------
        StoreError
            If predictions cannot be read.
        """
        entries = tuple(rows)
        first_rows = rows[entries[0]]
        repeats = len({repeat for repeat, _ in first_rows.splits})
        columns = np.array([rows[entry][metric.name] for entry in entries])
        digest = _sample_digest(scores, rows, metric)
        path = self.store.folder / "derived" / "samples" / f"{task}.{metric.name}.{threshold_kind}.npz"
        influence_moments = _read_cached_influence_moments(path, digest)
        if influence_moments is None:
            influence_moments = self._compute_sample_moments(scores, rows, metric)
            _write_cached_influence_moments(path, digest, influence_moments)
        sample = ScoreSample(
            scores=columns.reshape(len(entries), repeats, -1),
            groups=tuple(f"{entry.family}/{entry.stage}" for entry in entries),
            row_covariance=influence_moments[0],
            split_covariance=influence_moments[1],
            fourth_moments=influence_moments[2],
            resolution=scores.score_resolution(task, metric, first_rows),
        )
        return TaskSample(entries, sample, metric, threshold_kind)

    def _compute_sample_moments(
        self, scores: Scores, rows: Mapping[Entry, ScoreRows], metric: Metric
    ) -> tuple[Floats, Floats, Floats]:
        """Row covariance, split covariance and fourth moments of the mean scores, (m, m) each."""
        entries = tuple(rows)
        splits = rows[entries[0]].splits
        split_covariance = np.zeros((len(entries), len(entries)))
        number_by_block: dict[int, int] = {}  # number of the row of `totals`
        influence_parts: list[tuple[npt.NDArray[np.int64], Floats]] = []
        for position in range(len(splits)):
            keys = [rows[entry].score_keys[position] for entry in entries]
            influence, row_blocks = self._split_influence(scores, keys, metric, seed_of(*splits[position], metric.name))
            split_covariance += influence @ influence.T
            block_numbers = np.array(
                [number_by_block.setdefault(row_block, len(number_by_block)) for row_block in row_blocks.tolist()],
                dtype=np.int64,
            )
            influence_parts.append((block_numbers, influence))
        block_totals = np.zeros((len(entries), len(number_by_block)))
        for block_numbers, influence in influence_parts:
            block_totals[:, block_numbers] += influence
        block_totals /= len(splits)
        return block_totals @ block_totals.T, split_covariance / len(splits) ** 2, fourth_moments(block_totals)

    def _split_influence(
        self, scores: Scores, score_keys: Sequence[ScoreKey], metric: Metric, seed: int
    ) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Influence of every block of test rows of a split on the scores of the entries, (m, blocks), and the blocks.

        Rows of a class are centred, as folds are stratified: how many rows of each class there are is not chance.
        """
        records = scores.records
        influence: list[Floats] = []
        row_blocks = block_names = block_numbers = np.empty(0, dtype=np.int64)
        for key in score_keys:
            record = records[key[0]]
            stored_predictions = self._read_cell_predictions(record)
            threshold = scores.metric_values[key].threshold
            predictions = Predictions(
                stored_predictions.test_y,
                stored_predictions.test[key[1]],
                threshold,
                scores.costs(record.task),
                stored_predictions.test_weights,
            )
            influence_by_row = _centre_influence(
                _influence_of_rows(metric, predictions, seed), stored_predictions.test_y
            )
            entry_blocks = stored_predictions.test_blocks
            if entry_blocks is None:
                entry_blocks = stored_predictions.test_rows
            if not np.array_equal(entry_blocks, row_blocks):  # nearly always those of the entry before
                row_blocks = entry_blocks
                block_names, block_numbers = np.unique(row_blocks, return_inverse=True)
            influence.append(
                np.bincount(block_numbers, weights=influence_by_row, minlength=len(block_names)).astype(float)
            )
        return np.array(influence), block_names

    def _read_cell_predictions(self, record: Record) -> StoredPredictions:
        """The predictions of a cell; those of one task are kept, as every metric needs them."""
        if record.task != self._task:
            self._task, self._predictions = record.task, {}
        if record.id not in self._predictions:
            self._predictions[record.id] = self.store.read_predictions(record, inner=False)
        return self._predictions[record.id]


def _influence_of_rows(metric: Metric, predictions: Predictions, seed: int) -> Floats:
    if metric.influence is not None:
        return metric.influence(predictions, None)
    shuffled_rows = np.random.default_rng(seed).permutation(len(predictions.y))
    rows_by_class = shuffled_rows[np.argsort(predictions.y[shuffled_rows], kind="stable")]
    groups = np.empty(len(shuffled_rows), dtype=np.int64)
    groups[rows_by_class] = np.arange(len(shuffled_rows)) % JACKKNIFE_GROUPS  # every group has its share of every class
    return group_jackknife_influence(metric.compute, predictions, groups)


def _centre_influence(influence: Floats, y: npt.NDArray[np.int64]) -> Floats:
    """Influence per row on a mean over n rows, centred in every class, with the correction for estimated means."""
    centred_influence = np.empty(len(influence))
    for class_label in np.unique(y):
        members = y == class_label
        n = int(members.sum())
        mean_correction = np.sqrt(n / (n - 1)) if n > 1 else 1.0
        centred_influence[members] = mean_correction * (influence[members] - influence[members].mean())
    return centred_influence / len(y)


def fourth_moments(block_totals: Floats) -> Floats:
    """Compute Σ(u_a − u_b)⁴ over the blocks for every pair of entries.

    Parameters
    ----------
    block_totals : ndarray of shape (m, n)
        Influence of every block of rows on the mean score of every entry.

    Returns
    -------
    ndarray of shape (m, m)
        Sums of fourth powers.
    """
    squared_totals = block_totals**2
    fourth_powers = (squared_totals**2).sum(axis=1)
    cubed_products = (squared_totals * block_totals) @ block_totals.T
    moments = (
        fourth_powers[:, None]
        + fourth_powers[None, :]
        - 4 * cubed_products
        - 4 * cubed_products.T
        + 6 * (squared_totals @ squared_totals.T)
    )
    return np.asarray(np.maximum(moments, 0.0))


def _sample_digest(scores: Scores, rows: Mapping[Entry, ScoreRows], metric: Metric) -> str:
    """What a sample depends on."""
    records = scores.records
    score_sources = []
    for entry, entry_rows in rows.items():
        for key in entry_rows.score_keys:
            threshold = scores.metric_values[key].threshold
            score_sources.append((*entry, records[key[0]].predictions_sha256, key[1], threshold))
    description = repr((SAMPLE_VERSION, f"{metric.name}@{metric.version}", score_sources))
    return hashlib.sha256(description.encode()).hexdigest()


def _read_cached_influence_moments(path: Path, digest: str) -> tuple[Floats, Floats, Floats] | None:
    """The cached moments; None where there are none for this digest."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if str(arrays["digest"]) != digest:
                return None
            return arrays["row"], arrays["split"], arrays["fourth"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # computed again


def _write_cached_influence_moments(path: Path, digest: str, influence_moments: tuple[Floats, Floats, Floats]) -> None:
    npz_buffer = io.BytesIO()
    np.savez(
        npz_buffer,
        digest=np.array(digest),
        row=influence_moments[0],
        split=influence_moments[1],
        fourth=influence_moments[2],
    )
    write_atomic(path, npz_buffer.getvalue())


def are_predictions_readable(scores: Scores, rows: ScoreRows) -> bool:
    """Check whether the predictions behind an entry's scores are stored, and not computed with the tables."""
    records = scores.records
    for cell_id, stage, _ in rows.score_keys:
        record = records.get(cell_id)
        if record is None or stage not in {entry_outcome.stage for entry_outcome in record.outcomes}:
            return False
    return len(rows) > 0
