"""The application that all commands belong to, and the options that several of them share."""

# No `from __future__ import annotations` here: typer reads the annotations.
import os
from pathlib import Path
from typing import Annotated

import typer

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes on this processor are no answer to any command

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="""Which classifier, with which imbalance strategy, is really best on this data, and by how much?

    \b
    evenhand run --suite quick                         a benchmark in minutes
    evenhand run customers.csv --target churned        one's own table
    evenhand report results/quick --open               tables and page again
    evenhand export results/quick --task telco_churn --out churn     the winner as a bundle
    evenhand serve churn                               a page and a REST API for it
    evenhand list tasks                                what there is
    """,
)

Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", help="Installed module, or path of a file.py, with further declarations; repeatable."),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder with data that cannot be fetched.", envvar="EVENHAND_DATA", show_default=False),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, for example results/quick.")]
