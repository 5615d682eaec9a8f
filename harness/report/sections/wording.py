"""Phrases that several sections share."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

from harness.evaluation.significance import Estimate
from harness.metrics.metric import Metric
from harness.report.render.markdown import format_interval, format_number, join_words


def plural(number_of: int | Collection[object], singular: str, several: str) -> str:
    """Choose the form of a word that agrees with a format_number, or with how many there are in a collection."""
    n = number_of if isinstance(number_of, int) else len(number_of)
    return singular if n == 1 else several


def join_names(names: Sequence[str], limit: int, more: str = "more") -> str:
    """Join at most `limit` names: `a, b and c`, or `a, b, c and 4 more`."""
    if len(names) <= limit:
        return join_words(names)
    return f"{', '.join(names[:limit])} and {len(names) - limit} {more}"


def bullets(lines: Iterable[str]) -> str:
    """Write lines as a Markdown list."""
    return "\n".join(map("- {}".format, lines))


def metric_name(metric: Metric) -> str:
    """Name a metric as in the heading of a column."""
    return metric.label or metric.name


def estimate_text(estimate: Estimate, *, signed: bool = False, digits: int = 3) -> str:
    """Write a mean with its interval: `0.662 ± 0.021`; with `signed` also a plus above zero."""
    return format_interval(estimate.mean, estimate.ci_half_width, signed=signed, digits=digits)


def change_text(change: Estimate) -> str:
    """Write a difference with its sign and its interval."""
    return estimate_text(change, signed=True)


def signed_text(change: float) -> str:
    """Write a difference with its sign."""
    return format_interval(change, math.nan, signed=True)


def p_text(p: float, *, below: str = "< ") -> str:
    """Write a p value with three decimals."""
    return f"{below}0.001" if p < 0.001 else format_number(p)


def percent_text(share: float) -> str:
    """Write a share in whole per cent; never 0 or 100 where it is not that."""
    if 0 < share < 0.005 or 0.995 < share < 1:
        return f"{100 * share:.1f} %"
    return f"{100 * share:.0f} %"
