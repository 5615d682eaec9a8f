"""Commands that make a run, read what is stored of it, and show it in the browser."""

# No `from __future__ import annotations` here: typer reads the annotations.
import shlex
import sys
import time as time_module
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import (
    DataDir,
    MovedFile,
    Plugins,
    Prefer,
    Rope,
    RunFolder,
    ThresholdGoals,
    app,
    make_path_absolute,
    option_with_hidden_default,
)
from harness.cli.data_options import (
    Costs,
    Drop,
    DropMissingTarget,
    Group,
    Ids,
    NoHeader,
    OwnFile,
    Positive,
    SaveTask,
    SplitColumn,
    Target,
    TestFile,
    Text,
    Time,
    Title,
    Types,
    Weights,
    collect_data_options,
)
from harness.errors import EvenhandError
from harness.store.record import STATUSES

#: Seconds that Python and the command line take before a command begins.
START_SECONDS = 0.5
STAGES = {"default": ("default",), "tuned": ("tuned",), "both": ("default", "tuned")}


@app.command()
def run(  # noqa: PLR0913, PLR0917 -- the options of a command line are one list
    file: OwnFile = None,
    suite: Annotated[str | None, option_with_hidden_default("A named comparison: evenhand list suites.")] = None,
    task: Annotated[list[str] | None, option_with_hidden_default("Task; repeatable.")] = None,
    family: Annotated[list[str] | None, option_with_hidden_default("Model family; repeatable.")] = None,
    strategy: Annotated[list[str] | None, option_with_hidden_default("Imbalance strategy; repeatable.")] = None,
    trials: Annotated[
        int | None, option_with_hidden_default("Optuna trials per cell (10; a suite has its own).")
    ] = None,
    cell_budget: Annotated[str | None, option_with_hidden_default("Time per cell, all included: 60s, 5m, 2h.")] = None,
    budget: Annotated[
        str | None, option_with_hidden_default("Time of the whole run, tables included: 60s, 10m, 2h.")
    ] = None,
    metric: Annotated[str | None, typer.Option(hidden=True)] = None,
    folds: Annotated[int | None, option_with_hidden_default("Outer folds (5).")] = None,
    repeats: Annotated[int | None, option_with_hidden_default("Repeats of the outer folds (1).")] = None,
    inner_folds: Annotated[int | None, option_with_hidden_default("Inner folds (3).")] = None,
    objective: Annotated[
        str | None, option_with_hidden_default("Metric to search and rank by (average_precision; roc_auc).")
    ] = None,
    seed: Annotated[int | None, option_with_hidden_default("Seed of every random draw (0).")] = None,
    jobs: Annotated[int | None, option_with_hidden_default("Cells at once (the number of cores).")] = None,
    out: Annotated[Path | None, option_with_hidden_default("Folder of the run (results/<suite or tasks>).")] = None,
    retry: Annotated[str, typer.Option(help="Execute cells of these statuses again: failed,timeout,memory.")] = "",
    threshold: ThresholdGoals = None,
    data_dir: DataDir = None,
    plugin: Plugins = None,
    target: Target = None,
    positive: Positive = None,
    text: Text = None,
    drop: Drop = None,
    group: Group = None,
    time: Time = None,
    split: SplitColumn = None,
    test_file: TestFile = None,
    weights: Weights = None,
    ids: Ids = None,
    costs: Costs = None,
    title: Title = None,
    save_task: SaveTask = None,
    no_header: NoHeader = False,
    types: Types = None,
    drop_missing_target: DropMissingTarget = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write the networks' curves as TensorBoard logs too.")
    ] = False,
    write_report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write tables, figures and the page at the end.")
    ] = True,
    importance: Annotated[
        bool,
        typer.Option("--importance/--no-importance", help="Tables: measure the columns that recommended entries need."),
    ] = True,
    rope: Rope = None,
    prefer: Prefer = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Your own file: stop where its inspection has findings of severity error.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="A first answer in two minutes: fewer families, strategies and trials.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show cells, expected minutes, memory and order, and execute nothing.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="With --plan: a line for every family with every strategy.")
    ] = False,
) -> None:
    """Run a benchmark, or continue it: the same command on the same --out executes the cells that are still missing.

    \b
    evenhand run --suite full --cell-budget 60s --jobs 2 --out results/full
    evenhand run customers.csv --target churned --drop phone --id customer
    evenhand run customers.csv --target churned --costs fn=200,fp=5 --save-task churn.py
    evenhand run train.csv --target churned --test-file test.csv --weights weight
    evenhand run customers.csv --target churned --quick
    evenhand run customers.csv --target churned --plan
    evenhand run customers.csv --target churned --budget 10m
    evenhand run messages.csv --target label --text message
    evenhand run photos/
    evenhand run openml:task/31
    evenhand run https://example.org/rows.csv --target y
    evenhand run --task caravan --family xgb --family logistic_regression \\
        --strategy none --strategy smote --trials 20 --folds 5 --seed 1 --out results/c
    """
    typed_options = dict(locals())
    started = time_module.monotonic() - START_SECONDS
    from harness.api.quick import BUDGET, apply_quick_settings, describe_quick_settings, limit_inner_folds
    from harness.api.request import (
        RunOptions,
        default_run_folder,
        describe_cost_of_fewer_folds,
        make_run_request,
        parse_seconds,
    )
    from harness.api.session import ExecutionOptions, baseline_only_reason, print_plan, run_and_report
    from harness.api.task_file import write_task_file
    from harness.metrics.threshold import parse_goals
    from harness.registry.registry import load_registry, make_plugin_paths_absolute
    from harness.store.store import Store

    if metric is not None:
        raise EvenhandError(f"no such option --metric: did you mean --objective {metric}?")
    threshold_goals = parse_goals(threshold)
    registry = load_registry(plugin or ())
    run_options = RunOptions(
        file=file,
        suite=suite,
        tasks=tuple(task or ()),
        families=tuple(family or ()),
        strategies=tuple(strategy or ()),
        protocol={
            "trials": trials, "budget": parse_seconds(cell_budget), "folds": folds, "repeats": repeats,
            "inner_folds": inner_folds, "objective": objective, "seed": seed,
        },
        columns=collect_data_options(typed_options),
        data_dir=data_dir,
        plugins=make_plugin_paths_absolute(plugin or ()),
    )  # fmt: skip
    if quick:
        full = make_run_request(run_options, registry)
        run_options = apply_quick_settings(run_options, registry)
        budget = budget or str(BUDGET)
        if not quiet:
            sys.stderr.write(f"{describe_quick_settings(run_options, full.families, full.strategies)}\n")
    request = make_run_request(run_options, registry)
    store = Store(out or default_run_folder(run_options, request, quick=quick))
    request = limit_inner_folds(request, run_options, store, parse_seconds(budget), quiet=quiet)
    if save_task is not None:
        write_task_file(request.own, save_task)
    folds_note = describe_cost_of_fewer_folds(run_options)
    if folds_note and not quiet:
        sys.stderr.write(f"{folds_note}\n")
    options = ExecutionOptions(
        command=shlex.join(["evenhand", *sys.argv[1:]]),
        jobs=jobs,
        retry=parse_statuses(retry),
        tensorboard=tensorboard,
        quiet=quiet,
        verbose=verbose,
        budget=parse_seconds(budget),
        started=started,
        report=write_report,
        importance=importance,
        goals=threshold_goals,
        rope=rope,
        prefer=prefer,
        strict=strict,
    )
    if plan:
        print_plan(request, registry, store, options)
        return
    finished_run = run_and_report(request, registry, store, options)
    if not finished_run:
        raise typer.Exit(130)
    if reason := baseline_only_reason(store):
        raise EvenhandError(reason)


@app.command()
def report(  # noqa: PLR0913, PLR0917 -- the options of a command line are one list
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of runs, for example results/quick.")],
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    leaderboard_only: Annotated[
        bool,
        typer.Option("--leaderboard-only", help="Write the tables as Markdown and CSV, and no figures and page."),
    ] = False,
    threshold: ThresholdGoals = None,
    rope: Rope = None,
    prefer: Prefer = None,
    plugin: Plugins = None,
) -> None:
    """Write the tables, the figures and the page of runs again from what is stored; nothing is fitted again.

    \b
    evenhand report results/quick --open
    evenhand report results/quick --threshold 'recall>=0.8' --threshold capacity:400
    """
    import webbrowser

    from harness.api.session import write_run_report
    from harness.evaluation.preferences import store_preferences
    from harness.metrics.threshold import parse_goals
    from harness.registry.registry import load_registry
    from harness.report.write import write_leaderboard
    from harness.store.store import Store

    metrics, threshold_goals = load_registry(plugin or ()).metrics, parse_goals(threshold)
    if leaderboard_only and show:
        raise EvenhandError("--leaderboard-only writes no page that --open could show")
    for folder in runs:
        store_preferences(Store(folder), rope, prefer)
        if leaderboard_only:
            files = write_leaderboard(Store(folder), metrics, threshold_goals)
            typer.echo(f"{files.summary}\n\n{files.markdown}\n{files.details}\n{files.csv}\n{files.scores}")
            continue
        page = write_run_report(Store(folder), metrics, quiet=False, goals=threshold_goals)
        if show and not webbrowser.open(page.resolve().as_uri()):
            raise EvenhandError(f"no browser was found to open {page} in: open it by hand")


@app.command()
def show(
    folder: RunFolder,
    task: Annotated[str | None, option_with_hidden_default("One task; all by default.")] = None,
    plugin: Plugins = None,
) -> None:
    """Show the leaderboard of a stored run, also while it goes on.

    \b
    evenhand show results/quick --task telco_churn
    """
    from harness.api.stored_run import open_run

    typer.echo(open_run(folder, plugins=plugin or ()).summary(task))


@app.command()
def compare(
    names: Annotated[list[str], typer.Argument(metavar="RUN RUN | RUN ENTRY ENTRY | RUN RUN ENTRY [ENTRY]")],
    task: Annotated[str | None, option_with_hidden_default("Of two runs: this task only.")] = None,
    rows: Annotated[int, typer.Option(help="How many rows whose prediction changed to show.", min=0)] = 20,
    out: Annotated[Path | None, option_with_hidden_default("CSV for all rows whose prediction changed.")] = None,
    plugin: Plugins = None,
) -> None:
    """Compare two entries or two runs: paired statistics, components of the difference, rows whose prediction changed.

    An entry is task/family/strategy[/stage]; without a stage it is the tuned one.

    \b
    evenhand compare results/quick caravan/xgb/smote caravan/xgb/none
    evenhand compare results/january results/february --task caravan
    evenhand compare results/january results/february caravan/xgb/smote
    """
    from harness.registry.registry import load_registry
    from harness.report.compare import compare_runs_or_entries as compare_named

    typer.echo(compare_named(names, load_registry(plugin or ()).metrics, task=task, rows=rows, out=out))


@app.command()
def replay(
    run: RunFolder,
    cell: Annotated[str, typer.Argument(help="task/family/strategy/r0f0, or the beginning of a cell's id.")],
    stage: Annotated[str, typer.Option(help="default, tuned or both.")] = "both",
    file: MovedFile = None,
    data_dir: DataDir = None,
    plugin: Plugins = None,
) -> None:
    """Fit a cell again from its record and compare with what is stored of it; nothing is written into the run.

    With the same versions on a machine of the same kind everything must be equal to the last digit, elsewhere within a
    stated tolerance. Exit code 0: confirmed, 1: not.

    \b
    evenhand replay results/quick telco_churn/xgb/smote/r0f1 --stage tuned
    """
    from harness.api.session import describe_replay, replay_cell_in_subprocess
    from harness.execution.replay import ReplayRequest
    from harness.registry.registry import make_plugin_paths_absolute

    plugins = make_plugin_paths_absolute(plugin or ())
    request = ReplayRequest(
        str(run),
        cell,
        parse_stages(stage),
        data_dir=make_path_absolute(data_dir),
        plugins=plugins,
        file=make_path_absolute(file),
    )
    cell_replay = replay_cell_in_subprocess(request)
    typer.echo(describe_replay(cell_replay))
    if not cell_replay.is_confirmed:
        raise typer.Exit(1)


@app.command()
def dashboard(
    run: RunFolder,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.", min=0, max=65535)] = 8080,
    cells: Annotated[bool, typer.Option("--cells", help="A study for every outer split.")] = False,
) -> None:
    """Serve the Optuna dashboard over a run, also while it goes on: a study for every task, family and strategy.

    \b
    evenhand dashboard results/quick
    evenhand dashboard results/quick --cells
    """
    from harness.api.dashboard import serve_dashboard
    from harness.store.store import Store

    serve_dashboard(Store(run), port, by_cell=cells)


@app.command()
def tensorboard(
    run: RunFolder,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.", min=0, max=65535)] = 6006,
) -> None:
    """Show the training curves of a run's networks in TensorBoard.

    \b
    evenhand tensorboard results/quick
    """
    from harness.api.tensorboard import serve_tensorboard
    from harness.store.store import Store

    serve_tensorboard(Store(run), port)


def parse_statuses(text: str) -> tuple[str, ...]:
    """Read statuses of cells, separated by commas; raises `EvenhandError` for one that does not exist."""
    statuses = tuple(filter(None, map(str.strip, text.split(","))))
    for status in statuses:
        if status not in STATUSES:
            raise EvenhandError(f"unknown status {status!r}: there are {', '.join(STATUSES)}")
    return statuses


def parse_stages(text: str) -> tuple[str, ...]:
    """Read `default`, `tuned` or `both` as stages of a cell; raises `EvenhandError` for anything else."""
    if text not in STAGES:
        raise EvenhandError(f"unknown stage {text!r}: there are default, tuned and both (--stage)")
    return STAGES[text]
