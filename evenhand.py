"""evenhand: which classifier, with which imbalance strategy, is best on this data, and by how much.

    import evenhand

    run = evenhand.benchmark(df, target="churned")
    run.leaderboard()

These are the public names; they change only as the deprecation policy in the changelog says.
"""

import harness

if not hasattr(harness, "PROJECT"):
    raise ImportError(
        f"evenhand has a package named harness, but {harness.__file__ or 'a folder'} of another project was imported instead: "
        "uninstall that one, or use a virtual environment of its own"
    )

from harness.api.exported_model import ExportedModel, open_bundle
from harness.api.inspect import DataInspection, inspect
from harness.api.own_rows import load_rows
from harness.api.public import benchmark
from harness.api.recommendation import TaskRecommendation
from harness.api.results import Run
from harness.api.stored_run import open_run
from harness.errors import (
    BundleError,
    DataError,
    DeclarationError,
    EvenhandError,
    Inapplicable,
    StoreError,
    Unavailable,
)
from harness.metrics.metric import Metric, Predictions
from harness.registry.family import Family
from harness.registry.space import choice, integer, log_float, real, when
from harness.registry.strategy import Strategy
from harness.registry.task import Table, Task
from harness.registry.user_declarations import estimator_family

__all__ = [
    "BundleError",
    "DataError",
    "DataInspection",
    "DeclarationError",
    "EvenhandError",
    "ExportedModel",
    "Family",
    "Inapplicable",
    "Metric",
    "Predictions",
    "Run",
    "StoreError",
    "Strategy",
    "Table",
    "Task",
    "TaskRecommendation",
    "Unavailable",
    "benchmark",
    "choice",
    "estimator_family",
    "inspect",
    "integer",
    "load_rows",
    "log_float",
    "open_bundle",
    "open_run",
    "real",
    "when",
]


def __getattr__(name: str) -> str:
    """Look up the installed version when it is asked for: its import takes longer than that of this module."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("evenhand")
