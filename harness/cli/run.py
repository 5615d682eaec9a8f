"""Commands that make a run, and read what it says."""

# No `from __future__ import annotations` here: typer reads the annotations.
import contextlib
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import DataDir, Plugins, Run, app
from harness.errors import EvenhandError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.metrics.metric import Metric
    from harness.store.store import Store


@app.command()
def run(  # noqa: PLR0913, PLR0917 -- the options of a command line are one list
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="A CSV or Parquet file of one's own, or a folder of pictures with a folder per class.",
        ),
    ] = None,
    suite: Annotated[str | None, typer.Option(help="A comparison with a name: evenhand list suites.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Task; repeatable.")] = None,
    family: Annotated[list[str] | None, typer.Option(help="Model family; repeatable.")] = None,
    strategy: Annotated[list[str] | None, typer.Option(help="Imbalance strategy; repeatable.")] = None,
    trials: Annotated[int | None, typer.Option(help="Optuna trials per cell (20).", show_default=False)] = None,
    budget: Annotated[str | None, typer.Option(help="Search time per cell: 60s, 5m, 2h.", show_default=False)] = None,
    folds: Annotated[int | None, typer.Option(help="Outer folds (5).", show_default=False)] = None,
    repeats: Annotated[int | None, typer.Option(help="Repeats of the outer folds (1).", show_default=False)] = None,
    inner_folds: Annotated[int | None, typer.Option(help="Inner folds (3).", show_default=False)] = None,
    objective: Annotated[
        str | None, typer.Option(help="Metric to search and rank by (average_precision; roc_auc).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random draw (0).", show_default=False)] = None,
    jobs: Annotated[int | None, typer.Option(help="Cells at once (the number of cores).", show_default=False)] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run (results/<suite or tasks>).", show_default=False)
    ] = None,
    retry: Annotated[str, typer.Option(help="Do cells of these statuses again: failed,timeout,memory.")] = "",
    data_dir: DataDir = None,
    plugin: Plugins = None,
    target: Annotated[str | None, typer.Option(help="Own file: the column to predict.")] = None,
    positive: Annotated[
        str | None, typer.Option(help="Own file: the positive class (the rarer one).", show_default=False)
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(help="Own file: the column of texts to classify; it alone is read.", show_default=False),
    ] = None,
    drop: Annotated[list[str] | None, typer.Option(help="Own file: a column to leave out; repeatable.")] = None,
    group: Annotated[
        str | None, typer.Option(help="Own file: a column; rows of one value stay on one side of a split.")
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="Own file: a column; test rows are later than training rows.")
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write the networks' curves as TensorBoard logs too.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show nothing while it runs.")] = False,
) -> None:
    """Run a benchmark, or continue it: the same command on the same --out does what is left.

    \b
    evenhand run --suite full --budget 60s --jobs 2 --out results/full
    evenhand run customers.csv --target churned --drop phone
    evenhand run messages.csv --target label --text message
    evenhand run photos/
    evenhand run --task caravan --family xgb --family logistic_regression \\
        --strategy none --strategy smote --trials 20 --folds 5 --seed 1 --out results/c
    """
    from harness.api.benchmark import benchmark
    from harness.api.progress import Interrupts, shown
    from harness.api.tensorboard import require_tensorboard, write_logs
    from harness.cli.options import Typed, cores, limits, out_folder, request_of, seconds, statuses
    from harness.registry.registry import absolute_plugins, load_registry
    from harness.store.store import Store

    if tensorboard:
        require_tensorboard()
    registry = load_registry(plugin or ())
    given = {
        "trials": trials, "budget": seconds(budget) if budget else None, "folds": folds, "repeats": repeats,
        "inner_folds": inner_folds, "objective": objective, "seed": seed,
    }  # fmt: skip
    typed = Typed(
        file=file,
        suite=suite,
        tasks=tuple(task or ()),
        families=tuple(family or ()),
        strategies=tuple(strategy or ()),
        protocol={name: value for name, value in given.items() if value is not None},
        own={
            "target": target,
            "positive": positive,
            "drop": tuple(drop or ()),
            "group": group,
            "time": time,
            "text": text,
        },
        data_dir=data_dir,
        plugins=absolute_plugins(plugin or ()),
    )
    if jobs is not None and jobs < 1:
        raise EvenhandError(f"--jobs must be at least 1, but got {jobs}")
    request = request_of(typed, registry)
    store = Store(out or out_folder(typed, request))
    at_once = jobs or cores()
    interrupts = Interrupts()
    with shown(interrupts, quiet=quiet) as begun:
        benchmark(
            request,
            registry,
            store,
            command=shlex.join(["evenhand", *sys.argv[1:]]),
            jobs=at_once,
            limits=limits(at_once, request.protocol.budget),
            retry=statuses(retry),
            begun=begun,
        )
    if interrupts.stop != "now":
        _write_tables(store, registry.metrics, quiet=quiet)
        if tensorboard:
            write_logs(store)
    if interrupts.stop != "no":
        sys.stderr.write("stopped: the same command continues\n")
        raise typer.Exit(130)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of runs, for example results/quick.")],
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    plugin: Plugins = None,
) -> None:
    """Write tables, pictures and the page of runs again from what is stored; nothing is refitted.

    \b
    evenhand report results/quick --open
    """
    import webbrowser

    from harness.registry.registry import load_registry
    from harness.store.store import Store

    metrics = load_registry(plugin or ()).metrics
    for folder in runs:
        page = _write_tables(Store(folder), metrics, quiet=False)
        if show and not webbrowser.open(page.resolve().as_uri()):
            raise EvenhandError(f"no browser was found to open {page} in: open it by hand")


@app.command()
def compare(
    named: Annotated[list[str], typer.Argument(metavar="RUN RUN | RUN ENTRY ENTRY | RUN RUN ENTRY [ENTRY]")],
    task: Annotated[str | None, typer.Option(help="Of two runs: this task only.", show_default=False)] = None,
    rows: Annotated[int, typer.Option(help="Rows that changed sides to show.", min=0)] = 20,
    out: Annotated[Path | None, typer.Option(help="CSV for all rows that changed sides.", show_default=False)] = None,
    plugin: Plugins = None,
) -> None:
    """Compare two entries or two runs: paired statistics, what a difference is made of, which rows changed sides.

    An entry is task/family/strategy[/stage]; without a stage the tuned one is meant.

    \b
    evenhand compare results/quick caravan/xgb/smote caravan/xgb/none
    evenhand compare results/january results/february --task caravan
    evenhand compare results/january results/february caravan/xgb/smote
    """
    from harness.registry.registry import load_registry
    from harness.report.compare import compare as compared

    typer.echo(compared(named, load_registry(plugin or ()).metrics, task=task, rows=rows, out=out))


@app.command()
def replay(
    run: Run,
    cell: Annotated[str, typer.Argument(help="task/family/strategy/r0f0, or the beginning of a cell's id.")],
    stage: Annotated[str, typer.Option(help="default, tuned or both.")] = "both",
    file: Annotated[
        Path | None, typer.Option(help="Own file: where it lies now, if it was moved.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    plugin: Plugins = None,
) -> None:
    """Fit a cell again from its record and confirm what is stored of it; nothing is written into the run.

    To the last digit with the same versions on a machine of the same kind, elsewhere to a tolerance that is said. Exit
    code 0: confirmed, 1: not.

    \b
    evenhand replay results/quick telco_churn/xgb/smote/r0f1 --stage tuned
    """
    from harness.api import replay as again
    from harness.cli.options import stages
    from harness.execution.replay import ReplayRequest
    from harness.registry.registry import absolute_plugins

    data = str(data_dir.resolve()) if data_dir else None
    moved = str(file.resolve()) if file else None
    replayed = again.replay(ReplayRequest(str(run), cell, stages(stage), data, absolute_plugins(plugin or ()), moved))
    typer.echo(again.in_words(replayed))
    if not replayed.confirmed:
        raise typer.Exit(1)


def _write_tables(store: "Store", metrics: "Mapping[str, Metric]", *, quiet: bool) -> Path:
    from harness.report.write import write_report

    files = write_report(store, metrics)
    if not quiet:
        with contextlib.suppress(BrokenPipeError):  # the tables are written; whoever read along has gone
            typer.echo(f"{files.summary}\n\n{files.markdown}\n{files.csv}\n{files.page}")
    return files.page
