"""The rows that insights describe: read, scored without optimistic bias, with their outcomes where these are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.data.csv_format import NO_NAME
from harness.data.reader import column_to_text
from harness.data.spellings import match_known_names
from harness.data.table import hash_rows
from harness.deploy.bundle import Bundle
from harness.deploy.insights.gains import Campaign
from harness.deploy.predict import RowBatch, read_row_batches
from harness.deploy.schema import IDENTIFIER_NAME, Schema
from harness.deploy.validate import UnusualValue
from harness.errors import DataError, EvenhandError
from harness.readings import texts_of_missing_values
from harness.registry.registry import suggest_similar_name
from harness.registry.task import Features, take

Positions = npt.NDArray[np.int64]

NEW, HELD_OUT, LEARNT = 0, 1, 2  #: sources of a row's probability
FOLDER_TARGET = "the folder's name"  #: the target of images
BATCH_SIZE = 20_000
MAX_IDENTIFIERS = 3  #: columns not read by the model that identify a row
DEFAULT_THRESHOLD = 0.5
ROW_HEADING = "Row (from 0)"  #: rows are numbered as in the frame, and as in `Run.predictions` and contacts.csv


@dataclass(frozen=True)
class InsightsRequest:
    """One call of `evenhand insights`.

    Parameters
    ----------
    bundle : Path
        Folder of the bundle.
    source : Path
        CSV or Parquet file with the rows; a folder for a bundle of images.
    target : str, optional
        Column of the outcomes. By default the bundle's own target, if the rows have that column.
    campaign : Campaign
        Limits, costs and worth of contacts.
    actionable : tuple of str
        Columns that can be changed for a customer.
    out : Path, optional
        Folder of the output. By default `<name>-insights` beside the rows.
    seed : int, default 0
        Seed of all sampling.
    has_header : bool, default True
        Whether the first line of a CSV has the names of the columns.
    """

    bundle: Path
    source: Path
    target: str | None = None
    campaign: Campaign = field(default_factory=Campaign)
    actionable: tuple[str, ...] = ()
    out: Path | None = None
    seed: int = 0
    has_header: bool = True

    @property
    def output_folder(self) -> Path:
        """Folder into which the files are written."""
        return self.out or self.source.with_name(f"{self.source.stem}-insights")

    def check_actionable(self, schema: Schema) -> None:
        """Raise `EvenhandError` if an actionable column is not read by the model."""
        names = list(map(attrgetter("name"), schema.features))
        for name in self.actionable:
            if schema.modality != "tabular":
                message = f"--actionable {name}: a bundle of {schema.modality}s has no columns that could be changed"
                raise EvenhandError(message)
            if name not in names:
                raise EvenhandError(
                    f"--actionable {name}: the model reads no such column: {suggest_similar_name(name, names)}"
                )


@dataclass(frozen=True)
class ScoredRows:
    """Rows with their probabilities.

    A row that the bundle's model was trained on has the probability that the run's models gave it as a sealed test row
    (`source` HELD_OUT). Any other row has the probability of the bundle's model: NEW if the model was not trained on it,
    LEARNT if it was but the row was never a test row. Probabilities of LEARNT rows are optimistic, so these rows are left
    out wherever outcomes are counted.
    """

    bundle: Bundle
    X: Features
    proba: npt.NDArray[np.float64]  #: (n, k)
    source: npt.NDArray[np.int8]  #: (n,)
    y: Positions  #: classes (n,), -1 for an unknown outcome
    target: str | None  #: column of the outcomes; None without outcomes
    flags: dict[int, tuple[UnusualValue, ...]]  #: row → its unusual values
    identifiers: pd.DataFrame  #: columns that identify a row, for lists

    def __len__(self) -> int:
        return len(self.source)

    @property
    def has_two_classes(self) -> bool:
        """Whether there are two classes, the second of them the positive one."""
        return bool(self.proba.shape[1] == 2)

    @property
    def evaluated_rows(self) -> Positions:
        """Rows with a known outcome and a probability from a model that was not trained on them."""
        return np.flatnonzero((self.y >= 0) & (self.source != LEARNT))

    @property
    def new_rows_with_outcome(self) -> npt.NDArray[np.bool_]:
        """Mask (n,) of the rows with a known outcome that equal no training row."""
        return np.asarray((self.y >= 0) & (self.source == NEW))

    @property
    def positive_label(self) -> str:
        """The positive class of two with the name of the bundle's target, such as `Churn = Yes`."""
        return f"{self.bundle.schema.target} = {self.bundle.schema.classes[1]}"

    @property
    def positive_name(self) -> str:
        """The positive class in a sentence: its name, or `positive_label` for a name without letters, such as `1`."""
        name = self.bundle.schema.classes[1]
        return name if any(map(str.isalpha, name)) else self.positive_label

    @property
    def positive_proba(self) -> npt.NDArray[np.float64]:
        """The probability (n,) of the positive class of two."""
        return np.asarray(self.proba[:, 1])

    @property
    def threshold(self) -> float:
        """The bundle's threshold of the positive class, 0.5 if it has none."""
        return DEFAULT_THRESHOLD if self.bundle.threshold is None else self.bundle.threshold


def read_scored_rows(bundle: Bundle, request: InsightsRequest) -> ScoredRows:
    """Read and score the rows of a request.

    Parameters
    ----------
    bundle : Bundle
        The bundle that scores rows it was not trained on.
    request : InsightsRequest
        Names the rows and the column of their outcomes.

    Returns
    -------
    ScoredRows
        At least one row.

    Raises
    ------
    DataError
        If the rows cannot be read, or the outcomes are not classes of the bundle.
    InvalidRowsError
        If a row does not fit the bundle's schema.
    """
    is_image = bundle.schema.modality == "image"
    if is_image != request.source.is_dir():
        expected_input = "a folder of images" if is_image else "a CSV or Parquet file"
        raise DataError(f"{request.source}: this bundle takes {expected_input}")
    batches = []
    unusual_by_row: dict[int, list[UnusualValue]] = {}
    count = 0
    for batch, _ in read_row_batches(bundle, request.source, request.has_header):
        batches.append(batch)
        for unusual_value in batch.inputs.flags:
            unusual_by_row.setdefault(count + unusual_value.row, []).append(unusual_value)
        count += len(batch.frame)
    if not count:
        raise DataError(f"{request.source} holds no rows: there is nothing to say of them")
    X = _concatenate_features(batches)
    frame = pd.concat(map(attrgetter("frame"), batches), ignore_index=True)
    proba, probability_source = _score_rows(bundle, X)
    target, y = _read_outcomes(bundle, request, frame)
    model_columns = {feature.name for feature in bundle.schema.features} | {target}
    named_identifiers = {feature.name for feature in bundle.schema.features if feature.is_identifier}
    identifier_columns = frame[_find_identifier_columns(frame, model_columns - named_identifiers)]
    row_flags = dict(zip(unusual_by_row, map(tuple, unusual_by_row.values()), strict=True))
    return ScoredRows(bundle, X, proba, probability_source, y, target, row_flags, identifier_columns)


def _concatenate_features(batches: Sequence[RowBatch]) -> Features:
    features = list(map(attrgetter("inputs.X"), batches))
    if len(features) == 1:
        return features[0]
    if not hasattr(features[0], "columns"):
        return np.concatenate(features)
    columns: dict[str, Any] = {}
    for name, first_column in features[0].items():
        column = []
        for X in features:
            column.append(X[name])
        if first_column.dtype == "category":  # batches can have different levels
            columns[name] = pd.Categorical(
                pd.concat([column_part.astype("str") for column_part in column], ignore_index=True)
            )
        else:
            columns[name] = np.concatenate(column)
    return pd.DataFrame(columns)


def _score_rows(bundle: Bundle, X: Features) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int8]]:
    """Return probabilities, those of held-out predictions for training rows, and the source of each."""
    rows = np.arange(len(X))
    batches = np.split(rows, range(BATCH_SIZE, len(rows), BATCH_SIZE))
    proba = np.concatenate([bundle.predict_proba(take(X, batch)) for batch in batches])
    probability_source = np.full(len(rows), NEW, dtype=np.int8)
    held_out_proba = bundle.read_held_out_proba()
    if held_out_proba is None or not len(held_out_proba.keys):
        return proba, probability_source
    # A key stands for all equal training rows; its probability is the mean over those that were test rows.
    keys, positions = np.unique(held_out_proba.keys, return_inverse=True)
    is_tested = ~np.isnan(held_out_proba.proba).any(axis=1)
    probability_sums = np.zeros((len(keys), proba.shape[1]))
    np.add.at(probability_sums, positions[is_tested], held_out_proba.proba[is_tested])
    counts = np.bincount(positions[is_tested], minlength=len(keys))
    own_keys = hash_rows(X)
    positions = np.minimum(np.searchsorted(keys, own_keys), len(keys) - 1)
    was_learnt = keys[positions] == own_keys
    was_held_out = was_learnt & (counts[positions] > 0)
    proba[was_held_out] = probability_sums[positions[was_held_out]] / counts[positions[was_held_out], None]
    probability_source[was_learnt], probability_source[was_held_out] = LEARNT, HELD_OUT
    return proba, probability_source


def _read_outcomes(bundle: Bundle, request: InsightsRequest, frame: pd.DataFrame) -> tuple[str | None, Positions]:
    """Return the column of the outcomes and the class of each row, -1 if it is unknown."""
    classes = bundle.schema.classes
    if bundle.schema.modality == "image":
        target: str | None = FOLDER_TARGET
        outcome_texts = column_to_text(frame["file"].map(lambda name: Path(name).parent.name))
    else:
        target = request.target
        if target is None and bundle.schema.target in frame.columns:
            target = bundle.schema.target
        if target is None:
            return None, np.full(len(frame), -1, dtype=np.int64)
        if target not in frame.columns:
            message = (
                f"no such column {target!r} (--target): {suggest_similar_name(target, list(map(str, frame.columns)))}"
            )
            raise DataError(message)
        outcome_texts = column_to_text(frame[target], texts_of_missing_values(classes))
        class_spellings = match_known_names(outcome_texts.dropna().unique(), classes)
        outcome_texts = outcome_texts.map(lambda name: class_spellings.get(name, name), na_action="ignore")
        unknown = outcome_texts[outcome_texts.notna() & ~outcome_texts.isin(classes)]
        if len(unknown):
            raise DataError(
                f"column {target!r} holds {unknown.iloc[0]!r} (row {unknown.index[0]}, from 0): the classes of this bundle are "
                f"{', '.join(classes)}, and an outcome that is not known is left empty"
            )
    positions = dict(zip(classes, range(len(classes)), strict=True))
    y = np.array([positions.get(outcome_text, -1) for outcome_text in outcome_texts.astype(object)], dtype=np.int64)
    return (target if (y >= 0).any() else None), y


def _find_identifier_columns(frame: pd.DataFrame, model_columns: set[str | None]) -> list[str]:
    """Return columns that name the rows: those called so, then those that differ in nearly all rows; never the model's own."""
    identifier_names, all_distinct_names = [], []
    for name in frame.columns:
        if name in model_columns or name == NO_NAME:
            continue
        distinct_values = frame[name].nunique()
        if IDENTIFIER_NAME.search(str(name)) and distinct_values > 1:
            identifier_names.append(name)
        elif distinct_values > 0.9 * len(frame):
            all_distinct_names.append(name)
    return (identifier_names + all_distinct_names)[:MAX_IDENTIFIERS]
