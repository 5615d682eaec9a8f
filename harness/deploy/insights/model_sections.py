"""Sections about the model: what its predictions depend on, what would change them, and how certain it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.deploy.error_analysis import wilson_interval
from harness.deploy.insights import page
from harness.deploy.insights.confidence import QUANTILES, Z_95, Confidence, ReliabilityBin, new_rows_caveat
from harness.deploy.insights.contact_list import describe_shapley_values
from harness.deploy.insights.contributions import ContributionSummary
from harness.deploy.insights.counterfactuals import Counterfactual, FrequentChange, group_by_change
from harness.deploy.insights.dependence import NO_CURVE, NO_DIRECTION, describe_dependence
from harness.deploy.insights.importance import ColumnImportance, Importances, rank_units
from harness.deploy.insights.page import Block, FoldedBlock, InsightsSection, folding_table
from harness.deploy.insights.row_sections import describe_counted_rows
from harness.deploy.insights.scored_rows import ROW_HEADING, ScoredRows
from harness.deploy.insights.shapley import shapley_values
from harness.deploy.markdown import escape, format_decimal, format_percent, format_range, markdown_table
from harness.registry.task import take
from harness.report.render.cells import MISSING, format_interval
from harness.report.render.markdown import format_count, join_words

ASSOCIATIONS = (
    "**These are associations, not causes.** They say what the model goes by. Whether changing a column would change what "
    "happens, only a trial can say."
)
FALSE_POSITIVE_RATE = 0.025  #: share of columns without effect whose interval lies above 0
MAX_UNITS = 15
MAX_COUNTERFACTUALS, MAX_CHANGES = 12, 8
MAX_REMARKS = 8  #: columns with unseen or missing values
MIN_CERTAIN = 0.6  #: probability of the most probable class below which a prediction is uncertain
MAX_UNCERTAIN = 10
CONFIDENCE_TITLE = "How sure the model is"


def importance_section(
    scored: ScoredRows, importances: Importances | None, summary: ContributionSummary | None
) -> InsightsSection:
    """Describe what the model's predictions depend on.

    Parameters
    ----------
    scored : ScoredRows
        The rows.
    importances : Importances or None
        Measured at export; None if the bundle has none.
    summary : ContributionSummary or None
        Contributions of columns to the predictions of these rows.

    Returns
    -------
    InsightsSection
        Importances, partial dependence, contributions.
    """
    title = "What the model goes by"
    if scored.bundle.schema.modality != "tabular":
        note = "Column importances are measured for tables; here the reasons of single rows say what the model goes by."
        return InsightsSection(title, (note,))
    blocks: list[Block] = [ASSOCIATIONS]
    if importances is None:
        note = "The bundle holds no column importances (`evenhand export` measures them unless `--no-drivers` is said)."
        blocks.append(note)
    else:
        blocks += _importance_blocks(scored, importances)
    if summary is not None:
        rows = []
        for name, size in zip(summary.names, summary.mean_sizes, strict=True):
            if size > 0:
                rows.append([escape(name), format_decimal(size)])
        blocks.append(
            FoldedBlock(
                f"What each column adds for {format_count(summary.rows, 'row')} of these data",
                f"The mean size of its contribution to the log-odds before calibration ({summary.method}), whichever way it points. "
                "Here one column of several that go together may get all of what they share.\n\n"
                + markdown_table(["Column", "Mean size, log-odds"], rows[:MAX_UNITS]),
            )
        )
    return InsightsSection(title, tuple(blocks))


def _importance_blocks(scored: ScoredRows, importances: Importances) -> list[Block]:
    units = rank_units(importances)
    by_name = {column.columns[0]: column for column in importances.columns}
    rows = []
    for unit in units[:MAX_UNITS]:
        clearest = max(map(by_name.__getitem__, unit.columns), key=_dependence_clarity)
        dependence = describe_dependence(clearest.curve)
        if len(unit.columns) > 1 and clearest.curve:
            dependence = f"{escape(clearest.columns[0])}: {dependence}"
        name = " + ".join(map(escape, unit.columns))
        if unit.significant:
            name = f"**{name}**"
        rows.append([name, format_interval(unit.loss, unit.ci_half_width), dependence])
    introduction = (
        "How much the model loses when a column is shuffled among rows, which leaves everything else as it is: measured in "
        f"{format_count(importances.folds, 'outer fold')} on {importances.rows:,} rows that the models had not learnt from; "
        f"unshuffled, their {escape(importances.label)} is {format_decimal(importances.score)}. Columns that say much the same are "
        f"shuffled together, as the model may take one for the other. {_describe_significance(units)}"
    )
    header = ["Column", "Loss", "How the mean probability moves with it"]
    visible, *folded = folding_table(header, rows)
    blocks = [introduction, visible, *folded, page.plot_importances(units[: page.MAX_VISIBLE_ROWS], importances.label)]
    # The columns are sorted by loss already; those with a curve come first.
    curves = page.plot_dependence(importances.columns, scored.bundle.schema.classes[-1])
    if curves:
        blocks.append(curves)
        blocks.append(
            "A curve sets one column to a value in all rows and leaves the others as they are: where columns go together, some "
            "of these rows could not exist, and a curve says less there."
        )
    if importances.groups:
        single = []
        for column in importances.columns:
            loss = format_interval(column.loss, column.ci_half_width)
            single.append([escape(column.columns[0]), loss, describe_dependence(column.curve)])
        table = markdown_table(header, single)
        blocks.append(FoldedBlock(f"Each of {format_count(len(single), 'column')} alone", table))
    return blocks


def _dependence_clarity(column: ColumnImportance) -> tuple[bool, bool, float]:
    """Sort key: whether the dependence has a significant direction, whether it was measured, and the loss."""
    has_direction = describe_dependence(column.curve) not in (NO_CURVE, NO_DIRECTION)
    return has_direction, column.curve is not None, column.loss


def _describe_significance(units: Sequence[ColumnImportance]) -> str:
    if all(math.isnan(unit.ci_half_width) for unit in units):
        return "The folds allow no intervals, so nothing here, no direction either, differs significantly from chance."
    significant = sum(unit.significant for unit in units)
    return (
        f"**Bold**: the 95 % interval over the folds lies above 0, {significant} of {len(units)}; about "
        f"{FALSE_POSITIVE_RATE * len(units):.1f} would by chance alone."
    )


def counterfactual_section(
    scored: ScoredRows, counterfactuals: Sequence[Counterfactual], actionable: tuple[str, ...]
) -> InsightsSection:
    """Describe the nearest changes of actionable columns that would change predictions.

    Parameters
    ----------
    scored : ScoredRows
        The rows.
    counterfactuals : sequence of Counterfactual
        Of the rows of the list that are predicted positive.
    actionable : tuple of str
        The columns that may be changed.

    Returns
    -------
    InsightsSection
        The most frequent changes, and those of single rows.
    """
    title = "What would change the answer"
    if scored.bundle.schema.modality != "tabular":
        note = "This is for tables: a text or an image has no columns that could be acted on."
        return InsightsSection(title, (note,))
    if not actionable:
        note = "Say which columns somebody can act on, with `--actionable`, and the nearest changes stand here."
        return InsightsSection(title, (note,))
    negative, positive = map(escape, scored.bundle.schema.classes)
    if not counterfactuals:
        return InsightsSection(title, (f"No row of the list is predicted {positive} by the model.",))
    count = len(counterfactuals)
    sufficient = [row for row in counterfactuals if row.sufficient]
    insufficient = [row for row in counterfactuals if not row.sufficient and row.changes]
    introduction = (
        f"For the first {count:,} rows of the list that the model predicts as {positive}: the smallest change of "
        f"{join_words(list(map(escape, actionable)))}, one column or two, with which it would predict them as {negative}. Only values "
        f"and pairs of values that occur in these data are tried. Found for **{len(sufficient):,}**; for "
        f"{count - len(sufficient):,} no such change is enough."
    )
    blocks: list[Block] = [ASSOCIATIONS, introduction]
    for heading, rows in (("Nearest change", sufficient), ("Largest fall, not enough", insufficient)):
        if rows:
            header = [heading, "Rows", "Of those asked about", "Mean probability", "Would be"]
            frequent = group_by_change(rows)[:MAX_CHANGES]
            blocks.append(markdown_table(header, [_frequent_change_cells(change, count) for change in frequent]))
    single = [*sufficient, *insufficient][:MAX_COUNTERFACTUALS]
    if single:
        header = [ROW_HEADING, "The bundle's model says", "Would be", "If"]
        blocks.append(FoldedBlock("Row by row", markdown_table(header, list(map(_counterfactual_cells, single)))))
    return InsightsSection(title, tuple(blocks))


def _frequent_change_cells(change: FrequentChange, total: int) -> list[str]:
    probabilities = map(format_decimal, (change.probability, change.new_probability))
    return [escape("; ".join(change.changes)), f"{change.rows:,}", format_percent(change.rows / total), *probabilities]


def _counterfactual_cells(row: Counterfactual) -> list[str]:
    changes = []
    for name, own, new in row.changes:
        changes.append(f"{escape(name)} were {escape(new)} instead of {escape(own)}")
    probabilities = map(format_decimal, (row.probability, row.new_probability))
    return [f"{row.row:,}", *probabilities, "; ".join(changes)]


def confidence_section(scored: ScoredRows, confidence: Confidence) -> InsightsSection:
    """Describe how many rows are close calls, and whether probabilities came true.

    Parameters
    ----------
    scored : ScoredRows
        Rows of two classes.
    confidence : Confidence
        Of these rows.

    Returns
    -------
    InsightsSection
        Close calls, the distribution of probabilities, their calibration, and unusual values.
    """
    levels = join_words([f"{100 * level:.0f} %" for level in QUANTILES])
    introduction = (
        f"{format_count(confidence.predicted_positive, 'row')} of {confidence.rows:,} reach the threshold of "
        f"{format_decimal(scored.threshold)} and are predicted {escape(scored.positive_label)}. "
        f"**{format_percent(confidence.close_calls / confidence.rows)}** are close calls: their odds differ from the threshold's by "
        f"less than half. Probabilities below which {levels} of the rows lie: "
        f"{', '.join(map(format_decimal, confidence.quantiles))}."
    )
    blocks: list[Block] = [introduction, page.plot_confidence(scored.positive_proba, scored.threshold, confidence.bins)]
    if confidence.bins:
        verdict = (
            "which chance does not explain: **take probabilities, and profits computed from them, as an order only**"
        )
        if confidence.calibrated:
            verdict = "as chance allows: the probabilities hold on the whole"
            outside = len(confidence.bins) - sum(reliability.calibrated for reliability in confidence.bins)
            if outside > 1:
                verdict += (
                    f", though in {outside} of {len(confidence.bins)} tenths of the rows they lie outside the interval"
                )
        margin = Z_95 * max(confidence.standard_deviation, 0.0)
        blocks.append(
            f"Where outcomes are known, the probabilities add up to {confidence.expected_positives:,.0f} "
            f"{escape(scored.positive_name)} (± {margin:,.0f}), and {confidence.positives:,} there were, {verdict}."
        )
        header = ["Rows", "Said", "Came true", "95 % interval", "Said lies"]
        table = markdown_table(header, list(map(_reliability_cells, confidence.bins)))
        blocks.append(FoldedBlock("Tenths of the rows by probability", table))
    if confidence.unseen_values:
        columns = _format_column_counts(confidence.unseen_values)
        note = f"Values that training did not have, where the model has nothing to go by: {columns} of {confidence.rows:,} rows."
        blocks.append(note)
    if confidence.missing_values:
        blocks.append(f"Missing values: {_format_column_counts(confidence.missing_values)}.")
    if not confidence.unseen_values and not confidence.missing_values:
        blocks.append("No row holds a value that training did not have, and none is missing.")
    return InsightsSection(CONFIDENCE_TITLE, tuple(blocks))


def _reliability_cells(reliability: ReliabilityBin) -> list[str]:
    mean, share = format_percent(reliability.mean_probability), format_percent(reliability.share)
    interval = format_range(format_percent(reliability.low), format_percent(reliability.high))
    return [f"{reliability.rows:,}", mean, share, interval, "" if reliability.calibrated else "outside"]


def _format_column_counts(counts: Sequence[tuple[str, int]]) -> str:
    return join_words([f"{escape(name)} ({rows:,})" for name, rows in counts[:MAX_REMARKS]])


def multiclass_sections(scored: ScoredRows, importances: Importances | None, seed: int) -> list[InsightsSection]:
    """Describe rows of more than two classes: their predicted classes, uncertain rows, and what the model depends on.

    Parameters
    ----------
    scored : ScoredRows
        Rows of more than two classes.
    importances : Importances or None
        Measured at export; None if the bundle has none.
    seed : int
        Seed of sampled reasons.

    Returns
    -------
    list of InsightsSection
        Three sections.
    """
    return [_predicted_section(scored), _uncertain_section(scored, seed), importance_section(scored, importances, None)]


def _predicted_section(scored: ScoredRows) -> InsightsSection:
    """Describe how many rows are predicted in each class, and how many of these predictions came true."""
    decided, rows = scored.bundle.decide(scored.proba), scored.evaluated
    header, table = ["Class", "Rows", "Mean probability"], []
    if len(rows):
        header += ["Of known ones", "Right", "95 % interval"]
    for class_index, name in enumerate(scored.bundle.schema.classes):
        predicted = decided == class_index
        mean = format_decimal(float(scored.proba[predicted, class_index].mean())) if predicted.any() else MISSING
        cells = [escape(name), f"{int(predicted.sum()):,}", mean]
        if len(rows):
            outcomes = scored.y[rows][predicted[rows]]
            count, correct = len(outcomes), int((outcomes == class_index).sum())
            low, high = map(format_percent, wilson_interval(correct, count))
            share = format_percent(correct / count) if count else MISSING
            cells += [f"{count:,}", share, format_range(low, high)]
        table.append(cells)
    blocks: list[Block] = []
    if len(rows):
        blocks.append(f"What came true is counted on {describe_counted_rows(scored)}.")
        if caveat := new_rows_caveat(scored):
            blocks.append(caveat)
    blocks.append(markdown_table(header, table))
    blocks.append("Whom to contact, gains and profit need two classes, of which one is wanted or feared.")
    return InsightsSection("Predicted classes", tuple(blocks))


def _uncertain_section(scored: ScoredRows, seed: int) -> InsightsSection:
    """Describe the rows whose most probable class has a low probability, with the reasons for it."""
    bundle, highest = scored.bundle, scored.proba.max(axis=1)
    uncertain = np.flatnonzero(highest < MIN_CERTAIN)
    share = format_percent(len(uncertain) / len(scored))
    summary = f"**{share}** of the rows have no class with a probability of {MIN_CERTAIN} or more."
    chosen = uncertain[np.argsort(highest[uncertain], kind="stable")][:MAX_UNCERTAIN]
    if not len(chosen):
        return InsightsSection(CONFIDENCE_TITLE, (summary,))
    explained = shapley_values(bundle.predict_proba, bundle.schema, take(scored.X, chosen), seed)
    table = []
    for row, values in zip(chosen.tolist(), explained, strict=True):
        identifier = escape(scored.identifiers.iloc[row, 0]) if scored.identifiers.shape[1] else f"{row:,}"
        cells = [identifier]
        for class_index in np.argsort(-scored.proba[row])[:2]:
            name = escape(bundle.schema.classes[class_index])
            cells.append(f"{name} ({format_decimal(scored.proba[row, class_index])})")
        table.append([*cells, escape("; ".join(describe_shapley_values(values)))])
    header = [ROW_HEADING, "Likeliest", "Next", "Mostly because, for the model's first choice"]
    introduction = "The least sure ones, which a person should look at:"
    return InsightsSection(CONFIDENCE_TITLE, (summary, introduction, markdown_table(header, table)))
