"""The command that inspects one's own data before a run."""

# No `from __future__ import annotations` here: typer reads the annotations.
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import app, option_with_hidden_default


@app.command("inspect")
def inspect_data(  # noqa: PLR0913, PLR0917 -- the options of a command line are one list
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Your own CSV, Parquet, Excel or JSON lines file, or a folder of images with a folder per class.",
        ),
    ],
    target: Annotated[str | None, option_with_hidden_default("The column to predict.")] = None,
    positive: Annotated[str | None, option_with_hidden_default("The positive class (the rarer one).")] = None,
    text: Annotated[
        str | None, option_with_hidden_default("The column of texts to classify; no other is read.")
    ] = None,
    drop: Annotated[list[str] | None, option_with_hidden_default("A column to leave out; repeatable.")] = None,
    group: Annotated[
        str | None, option_with_hidden_default("A column; rows with one value stay on one side of a split.")
    ] = None,
    time: Annotated[str | None, option_with_hidden_default("A column; test rows are later than training rows.")] = None,
    types: Annotated[
        list[str] | None,
        option_with_hidden_default(
            "Types of columns, as in amount=number,when=date:%d.%m.%y,code=category,id=id,free=drop."
        ),
    ] = None,
    drop_missing_target: Annotated[
        bool, typer.Option("--drop-missing-target", help="Leave out rows without a label.")
    ] = False,
    no_header: Annotated[
        bool, typer.Option("--no-header", help="The file has no line of names: its columns are column_1, column_2, …")
    ] = False,
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
    """
    from harness.api.inspect import inspect_file
    from harness.api.request import RunOptions
    from harness.data.column_types import parse_types
    from harness.store.files import write_atomic

    options = RunOptions(
        file=file,
        suite=None,
        tasks=(),
        families=(),
        strategies=(),
        protocol={"folds": folds, "repeats": repeats, "inner_folds": inner_folds, "seed": seed},
        columns={
            "target": target, "positive": positive, "drop": tuple(drop or ()), "group": group, "time": time, "text": text,
            "types": parse_types(types or ()), "drop_missing_target": drop_missing_target, "has_header": not no_header,
        },
    )  # fmt: skip
    inspected = inspect_file(options)
    typer.echo(str(inspected))
    if html is not None:
        typer.echo(inspected.write_html(html))
    if markdown is not None:
        write_atomic(markdown, inspected.markdown().encode())
        typer.echo(markdown)
    if strict and inspected.errors:
        raise typer.Exit(1)
