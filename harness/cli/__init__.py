"""The command line: one command, one short function. `evenhand --help` lists them in the order of these imports.

The commands about declarations and about this machine are here and come last.
"""

# No `from __future__ import annotations` here: typer reads the annotations.
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import run  # noqa: F401 -- it adds its commands first

# isort: split
from harness.cli import inspect  # noqa: F401 -- then this one

# isort: split
from harness.cli import deploy  # noqa: F401 -- then these
from harness.cli.app import DataDir, Plugins, app, option_with_hidden_default

__all__ = ["app"]


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(metavar="tasks|families|strategies|metrics|suites")] = "tasks",
    plugin: Plugins = None,
) -> None:
    """List what can be named on the command line.

    \b
    evenhand list families
    """
    from harness.api.declarations import list_declarations

    typer.echo(list_declarations(kind, plugin or ()))


@app.command()
def fetch(
    tasks: Annotated[list[str] | None, typer.Argument(metavar="[TASK]...", help="Tasks (all of them).")] = None,
    csv: Annotated[
        Path | None, option_with_hidden_default("Write the rows of one task here, as they are published.")
    ] = None,
    data_dir: DataDir = None,
    plugin: Plugins = None,
) -> None:
    """Fetch the data of tasks into the cache, so that later runs need no network.

    \b
    evenhand fetch telco_churn caravan
    evenhand fetch openml:1461 hf:owner/name
    evenhand fetch telco_churn --csv customers.csv
    """
    from harness.api.declarations import fetch_task_data, write_task_rows_csv

    if csv is not None:
        typer.echo(write_task_rows_csv(tasks or (), csv, data_dir, plugin or ()))
        return
    if not fetch_task_data(tasks or (), data_dir, plugin or (), typer.echo):
        raise typer.Exit(1)


@app.command()
def check(plugin: Plugins = None, data_dir: DataDir = None) -> None:
    """Check declarations against the contract: tasks, families, strategies and metrics; those of plugins alone, if any are named.

    \b
    evenhand check --plugin my_family.py
    """
    from harness.checks import check_all
    from harness.registry.registry import load_plugin_registry, load_registry

    registry = load_registry(plugin or ())  # refuses names that are declared twice
    if plugin:
        registry = load_plugin_registry(plugin)
    if not check_all(registry, data_dir, typer.echo):
        raise typer.Exit(1)


@app.command()
def explain(
    topic: Annotated[str | None, typer.Argument(metavar="[TOPIC]", help="Without it the topics are listed.")] = None,
    out: Annotated[Path | None, option_with_hidden_default("Folder to write it to, with a figure.")] = None,
) -> None:
    """Explain with numbers how something works; without a topic, list the topics.

    \b
    evenhand explain backprop --out backprop
    """
    from harness.api.declarations import explain_topic, list_topics

    if topic is None:
        typer.echo(list_topics())
    else:
        typer.echo(explain_topic(topic, out))


@app.command()
def doctor(data_dir: DataDir = None, plugin: Plugins = None) -> None:
    """Show what is installed, what this machine has, and what would be skipped and why."""
    from harness.api.declarations import diagnose_machine

    typer.echo(diagnose_machine(data_dir, plugin or ()))
