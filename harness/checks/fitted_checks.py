"""Checks of fitted classifiers: predictions depend on the row alone, fits share nothing, other configurations do the same."""

from __future__ import annotations

import copy
import pickle
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from types import FunctionType
from typing import Any, TypeAlias

import numpy as np

from harness.checks.small_tables import fit_family_to_weighted_rows, make_weighted_rows
from harness.registry.estimator_state import digest_shared_state, is_installed
from harness.registry.family import Family
from harness.registry.space import Choice, Float, Integer, Space, When, fill
from harness.registry.task import Modality, Table, take

#: Returns a complaint, or an empty text; its name is the title of the check.
Check: TypeAlias = Callable[[], str]

OTHER_PROBABILITIES = "the same seed gave other probabilities: draw from `seed` alone"
FEW_ROWS = 60  #: of a table, two thirds of which are fitted
BATCHES = 5  #: times that the table is repeated where many rows are predicted
ROWS_ALONE = 10  #: rows that are predicted one by one
ALONE_TOLERANCE = 1e-5  #: float32 sums depend on the number of rows
MAX_CONFIGURATIONS = 16
RANDOM_DRAWS = 4
#: No further configuration is tried after these seconds.
SEARCH_SECONDS = 10.0
#: Largest difference between rows with weights and repeated rows, as a share of what repeating changes and of what a seed changes.
MAX_SHARE_OF_EFFECT, MAX_SHARE_OF_CHANCE = 0.5, 1.5


def complaint_unless(condition: bool, message: str) -> str:
    """Return the message, or an empty text where the condition holds."""
    return "" if condition else message


def prediction_checks(fit: Callable[[Table, int], Any], table: Table) -> list[Check]:
    """Checks that predictions depend on the row and on nothing else, and change nothing."""

    @cache
    def fit_once() -> Any:
        return fit(table, 5)

    def leaves_rows_unchanged() -> str:
        fitted_pipeline = fit_once()
        encoded_rows = fitted_pipeline.encode(table.X)
        pickled_before = pickle.dumps(copy.deepcopy(encoded_rows))
        fitted_pipeline.classifier.predict_proba(encoded_rows)
        is_same = pickle.dumps(copy.deepcopy(encoded_rows)) == pickled_before
        return complaint_unless(is_same, "predict_proba changed the rows that it was given: work on a copy")

    def answers_each_row_alone() -> str:
        fitted_pipeline = fit_once()
        first_rows, proba_alone = np.arange(min(ROWS_ALONE, len(table.y))), []
        proba_together, proba_again = (fitted_pipeline.predict_proba(table.X)[first_rows] for _ in range(2))
        for row in first_rows:
            proba_alone.append(fitted_pipeline.predict_proba(take(table.X, np.array([row])))[0])
        if not np.array_equal(proba_together, proba_again):
            return "the same rows got other probabilities a second time: predict_proba must not draw"
        farthest = float(np.abs(proba_together - np.array(proba_alone)).max())
        message = (
            f"a row alone got other probabilities than among others (up to {farthest:.3g} apart): a prediction must depend on "
            "the row and the training rows only"
        )
        return complaint_unless(farthest <= ALONE_TOLERANCE, message)

    return [leaves_rows_unchanged, answers_each_row_alone]


def sizes_checks(fit: Callable[[Table, int], Any], modality: Modality, table: Table) -> list[Check]:
    """The check of tables that few rows can be fitted, and that predictions do not depend on how many rows are predicted."""
    if modality != "tabular":
        return []

    def takes_other_sizes() -> str:
        """Many more rows are predicted than were fitted, and each as in a smaller batch."""
        fitted = fit(table.take(np.arange(FEW_ROWS)), 5)
        batch = fitted.predict_proba(table.X)
        repeated_rows = take(table.X, np.tile(np.arange(len(table.y)), BATCHES))
        repeated = fitted.predict_proba(repeated_rows)
        farthest = float(np.abs(repeated - np.tile(batch, (BATCHES, 1))).max())
        message = (
            f"rows got other probabilities among {len(repeated):,} rows than among {len(batch):,} (up to {farthest:.3g} apart): a "
            "prediction must depend on the row and the training rows only"
        )
        return complaint_unless(farthest <= ALONE_TOLERANCE, message)

    return [takes_other_sizes]


def shared_state_check(fit: Callable[[Table, int], Any], family: Family, table: Table) -> Check:
    """The check that a fit changes nothing that later fits in the process could read."""

    def shares_no_state() -> str:
        """Fits to other labels leave the attributes of the user's classes, and what their code refers to, as they were."""
        if isinstance(family.build, FunctionType) and is_installed(family.build):
            return ""
        state_before = digest_shared_state(family.build)
        for seed in (1, 2):
            other_labels = replace(table, y=np.random.default_rng(seed).permutation(table.y))
            fitted_pipeline = fit(other_labels, seed)
            fitted_pipeline.predict_proba(table.X)
            state_afterwards = digest_shared_state(family.build, fitted_pipeline.classifier)
            for name, digest in state_afterwards.items():
                if state_before.get(name, "" if seed == 2 else digest) != digest:
                    return (
                        f"fit() or predict_proba() changed {name}, which all copies of the classifier share: what one fit stores "
                        "there reaches fits that must not see its rows. Store it on self"
                    )
            state_before = state_afterwards
        return ""

    return shares_no_state


def search_space_check(fit: Callable[..., Any], family: Family, table: Table) -> Check:
    """The check that other configurations keep the contract too."""

    def keeps_its_contract_where_it_is_searched() -> str:
        def complain(params: dict[str, Any]) -> str:
            fit_params = partial(fit, params=params)
            first_pipeline, second_pipeline = fit_params(table, 7), fit_params(table, 7)
            if not np.array_equal(
                first_pipeline.predict_proba(table.X), second_pipeline.predict_proba(table.X), equal_nan=True
            ):
                return OTHER_PROBABILITIES
            for prediction_check in prediction_checks(fit_params, table):
                if complaint_text := prediction_check():
                    return complaint_text
            return ""

        return _first_configuration_complaint(family.space, complain)

    return keeps_its_contract_where_it_is_searched


def corner_configurations(space: Space) -> list[dict[str, Any]]:
    """List configurations of a space: each option of a choice, the lowest values, random ones, the highest values.

    Parameters
    ----------
    space : Space
        The space of a family.

    Returns
    -------
    list of dict
        At most `MAX_CONFIGURATIONS` different ones other than the default; those that take longest to fit, with the highest
        values, come last.
    """
    default = fill(space, lambda _name, parameter: parameter.default)
    all_configurations = []
    for name, parameter in space.items():
        plain_parameter = parameter.parameter if isinstance(parameter, When) else parameter
        for parameter_setting in plain_parameter.options if isinstance(plain_parameter, Choice) else ():
            all_configurations.append(_default_params_with_setting(space, name, parameter_setting))
    all_configurations.append(fill(space, lambda _name, parameter: _parameter_range_end(parameter, 0)))
    rng = np.random.default_rng(0)
    for _ in range(RANDOM_DRAWS):
        all_configurations.append(fill(space, lambda _name, parameter: _draw_parameter_setting(parameter, rng)))
    all_configurations.append(fill(space, lambda _name, parameter: _parameter_range_end(parameter, -1)))
    different_configurations: list[dict[str, Any]] = []
    for parameter_configuration in all_configurations:
        if parameter_configuration != default and parameter_configuration not in different_configurations:
            different_configurations.append(parameter_configuration)
    return different_configurations[-MAX_CONFIGURATIONS:]


def _first_configuration_complaint(
    space: Space, find_complaint: Callable[[dict[str, Any]], str], seconds: float = SEARCH_SECONDS
) -> str:
    """Check the configurations one by one until one is complained about or the time is over.

    A configuration that cannot be fitted is no complaint: the search stores it as a failed trial.

    Parameters
    ----------
    space : Space
        The space of the family.
    find_complaint : callable
        Returns the complaint about a configuration, or an empty text.
    seconds : float, default=SEARCH_SECONDS
        No configuration is begun later.

    Returns
    -------
    str
        The complaint with its configuration; empty without one.
    """
    end_seconds = time.monotonic() + seconds
    for parameter_configuration in corner_configurations(space):
        if time.monotonic() > end_seconds:
            break
        try:
            complaint_text = find_complaint(parameter_configuration)
        except Exception:  # noqa: BLE001, S112 -- whatever a classifier raises makes a failed trial
            continue
        if complaint_text:
            settings = ", ".join(
                f"{name}={parameter_setting!r}" for name, parameter_setting in parameter_configuration.items()
            )
            return f"with {settings}: {complaint_text}"
    return ""


def _default_params_with_setting(space: Space, name: str, parameter_setting: Any) -> dict[str, Any]:
    """The default configuration with another setting of one parameter."""

    def choose(parameter_name: str, parameter: Float | Integer | Choice) -> Any:
        return parameter_setting if parameter_name == name else parameter.default

    return fill(space, choose)


def _parameter_range_end(parameter: Float | Integer | Choice, position: int) -> Any:
    """The first or the last value of a parameter."""
    if isinstance(parameter, Choice):
        return parameter.options[position]
    return (parameter.low, parameter.high)[position]


def _draw_parameter_setting(parameter: Float | Integer | Choice, rng: np.random.Generator) -> Any:
    if isinstance(parameter, Choice):
        return parameter.options[int(rng.integers(len(parameter.options)))]
    if parameter.log:
        drawn_number = float(np.exp(rng.uniform(np.log(parameter.low), np.log(parameter.high))))
    else:
        drawn_number = float(rng.uniform(parameter.low, parameter.high))
    return round(drawn_number) if isinstance(parameter, Integer) else drawn_number


def compare_weights_with_repeated_rows(family: Family) -> str:
    """Say how far a fit to rows with weights is from one to rows that are repeated as often; empty where it is near enough.

    It is exact for logistic regression and XGBoost. Families that draw rows, bound leaves by rows or train in batches of rows
    differ by these bounds, which is less than the weights change, or by as much as another seed changes.
    """
    table, weights = make_weighted_rows()
    fitted, tested = table.take(np.arange(0, len(weights), 2)), table.take(np.arange(1, len(weights), 2)).X
    fitted_weights = weights[::2]
    repeated = fitted.take(np.repeat(np.arange(len(fitted_weights)), fitted_weights.astype(np.int64)))
    probabilities = []
    for rows, row_weights, seed in (
        (fitted, None, 1),
        (fitted, fitted_weights, 1),
        (repeated, None, 1),
        (repeated, None, 2),
    ):
        pipeline = fit_family_to_weighted_rows(family, rows, row_weights, seed)
        probabilities.append(pipeline.predict_proba(tested).astype(float))
    plain, weighted, copied, other_seed = probabilities
    difference, effect = float(np.abs(weighted - copied).mean()), float(np.abs(plain - copied).mean())
    chance = float(np.abs(other_seed - copied).mean())
    if difference <= max(MAX_SHARE_OF_EFFECT * effect, MAX_SHARE_OF_CHANCE * chance):
        return ""
    return (
        f"a row of weight k is not what k equal rows are: probabilities differ by {difference:.3g} on average, where repeating the "
        f"rows changes them by {effect:.3g} and another seed by {chance:.3g}"
    )
