"""The command-line application, and the options that several commands share."""

# No `from __future__ import annotations` here: typer reads the annotations.
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.errors import EvenhandError

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # hides TensorFlow's messages about the processor

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="""Which classifier, with which imbalance strategy, is really best on this data, and by how much?

    \b
    evenhand run --suite quick                         a benchmark in minutes
    evenhand run customers.csv --target churned        your own table
    evenhand show results/quick                        the leaderboard of a stored run
    evenhand report results/quick --open               tables and page again
    evenhand export results/quick --task telco_churn --out churn     the best entry as a bundle
    evenhand serve churn                               a page and a REST API for it
    evenhand list tasks                                the tasks that are declared
    """,
)


def option_with_hidden_default(help_text: str) -> Any:
    """Return an option whose default is not shown: the help says it where there is one."""
    return typer.Option(help=help_text, show_default=False)


Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", help="Installed module, or path of a file.py, with further declarations; repeatable."),
]


def _check_directory_exists(directory: Path | None) -> Path | None:
    if directory is not None and not directory.expanduser().is_dir():
        raise EvenhandError(f"no such directory: {directory} (--data-dir or EVENHAND_DATA)")
    return directory


DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder with data that cannot be fetched.",
        envvar="EVENHAND_DATA",
        show_default=False,
        callback=_check_directory_exists,
    ),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, for example results/quick.")]
ThresholdGoals = Annotated[
    list[str] | None,
    option_with_hidden_default(
        "Goal of a decision threshold, chosen on inner rows: f1, cost, f-beta:2, 'recall>=0.8', 'precision>=0.5', top:0.1, "
        "capacity:400 (rows of as many as the data has); repeatable."
    ),
]
Rope = Annotated[
    float | None,
    option_with_hidden_default(
        "Differences of the objective up to this size are practically none (0.01 for AP and AUC)."
    ),
]
Prefer = Annotated[
    str | None,
    option_with_hidden_default(
        "Recommend the simplest of the entries close to the best one (simple), or always the best one (score)."
    ),
]
MovedFile = Annotated[Path | None, option_with_hidden_default("Your own file: its path now, if it was moved.")]


def _show_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"evenhand {version('evenhand')}")
        raise typer.Exit


@app.callback()
def evenhand(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Options that stand before a command."""


def make_path_absolute(path: Path | None) -> str | None:
    """Make a path absolute, so that child processes in other folders find the file."""
    if path is None:
        return None
    return str(path.resolve())
