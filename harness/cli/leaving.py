"""Commands by which a winner leaves the house, and does its work."""

# No `from __future__ import annotations` here: typer reads the annotations.
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import DataDir, Plugins, Run, app


@app.command()
def export(  # noqa: PLR0913, PLR0917 -- the options of a command line are one list
    run: Run,
    out: Annotated[Path, typer.Option(help="Folder of the bundle; a bundle that is there is replaced.")],
    task: Annotated[
        str | None, typer.Option(help="Task; not needed where the run has one.", show_default=False)
    ] = None,
    entry: Annotated[
        str | None, typer.Option(help="family/strategy[/stage] (the first by the run's ranking).", show_default=False)
    ] = None,
    calibration: Annotated[
        str | None, typer.Option(help="none, isotonic, sigmoid, temperature or prior (none).", show_default=False)
    ] = None,
    drivers: Annotated[
        bool, typer.Option("--drivers/--no-drivers", help="Tables: measure what moves the predictions.")
    ] = True,
    file: Annotated[
        Path | None, typer.Option(help="Own file: where it lies now, if it was moved.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    plugin: Plugins = None,
) -> None:
    """Do the procedure of an entry once on all rows, and write the model as a bundle: a folder that needs no task.

    The same search as in every split, then one fit; the bundle says how well the procedure did on sealed rows. The search
    is kept in the run: an export that was stopped continues.

    \b
    evenhand export results/quick --task telco_churn --out bundles/churn
    evenhand export results/quick --task caravan --entry xgb/none --calibration sigmoid --out bundles/caravan
    """
    from harness import export as exporting

    asked = exporting.Asked(
        run=str(run),
        out=str(out),
        task=task,
        entry=entry,
        calibration=calibration,
        drivers=drivers,
        data_dir=str(data_dir.resolve()) if data_dir else None,
        plugins=tuple(plugin or ()),
        file=str(file.resolve()) if file else None,
    )
    typer.echo(exporting.export(asked, lambda told: typer.echo(told, err=True)))
