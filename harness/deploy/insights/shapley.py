"""Explanations of single predictions: the contribution of each column, word or image patch to the log-odds of a class.

Contributions are Shapley values of a cooperative game. Its players are raw columns, words of a text, or square patches of
an image. A player in the coalition has the row's own value, a player outside it has a reference value (baseline Shapley
values: Sundararajan & Najmi, The many Shapley values for model explanation, ICML 2020). The values are estimated over
random orders in which players join (Štrumbelj & Kononenko, Knowledge and Information Systems 41, 2014); each order is
followed by its reverse, which makes the estimate exact if no more than two players interact (Mitchell et al., Sampling
permutations for Shapley value estimation, JMLR 23, 2022).

With background rows, each pair of orders starts from another background row instead of the typical row of training, so
that contributions compare a row with the average row, as in Štrumbelj & Kononenko.

Contributions describe the model, not what would happen if somebody changed the row.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.deploy.schema import Feature, Schema, typical_row
from harness.registry.task import Features
from harness.seeding import seed_of

PredictProba: TypeAlias = Callable[[Features], npt.NDArray[Any]]  #: features of n rows → probabilities (n, k)
Coalitions: TypeAlias = npt.NDArray[np.bool_]  #: (m, players)
Floats: TypeAlias = npt.NDArray[np.float64]
Positions: TypeAlias = npt.NDArray[np.int64]

MAX_EVALUATIONS = 800  #: rows predicted to explain one row
MAX_IMAGE_EVALUATIONS = 240  #: the same for images, each of which takes a network milliseconds
MAX_WORDS = 40  #: players of a text; in longer texts runs of words are players
MAX_PATCHES_PER_SIDE = 6  #: of an image
MAX_EXACT_PLAYERS = 5  #: up to this number every order is evaluated, and the values are exact
MAX_ORDER_PAIRS = 32
MIN_PROBABILITY = 1e-4  #: probabilities are clipped here: calibration can return 0, whose log-odds are infinite
MIN_CONTRIBUTION = 1e-9  #: contributions below it are rounding errors


@dataclass(frozen=True)
class ShapleyValues:
    """Contributions to the log-odds of one class of one row: `base` plus their sum equals `total`.

    `names` are columns, words, or patches, written as `rows 0-6, columns 7-13` in pixels.
    """

    names: tuple[str, ...]
    row_values: tuple[str, ...]  #: the row's values as text
    references: tuple[str, ...]  #: the values that they are compared with, as text
    contributions: tuple[float, ...]
    errors: tuple[float, ...]  #: standard errors of the sampling, 0 for exact values
    base: float  #: log-odds of the typical row, the empty text, or the image in its mean colour
    total: float  #: log-odds of the row
    class_index: int

    def largest_contributions(self, count: int) -> list[int]:
        """Return positions of the largest contributions, at most `count`; those within twice their error are left out."""
        sizes = np.abs(self.contributions)
        largest_first_order = np.argsort(-sizes, kind="stable")
        significance_limits = np.maximum(MIN_CONTRIBUTION, 2 * np.array(self.errors))
        return [int(j) for j in largest_first_order if sizes[j] > significance_limits[j]][:count]


@dataclass(frozen=True)
class CooperativeGame:
    """The players of one row, and how coalitions become rows of features."""

    names: tuple[str, ...]
    row_values: tuple[str, ...]
    references: tuple[str, ...]
    active: Positions  #: players whose value differs from the reference; all others contribute 0
    build: Callable[[Coalitions, Positions], Features]  #: coalitions (m, players), reference row of each (m,) → m rows
    evaluations: int = MAX_EVALUATIONS
    n_references: int = 1


def shapley_values(
    predict_proba: PredictProba,
    schema: Schema,
    X: Features,
    seed: int,
    *,
    class_index: int | None = None,
    background: Features | None = None,
) -> tuple[ShapleyValues, ...]:
    """Estimate the Shapley values of every row, with one call of `predict_proba` per row.

    The values of a row do not depend on the other rows of `X`.

    Parameters
    ----------
    predict_proba : callable
        Maps features of n rows to probabilities (n, k).
    schema : Schema
        Describes the columns, and gives the typical row of training.
    X : features of n rows
        As `read_rows` returns them.
    seed : int
        Seed of the random orders.
    class_index : int, optional
        Class whose log-odds are explained. By default the positive class of two, otherwise the row's most probable class.
    background : DataFrame, optional
        Rows to compare with instead of the typical row. Not used for texts and images, whose reference is the empty text
        or the image's mean colour.

    Returns
    -------
    tuple of ShapleyValues
        One per row.

    References
    ----------
    Štrumbelj & Kononenko (2014), Explaining prediction models and individual predictions with feature contributions.
    Sundararajan & Najmi (2020), The many Shapley values for model explanation.
    Mitchell et al. (2022), Sampling permutations for Shapley value estimation.
    """
    reference_rows = typical_row(schema) if background is None else background
    row_explanations = []
    for position in range(len(X)):
        if schema.modality == "tabular":
            cooperative_game = _column_game(schema, X.iloc[position : position + 1], reference_rows)
        elif schema.modality == "text":
            cooperative_game = _word_game(str(X[position]))
        else:
            cooperative_game = _patch_game(X[position])
        row_explanations.append(_estimate_shapley_values(predict_proba, cooperative_game, class_index, seed))
    return tuple(row_explanations)


def log_odds(proba: npt.NDArray[Any]) -> Floats:
    """Log-odds of probabilities of any shape, clipped to 0.0001 and 0.9999."""
    p = np.clip(np.asarray(proba, dtype=np.float64), MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    return np.asarray(np.log(p) - np.log1p(-p))


def format_feature_value(feature: Feature, value: Any) -> str:
    """Write a value of a column as text, a missing value as `(missing)`."""
    if value is None or value != value:  # noqa: PLR0124 -- NaN
        return "(missing)"
    return str(value) if feature.kind == "category" else feature.format_number(float(value))


def _estimate_shapley_values(
    predict_proba: PredictProba, cooperative_game: CooperativeGame, class_index: int | None, seed: int
) -> ShapleyValues:
    """Evaluate all orders at once; each distinct coalition is predicted once."""
    count = len(cooperative_game.active)
    player_orders = _sample_player_orders(
        count, cooperative_game.evaluations, seed, single_reference=cooperative_game.n_references == 1
    )
    joining_steps = np.argsort(player_orders, axis=1)  # the step at which each player joins
    steps: Coalitions = joining_steps[:, None, :] < np.arange(count + 1)[None, :, None]  # (orders, count + 1, count)
    flat_coalitions = steps.reshape(math.prod(steps.shape[:2]), count)
    coalitions = np.concatenate([np.zeros((1, count), bool), np.ones((1, count), bool), flat_coalitions])
    reference_indices = np.repeat(np.arange(len(player_orders)) // 2 % cooperative_game.n_references, count + 1)
    reference_indices = np.where(coalitions.all(axis=1), 0, np.concatenate([[0, 0], reference_indices]))
    positions, distinct_coalitions = _distinct_coalitions(coalitions, reference_indices)
    masks = np.ones((len(distinct_coalitions), len(cooperative_game.names)), dtype=bool)
    masks[:, cooperative_game.active] = coalitions[distinct_coalitions]
    proba = np.asarray(
        predict_proba(cooperative_game.build(masks, reference_indices[distinct_coalitions])), dtype=np.float64
    )
    if class_index is None:
        class_index = 1 if proba.shape[1] == 2 else int(proba[positions[1]].argmax())
    scores = log_odds(proba[:, class_index])
    step_scores = scores[positions[2:]].reshape(steps.shape[:2])
    contributions, errors = np.zeros(len(cooperative_game.names)), np.zeros(len(cooperative_game.names))
    contributions[cooperative_game.active], errors[cooperative_game.active] = _average_contributions_over_orders(
        player_orders, step_scores
    )
    return ShapleyValues(
        names=cooperative_game.names,
        row_values=cooperative_game.row_values,
        references=cooperative_game.references,
        contributions=tuple(contributions.tolist()),
        errors=tuple(errors.tolist()),
        base=float(step_scores[:, 0].mean()),
        total=float(scores[positions[1]]),
        class_index=class_index,
    )


def _distinct_coalitions(coalitions: Coalitions, reference_indices: Positions) -> tuple[Positions, list[int]]:
    """Return each coalition's position among the distinct ones, and the first occurrence of each distinct one."""
    first_seen: dict[bytes, int] = {}
    distinct_positions: list[int] = []
    positions = np.empty(len(coalitions), dtype=np.int64)
    packed_coalitions = np.hstack(
        [np.packbits(coalitions, axis=1), reference_indices.astype("<u4")[:, None].view(np.uint8)]
    )
    for index, packed_row in enumerate(packed_coalitions):
        key = packed_row.tobytes()
        if key not in first_seen:
            first_seen[key] = len(distinct_positions)
            distinct_positions.append(index)
        positions[index] = first_seen[key]
    return positions, distinct_positions


def _sample_player_orders(count: int, max_evaluations: int, seed: int, *, single_reference: bool) -> Positions:
    """Return orders of players (m, count): every order of few players if `single_reference`, else random ones and their reverses."""
    if single_reference and count <= MAX_EXACT_PLAYERS:
        player_orders = np.array(list(itertools.permutations(range(count))), dtype=np.int64)
        return player_orders.reshape(math.factorial(count), count)
    order_pairs = max(2, min(MAX_ORDER_PAIRS, max_evaluations // (2 * max(1, count - 1))))
    rng = np.random.default_rng(seed_of(seed, "reasons", count))
    drawn_orders = np.array([rng.permutation(count) for _ in range(order_pairs)])
    return np.stack([drawn_orders, drawn_orders[:, ::-1]], axis=1).reshape(-1, count)


def _average_contributions_over_orders(player_orders: Positions, step_scores: Floats) -> tuple[Floats, Floats]:
    """Average each player's contribution over all orders; `step_scores` is (m, count + 1). Also return standard errors."""
    contributions = np.empty(player_orders.shape)
    np.put_along_axis(contributions, player_orders, np.diff(step_scores, axis=1), axis=1)
    if len(player_orders) == math.factorial(player_orders.shape[1]):
        return contributions.mean(axis=0), np.zeros(player_orders.shape[1])
    pair_contributions = contributions.reshape(-1, 2, player_orders.shape[1]).mean(axis=1)
    return pair_contributions.mean(axis=0), pair_contributions.std(axis=0, ddof=1) / math.sqrt(len(pair_contributions))


def _column_game(schema: Schema, row: Features, reference_rows: Features) -> CooperativeGame:
    """Make a game of a table's columns; a column whose value is that of every reference row is not active."""
    values_by_column = {}  # column → its values in the reference rows, then the row's own
    row_texts, reference_texts, differing_features = [], [], []
    for index, feature in enumerate(schema.features):
        *reference_values, own_value = map(_none_if_missing, [*reference_rows[feature.name], row[feature.name].iloc[0]])
        values_by_column[feature.name] = [*reference_values, own_value]
        row_texts.append(format_feature_value(feature, own_value))
        reference_texts.append(format_feature_value(feature, reference_values[0]))
        if any(reference_value != own_value for reference_value in reference_values):
            differing_features.append(index)

    def build_rows(coalitions: Coalitions, reference: Positions) -> Features:
        columns: dict[str, Any] = {}
        for index, feature in enumerate(schema.features):
            chosen_positions = np.where(coalitions[:, index], len(reference_rows), reference)
            columns[feature.name] = _make_single_value_column(feature, values_by_column[feature.name])[chosen_positions]
        return pd.DataFrame(columns)

    if len(reference_rows) > 1:
        reference_texts = [""] * len(row_texts)
    names = tuple(feature.name for feature in schema.features)
    texts, positions = (tuple(row_texts), tuple(reference_texts)), np.array(differing_features, dtype=np.int64)
    return CooperativeGame(names, *texts, positions, build_rows, n_references=len(reference_rows))


def _make_single_value_column(feature: Feature, column_values: list[Any]) -> Any:
    """Make a column of single values, as `read_rows` returns it."""
    if feature.kind != "category":
        return np.array(column_values, dtype=np.float64)  # None becomes NaN
    levels = list(dict.fromkeys(column_value for column_value in column_values if column_value is not None))
    return pd.Categorical(column_values, categories=pd.Index(levels, dtype="str"))


def _none_if_missing(feature_value: Any) -> Any:
    return None if feature_value != feature_value else feature_value  # noqa: PLR0124 -- NaN is what does not equal itself


def _word_game(text: str) -> CooperativeGame:
    """Make a game of a text's words, each with the space that follows it, so that all players together are the text."""
    words = re.findall(r"\S+\s*", text)
    if not words and text:
        words = [text]
    if words:
        words[0] = text[: len(text) - sum(map(len, words))] + words[0]
    edges = np.linspace(0, len(words), min(len(words), MAX_WORDS) + 1).round().astype(int)
    runs = ["".join(words[run_start:run_stop]) for run_start, run_stop in itertools.pairwise(edges.tolist())]

    def build_rows(coalitions: Coalitions, _reference: Positions) -> Features:
        return np.array(["".join(itertools.compress(runs, mask)) for mask in coalitions.tolist()], dtype=object)

    names = tuple(" ".join(run.split()) for run in runs)
    return CooperativeGame(names, names, ("",) * len(runs), np.arange(len(runs)), build_rows)


def _patch_game(image: npt.NDArray[np.uint8]) -> CooperativeGame:
    """Make a game of square patches of an image (height, width, channels); the reference is the image's mean colour."""
    height, width = image.shape[:2]
    patch_side = max(1, math.ceil(max(height, width) / MAX_PATCHES_PER_SIDE))
    names = []
    for y, x in itertools.product(range(0, height, patch_side), range(0, width, patch_side)):
        names.append(f"rows {y}-{min(y + patch_side, height) - 1}, columns {x}-{min(x + patch_side, width) - 1}")
    plain_image = np.broadcast_to(image.mean(axis=(0, 1)).round().astype(np.uint8), image.shape)
    patch_numbers = (np.arange(height) // patch_side)[:, None] * math.ceil(width / patch_side) + (
        np.arange(width) // patch_side
    )[None, :]

    def build_rows(coalitions: Coalitions, _reference: Positions) -> Features:
        return np.where(coalitions[:, patch_numbers][..., None], image[None], plain_image[None])

    patch_differs = (
        np.bincount(patch_numbers.ravel(), weights=(image != plain_image).any(axis=2).ravel(), minlength=len(names)) > 0
    )
    reference_texts = ("the picture's mean colour",) * len(names)
    row_values, active_patches = ("",) * len(names), np.flatnonzero(patch_differs)
    return CooperativeGame(tuple(names), row_values, reference_texts, active_patches, build_rows, MAX_IMAGE_EVALUATIONS)
