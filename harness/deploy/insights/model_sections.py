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
        explanation_text = (
            f"The mean size of its contribution to the log-odds before calibration ({summary.method}), whichever way it "
            "points. Here one column of several that go together may get all of what they share."
        )
        title_line = f"What each column adds for {format_count(summary.rows, 'row')} of these data"
        blocks.append(CollapsedParts(title_line, (explanation_text, ReportTable(columns, tuple(sizes[:MAX_UNITS])))))
    return Section(title, tuple(blocks))


def _importance_blocks(scored_rows: ScoredRows, importances: Importances) -> list[Part]:
    column_groups = rank_groups_and_columns(importances)
    by_name = {column.columns[0]: column for column in importances.columns}
    rows = []
    for column_group in column_groups[:MAX_UNITS]:
        clearest_column = max(map(by_name.__getitem__, column_group.columns), key=_dependence_sort_key)
        dependence_text = describe_dependence(clearest_column.curve)
        if len(column_group.columns) > 1 and clearest_column.curve:
            dependence_text = f"{clearest_column.columns[0]}: {dependence_text}"
        name = ReportCell(" + ".join(column_group.columns), best=column_group.is_significant)
        rows.append((name, MeanInterval(column_group.loss, column_group.ci_half_width), dependence_text))
    introduction_text = (
        "How much the model loses when a column is shuffled among rows, which leaves everything else as it is: measured in "
        f"{format_count(importances.folds, 'outer fold')} on {importances.rows:,} rows that the models had not learnt from; "
        f"unshuffled, their {escape(importances.label)} is {format_number(importances.score)}. Columns that say much the same are "
        f"shuffled together, as the model may take one for the other. {_describe_significant_importances(column_groups)}"
    )
    header = (
        *(ReportColumn("Column"), ReportColumn("Loss", "number")),
        ReportColumn("How the mean probability moves with it"),
    )
    chart = figures.plot_importances(column_groups[:MAX_DRAWN_UNITS], importances.label)
    section_blocks: list[Part] = [introduction_text, ReportTable(header, tuple(rows)), chart]
    # The columns are sorted by loss already; those with a curve come first.
    curves = figures.plot_dependence(importances.columns, scored_rows.bundle.schema.classes[-1])
    if curves:
        section_blocks.append(curves)
        section_blocks.append(
            "A curve sets one column to a value in all rows and leaves the others as they are: where columns go together, some "
            "of these rows could not exist, and a curve says less there."
        )
    if importances.groups:
        single_columns = []
        for column in importances.columns:
            loss = MeanInterval(column.loss, column.ci_half_width)
            single_columns.append((column.columns[0], loss, describe_dependence(column.curve)))
        table = ReportTable(header, tuple(single_columns), foldable=False)
        section_blocks.append(CollapsedParts(f"Each of {format_count(len(single_columns), 'column')} alone", (table,)))
    return section_blocks


def _dependence_sort_key(column: ColumnImportance) -> tuple[bool, bool, float]:
    """Sort key: whether the dependence has a significant direction, whether it was measured, and the loss."""
    has_direction = describe_dependence(column.curve) not in (NO_CURVE, NO_DIRECTION)
    return has_direction, column.curve is not None, column.loss


def _describe_significant_importances(column_groups: Sequence[ColumnImportance]) -> str:
    if all(math.isnan(column_group.ci_half_width) for column_group in column_groups):
        return "The folds allow no intervals, so nothing here, no direction either, differs significantly from chance."
    significant_count = sum(column_group.is_significant for column_group in column_groups)
    return (
        f"**Bold**: the 95 % interval over the folds lies above 0, {significant_count} of {len(column_groups)}; about "
        f"{FALSE_POSITIVE_RATE * len(column_groups):.1f} would by chance alone."
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
        section_note = "This is for tables: a text or an image has no columns that could be acted on."
        return Section(title, (section_note,))
    if not actionable:
        section_note = "Say which columns somebody can act on, with `--actionable`, and the nearest changes stand here."
        return Section(title, (section_note,))
    negative, positive_class = map(escape, scored.bundle.schema.classes)
    if not counterfactuals:
        return Section(title, (f"No row of the list is predicted {positive_class} by the model.",))
    count = len(counterfactuals)
    sufficient = []
    for row in counterfactuals:
        if row.sufficient:
            sufficient.append(row)
    insufficient_changes = []
    for row in counterfactuals:
        if not row.sufficient and row.changes:
            insufficient_changes.append(row)
    introduction_text = (
        f"For the first {count:,} rows of the list that the model predicts as {positive_class}: the smallest change of "
        f"{join_words(list(map(escape, actionable)))}, one column or two, with which it would predict them as {negative}. Only values "
        f"and pairs of values that occur in these data are tried. Found for **{len(sufficient):,}**; for "
        f"{count - len(sufficient):,} no such change is enough."
    )
    return Section(
        title,
        (ASSOCIATIONS, introduction_text, *_counterfactual_tables(sufficient, insufficient_changes, count)),
    )


def _counterfactual_tables(
    sufficient_changes: Sequence[Counterfactual], insufficient_changes: Sequence[Counterfactual], count: int
) -> list[Part]:
    """The most frequent changes of `count` rows, and the changes row by row."""
    tables: list[Part] = []
    for heading, rows in (("Nearest change", sufficient_changes), ("Largest fall, not enough", insufficient_changes)):
        if rows:
            frequent_changes = group_counterfactuals_by_change(rows)[:MAX_CHANGES]
            cells = tuple(_frequent_change_cells(change, count) for change in frequent_changes)
            tables.append(ReportTable((ReportColumn(heading), *FREQUENT_CHANGE_COLUMNS), cells))
    single_rows = [*sufficient_changes, *insufficient_changes][:MAX_COUNTERFACTUALS]
    if single_rows:
        table = ReportTable(COUNTERFACTUAL_COLUMNS, tuple(map(_counterfactual_cells, single_rows)))
        tables.append(CollapsedParts("Row by row", (table,)))
    return tables


def _frequent_change_cells(change: FrequentChange, total_rows: int) -> tuple[CellValue, ...]:
    return "; ".join(change.changes), change.rows, change.rows / total_rows, change.probability, change.new_probability


def _counterfactual_cells(row: Counterfactual) -> tuple[CellValue, ...]:
    changes_text = "; ".join(
        f"{name} were {new_value} instead of {own_value}" for name, own_value, new_value in row.changes
    )
    return row.row, row.probability, row.new_probability, changes_text


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
    introduction_text = (
        f"{format_count(confidence.predicted_positive, 'row')} of {confidence.rows:,} reach the threshold of "
        f"{format_number(scored.threshold)} and are predicted {escape(scored.positive_label)}. "
        f"**{format_share(confidence.close_calls / confidence.rows)}** are close calls: their odds differ from the threshold's by "
        f"less than half. Probabilities below which {levels} of the rows lie: "
        f"{', '.join(map(format_number, confidence.quantiles))}."
    )
    section_blocks: list[Part] = [
        introduction_text,
        figures.plot_confidence(scored.positive_proba, scored.threshold, confidence.bins),
    ]
    if confidence.bins:
        verdict = (
            "which chance does not explain: **take probabilities, and profits computed from them, as an order only**"
        )
        if confidence.is_calibrated:
            verdict = "as chance allows: the probabilities hold on the whole"
            outside = len(confidence.bins) - sum(reliability_bin.is_calibrated for reliability_bin in confidence.bins)
            if outside > 1:
                verdict += (
                    f", though in {outside} of {len(confidence.bins)} tenths of the rows they lie outside the interval"
                )
        mean_margin = Z_95 * max(confidence.standard_deviation, 0.0)
        section_blocks.append(
            f"Where outcomes are known, the probabilities add up to {confidence.expected_positives:,.0f} "
            f"{escape(scored.positive_name)} (± {mean_margin:,.0f}), and {confidence.positives:,} there were, {verdict}."
        )
        table = ReportTable(RELIABILITY_COLUMNS, tuple(map(_reliability_cells, confidence.bins)))
        section_blocks.append(CollapsedParts("Tenths of the rows by probability", (table,)))
    if confidence.unseen_values:
        columns = _format_column_counts(confidence.unseen_values)
        note = f"Values that training did not have, where the model has nothing to go by: {columns} of {confidence.rows:,} rows."
        section_blocks.append(note)
    if confidence.missing_values:
        section_blocks.append(f"Missing values: {_format_column_counts(confidence.missing_values)}.")
    if not confidence.unseen_values and not confidence.missing_values:
        section_blocks.append("No row holds a value that training did not have, and none is missing.")
    return Section(CONFIDENCE_TITLE, tuple(section_blocks))


def _reliability_cells(reliability_bin: ReliabilityBin) -> tuple[CellValue, ...]:
    interval, position = (
        Interval(reliability_bin.low, reliability_bin.high),
        "" if reliability_bin.is_calibrated else "outside",
    )
    return reliability_bin.rows, reliability_bin.mean_probability, reliability_bin.share, interval, position


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


def _predicted_classes_section(scored_rows: ScoredRows) -> Section:
    """Describe how many rows are predicted in each class, and how many of these predictions came true."""
    chosen_classes, rows = scored_rows.bundle.choose_classes(scored_rows.proba), scored_rows.evaluated_rows
    table = []
    for class_index, name in enumerate(scored_rows.bundle.schema.classes):
        is_predicted = chosen_classes == class_index
        mean = float(scored_rows.proba[is_predicted, class_index].mean()) if is_predicted.any() else None
        cells: list[CellValue] = [name, int(is_predicted.sum()), mean]
        if len(rows):
            known_outcomes = scored_rows.y[rows][is_predicted[rows]]
            count, correct_rows = len(known_outcomes), int((known_outcomes == class_index).sum())
            cells += [count, correct_rows / count if count else None, Interval(*wilson_interval(correct_rows, count))]
        table.append(tuple(cells))
    section_blocks: list[Part] = []
    if len(rows):
        section_blocks.append(f"What came true is counted on {describe_rows_with_outcome(scored_rows)}.")
        if caveat_text := warn_of_changed_training_rows(scored_rows):
            section_blocks.append(caveat_text)
    section_blocks.append(ReportTable((*PREDICTED_COLUMNS, *(OUTCOME_COLUMNS if len(rows) else ())), tuple(table)))
    section_blocks.append("Whom to contact, gains and profit need two classes, of which one is wanted or feared.")
    return Section("Predicted classes", tuple(section_blocks))


def _uncertain_rows_section(scored_rows: ScoredRows, seed: int) -> Section:
    """Describe the rows whose most probable class has a low probability, with the reasons for it."""
    bundle, highest = scored_rows.bundle, scored_rows.proba.max(axis=1)
    uncertain_rows = np.flatnonzero(highest < MIN_CERTAIN)
    share = format_share(len(uncertain_rows) / len(scored_rows))
    summary = f"**{share}** of the rows have no class with a probability of {MIN_CERTAIN} or more."
    chosen_rows = uncertain_rows[np.argsort(highest[uncertain_rows], kind="stable")][:MAX_UNCERTAIN]
    if not len(chosen_rows):
        return Section(CONFIDENCE_TITLE, (summary,))
    row_explanations = shapley_values(bundle.predict_proba, bundle.schema, take(scored_rows.X, chosen_rows), seed)
    table = []
    for row, shapley_row in zip(chosen_rows.tolist(), row_explanations, strict=True):
        cells = [f"{row:,}"]
        if scored_rows.identifiers.shape[1]:
            cells = [str(scored_rows.identifiers.iloc[row, 0])]
        for class_index in np.argsort(-scored_rows.proba[row])[:2]:
            name = bundle.schema.classes[class_index]
            cells.append(f"{name} ({format_number(scored_rows.proba[row, class_index])})")
        table.append((*cells, "; ".join(describe_shapley_values(shapley_row))))
    introduction_text = "The least sure ones, which a person should look at:"
    return Section(CONFIDENCE_TITLE, (summary, introduction_text, ReportTable(UNCERTAIN_COLUMNS, tuple(table))))
