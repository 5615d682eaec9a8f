"""evenhand: which classifier, with which imbalance strategy, is really best on this data, and by how much.

These are the names for declarations of one's own; everything else is reached through the command line.
"""

from harness.errors import DataError, EvenhandError, Inapplicable, Unavailable
from harness.metrics.metric import Metric, Predictions
from harness.registry.family import Family
from harness.registry.space import choice, integer, log_float, real, when
from harness.registry.strategy import Strategy
from harness.registry.task import Table, Task

__all__ = [
    "DataError",
    "EvenhandError",
    "Family",
    "Inapplicable",
    "Metric",
    "Predictions",
    "Strategy",
    "Table",
    "Task",
    "Unavailable",
    "choice",
    "integer",
    "log_float",
    "real",
    "when",
]
