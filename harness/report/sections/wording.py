"""Phrases that several sections share, and what the words, marks and columns of the tables mean."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

from harness.evaluation.scores import Scores
from harness.evaluation.significance import Estimate
from harness.metrics.metric import Metric
from harness.report.leaderboard import RANKING_COLUMNS
from harness.report.render.markdown import details, escape, format_interval, format_number, join_words

READING = (
    (
        "An **entry** is `family/strategy/stage`: a model family, what is done about the uneven classes, and whether its "
        "parameters are the *default* ones or *tuned* by Optuna on the training rows. *chosen* entries (†) take, in every split, "
        "the best by inner score among the strategies of a family or among everything (`any`); they had the trials of all of "
        "these together, so they get no rank and take no part in comparisons of strategies."
    ),
    (
        "*ensembled* entries (†) weigh the probabilities of all tuned entries, fitting none of them again: *greedy* adds, one after "
        "another, those that help the mean most, *stacking* is a logistic regression on their log-odds. Weights are chosen in every "
        "split on inner out-of-fold rows; *inner* and the threshold come from such rows that the weights were not fitted on. They "
        "had all the trials and cost as much as all their members, so they get no rank either."
    ),
    (
        "**= default** marks a tuned entry whose search kept the default parameters in every split: default and tuned are one "
        "entry then and stand on one line. The baseline has nothing to search, so it always is."
    ),
    "Scores are unweighted means over the outer **splits**; test rows are never used to fit, tune, stop or pick a threshold.",
    (
        "**±** is a 95 % interval. Splits share training rows, so its variance is s² (1/n + n_test/n_train) with n − 1 degrees of "
        "freedom (Nadeau & Bengio 2003). Where splits hardly differ, s is taken to be no less than what one test row can change."
    ),
    (
        "**≈** marks what is not significantly different from the first entry: a paired test of the differences per split, with the "
        "same variance and Holm's adjustment over all pairs of entries, as the first is known only after looking; the baseline, "
        "fixed beforehand, is tested against all others. A missing ≈ is a difference that chance does not explain; a ≈ is no proof "
        "of equality."
    ),
    (
        "Decisions (F1, precision, recall …) are those at the **tuned threshold**, which was chosen on inner out-of-fold rows to "
        "maximise F1, or to minimise the cost where the task has one; tables that say 0.5 use 0.5, and so does the "
        "ranking where its objective is itself a decision metric, as the search did. With several classes the most probable one "
        "is taken."
    ),
    (
        "*inner* and *training* are the objective on the inner folds and on the training rows: far above the test score means "
        "over-fitting. *Fit s* is the time of one refit, *Trials* what the search made; the default entry "
        "is its first trial and needs no other."
    ),
    (
        "**Bold** is best in its column among the entries that have all splits, the baseline aside. Entries "
        "without all splits stand below (–): their means are over fewer splits and not comparable."
    ),
    (
        "**Complexity against quality**: *Parameters* are those a network trained, the coefficients of a linear model or the nodes "
        "of trees; *Size* is that of encoder and classifier, pickled. *Nothing beats it* names the costs (time to fit, size, "
        "time to predict) at which no other entry is both better and cheaper, by the means over the splits; differences may be "
        "chance, times are those of one machine, and the baseline is left aside. Features of the "
        "pretrained network are computed once and looked up then: times and sizes of entries on them leave that network out."
    ),
    (
        "**Training of networks**: means over the outer splits of the refits on all training rows, at the epoch whose weights were "
        "kept; each fit has its own seed. *Validation* are the rows that decide which epoch is kept: training rows, "
        "never test rows. Losses of different functions are never averaged. "
        "*Gap* is validation minus training for losses, training minus validation for AP, so above zero is "
        "over-fitting; training scores are those of an epoch's batches, with dropout on, so a gap may be below zero, and of "
        "resampled rows, where AP is higher because positives are more frequent. *SD* is "
        "the standard deviation of the validation score between the splits, or between the inner folds of the trial that was "
        "chosen: large means unstable training."
    ),
)
CSV = (
    "**leaderboard.csv** has a row per task, entry and threshold (`threshold_kind`: `half` is 0.5, or the most probable class; "
    "`tuned` the tuned one), default and tuned even where they are the same. `calibration` other than `none` is the same entry with "
    "probabilities recalibrated on inner out-of-fold rows (`isotonic`, `sigmoid`, `temperature`), or with the change of the "
    "classes' shares taken back that weights or random resampling made (`prior`), its threshold derived again. `folds` is how "
    "many splits the means are over, "
    "`status` how the cells ended. Every metric, under its name in brackets above, stands as its mean and, with `_sd`, its "
    "standard deviation over the splits; so do `threshold`, `fit_seconds`, `predict_us_per_row` (both without the pass through "
    "the pretrained network, where an entry is on its features), `trials`, "
    "`parameters` (those a network trained, coefficients of a linear model, nodes of trees) and `model_bytes` (encoder and "
    "classifier, pickled). Then:"
)


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


def how_to_read(scores: Scores) -> str:
    """Explain every word, mark and column of the tables, folded away.

    Parameters
    ----------
    scores : Scores
        The scores of the run, whose metrics are explained.
    """
    metrics = []
    for metric in scores.metrics.values():
        metrics.append(f"**{escape(metric_name(metric))}** (`{metric.name}`): {escape(metric.description)}")
    columns = map("  - `{}`: {}".format, RANKING_COLUMNS, RANKING_COLUMNS.values())
    return details("How to read the tables", "\n".join([bullets((*READING, *metrics, CSV)), *columns]))
