"""The contracts of tasks, model families, imbalance strategies and metrics."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from harness.checks.fitted_checks import (
    OTHER_PROBABILITIES,
    Check,
    compare_weights_with_repeated_rows,
    complaint_unless,
    prediction_checks,
    search_space_check,
    shared_state_check,
    sizes_checks,
)
from harness.checks.small_tables import count_training_rows, fit_family_to_small_table, make_small_table
from harness.errors import Unavailable, failure
from harness.metrics.metric import Metric, Predictions
from harness.registry.family import ROW_WEIGHTS, Family, import_needed_packages, missing_packages
from harness.registry.protocol import EvaluationProtocol
from harness.registry.space import defaults
from harness.registry.strategy import Strategy
from harness.registry.task import Modality, Table, Task, take

NAME = re.compile(r"[a-z][a-z0-9_]*")
METRIC_TYPES = ("ranking", "decision", "probability")
SUM_TOLERANCE = 1e-3  #: of the probabilities of a row
#: What the small data of a modality are called in titles.
SMALL_DATA = {"tabular": "", "text": "texts", "image": "images"}


@dataclass(frozen=True)
class CheckResult:
    """The result of one check: `complaint` is empty where it passed, `skipped` says why it could not be made."""

    kind: str
    name: str
    check: str
    complaint: str = ""
    skipped: str = ""


def _run_checks(
    declaration_kind: str, name: str, check_functions: list[Check], data_name: str = ""
) -> Iterator[CheckResult]:
    """Run checks one by one; where data or packages are missing, the remaining ones are not run."""
    for check_function in check_functions:
        title = check_function.__name__.replace("_", " ")
        if data_name:
            title += f" on {data_name}"
        try:
            yield CheckResult(declaration_kind, name, title, complaint=check_function())
        except Unavailable as reason:
            yield CheckResult(declaration_kind, name, title, skipped=str(reason))
            return
        except Exception as error:  # noqa: BLE001 -- whatever a declaration raises is the complaint
            yield CheckResult(declaration_kind, name, title, complaint=failure(error))


def _name_check(name: str) -> Check:
    """The check that a declaration has a name that can be typed."""

    def has_a_plain_name() -> str:
        message = f"a name is lower-case letters, digits and underscores, but got {name!r}"
        return complaint_unless(NAME.fullmatch(name) is not None, message)

    return has_a_plain_name


def check_task(task: Task, data_dir: Path | None = None) -> Iterator[CheckResult]:
    """Check a task: it names its source, loads the same rows twice, and can be split.

    Parameters
    ----------
    task : Task
        The declaration.
    data_dir : Path or None, optional
        The data directory.

    Yields
    ------
    CheckResult
        The result of one check.
    """
    from harness.data.splits import make_splitter
    from harness.data.table import fingerprint_table, load_table

    def names_its_source() -> str:
        missing_fields = [name for name in ("title", "description", "source", "licence") if not getattr(task, name)]
        return complaint_unless(not missing_fields, f"{', '.join(missing_fields)} must be given")

    def loads() -> str:
        table = load_table(task, data_dir)
        if len(table.y) != len(table.X) or 0 in table.X.shape:
            return f"{len(table.y)} targets for features of shape {table.X.shape}"
        leaking_columns = sorted({task.target, *task.banned}.intersection(getattr(table.X, "columns", ())))
        return complaint_unless(not leaking_columns, f"columns {leaking_columns} must not be among the features")

    def loads_the_same_twice() -> str:
        first_fingerprint, second_fingerprint = (
            fingerprint_table(load_table(task, data_dir)),
            fingerprint_table(load_table(task, data_dir)),
        )
        return complaint_unless(
            first_fingerprint == second_fingerprint, "two loads gave different rows: load must not draw without a seed"
        )

    def can_be_split() -> str:
        make_splitter(load_table(task, data_dir)).outer(EvaluationProtocol(folds=2))
        return ""

    check_functions = [_name_check(task.name), names_its_source, loads, loads_the_same_twice, can_be_split]
    yield from _run_checks("task", task.name, check_functions)


def check_family(family: Family, sample: tuple[Modality, Table] | None = None) -> Iterator[CheckResult]:
    """Check a model family: its declaration, then its fits on small data of each modality that it supports.

    Parameters
    ----------
    family : Family
        The declaration.
    sample : tuple of str and Table, optional
        Modality and rows of a task to try it on, instead of small data made from a seed; then other configurations than the
        default one are tried too.

    Yields
    ------
    CheckResult
        The result of one check.
    """
    from harness.preprocessing.encodings import ENCODINGS

    yield from _run_checks("family", family.name, [_name_check(family.name), *_family_checks_without_fit(family)])
    if missing_reason := missing_packages(family):
        yield CheckResult("family", family.name, "fits", skipped=missing_reason)
        return
    import_needed_packages(family)
    for task_modality, name in family.encodings.items():
        if sample and task_modality != sample[0]:
            continue
        if missing_reason := missing_packages(family, ENCODINGS[name].needs):
            yield CheckResult("family", family.name, f"fits {task_modality} data", skipped=missing_reason)
            continue
        encoded_modality = cast("Modality", task_modality)
        tables = [sample[1]] if sample else [make_small_table(encoded_modality, classes) for classes in (2, 3)]
        yield from _run_checks(
            "family",
            family.name,
            _fitted_family_checks(family, encoded_modality, tables, is_searched=sample is not None),
            SMALL_DATA[task_modality],
        )


def _family_checks_without_fit(family: Family) -> list[Check]:
    """Checks of a family that need no fit."""

    def takes_its_space() -> str:
        parameters = inspect.signature(family.build).parameters
        if inspect.Parameter.VAR_KEYWORD in [parameter.kind for parameter in parameters.values()]:
            return ""
        unknown_encodings = [name for name in family.space if name not in parameters]
        return complaint_unless(not unknown_encodings, f"build does not take {unknown_encodings}")

    return [takes_its_space]


def _fitted_family_checks(
    family: Family, task_modality: Modality, tables: Sequence[Table], *, is_searched: bool
) -> list[Check]:
    """Checks of a fitted family: probabilities, seeds, weights, shared state."""
    table, fit_rows = tables[0], partial(fit_family_to_small_table, family, task_modality)
    n_training = count_training_rows(table)

    def gives_probabilities() -> str:
        for tried_table in tables:
            proba, classes = fit_rows(tried_table, 1).predict_proba(tried_table.X), len(tried_table.classes)
            if proba.shape != (len(tried_table.y), classes) or abs(proba.sum(axis=1) - 1).max() > SUM_TOLERANCE:
                return f"with {classes} classes: rows of shape {proba.shape} must sum to one"
        return ""

    def repeats_itself() -> str:
        is_same = (fit_rows(table, 7).predict_proba(table.X) == fit_rows(table, 7).predict_proba(table.X)).all()
        return complaint_unless(is_same, OTHER_PROBABILITIES)

    def takes_weights() -> str:
        if family.strategies is not None or "weight" in family.limits:
            return ""
        heavy_strategy = Strategy(name="heavy", kind="weight", build=lambda y, _costs: np.where(y == 1, 9.0, 1.0))
        # Only rows that were not fitted: a fully grown tree reproduces those that were, whatever they weigh.
        other_rows = take(table.X, np.arange(n_training, len(table.y)))
        equal_proba, weighted_proba = (
            fit_rows(table, 3).predict_proba(other_rows),
            fit_rows(table, 3, heavy_strategy).predict_proba(other_rows),
        )
        return complaint_unless(
            (equal_proba != weighted_proba).any(), "nine times the weight on class 1 changed no prediction"
        )

    def counts_weights_as_rows() -> str:
        """A row of weight k is what k equal rows are, for tables whose rows have weights."""
        if task_modality != "tabular" or {"weight", ROW_WEIGHTS} & family.limits.keys():
            return ""
        return compare_weights_with_repeated_rows(family)

    check_functions = [shared_state_check(fit_rows, family, table), gives_probabilities, repeats_itself, takes_weights]
    check_functions.append(counts_weights_as_rows)
    check_functions += prediction_checks(fit_rows, table)
    if is_searched:
        return [*check_functions, search_space_check(fit_rows, family, table)]
    return [*check_functions, *sizes_checks(fit_rows, task_modality, table)]


def check_strategy(strategy: Strategy) -> Iterator[CheckResult]:
    """Check a strategy on a small mixed table: valid output of its kind, and the same for the same seed.

    Parameters
    ----------
    strategy : Strategy
        The declaration.

    Yields
    ------
    CheckResult
        The result of one check.
    """

    def describes_itself() -> str:
        return complaint_unless(bool(strategy.description), "a description must be given")

    check_functions = [_name_check(strategy.name), describes_itself]
    kind_checks = {
        "weight": _weighting_strategy_checks,
        "resample": _resampling_strategy_checks,
        "ensemble": _ensemble_strategy_checks,
    }
    if strategy.kind in kind_checks:
        check_functions += kind_checks[strategy.kind](strategy)
    yield from _run_checks("strategy", strategy.name, check_functions)


def _weighting_strategy_checks(strategy: Strategy) -> list[Check]:
    def weighs_every_row() -> str:
        y = make_small_table("tabular", 2).y
        weights = np.asarray(_build_strategy_sampler(strategy, y, None))
        is_valid = weights.shape == y.shape and bool((weights > 0).all()) and bool(np.isfinite(weights).all())
        return complaint_unless(is_valid, f"one positive weight per row is expected, but got shape {weights.shape}")

    return [weighs_every_row]


def _resampling_strategy_checks(strategy: Strategy) -> list[Check]:
    from harness.preprocessing.cache import FoldCache
    from harness.preprocessing.resampling import resample_table_rows
    from harness.preprocessing.tabular import fit_table_preprocessor

    table = make_small_table("tabular", 2)
    table_preparer = fit_table_preprocessor(table.X)

    def resampled() -> Any:
        rows, params = table_preparer.transform(table.X), defaults(strategy.space)
        return resample_table_rows(strategy, params, rows, table.y, table_preparer.layout, 5, FoldCache())

    def makes_typed_rows() -> str:
        rows, y = resampled()
        if len(rows) != len(y) or not np.isfinite(rows.numbers).all():
            return f"{len(rows)} rows for {len(y)} labels, or numbers that are not finite"
        if (rows.codes < 0).any() or (rows.codes >= np.array(table_preparer.layout.levels)).any():
            return "a category that does not exist was made"
        return complaint_unless(len(np.unique(y)) == 2, "a class was lost")

    def repeats_itself() -> str:
        (first_rows, first_y), (second_rows, second_y) = resampled(), resampled()
        is_same = np.array_equal(first_rows.numbers, second_rows.numbers) and np.array_equal(first_y, second_y)
        return complaint_unless(is_same, "the same seed made other rows: draw from `seed` alone")

    return [makes_typed_rows, repeats_itself]


def _ensemble_strategy_checks(strategy: Strategy) -> list[Check]:
    def makes_a_classifier() -> str:
        """Probabilities that sum to one, the same for the same seed."""
        from sklearn.linear_model import LogisticRegression

        y = make_small_table("tabular", 2).y
        X = (y + np.random.default_rng(1).normal(size=len(y))).reshape(-1, 1)

        def fit_predict() -> Any:
            return _build_strategy_sampler(strategy, lambda _seed: LogisticRegression(), 5).fit(X, y).predict_proba(X)

        first_proba, second_proba = fit_predict(), fit_predict()
        if first_proba.shape != (len(y), 2) or abs(first_proba.sum(axis=1) - 1).max() > 1e-6:
            return f"rows of shape {first_proba.shape} must sum to one"
        return complaint_unless((first_proba == second_proba).all(), OTHER_PROBABILITIES)

    return [makes_a_classifier]


def _build_strategy_sampler(strategy: Strategy, *arguments: Any) -> Any:
    assert strategy.build is not None  # noqa: S101 -- checked where strategies are declared
    return strategy.build(*arguments, **defaults(strategy.space))


def check_metric(metric: Metric) -> Iterator[CheckResult]:
    """Check a metric: a finite float, better for better predictions, the same for every order of rows.

    Parameters
    ----------
    metric : Metric
        The declaration.

    Yields
    ------
    CheckResult
        The result of one check.
    """
    rng = np.random.default_rng(4)
    y = (rng.random(400) < 0.3).astype(np.int64)
    random_noise = np.random.default_rng(6).random(len(y))
    costs = ((0.0, 1.0), (5.0, 0.0)) if metric.needs_costs else None

    def score(signal: float, order: npt.NDArray[np.int64] | slice = slice(None)) -> float:
        positive_proba = np.clip(signal * y + (1 - signal) * random_noise, 0.01, 0.99)
        proba = np.column_stack([1 - positive_proba, positive_proba])
        return metric.compute(Predictions(y[order], proba[order], costs=costs))

    def has_a_metric_type() -> str:
        message = f"metric_type must be one of {METRIC_TYPES}, but got {metric.metric_type!r}"
        return complaint_unless(metric.metric_type in METRIC_TYPES, message)

    def is_a_finite_float() -> str:
        score_half = score(0.5)
        is_valid = isinstance(score_half, float) and bool(np.isfinite(score_half))
        return complaint_unless(is_valid, f"a finite float is expected, but got {score_half!r}")

    def prefers_better_predictions() -> str:
        good_score, bad_score = score(0.9), score(0.1)
        is_better = good_score > bad_score if metric.greater_is_better else good_score < bad_score
        message = f"good predictions scored {good_score:.3f}, bad ones {bad_score:.3f}: look at greater_is_better"
        return complaint_unless(is_better, message)

    def is_independent_of_the_order() -> str:
        ordered_score, permuted_score = score(0.4), score(0.4, rng.permutation(len(y)))
        return complaint_unless(
            abs(ordered_score - permuted_score) < 1e-9,
            f"other order, other value: {ordered_score} and {permuted_score}",
        )

    check_functions = [_name_check(metric.name), has_a_metric_type, is_a_finite_float]
    check_functions += [prefers_better_predictions, is_independent_of_the_order]
    yield from _run_checks("metric", metric.name, check_functions)
