"""Commands that export the best model, predict with it, serve it and explain it."""

# No `from __future__ import annotations` here: typer reads the annotations.
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import (
    DataDir,
    MovedFile,
    Plugins,
    RunFolder,
    ThresholdGoals,
    app,
    make_path_absolute,
    option_with_hidden_default,
)

Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder that evenhand export wrote.")]
NoHeader = Annotated[bool, typer.Option("--no-header", help="FILE has no line of names.")]


@app.command()
def export(  # noqa: PLR0913, PLR0917 -- the options of a command line are one list
    run: RunFolder,
    out: Annotated[Path, typer.Option(help="Folder of the bundle; a bundle that is there is replaced.")],
    task: Annotated[str | None, option_with_hidden_default("Task; not needed where the run has one.")] = None,
    entry: Annotated[str | None, option_with_hidden_default("family/strategy[/stage] (the recommended one).")] = None,
    calibration: Annotated[
        str | None, option_with_hidden_default("none, isotonic, sigmoid, temperature or prior (none).")
    ] = None,
    drivers: Annotated[
        bool, typer.Option("--drivers/--no-drivers", help="Tables: measure the importance of columns.")
    ] = True,
    threshold: ThresholdGoals = None,
    file: MovedFile = None,
    data_dir: DataDir = None,
    plugin: Plugins = None,
) -> None:
    """Fit an entry once on all rows, and write the model as a bundle: a folder that needs no task.

    The search of every split is done once more on all rows, then one fit; the bundle says how the procedure scored on
    sealed test rows. The search is stored in the run: an export that was stopped continues.

    \b
    evenhand export results/quick --task telco_churn --out bundles/churn
    evenhand export results/quick --task caravan --entry xgb/none --calibration sigmoid --out bundles/caravan
    evenhand export results/quick --task caravan --threshold 'recall>=0.8' --out bundles/caravan
    """
    from harness.deploy.export import ExportRequest, export_bundle
    from harness.metrics.threshold import parse_single_goal
    from harness.registry.registry import make_plugin_paths_absolute

    request = ExportRequest(
        run=str(run),
        out=str(out),
        task=task,
        entry=entry,
        calibration=calibration,
        drivers=drivers,
        threshold=parse_single_goal(threshold),
        data_dir=make_path_absolute(data_dir),
        plugins=make_plugin_paths_absolute(plugin or ()),
        file=make_path_absolute(file),
    )
    typer.echo(export_bundle(request, lambda message: typer.echo(message, err=True)))


@app.command()
def predict(
    bundle: Bundle,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A CSV, Parquet, Excel or JSON lines file with the bundle's columns, or a folder of images.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="CSV for the predictions; not FILE itself.")],
    no_header: NoHeader = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Score a file of any size: its columns, the class, the probability of each class, and warnings about a row.

    \b
    evenhand predict bundles/churn customers.csv --out scored.csv
    evenhand predict bundles/photos new_photos/ --out scored.csv
    """
    from harness.api.progress import show_reading_progress
    from harness.deploy.bundle import read_bundle
    from harness.deploy.predict import predict_file

    with show_reading_progress(quiet=quiet) as show_progress:
        prediction_summary = predict_file(read_bundle(bundle), source, out, show_progress, has_header=not no_header)
    typer.echo(f"{out}: {prediction_summary.describe()}")


@app.command()
def serve(
    bundle: Bundle,
    host: Annotated[
        str, typer.Option(help="Address to listen at; other than loopback it needs --token-file.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    token_file: Annotated[
        Path | None, option_with_hidden_default("File with the token that requests must carry.")
    ] = None,
) -> None:
    """Serve a bundle: a page to try it on, and a REST API. On a signal it answers the requests it has and ends.

    \b
    evenhand serve bundles/churn
    curl -s 127.0.0.1:8000/predict -H 'content-type: text/csv' --data-binary @customers.csv
    evenhand serve bundles/churn --host 0.0.0.0 --port 8080 --token-file token.txt
    """
    from harness.deploy.serve import serve_bundle

    serve_bundle(bundle, host, port, token_file)


@app.command()
def insights(  # noqa: PLR0913, PLR0917 -- the options of a command line are one list
    bundle: Bundle,
    data: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A CSV, Parquet, Excel or JSON lines file, with outcomes if they are known."
        ),
    ],
    target: Annotated[
        str | None, option_with_hidden_default("Column of outcomes (the bundle's target, if it is there).")
    ] = None,
    capacity: Annotated[int | None, option_with_hidden_default("How many can be contacted.")] = None,
    budget: Annotated[float | None, option_with_hidden_default("How much may be spent on contacts.")] = None,
    contact_cost: Annotated[float | None, option_with_hidden_default("What one contact costs.")] = None,
    value: Annotated[float | None, option_with_hidden_default("What one success is worth.")] = None,
    success: Annotated[float, typer.Option(help="Share of successes among correctly contacted customers.")] = 1.0,
    actionable: Annotated[
        list[str] | None, option_with_hidden_default("Column that can be changed for a customer; repeatable.")
    ] = None,
    out: Annotated[Path | None, option_with_hidden_default("Folder (beside FILE).")] = None,
    no_header: NoHeader = False,
) -> None:
    """Turn predictions into decisions: whom to contact, what it earns, what the model depends on, where it is unsure.

    Rows with known outcomes measure the gain; for rows that the model was trained on, the predictions made while they were
    held out are used. Writes insights.md, insights.html, contacts.csv and the tables as CSV files under tables/.

    \b
    evenhand insights bundles/churn customers.csv --capacity 500
    evenhand insights bundles/churn customers.csv --budget 2000 --contact-cost 5 --value 200 --success 0.3 \\
        --actionable Contract --actionable TechSupport
    """
    from harness.deploy.insights.gains import Campaign
    from harness.deploy.insights.run import write_insights
    from harness.deploy.insights.scored_rows import InsightsRequest

    campaign = Campaign(capacity, budget, contact_cost, value, success)
    for path in write_insights(
        InsightsRequest(bundle, data, target, campaign, tuple(actionable or ()), out, has_header=not no_header)
    ):
        typer.echo(path)
