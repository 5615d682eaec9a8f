"""evenhand: which classifier, with which imbalance strategy, is really best on this data, and by how much.

These are the names for declarations of one's own; everything else is reached through the command line.
"""

from harness.declare.family import Family
from harness.declare.metric import Metric, Predictions
from harness.declare.space import choice, integer, log_float, real, when
from harness.declare.strategy import Strategy
from harness.declare.task import Table, Task
from harness.errors import DataError, EvenhandError, Inapplicable, Unavailable

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
