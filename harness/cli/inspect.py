"""The command that inspects one's own data before a run."""

# No `from __future__ import annotations` here: typer reads the annotations.
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import app, option_with_hidden_default
from harness.cli.data_options import (
    Costs,
    Drop,
    DropMissingTarget,
    Group,
    Ids,
    NoHeader,
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


@app.command("inspect")
def inspect_data(  # noqa: PLR0913, PLR0917 -- the options of a command line are one list
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Your own CSV, Parquet, Excel or JSON lines file, or a folder of images with a folder per class.",
        ),
    ],
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
    types: Types = None,
    drop_missing_target: DropMissingTarget = False,
    no_header: NoHeader = False,
    folds: Annotated[int | None, option_with_hidden_default("Outer folds of the run (5).")] = None,
    repeats: Annotated[int | None, option_with_hidden_default("Repeats of the outer folds (1).")] = None,
    inner_folds: Annotated[int | None, option_with_hidden_default("Inner folds (3).")] = None,
    seed: Annotated[int | None, option_with_hidden_default("Seed of every random draw (0).")] = None,
    html: Annotated[Path | None, option_with_hidden_default("Write a page with figures to this file.")] = None,
    markdown: Annotated[
        Path | None, option_with_hidden_default("Write the inspection as Markdown to this file.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with exit code 1 where there are errors.")] = False,
) -> None:
    """Inspect your own data before a run: columns as they are read, folds, and what scores must be read with.

    Findings have a code, a severity (error, warning, note), and what to do. Nothing is written unless a file is named.

    \b
    evenhand inspect customers.csv --target churned
    evenhand inspect customers.csv --target churned --html customers.html
    evenhand inspect customers.csv --target churned --costs fn=200,fp=5 --save-task churn.py
    """
    typed_options = dict(locals())
    from harness.api.inspect import inspect_file
    from harness.api.request import RunOptions, make_user_data
    from harness.api.task_file import write_task_file
    from harness.store.files import write_atomic

    options = RunOptions(
        file=file,
        suite=None,
        tasks=(),
        families=(),
        strategies=(),
        protocol={"folds": folds, "repeats": repeats, "inner_folds": inner_folds, "seed": seed},
        columns=collect_data_options(typed_options),
    )
    inspected_data = inspect_file(options)
    typer.echo(str(inspected_data))
    if save_task is not None:
        write_task_file(make_user_data(options), save_task)
        typer.echo(save_task)
    if html is not None:
        typer.echo(inspected_data.write_html(html))
    if markdown is not None:
        write_atomic(markdown, inspected_data.markdown().encode())
        typer.echo(markdown)
    if strict and inspected_data.errors:
        raise typer.Exit(1)
