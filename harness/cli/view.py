"""Commands that show a run in the browser, while it goes on or afterwards."""

# No `from __future__ import annotations` here: typer reads the annotations.
from typing import Annotated

import typer

from harness.cli.app import RunFolder, app


@app.command()
def dashboard(
    run: RunFolder, port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 8080
) -> None:
    """Serve the Optuna dashboard over all studies of a run, also while it goes on.

    \b
    evenhand dashboard results/quick
    """
    from harness.api.dashboard import serve_dashboard
    from harness.store.store import Store

    serve_dashboard(Store(run), port)


@app.command()
def tensorboard(
    run: RunFolder, port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 6006
) -> None:
    """Show the training curves of a run's networks in TensorBoard.

    \b
    evenhand tensorboard results/quick
    """
    from harness.api.tensorboard import serve_tensorboard
    from harness.store.store import Store

    serve_tensorboard(Store(run), port)
