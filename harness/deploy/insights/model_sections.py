"""Sections about the model: what its predictions depend on, what would change them, and how certain it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.deploy.error_analysis import wilson_interval
from harness.deploy.insights import figures
from harness.deploy.insights.confidence import (
    QUANTILES,
    Z_95,
    ConfidenceAssessment,
    ReliabilityBin,
    warn_of_changed_training_rows,
)
from harness.deploy.insights.contact_list import describe_shapley_values
from harness.deploy.insights.contributions import ContributionSummary
from harness.deploy.insights.counterfactuals import Counterfactual, FrequentChange, group_counterfactuals_by_change
from harness.deploy.insights.dependence import NO_CURVE, NO_DIRECTION, describe_dependence
from harness.deploy.insights.importance import ColumnImportance, Importances, rank_groups_and_columns
from harness.deploy.insights.row_sections import describe_rows_with_outcome
from harness.deploy.insights.scored_rows import ROW_HEADING, ScoredRows
from harness.deploy.insights.shapley import shapley_values
from harness.registry.task import take
from harness.report.content import (
    CellValue,
    CollapsedParts,
    Interval,
    MeanInterval,
    Part,
    ReportCell,
    ReportColumn,
    ReportTable,
    Section,
)
from harness.report.render.cells import format_number, format_share
from harness.report.render.markdown import escape, format_count, join_words

ASSOCIATIONS = (
    "**These are associations, not causes.** They say what the model goes by. Whether changing a column would change what "
    "happens, only a trial can say."
)
FALSE_POSITIVE_RATE = 0.025  #: share of columns without effect whose interval lies above 0
MAX_UNITS, MAX_DRAWN_UNITS = 15, 12
MAX_COUNTERFACTUALS, MAX_CHANGES = 12, 8
MAX_REMARKS = 8  #: columns with unseen or missing values
MIN_CERTAIN = 0.6  #: probability of the most probable class below which a prediction is uncertain
MAX_UNCERTAIN = 10
CONFIDENCE_TITLE = "How sure the model is"
FREQUENT_CHANGE_COLUMNS = (
    ReportColumn("Rows", "count"),
    ReportColumn("Of those asked about", "share"),
    ReportColumn("Mean probability", "number"),
    ReportColumn("Would be", "number"),
)
COUNTERFACTUAL_COLUMNS = (
    ReportColumn(ROW_HEADING, "count"),
    ReportColumn("The bundle's model says", "number"),
    ReportColumn("Would be", "number"),
    ReportColumn("If"),
)
RELIABILITY_COLUMNS = (
    ReportColumn("Rows", "count"),
    ReportColumn("Said", "share"),
    ReportColumn("Came true", "share"),
    ReportColumn("95 % interval", "share"),
    ReportColumn("Said lies"),
)
PREDICTED_COLUMNS = (ReportColumn("Class"), ReportColumn("Rows", "count"), ReportColumn("Mean probability", "number"))
OUTCOME_COLUMNS = (
    ReportColumn("Of known ones", "count"),
    ReportColumn("Right", "share"),
    ReportColumn("95 % interval", "share"),
)
UNCERTAIN_COLUMNS = (
    ReportColumn(ROW_HEADING),
    ReportColumn("Likeliest"),
    ReportColumn("Next"),
    ReportColumn("Mostly because, for the model's first choice"),
)


def importance_section(
    scored: ScoredRows, importances: Importances | None, summary: ContributionSummary | None
) -> Section:
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
    Section
        Importances, partial dependence, contributions.
    """
    title = "What the model goes by"
    if scored.bundle.schema.modality != "tabular":
        note = "Column importances are measured for tables; here the reasons of single rows say what the model goes by."
        return Section(title, (note,))
    blocks: list[Part] = [ASSOCIATIONS]
    if importances is None:
        note = "The bundle holds no column importances (`evenhand export` measures them unless `--no-drivers` is said)."
        blocks.append(note)
    else:
        blocks += _importance_blocks(scored, importances)
    if summary is not None:
        sizes = []
        for pair in zip(summary.names, summary.mean_sizes, strict=True):
            if pair[1] > 0:
                sizes.append(pair)
        columns = ReportColumn("Column"), ReportColumn("Mean size, log-odds", "number")
        explanation = (
            f"The mean size of its contribution to the log-odds before calibration ({summary.method}), whichever way it "
            "points. Here one column of several that go together may get all of what they share."
        )
        title_line = f"What each column adds for {format_count(summary.rows, 'row')} of these data"
        blocks.append(CollapsedParts(title_line, (explanation, ReportTable(columns, tuple(sizes[:MAX_UNITS])))))
    return Section(title, tuple(blocks))


def _importance_blocks(scored: ScoredRows, importances: Importances) -> list[Part]:
    units = rank_groups_and_columns(importances)
    by_name = {column.columns[0]: column for column in importances.columns}
    rows = []
    for unit in units[:MAX_UNITS]:
        clearest = max(map(by_name.__getitem__, unit.columns), key=_dependence_sort_key)
        dependence = describe_dependence(clearest.curve)
        if len(unit.columns) > 1 and clearest.curve:
            dependence = f"{clearest.columns[0]}: {dependence}"
        name = ReportCell(" + ".join(unit.columns), best=unit.is_significant)
        rows.append((name, MeanInterval(unit.loss, unit.ci_half_width), dependence))
    introduction = (
        "How much the model loses when a column is shuffled among rows, which leaves everything else as it is: measured in "
        f"{format_count(importances.folds, 'outer fold')} on {importances.rows:,} rows that the models had not learnt from; "
        f"unshuffled, their {escape(importances.label)} is {format_number(importances.score)}. Columns that say much the same are "
        f"shuffled together, as the model may take one for the other. {_describe_significant_importances(units)}"
    )
    header = (
        *(ReportColumn("Column"), ReportColumn("Loss", "number")),
        ReportColumn("How the mean probability moves with it"),
    )
    chart = figures.plot_importances(units[:MAX_DRAWN_UNITS], importances.label)
    blocks: list[Part] = [introduction, ReportTable(header, tuple(rows)), chart]
    # The columns are sorted by loss already; those with a curve come first.
    curves = figures.plot_dependence(importances.columns, scored.bundle.schema.classes[-1])
    if curves:
        blocks.append(curves)
        blocks.append(
            "A curve sets one column to a value in all rows and leaves the others as they are: where columns go together, some "
            "of these rows could not exist, and a curve says less there."
        )
    if importances.groups:
        single = []
        for column in importances.columns:
            loss = MeanInterval(column.loss, column.ci_half_width)
            single.append((column.columns[0], loss, describe_dependence(column.curve)))
        table = ReportTable(header, tuple(single), foldable=False)
        blocks.append(CollapsedParts(f"Each of {format_count(len(single), 'column')} alone", (table,)))
    return blocks


def _dependence_sort_key(column: ColumnImportance) -> tuple[bool, bool, float]:
    """Sort key: whether the dependence has a significant direction, whether it was measured, and the loss."""
    has_direction = describe_dependence(column.curve) not in (NO_CURVE, NO_DIRECTION)
    return has_direction, column.curve is not None, column.loss


def _describe_significant_importances(units: Sequence[ColumnImportance]) -> str:
    if all(math.isnan(unit.ci_half_width) for unit in units):
        return "The folds allow no intervals, so nothing here, no direction either, differs significantly from chance."
    significant = sum(unit.is_significant for unit in units)
    return (
        f"**Bold**: the 95 % interval over the folds lies above 0, {significant} of {len(units)}; about "
        f"{FALSE_POSITIVE_RATE * len(units):.1f} would by chance alone."
    )


def counterfactual_section(
    scored: ScoredRows, counterfactuals: Sequence[Counterfactual], actionable: tuple[str, ...]
) -> Section:
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
    Section
        The most frequent changes, and those of single rows.
    """
    title = "What would change the answer"
    if scored.bundle.schema.modality != "tabular":
        note = "This is for tables: a text or an image has no columns that could be acted on."
        return Section(title, (note,))
    if not actionable:
        note = "Say which columns somebody can act on, with `--actionable`, and the nearest changes stand here."
        return Section(title, (note,))
    negative, positive = map(escape, scored.bundle.schema.classes)
    if not counterfactuals:
        return Section(title, (f"No row of the list is predicted {positive} by the model.",))
    count = len(counterfactuals)
    sufficient = []
    for row in counterfactuals:
        if row.sufficient:
            sufficient.append(row)
    insufficient = []
    for row in counterfactuals:
        if not row.sufficient and row.changes:
            insufficient.append(row)
    introduction = (
        f"For the first {count:,} rows of the list that the model predicts as {positive}: the smallest change of "
        f"{join_words(list(map(escape, actionable)))}, one column or two, with which it would predict them as {negative}. Only values "
        f"and pairs of values that occur in these data are tried. Found for **{len(sufficient):,}**; for "
        f"{count - len(sufficient):,} no such change is enough."
    )
    return Section(title, (ASSOCIATIONS, introduction, *_counterfactual_tables(sufficient, insufficient, count)))


def _counterfactual_tables(
    sufficient: Sequence[Counterfactual], insufficient: Sequence[Counterfactual], count: int
) -> list[Part]:
    """The most frequent changes of `count` rows, and the changes row by row."""
    tables: list[Part] = []
    for heading, rows in (("Nearest change", sufficient), ("Largest fall, not enough", insufficient)):
        if rows:
            frequent = group_counterfactuals_by_change(rows)[:MAX_CHANGES]
            cells = tuple(_frequent_change_cells(change, count) for change in frequent)
            tables.append(ReportTable((ReportColumn(heading), *FREQUENT_CHANGE_COLUMNS), cells))
    single = [*sufficient, *insufficient][:MAX_COUNTERFACTUALS]
    if single:
        table = ReportTable(COUNTERFACTUAL_COLUMNS, tuple(map(_counterfactual_cells, single)))
        tables.append(CollapsedParts("Row by row", (table,)))
    return tables


def _frequent_change_cells(change: FrequentChange, total: int) -> tuple[CellValue, ...]:
    return "; ".join(change.changes), change.rows, change.rows / total, change.probability, change.new_probability


def _counterfactual_cells(row: Counterfactual) -> tuple[CellValue, ...]:
    changes = "; ".join(f"{name} were {new} instead of {own}" for name, own, new in row.changes)
    return row.row, row.probability, row.new_probability, changes


def confidence_section(scored: ScoredRows, confidence: ConfidenceAssessment) -> Section:
    """Describe how many rows are close calls, and whether probabilities came true.

    Parameters
    ----------
    scored : ScoredRows
        Rows of two classes.
    confidence : ConfidenceAssessment
        Of these rows.

    Returns
    -------
    Section
        Close calls, the distribution of probabilities, their calibration, and unusual values.
    """
    levels = join_words([f"{100 * level:.0f} %" for level in QUANTILES])
    introduction = (
        f"{format_count(confidence.predicted_positive, 'row')} of {confidence.rows:,} reach the threshold of "
        f"{format_number(scored.threshold)} and are predicted {escape(scored.positive_label)}. "
        f"**{format_share(confidence.close_calls / confidence.rows)}** are close calls: their odds differ from the threshold's by "
        f"less than half. Probabilities below which {levels} of the rows lie: "
        f"{', '.join(map(format_number, confidence.quantiles))}."
    )
    blocks: list[Part] = [
        introduction,
        figures.plot_confidence(scored.positive_proba, scored.threshold, confidence.bins),
    ]
    if confidence.bins:
        verdict = (
            "which chance does not explain: **take probabilities, and profits computed from them, as an order only**"
        )
        if confidence.is_calibrated:
            verdict = "as chance allows: the probabilities hold on the whole"
            outside = len(confidence.bins) - sum(reliability.is_calibrated for reliability in confidence.bins)
            if outside > 1:
                verdict += (
                    f", though in {outside} of {len(confidence.bins)} tenths of the rows they lie outside the interval"
                )
        margin = Z_95 * max(confidence.standard_deviation, 0.0)
        blocks.append(
            f"Where outcomes are known, the probabilities add up to {confidence.expected_positives:,.0f} "
            f"{escape(scored.positive_name)} (± {margin:,.0f}), and {confidence.positives:,} there were, {verdict}."
        )
        table = ReportTable(RELIABILITY_COLUMNS, tuple(map(_reliability_cells, confidence.bins)))
        blocks.append(CollapsedParts("Tenths of the rows by probability", (table,)))
    if confidence.unseen_values:
        columns = _format_column_counts(confidence.unseen_values)
        note = f"Values that training did not have, where the model has nothing to go by: {columns} of {confidence.rows:,} rows."
        blocks.append(note)
    if confidence.missing_values:
        blocks.append(f"Missing values: {_format_column_counts(confidence.missing_values)}.")
    if not confidence.unseen_values and not confidence.missing_values:
        blocks.append("No row holds a value that training did not have, and none is missing.")
    return Section(CONFIDENCE_TITLE, tuple(blocks))


def _reliability_cells(reliability: ReliabilityBin) -> tuple[CellValue, ...]:
    interval, position = Interval(reliability.low, reliability.high), "" if reliability.is_calibrated else "outside"
    return reliability.rows, reliability.mean_probability, reliability.share, interval, position


def _format_column_counts(counts: Sequence[tuple[str, int]]) -> str:
    return join_words([f"{escape(name)} ({rows:,})" for name, rows in counts[:MAX_REMARKS]])


def multiclass_sections(scored: ScoredRows, importances: Importances | None, seed: int) -> list[Section]:
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
    list of Section
        Three sections.
    """
    return [
        _predicted_classes_section(scored),
        _uncertain_rows_section(scored, seed),
        importance_section(scored, importances, None),
    ]


def _predicted_classes_section(scored: ScoredRows) -> Section:
    """Describe how many rows are predicted in each class, and how many of these predictions came true."""
    decided, rows = scored.bundle.choose_classes(scored.proba), scored.evaluated_rows
    table = []
    for class_index, name in enumerate(scored.bundle.schema.classes):
        predicted = decided == class_index
        mean = float(scored.proba[predicted, class_index].mean()) if predicted.any() else None
        cells: list[CellValue] = [name, int(predicted.sum()), mean]
        if len(rows):
            outcomes = scored.y[rows][predicted[rows]]
            count, correct = len(outcomes), int((outcomes == class_index).sum())
            cells += [count, correct / count if count else None, Interval(*wilson_interval(correct, count))]
        table.append(tuple(cells))
    blocks: list[Part] = []
    if len(rows):
        blocks.append(f"What came true is counted on {describe_rows_with_outcome(scored)}.")
        if caveat := warn_of_changed_training_rows(scored):
            blocks.append(caveat)
    blocks.append(ReportTable((*PREDICTED_COLUMNS, *(OUTCOME_COLUMNS if len(rows) else ())), tuple(table)))
    blocks.append("Whom to contact, gains and profit need two classes, of which one is wanted or feared.")
    return Section("Predicted classes", tuple(blocks))


def _uncertain_rows_section(scored: ScoredRows, seed: int) -> Section:
    """Describe the rows whose most probable class has a low probability, with the reasons for it."""
    bundle, highest = scored.bundle, scored.proba.max(axis=1)
    uncertain = np.flatnonzero(highest < MIN_CERTAIN)
    share = format_share(len(uncertain) / len(scored))
    summary = f"**{share}** of the rows have no class with a probability of {MIN_CERTAIN} or more."
    chosen = uncertain[np.argsort(highest[uncertain], kind="stable")][:MAX_UNCERTAIN]
    if not len(chosen):
        return Section(CONFIDENCE_TITLE, (summary,))
    explained = shapley_values(bundle.predict_proba, bundle.schema, take(scored.X, chosen), seed)
    table = []
    for row, values in zip(chosen.tolist(), explained, strict=True):
        cells = [f"{row:,}"]
        if scored.identifiers.shape[1]:
            cells = [str(scored.identifiers.iloc[row, 0])]
        for class_index in np.argsort(-scored.proba[row])[:2]:
            name = bundle.schema.classes[class_index]
            cells.append(f"{name} ({format_number(scored.proba[row, class_index])})")
        table.append((*cells, "; ".join(describe_shapley_values(values))))
    introduction = "The least sure ones, which a person should look at:"
    return Section(CONFIDENCE_TITLE, (summary, introduction, ReportTable(UNCERTAIN_COLUMNS, tuple(table))))
