"""The options that describe one's own file, for the commands that read one."""

# No `from __future__ import annotations` here: typer reads the annotations.
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.app import option_with_hidden_default

OwnFile = Annotated[
    str | None,
    typer.Argument(
        metavar="[FILE]",
        help="Your own CSV, Parquet, Excel or JSON lines file, a folder of images with a folder per class, or an address: "
        "openml:1461, openml:task/31, hf:owner/name, https://…/rows.csv, s3://bucket/rows.parquet.",
    ),
]
Target = Annotated[str | None, option_with_hidden_default("Your own file: the column to predict.")]
Positive = Annotated[str | None, option_with_hidden_default("Your own file: the positive class (the rarer one).")]
Text = Annotated[
    str | None, option_with_hidden_default("Your own file: the column of texts to classify; no other is read.")
]
Drop = Annotated[list[str] | None, option_with_hidden_default("Your own file: a column to leave out; repeatable.")]
Group = Annotated[
    str | None,
    option_with_hidden_default("Your own file: a column; rows with one value stay on one side of a split."),
]
Time = Annotated[
    str | None, option_with_hidden_default("Your own file: a column; test rows are later than training rows.")
]
SplitColumn = Annotated[
    str | None,
    option_with_hidden_default(
        "Your own file: a column that says train or test (or val) in every row, or the number of its fold."
    ),
]
TestFile = Annotated[
    Path | None,
    typer.Option(
        "--test-file", help="Your own file: a second file of the same columns that is tested on.", show_default=False
    ),
]
Weights = Annotated[
    str | None,
    option_with_hidden_default("Your own file: a column of row weights; a row of weight 3 counts as three rows."),
]
Ids = Annotated[
    list[str] | None,
    typer.Option(
        "--id",
        help="Your own file: a column that names a row, never a feature, repeated with predictions; repeatable.",
        show_default=False,
    ),
]
Costs = Annotated[
    str | None,
    option_with_hidden_default(
        "Your own file: what errors cost, fn=200,fp=5, or a CSV with a line per true and a column per predicted class."
    ),
]
Title = Annotated[
    str | None, option_with_hidden_default("Your own file: its title in tables and pages (the name of the file).")
]
SaveTask = Annotated[
    Path | None,
    typer.Option(
        "--save-task",
        metavar="NAME.py",
        help="Your own file: write its options as the declaration of a task, for --plugin NAME.py --task NAME.",
        show_default=False,
    ),
]
NoHeader = Annotated[
    bool,
    typer.Option("--no-header", help="Your own file has no line of names: its columns are column_1, column_2, …"),
]
Types = Annotated[
    list[str] | None,
    option_with_hidden_default(
        "Your own file: types of columns, as in amount=number,when=date:%d.%m.%y,code=category,id=id,free=drop."
    ),
]
DropMissingTarget = Annotated[
    bool, typer.Option("--drop-missing-target", help="Your own file: leave out rows without a label.")
]


def collect_data_options(typed: dict[str, Any]) -> dict[str, Any]:
    """Collect the options of one's own file among all that were typed, as fields of `UserData`.

    Parameters
    ----------
    typed : dict
        Option → what was typed, as in the signature of the command.

    Returns
    -------
    dict
        The fields; raises `EvenhandError` for types or costs that cannot be read.
    """
    from harness.api.task_file import task_name_of_file
    from harness.data.column_types import parse_types_option
    from harness.data.costs import DeclaredCosts, parse_costs

    names = ("target", "positive", "group", "time", "text", "split", "weights", "title", "drop_missing_target")
    columns = {name: typed[name] for name in names}
    for name in ("drop", "ids"):
        columns[name] = tuple(typed[name] or ())
    costs = DeclaredCosts()
    if typed["costs"] is not None:
        costs = parse_costs(typed["costs"])
    columns |= {"costs": costs.matrix, "costs_by_class": costs.by_class}
    columns |= {"has_header": not typed["no_header"], "types": parse_types_option(typed["types"] or ())}
    if typed["test_file"] is not None:
        columns["test_path"] = str(typed["test_file"])
    if typed["save_task"] is not None:
        columns["name"] = task_name_of_file(typed["save_task"])
    return columns
