"""The model card of a bundle: what it is, how it was measured, where it fails, what it is not for (Mitchell et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.deploy.error_analysis import MIN_ROWS, ErrorAnalysis, SubgroupProportion
from harness.deploy.run_entry import ModelCardMetric, RankingPosition
from harness.deploy.threshold_goal import describe_goal_threshold
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD, TUNED_THRESHOLD
from harness.report.content import CellValue, Interval, MeanInterval, ReportColumn, ReportTable
from harness.report.render.cells import format_interval, format_number
from harness.report.render.markdown import inline_code
from harness.report.render.templates import render_text_template

TEMPLATES = Path(__file__).parent / "templates"
WARNED_SHIFT = 0.02  #: change of a class's share from which the card warns
MAX_SUBGROUPS = 5  #: listed per metric, the lowest ones
MAX_CLASSES = 12  #: listed, those with the lowest recall


@dataclass(frozen=True)
class ModelCardInputs:
    """All that a card says and the manifest does not.

    Attributes
    ----------
    target, description, notes : str, str, tuple of str
        Of the task.
    metrics : tuple of ModelCardMetric
        Nested metrics of the entry, the objective first.
    position : RankingPosition
        Its position in the ranking.
    strategy : str
        Description of the strategy.
    counts_before, counts_after : tuple of float
        Training rows per class, before and after the strategy.
    mean_proba, class_shares : tuple of float
        Mean probability per class over the held-out rows, and the share of these rows that belong to it.
    error_analyses : tuple of ErrorAnalysis
        Where it fails.
    recalls : tuple of (SubgroupProportion, str)
        With several classes the recall of each, and the class that it is most often confused with.
    held_out_rows : int
        Number of held-out rows.
    changed_versions : tuple of str
        Packages whose version is not that of the run.
    prior_is_correctable : bool
        Whether prior correction applies to the strategy.
    target_encoded : mapping of str to int
        Categories that are encoded by class shares, with their numbers of levels.
    """

    target: str
    description: str
    notes: tuple[str, ...]
    metrics: tuple[ModelCardMetric, ...]
    position: RankingPosition
    strategy: str
    counts_before: tuple[float, ...]
    counts_after: tuple[float, ...]
    mean_proba: tuple[float, ...]
    class_shares: tuple[float, ...]
    error_analyses: tuple[ErrorAnalysis, ...] = ()
    recalls: tuple[tuple[SubgroupProportion, str], ...] = ()
    held_out_rows: int = 0
    changed_versions: tuple[str, ...] = ()
    prior_is_correctable: bool = False
    target_encoded: Mapping[str, int] = field(default_factory=dict)


def write_model_card(manifest: Mapping[str, Any], inputs: ModelCardInputs) -> str:
    """Write the card of a bundle.

    Parameters
    ----------
    manifest : mapping
        The manifest of the bundle, without the fields that are computed on writing.
    inputs : ModelCardInputs
        Everything else.

    Returns
    -------
    str
        Markdown; it has no date, so that the same bundle has the same card.
    """
    has_shifted_classes = manifest["calibration"] == "none" and _largest_class_share_change(inputs) > WARNED_SHIFT
    card = render_text_template(
        "model_card.md",
        TEMPLATES,
        manifest=manifest,
        inputs=inputs,
        position=inputs.position,
        protocol=manifest["run"]["protocol"],
        description=_with_full_stop(inputs.description),
        classes=list(map(inline_code, manifest["classes"])),
        params=_format_params(manifest["params"]),
        target_encoded=_level_counts(inputs.target_encoded),
        metric_tables=_metric_tables(manifest, inputs.metrics),
        goal_rule=describe_goal_threshold(manifest),
        shares_changed=has_shifted_classes,
        shares_before=_format_class_shares(manifest, inputs.counts_before),
        shares_after=_format_class_shares(manifest, inputs.counts_after),
        compared_class=_class_with_probability_and_share(manifest, inputs),
        ece=_format_calibration_error(inputs.metrics),
        min_rows=MIN_ROWS,
        max_classes=MAX_CLASSES,
        max_subgroups=MAX_SUBGROUPS,
        proportion=_format_proportion,
        subgroup_table=_subgroup_table,
        recall_table=_recall_table(inputs),
        class_counts=_format_class_shares(manifest, manifest["counts"], with_counts=True),
        versions=", ".join(map(" ".join, manifest["versions"].items())),
    )
    return f"{card}\n"


def _with_full_stop(text: str) -> str:
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def _format_calibration_error(metrics: Sequence[ModelCardMetric]) -> str:
    """Write the ECE with its interval as in the table; empty where it was not measured."""
    for metric in metrics:
        if metric.name == "ece":
            return format_interval(metric.mean, metric.ci_half_width, ends=metric.interval)
    return ""


def _format_params(params: Mapping[str, Any]) -> str:
    param_texts = []
    for name, param_value in params.items():
        param_texts.append(
            f"{name} = {param_value:.4g}" if isinstance(param_value, float) else f"{name} = {param_value}"
        )
    return ", ".join(param_texts)


def _level_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{inline_code(name)} ({count:,} levels)" for name, count in counts.items())


def _metric_tables(manifest: Mapping[str, Any], metrics: Sequence[ModelCardMetric]) -> list[ReportTable]:
    """Ranking and probabilities, then decisions at 0.5 and at the tuned threshold side by side."""
    rows: list[tuple[CellValue, ...]] = []
    decision_metrics: dict[str, dict[str, MeanInterval]] = {}
    for metric in metrics:
        interval = MeanInterval(metric.mean, metric.ci_half_width, metric.interval)
        if metric.metric_type == "decision":
            decision_metrics.setdefault(metric.label, {})[metric.threshold_kind] = interval
        else:
            rows.append((metric.label, interval))
    tables = [
        ReportTable((ReportColumn("Metric"), ReportColumn("Mean over splits ± 95 % interval", "number")), tuple(rows))
    ]
    threshold_kinds = [DEFAULT_THRESHOLD, TUNED_THRESHOLD]
    headings = ["Decisions", "at 0.5", "at each split's own threshold"]
    if manifest["threshold"] is None:
        threshold_kinds, headings = [""], ["Decisions, the most probable class", ""]
    columns = [ReportColumn(headings[0]), *(ReportColumn(heading, "number") for heading in headings[1:])]
    decision_rows = []
    for label, intervals in decision_metrics.items():
        decision_rows.append((label, *map(intervals.get, threshold_kinds)))
    tables.append(ReportTable(tuple(columns), tuple(decision_rows)))
    return [table for table in tables if table.rows]


def _largest_class_share_change(card_inputs: ModelCardInputs) -> float:
    """The largest change of a class's share by the strategy."""
    shares_before = np.array(card_inputs.counts_before) / sum(card_inputs.counts_before)
    shares_after = np.array(card_inputs.counts_after) / sum(card_inputs.counts_after)
    return float(np.abs(shares_before - shares_after).max())


def _class_with_probability_and_share(
    manifest: Mapping[str, Any], card_inputs: ModelCardInputs
) -> dict[str, Any] | None:
    """The class whose mean probability is compared with its share: the positive one, of several the farthest off."""
    if not card_inputs.held_out_rows:
        return None
    label = 1
    if len(manifest["classes"]) > 2:
        label = int(np.abs(np.subtract(card_inputs.mean_proba, card_inputs.class_shares)).argmax())
    name, mean_proba = manifest["classes"][label], card_inputs.mean_proba[label]
    return {"name": name, "mean_proba": mean_proba, "share": card_inputs.class_shares[label]}


def _recall_table(card_inputs: ModelCardInputs) -> ReportTable | None:
    if not card_inputs.recalls:
        return None
    columns = (
        *(ReportColumn("Class"), ReportColumn("Recall", "number"), ReportColumn("95 % interval", "number")),
        *(ReportColumn("Rows", "count"), ReportColumn("Most often taken for")),
    )
    rows = []
    for recall, confused_with in card_inputs.recalls[:MAX_CLASSES]:
        rows.append((*_proportion_cells(recall), confused_with or None))
    return ReportTable(columns, tuple(rows))


def _subgroup_table(subgroups: Sequence[SubgroupProportion]) -> ReportTable:
    columns = (
        *(ReportColumn("Part"), ReportColumn("Share", "number")),
        *(ReportColumn("Interval", "number"), ReportColumn("Rows", "count")),
    )
    return ReportTable(columns, tuple(map(_proportion_cells, subgroups)))


def _proportion_cells(proportion: SubgroupProportion) -> tuple[CellValue, ...]:
    rows = f"{proportion.correct:,} of {proportion.rows:,}"
    return proportion.subgroup, proportion.share, Interval(proportion.low, proportion.high), rows


def _format_proportion(proportion: SubgroupProportion) -> str:
    return f"{format_number(proportion.share)} ({proportion.correct:,} of {proportion.rows:,} rows)"


def _format_class_shares(manifest: Mapping[str, Any], counts: Sequence[float], *, with_counts: bool = False) -> str:
    total_rows = sum(counts) or 1
    share_texts = []
    for name, count in zip(manifest["classes"], counts, strict=True):
        share_text = f"{count:,.0f}, {count / total_rows:.1%}" if with_counts else f"{count / total_rows:.1%}"
        share_texts.append(f"{name} {share_text}")
    return "; ".join(share_texts[:MAX_CLASSES]) + (" …" if len(share_texts) > MAX_CLASSES else "")
