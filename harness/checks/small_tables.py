"""Small data with common difficulties, made from a fixed seed, on which declarations are tried, and fits to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.registry.family import Family
from harness.registry.space import defaults
from harness.registry.strategy import Strategy
from harness.registry.task import Modality, Table

SMALL_ROWS = 240
#: Enough for families that bound leaves by rows and not by weights: with 400 rows of a real table, predictions of
#: histogram boosting with weights differed from those with repeated rows by 0.7 of what the weights change; with 3,000, by 0.3.
WEIGHTED_ROWS = 1800


def make_small_table(modality: Modality, classes: int) -> Table:
    """Make a small table, small texts or small images.

    Parameters
    ----------
    modality : {"tabular", "text", "image"}
        Kind of data.
    classes : {2, 3}
        Number of classes, which is also the seed.

    Returns
    -------
    Table
        240 rows, always the same.
    """
    rng = np.random.default_rng(classes)
    class_shares = [0.75, 0.25] if classes == 2 else [0.6, 0.25, 0.15]
    y = rng.choice(classes, SMALL_ROWS, p=class_shares).astype(np.int64)
    make_features = {"tabular": _make_small_columns, "text": _make_small_texts, "image": _make_small_images}[modality]
    return Table(make_features(y, rng), y, tuple(map("class {}".format, range(classes))))


def _make_small_columns(y: npt.NDArray[np.int64], rng: np.random.Generator) -> object:
    """Numbers, some of them missing, and a category with a rare level."""
    number_column = y + rng.normal(size=SMALL_ROWS)
    number_column[rng.random(SMALL_ROWS) < 0.1] = np.nan
    letter_column = np.where(rng.random(SMALL_ROWS) < 0.5, "a", np.where(y == 1, "b", "c")).astype(object)
    letter_column[:3] = "rare"
    return pd.DataFrame(
        {"number": number_column, "noise": rng.normal(size=SMALL_ROWS), "letter": pd.Categorical(letter_column)}
    )


def _make_small_texts(y: npt.NDArray[np.int64], rng: np.random.Generator) -> object:
    """Common words, and in most texts a word that depends on the class; the first text is empty."""
    common_words = ["we", "meet", "at", "noon", "and", "walk", "home", "42"]
    class_words = [["tea", "garden"], ["win", "prize"], ["train", "late"]]
    texts = []
    for label in y:
        words = list(rng.choice(common_words, 5))
        if rng.random() < 0.8:
            words += list(rng.choice(class_words[label], 1))
        texts.append(" ".join(rng.permutation(words)))
    texts[0] = ""
    return np.array(texts, dtype=object)


def _make_small_images(y: npt.NDArray[np.int64], rng: np.random.Generator) -> object:
    """Noise with a bright bar whose position depends on the class."""
    images = rng.integers(0, 90, size=(SMALL_ROWS, 12, 12, 1), dtype=np.uint8)
    for row, label in enumerate(y):
        images[row, 2 + 3 * label : 4 + 3 * label, 2:10] += 120
    return images


def make_weighted_rows() -> tuple[Table, npt.NDArray[np.float64]]:
    """Make rows on which it matters whether weights count as rows, and whole weights of them."""
    rng = np.random.default_rng(8)
    y = (rng.random(WEIGHTED_ROWS) < 0.3).astype(np.int64)
    number = 1.5 * y + rng.normal(size=WEIGHTED_ROWS)
    letters = pd.Categorical(np.where(rng.random(WEIGHTED_ROWS) < 0.5 + 0.2 * y, "a", "b"))
    X = pd.DataFrame({"number": number, "noise": rng.normal(size=WEIGHTED_ROWS), "letter": letters})
    weights = 1.0 + 4 * (y == 1) + 2 * (number > 1)
    return Table(X, y, ("class 0", "class 1")), weights


def fit_family_to_weighted_rows(
    family: Family, table: Table, weights: npt.NDArray[np.float64] | None, seed: int
) -> Any:
    """Fit the default configuration of a family to rows with weights, or to rows as they are."""
    from harness.search.pipeline import PipelineSpec, TrainingSet, fit_pipeline

    validation = None
    if family.stops_early:
        validation = np.flatnonzero(pd.util.hash_array(table.X["noise"].to_numpy()) % 7 == 0)
    spec = PipelineSpec(family, (Strategy(name="none", kind="none"),), "tabular", 2)
    return fit_pipeline(spec, defaults(spec.space), TrainingSet(table.X, table.y, seed, validation, weights=weights))


def fit_family_to_small_table(
    family: Family,
    modality: Modality,
    table: Table,
    seed: int,
    strategy: Strategy | None = None,
    params: Mapping[str, Any] | None = None,
) -> Any:
    """Fit a family to the first rows of a table, in its default configuration where no parameters are named."""
    from harness.search.pipeline import PipelineSpec, TrainingSet, fit_pipeline

    n_training = count_training_rows(table)
    training_rows = table.take(np.arange(n_training))
    validation_rows = np.arange(0, n_training, 5) if family.stops_early else None
    strategies = (strategy or Strategy(name="none", kind="none"),)
    spec = PipelineSpec(family, strategies, modality, len(table.classes))
    training_set = TrainingSet(training_rows.X, training_rows.y, seed, validation_rows)
    default_params = defaults(spec.space)
    if params is not None:
        default_params = {
            name: parameter_setting for name, parameter_setting in default_params.items() if name not in family.space
        }
        default_params |= params
    return fit_pipeline(spec, default_params, training_set)


def count_training_rows(table: Table) -> int:
    """Number of rows that are fitted; the other third is only predicted."""
    return len(table.y) * 2 // 3
