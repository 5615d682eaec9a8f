"""Commands by which a winner leaves the house, and does its work."""

# No `from __future__ import annotations` here: typer reads the annotations.
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import DataDir, Plugins, Run, app

Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder that evenhand export wrote.")]


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
    from harness.deploy import export as exporting
    from harness.registry.registry import absolute_plugins

    asked = exporting.Asked(
        run=str(run),
        out=str(out),
        task=task,
        entry=entry,
        calibration=calibration,
        drivers=drivers,
        data_dir=str(data_dir.resolve()) if data_dir else None,
        plugins=absolute_plugins(plugin or ()),
        file=str(file.resolve()) if file else None,
    )
    typer.echo(exporting.export(asked, lambda told: typer.echo(told, err=True)))


@app.command()
def predict(
    bundle: Bundle,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A CSV or Parquet file with the bundle's columns, or a folder of pictures."
        ),
    ],
    out: Annotated[Path, typer.Option(help="CSV with the answers; it may lie anywhere but in FILE's place.")],
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Score a file of any size: its columns, the class, the probability of each class, and what is odd about a row.

    \b
    evenhand predict bundles/churn customers.csv --out scored.csv
    evenhand predict bundles/photos new_photos/ --out scored.csv
    """
    from harness.api.progress import rows_read
    from harness.deploy.bundle import read_bundle
    from harness.deploy.predict import predict_file

    with rows_read(quiet=quiet) as progress:
        scored = predict_file(read_bundle(bundle), source, out, progress)
    called = ", ".join(f"{name}: {count:,}" for name, count in scored.called.items())
    flagged = f"; with something unlike training: {scored.flagged:,}" if scored.flagged else ""
    typer.echo(f"{out}: {scored.rows:,} rows, called {called}{flagged}")


@app.command()
def serve(
    bundle: Bundle,
    host: Annotated[
        str, typer.Option(help="Address to listen at; any but this machine's own needs --token-file.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token that requests must carry.", show_default=False)
    ] = None,
) -> None:
    """Serve a bundle: a page to try it on, and a REST API for programs. Ends when told to, after answering what came in.

    \b
    evenhand serve bundles/churn
    curl -s 127.0.0.1:8000/predict -H 'content-type: text/csv' --data-binary @customers.csv
    evenhand serve bundles/churn --host 0.0.0.0 --port 8080 --token-file token.txt
    """
    from harness.deploy.serve.server import serve as serving

    serving(bundle, host, port, token_file)


@app.command()
def insights(  # noqa: PLR0913, PLR0917 -- the options of a command line are one list
    bundle: Bundle,
    data: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV or Parquet file; with outcomes it tells more.")],
    target: Annotated[
        str | None, typer.Option(help="Column of outcomes (the bundle's target, if it is there).", show_default=False)
    ] = None,
    capacity: Annotated[int | None, typer.Option(help="How many can be contacted.", show_default=False)] = None,
    budget: Annotated[float | None, typer.Option(help="How much may be spent on contacts.", show_default=False)] = None,
    contact_cost: Annotated[float | None, typer.Option(help="What one contact costs.", show_default=False)] = None,
    value: Annotated[float | None, typer.Option(help="What one success is worth.", show_default=False)] = None,
    success: Annotated[float, typer.Option(help="Share of rightly contacted ones with whom it succeeds.")] = 1.0,
    actionable: Annotated[
        list[str] | None, typer.Option(help="Column that can be changed for a customer; repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder (beside FILE).", show_default=False)] = None,
) -> None:
    """Say what to do with a bundle and some rows: whom to contact, what it brings, what predictions go by, where it is unsure.

    Rows whose outcome is known measure it; those that the model has learnt from count with what was said of them while
    they were held out. Writes insights.md, insights.html and contacts.csv.

    \b
    evenhand insights bundles/churn customers.csv --capacity 500
    evenhand insights bundles/churn customers.csv --budget 2000 --contact-cost 5 --value 200 --success 0.3 \\
        --actionable Contract --actionable TechSupport
    """
    from harness.deploy.insights.campaign import Asked, Campaign
    from harness.deploy.insights.run import write_insights

    campaign = Campaign(capacity, budget, contact_cost, value, success)
    for path in write_insights(Asked(bundle, data, target, campaign, tuple(actionable or ()), out)):
        typer.echo(path)
