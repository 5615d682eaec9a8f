"""The functions of `import evenhand`: a benchmark in one call."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from harness.api.results import Run
from harness.arguments import (
    CLASS_NAME,
    COLUMN,
    COLUMNS,
    DECLARATIONS,
    FLAG,
    NAME,
    NAMES,
    NUMBER,
    PATH,
    PLUGINS,
    TEXT,
    check_arguments,
    option_kind,
    whole_number_kind,
)
from harness.errors import DeclarationError, EvenhandError
from harness.registry.family import Family

if TYPE_CHECKING:
    pass

#: Arguments that are fields of the protocol.
PROTOCOL_ARGUMENTS = ("trials", "folds", "repeats", "inner_folds", "objective", "seed")


@check_arguments(
    target=COLUMN,
    suite=NAME,
    tasks=NAMES,
    strategies=NAMES,
    trials=whole_number_kind(1),
    folds=whole_number_kind(2),
    repeats=whole_number_kind(1),
    inner_folds=whole_number_kind(2),
    objective=NAME,
    seed=whole_number_kind(0),
    positive=CLASS_NAME,
    text=COLUMN,
    drop=COLUMNS,
    group=COLUMN,
    time=COLUMN,
    split=COLUMN,
    weights=COLUMN,
    ids=COLUMNS,
    title=TEXT,
    name=TEXT,
    out=PATH,
    jobs=whole_number_kind(1),
    retry=NAMES,
    data_dir=PATH,
    plugins=PLUGINS,
    declarations=DECLARATIONS,
    report=FLAG,
    importance=FLAG,
    rope=NUMBER,
    prefer=option_kind("simple", "score"),
    strict=FLAG,
    threshold=NAMES,
    drop_missing_target=FLAG,
    progress=FLAG,
    quick=FLAG,
)
def benchmark(  # noqa: PLR0913 -- the options of a benchmark are one list, as on the command line
    data: Any = None,
    *,
    target: str | None = None,
    suite: str | None = None,
    tasks: Sequence[str] = (),
    families: Sequence[str | Family] | Mapping[str, Any] = (),
    strategies: Sequence[str] = (),
    trials: int | None = None,
    cell_budget: str | float | None = None,
    folds: int | None = None,
    repeats: int | None = None,
    inner_folds: int | None = None,
    objective: str | None = None,
    seed: int | None = None,
    positive: Any = None,
    text: str | None = None,
    drop: Sequence[str] = (),
    group: str | None = None,
    time: str | None = None,
    split: str | None = None,
    test: Any = None,
    weights: str | None = None,
    ids: Sequence[str] = (),
    costs: Any = None,
    title: str = "",
    types: Mapping[str, str] | None = None,
    drop_missing_target: bool = False,
    name: str = "",
    out: str | Path | None = None,
    jobs: int | None = None,
    retry: Sequence[str] = (),
    threshold: str | Sequence[str] = (),
    data_dir: str | Path | None = None,
    plugins: Iterable[str] = (),
    declarations: Iterable[Any] = (),
    report: bool = True,
    importance: bool = True,
    rope: float | None = None,
    prefer: str | None = None,
    strict: bool = False,
    progress: bool = True,
    budget: str | float | None = None,
    quick: bool = False,
) -> Run:
    """Run a benchmark, or continue it: the same call on the same folder executes the cells that are still missing.

    Parameters
    ----------
    data : DataFrame of pandas or polars, str or Path, optional
        Rows; or a CSV or Parquet file; or a folder of images with a folder per class.
    target : str, optional
        Column to predict; needed for frames and files.
    suite : str, optional
        A named comparison instead of one's own data, such as ``"quick"``.
    tasks : sequence of str, optional
        Names of declared tasks.
    families : sequence of str or Family, or mapping, optional
        Names of declared families; or name → classifier with scikit-learn's methods, or name → (classifier, space), where
        the space maps parameters to `evenhand.choice`, `evenhand.integer`, `evenhand.real` or `evenhand.log_float`.
    strategies : sequence of str, optional
        Names of imbalance strategies.
    trials : int, default 10, with a suite its own
        Configurations that are searched per cell, the default one included.
    cell_budget : str or float, optional
        Time per cell in seconds, its refits included, or a text such as ``"5m"``; instead of `trials`.
    folds, repeats, inner_folds : int, default 5, 1 and 3
        Outer folds, their repeats, inner folds.
    objective : str, default average precision with two classes, else ROC AUC
        Metric to search and rank by.
    seed : int, default 0
        Every random draw descends from it.
    positive : default the rarer class
        The positive one of two classes.
    text : str, optional
        Column of texts to classify; no other column is read.
    drop : sequence of str, optional
        Columns to leave out.
    group, time : str, optional
        Columns by which rows are split.
    split : str, optional
        Column that says ``"train"`` or ``"test"`` (or ``"val"``, for training rows) in every row, or the number of its fold.
    test : DataFrame, str or Path, optional
        Further rows with the same columns: these are tested, and no others. A frame goes with a frame, a file with a file.
    weights : str, optional
        Column of row weights, 0 or more: a row counts as so many rows in fits, scores and thresholds; of weight 0, it is left
        out.
    ids : sequence of str, optional
        Columns that name a row; they are no features, and stand in `Run.predictions`.
    costs : mapping, DataFrame, matrix, str or Path, optional
        What decisions cost: ``{"fn": 200, "fp": 5}``; or with several classes ``costs[true][predicted]`` as a mapping of
        mappings, a data frame with the true classes as index, or a CSV; or a matrix of numbers, classes in order.
    title : str, default the name of the file
        Title of the task in tables and pages.
    types : mapping of str to str, optional
        Types of columns where they are read wrongly: ``"number"``, ``"date"``, ``"date:%d.%m.%y"``, ``"category"``, ``"id"``
        or ``"drop"``. A column with a type is not repaired beyond what the type says.
    drop_missing_target : bool, default False
        Leave out rows without a label.
    name : str, default "data", or the name of the file
        Name of the task; random draws descend from it, so that the same rows under another name give other folds.
    out : str or Path, default ``results/<suite or tasks>``
        Folder of the run.
    jobs : int, default the number of cores
        Cells executed at once; no number depends on it.
    retry : sequence of {"failed", "timeout", "memory"}, optional
        Statuses whose cells are executed again.
    threshold : str or sequence of str, optional
        Goals for which the report chooses decision thresholds, on inner rows and without fitting anything again: ``"f1"``,
        ``"cost"``, ``"f-beta:2"``, ``"recall>=0.8"``, ``"precision>=0.5"``, ``"top:0.1"``, ``"capacity:400"``; see `Run.thresholds`.
    data_dir : str or Path, optional
        Folder with data that cannot be fetched.
    plugins : iterable of str, optional
        Installed modules and paths of files with further declarations.
    declarations : iterable of Task, Family, Strategy or Metric, optional
        Declarations of this program; they are sent to the workers and not stored.
    report : bool, default True
        Write tables, figures and the page at the end; `Run.report` does it later.
    importance : bool, default True
        Measure the columns that the recommended entries need, with the report; tables only.
    rope : float, optional
        Differences of the objective up to this size are practically none; 0.01 for AP and AUC.
    prefer : {"simple", "score"}, default "simple"
        Whether the simplest of the entries close to the best one is recommended, or always the best one.
    strict : bool, default False
        Raise `DataError` where the inspection of the data has findings of severity error.
    progress : bool, default True
        Show progress.
    budget : str or float, optional
        Time of the whole run, tables included, in seconds or as a text such as ``"10m"``: every family first, cells with as
        many trials as fit, equally. The same call with a further budget continues.
    quick : bool, default False
        Compare fewer families and strategies with as many trials as fit, for a first answer in two minutes; what is named stays.

    Returns
    -------
    Run
        The stored run.

    Raises
    ------
    EvenhandError
        For wrong arguments, data that cannot be used, a classifier that breaks its contract, or a folder that holds a run of
        another protocol. What was finished is stored.

    Examples
    --------
    >>> run = evenhand.benchmark(df, target="churned", families=["logistic_regression", "xgb"], trials=20)  # doctest: +SKIP
    >>> run.leaderboard()  # doctest: +SKIP
    """
    arguments = dict(locals())
    started = monotonic()
    from harness.api.call_checks import check_call_declarations
    from harness.api.call_data import add_user_data, collect_data_arguments
    from harness.api.quick import BUDGET, apply_quick_settings, limit_inner_folds
    from harness.api.request import (
        RunOptions,
        check_data_directory,
        check_family_and_strategy_names,
        default_run_folder,
        make_run_request,
        parse_seconds,
    )
    from harness.api.session import ExecutionOptions, baseline_only_reason, run_and_report
    from harness.metrics.threshold import parse_goals
    from harness.registry.registry import load_registry, make_plugin_paths_absolute
    from harness.registry.user_declarations import pickle_declarations
    from harness.store.store import Store

    threshold_goals = parse_goals(threshold)
    budget_seconds = parse_seconds(budget or (BUDGET if quick else None))
    own_families, family_names = _declared_families_and_names(families)
    sent_declarations = (*own_families, *declarations)
    registry = load_registry(plugins).with_declarations(sent_declarations, "evenhand.benchmark")
    protocol = {argument_name: arguments[argument_name] for argument_name in PROTOCOL_ARGUMENTS}
    options = RunOptions(
        file=None,
        suite=suite,
        tasks=tuple(tasks),
        families=family_names,
        strategies=tuple(strategies),
        protocol=protocol | {"budget": parse_seconds(cell_budget)},
        columns=collect_data_arguments(arguments),
        data_dir=Path(data_dir) if data_dir is not None else None,
        plugins=make_plugin_paths_absolute(plugins),
        pickled_declarations=pickle_declarations(sent_declarations),
        in_python=True,
    )
    check_family_and_strategy_names(
        options.families, options.strategies, registry
    )  # before the data of the call are stored
    check_data_directory(options)
    options = add_user_data(options, data, test, name, out)
    if quick:
        options = apply_quick_settings(options, registry)
    request = make_run_request(options, registry)
    store = Store(Path(out) if out is not None else default_run_folder(options, request, quick=quick))
    request = limit_inner_folds(request, options, store, budget_seconds, quiet=not progress)
    check_call_declarations(sent_declarations, request, registry)
    execution_options = ExecutionOptions(
        command=_describe_call(data, arguments),
        jobs=jobs,
        retry=_check_retry_statuses(retry),
        quiet=not progress,
        budget=budget_seconds,
        started=started,
        report=report,
        importance=importance,
        strict=strict,
        goals=threshold_goals,
        rope=rope,
        prefer=prefer,
        in_python=True,
    )
    run_and_report(request, registry, store, execution_options)
    if reason := baseline_only_reason(store):
        warnings.warn(reason, stacklevel=2)
    return Run(store.folder, registry, options.pickled_declarations)


#: Arguments that are no part of what is run.
UNSTORED_ARGUMENTS = ("data", "test", "out", "progress", "report", "importance", "strict", "declarations")


def _describe_call(input_data: Any, arguments: Mapping[str, Any]) -> str:
    """Write the call as it is stored with the run: a data frame by its size, classifiers by their class."""
    argument_texts = []
    if input_data is not None:
        argument_texts.append(
            repr(str(input_data))
            if isinstance(input_data, (str, Path))
            else f"<{' × '.join(map(str, input_data.shape))} frame>"
        )
    if arguments.get("test") is not None:
        test_argument = arguments["test"]
        argument_texts.append(
            f"test={repr(str(test_argument)) if isinstance(test_argument, (str, Path)) else '<frame>'}"
        )
    for name, argument_value in arguments.items():
        if name not in UNSTORED_ARGUMENTS and not _is_empty(argument_value):
            argument_texts.append(f"{name}={_format_argument(argument_value)}")
    return f"evenhand.benchmark({', '.join(argument_texts)})"


def _is_empty(argument_value: Any) -> bool:
    return argument_value is None or (isinstance(argument_value, (str, tuple, list)) and not argument_value)


def _format_argument(argument_value: Any) -> str:
    if hasattr(argument_value, "columns"):
        return "<frame>"
    if isinstance(argument_value, Mapping):
        return f"{{{', '.join(map(repr, argument_value))}}}"
    if isinstance(argument_value, tuple):
        argument_value = list(argument_value)
    return " ".join(repr(argument_value).split())[:100]


def _declared_families_and_names(
    families: Sequence[str | Family] | Mapping[str, Any],
) -> tuple[list[Family], tuple[str, ...]]:
    """The families that are declared in the call, and the names of all that take part."""
    from harness.registry.user_declarations import estimator_family

    declared_families: list[Family] = []
    names: list[str] = []
    if isinstance(families, Mapping):
        for name, family in families.items():
            estimator, space = family if isinstance(family, tuple) and len(family) == 2 else (family, None)
            declared_families.append(family if isinstance(family, Family) else estimator_family(name, estimator, space))
        return declared_families, tuple(family.name for family in declared_families)
    if isinstance(families, (str, Family)):
        families = [families]
    elif not isinstance(families, Sequence):
        raise DeclarationError(_unnamed_family_message(families))
    for family in families:
        if isinstance(family, Family):
            declared_families.append(family)
        elif not isinstance(family, str):
            raise DeclarationError(_unnamed_family_message(family))
        names.append(family if isinstance(family, str) else family.name)
    return declared_families, tuple(names)


def _unnamed_family_message(family: Any) -> str:
    kind = type(family).__name__
    return f"families: a name or a Family is expected, but got a {kind}: give it a name, as in families={{'mine': {kind}()}}"


def _check_retry_statuses(retry_statuses: Sequence[str]) -> tuple[str, ...]:
    from harness.store.record import STATUSES

    for status in retry_statuses:
        if status not in STATUSES:
            raise EvenhandError(f"retry: unknown status {status!r}: there are {', '.join(STATUSES)}")
    return tuple(retry_statuses)
