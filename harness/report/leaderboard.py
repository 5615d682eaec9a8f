"""The leaderboard as a table, a row per task and entry, as `leaderboard.csv`, and how to read it.

The order of the columns is fixed: keys, then mean and standard deviation of the usual metrics, then what the ranking
says, then those of metrics that plug-ins declare.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from harness.evaluation import scores as run_scores
from harness.evaluation.ranking import RankedEntry, Ranking
from harness.evaluation.scores import Entry, ScoreRows, Scores
from harness.metrics.calibration import CALIBRATIONS
from harness.metrics.metric import Metric
from harness.report.content import CollapsedParts
from harness.report.render.csv import escape_formula
from harness.report.render.markdown import bullet_list, escape, metric_name

KEY_COLUMNS = ("task", "entry", "family", "strategy", "stage", "calibration", "threshold_kind", "folds", "status")
METRIC_COLUMNS = (
    *("accuracy", "balanced_accuracy", "precision", "recall", "f1", "precision_negative", "recall_negative"),
    *("f1_negative", "mcc", "g_mean", "roc_auc", "average_precision", "log_loss", "brier", "ece", "lift_at_10"),
    "expected_cost",
)
RANKING_COLUMNS = {  # column → description
    "objective": "the metric that the search was after and the task is ranked by",
    "score": "its mean over the splits; of a decision metric at 0.5, as in the search",
    "score_sd": "its standard deviation over the splits",
    "ci_low": "lower end of the 95 % interval of `score`",
    "ci_high": "its upper end",
    "rank": "the place by it; empty for *chosen* and *ensembled* entries and where splits are lacking",
    "verdict": "`best`, or the verdict against the best entry: `worse`, `practically equal` or `undecided`; empty without a test",
    "tied": "`yes` where the verdict is `practically equal` or `undecided`, `no` where it is `worse`, else empty",
    "may_be_best": "whether the entry is in the 95 % set of those that may be the best",
    "best_probability": "how probable it is to be the best of the ranked entries",
    "splits_planned": "outer splits of the task; `folds` says how many of them the means are over",
    "inner_score": "mean objective on the inner folds: what the search saw, before any recalibration; of an ensemble on inner "
    "rows that its weights were not fitted on",
    "training_score": "mean objective on the training rows, before any recalibration; empty for ensembles",
    "positive": "the positive class; empty with several classes",
}


NOT_THE_BEST = "not the best"
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
        "**[low, high]** is a 95 % interval of a mean score. Its variance has a part that comes from the test rows, known from "
        "their influence on the score, and one that comes from training, seen between the folds; it never leaves the range of "
        "the metric. **±** is half the width of an interval, of differences or of entries that are combined from others."
    ),
    (
        "**≈** marks what is not significantly different from the first entry: *practically equal*, where the interval of the "
        "difference lies within the region of practical equivalence (0.01 for ranking, 0.02 for decisions, 1 % of the baseline "
        "for losses and costs), or *undecided*. The intervals of all pairs together cover their true differences with 95 %, as "
        "the first is known only after looking; the baseline, fixed beforehand, is compared with every entry."
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
    "**leaderboard.csv** has a row per task and entry, default and tuned even where they are the same, with decisions at the tuned "
    "threshold (`threshold_kind` is `tuned`; with several classes there is none, the most probable class is taken and it is `half`). "
    "`folds` is how many splits the means are over, `status` how the cells ended. Every metric, under its name in brackets above, "
    "stands as its mean and, with `_sd`, its standard deviation over the splits; so do `threshold`, `fit_seconds`, "
    "`predict_us_per_row` (both without the pass through the pretrained network, where an entry is on its features), `trials`, "
    "`parameters` (those a network trained, coefficients of a linear model, nodes of trees) and `model_bytes` (encoder and "
    "classifier, pickled). **scores.csv** has a row per task, entry, `calibration`, `threshold_kind` (`half` is 0.5) and split. "
    "`calibration` other than `none` is the same entry with probabilities recalibrated on inner out-of-fold rows (`isotonic`, "
    "`sigmoid`, `temperature`), or with the change of the classes' shares taken back that weights or random resampling made "
    "(`prior`), its threshold derived again. The further columns of leaderboard.csv:"
)


def leaderboard_columns(metrics: Mapping[str, Metric]) -> list[str]:
    """The columns of the leaderboard in their order.

    Parameters
    ----------
    metrics : mapping of str to Metric
        The metrics by their names.

    Returns
    -------
    list of str
        The columns.
    """
    plugin_metrics = [name for name in metrics if name not in METRIC_COLUMNS]
    usual_columns = _mean_and_deviation_columns([*METRIC_COLUMNS, *run_scores.EXTRA_COLUMNS])
    return [*KEY_COLUMNS, *usual_columns, *RANKING_COLUMNS, *_mean_and_deviation_columns(plugin_metrics)]


def make_leaderboard_frame(scores: Scores, rankings: list[Ranking]) -> pd.DataFrame:
    """Build the leaderboard of a run.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    rankings : list of Ranking
        The rankings of its tasks.

    Returns
    -------
    DataFrame
        A row per task and entry without recalibration, with decisions at the tuned threshold where there is one. Means are
        unweighted, over the splits whose number is in the column `folds`; a metric that is missing in one of these splits has no
        mean.
    """
    metrics = _select_leaderboard_metrics(scores, rankings)
    plugin_metrics = [name for name in metrics if name not in METRIC_COLUMNS]
    names = [*METRIC_COLUMNS, *run_scores.EXTRA_COLUMNS, *plugin_metrics]
    lines = []
    for ranking in rankings:
        task = ranking.task
        threshold_kind, statuses = scores.threshold_kinds(task)[-1], run_scores.entry_statuses(scores, task)
        for entry in sorted(statuses, key=lambda entry: _declaration_order_key(scores, entry)):
            rows = scores.score_rows_of_entry(task, entry, threshold_kind)
            keys = (task, entry.name, *entry, threshold_kind, len(rows), statuses[entry])
            line = dict(zip(KEY_COLUMNS, keys, strict=True))
            lines.append(line | _summarize_splits(rows, names) | _make_ranking_cells(scores, ranking, entry, rows))
    return pd.DataFrame(lines, columns=leaderboard_columns(metrics))


def _select_leaderboard_metrics(scores: Scores, rankings: list[Ranking]) -> dict[str, Metric]:
    """All metrics but details, and the objectives, also where they are details."""
    objective_names = {ranking.metric.name for ranking in rankings}
    metrics = {}
    for name, metric in scores.metrics.items():
        if not metric.is_detail or name in objective_names:
            metrics[name] = metric
    return metrics


def format_frame_csv(table: pd.DataFrame) -> str:
    """Format a data frame as CSV.

    Parameters
    ----------
    table : DataFrame
        The leaderboard or the scores.

    Returns
    -------
    str
        The CSV: numbers with six significant digits, missing values empty, and no name that is a formula.
    """
    escaped_table = table.copy()
    for name in escaped_table.select_dtypes(exclude="number").columns:
        escaped_table[name] = escaped_table[name].map(_escape_formula_text)
    return str(escaped_table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def _escape_formula_text(cell: Any) -> Any:
    if isinstance(cell, str):
        return escape_formula(cell)
    return cell


def _mean_and_deviation_columns(names: list[str]) -> list[str]:
    columns = []
    for name in names:
        columns += [name, f"{name}_sd"]
    return columns


def _summarize_splits(rows: ScoreRows, names: list[str]) -> dict[str, float]:
    """Mean and standard deviation of every metric over the splits."""
    splits = np.array([rows[name] for name in names])
    summary = np.full((len(names), 2), math.nan)
    if len(rows):
        summary[:, 0] = splits.mean(axis=1)
    if len(rows) > 1:
        summary[:, 1] = splits.std(axis=1, ddof=1)
    return dict(zip(_mean_and_deviation_columns(names), summary.ravel().tolist(), strict=True))


def _make_ranking_cells(scores: Scores, ranking: Ranking, entry: Entry, rows: ScoreRows) -> dict[str, Any]:
    """The cells of RANKING_COLUMNS."""
    cells: dict[str, Any] = {
        "objective": ranking.metric.name,
        "splits_planned": ranking.splits,
        "inner_score": rows.mean("inner"),
        "training_score": rows.mean("train"),
        "positive": scores.run["tasks"][ranking.task].get("positive"),
    }
    ranked_entry = ranking.resolve_entry(entry)
    if ranked_entry is None:
        return cells
    interval_low, interval_high = ranked_entry.score.interval or (math.nan, math.nan)
    summary = _summarize_splits(ranked_entry.rows, [ranking.metric.name])
    return cells | {
        "score": ranked_entry.score.mean,
        "score_sd": summary[f"{ranking.metric.name}_sd"],
        "ci_low": interval_low,
        "ci_high": interval_high,
        "rank": ranked_entry.rank,
        "verdict": verdict_name(ranking, ranked_entry) or None,
        "tied": {True: "yes", False: "no", None: None}[ranked_entry.tied],
        "may_be_best": {True: "yes", False: "no", None: None}[ranked_entry.may_be_best],
        "best_probability": ranked_entry.best_probability,
    }


def verdict_name(ranking: Ranking, ranked: RankedEntry) -> str:
    """Give the verdict of an entry against the best one; ``best`` for the best one itself, empty where nothing is tested."""
    if ranking.no_test_reason:
        return ""
    if ranked.rank == 1:
        return "best"
    if ranked.comparison is None:
        return ""
    return ranked.comparison.verdict


def format_verdict(ranking: Ranking, ranked: RankedEntry) -> str:
    """Give the verdict as tables show it.

    An undecided entry outside the 95 % set of those that may be the best is not the best. An entry that has only some of the
    splits, as in tables of a run that goes on, has their number instead: its mean is over other rows than those of the others.
    """
    if not ranked.complete and len(ranked.rows):
        return f"{len(ranked.rows)} of {ranking.splits} splits"
    verdict_text = verdict_name(ranking, ranked)
    return NOT_THE_BEST if verdict_text and ranked.is_excluded else verdict_text


def _declaration_order_key(scores: Scores, entry: Entry) -> tuple[Any, ...]:
    """The sort key of an entry: families and strategies as declared; entries chosen among all of them are last."""
    families, strategies = [*scores.run["families"], entry.family], [*scores.run["strategies"], entry.strategy]
    stage, calibration = run_scores.STAGES.index(entry.stage), CALIBRATIONS.index(entry.calibration)
    return families.index(entry.family), strategies.index(entry.strategy), stage, calibration, entry


def explain_leaderboard_columns(scores: Scores) -> CollapsedParts:
    """Explain every word, mark and column of the tables, folded away.

    Parameters
    ----------
    scores : Scores
        The scores of the run, whose metrics are explained.
    """
    metrics = []
    for metric in scores.metrics.values():
        if not metric.is_detail:
            metrics.append(f"**{escape(metric_name(metric))}** (`{metric.name}`): {escape(metric.description)}")
    columns = map("  - `{}`: {}".format, RANKING_COLUMNS, RANKING_COLUMNS.values())
    return CollapsedParts("How to read the tables", ("\n".join([bullet_list((*READING, *metrics, CSV)), *columns]),))
