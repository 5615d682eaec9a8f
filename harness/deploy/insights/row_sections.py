"""Sections about the scored rows: whom to contact, what that finds and earns, where the positive class is frequent."""

from __future__ import annotations

import math

import numpy as np

from harness.deploy.insights.confidence import Z_95, warn_of_changed_training_rows
from harness.deploy.insights.contact_list import ContactList
from harness.deploy.insights.figures import plot_gains
from harness.deploy.insights.gains import PROFIT_ROWS, Campaign, ContactRule, Gains, GainsRow
from harness.deploy.insights.scored_rows import HELD_OUT, LEARNT, NEW, ROW_HEADING, ScoredRows
from harness.deploy.insights.segments import RowSegment, SegmentCounts
from harness.report.content import CellValue, Interval, Part, ReportColumn, ReportTable, Section
from harness.report.render.cells import format_quantity, format_share
from harness.report.render.markdown import escape, format_count, join_words

MIN_CLASS_ROWS = 30  #: rows of a class below which bootstrap samples vary too little
MAX_LISTED = 25  #: contacts on the page; the file has them all


def contact_section(scored: ScoredRows, contact_list: ContactList, campaign: Campaign, caveat: str = "") -> Section:
    """Describe the contact list: its length, what it should contain, and its first rows.

    Parameters
    ----------
    scored : ScoredRows
        The rows that the list was chosen from.
    contact_list : ContactList
        The list.
    campaign : Campaign
        Gives the expected profit, if it has a value.
    caveat : str, default ""
        A warning about the probabilities.

    Returns
    -------
    Section
        Ends with a table of the first 25 contacts.
    """
    title, positive, count = "Whom to contact", escape(scored.positive_name), len(contact_list.contacts)
    if not count:
        return Section(title, (f"Nobody: {contact_list.end_reason}.",))
    p = np.array([contact.probability for contact in contact_list.contacts])
    expected, deviation = float(p.sum()), math.sqrt(float((p * (1 - p)).sum()))
    rows = format_count(count, "row")
    expectation_text = (
        f"By their probabilities {expected:,.0f} of them are {escape(scored.positive_label)}, give or take {Z_95 * deviation:,.0f} by "
        "chance alone, if the probabilities are right (see *How sure the model is*)."
    )
    section_blocks: list[Part] = [
        f"**{rows}** of {contact_list.candidates:,}, likeliest first; {contact_list.end_reason}. `contacts.csv` holds them all.",
        expectation_text,
    ]
    if caveat:
        section_blocks.append(caveat)
    if contact_list.ties:
        section_blocks.append(
            f"{format_count(contact_list.ties, 'more row has', 'more rows have')} the same probability as the last one: which of them "
            "are on the list is chance."
        )
    if campaign.worth_of_positive_contact is not None:
        profit = expected * campaign.worth_of_positive_contact - count * (campaign.cost or 0)
        section_blocks.append(
            f"Expected profit of the whole list: **{format_quantity(profit)}**, from {format_quantity(campaign.value or 0)} for each "
            f"{positive} row that is won, a success in {format_share(campaign.success)} of them, and "
            f"{format_quantity(campaign.cost or 0)} a contact."
        )
    if contact_list.retrospective:
        note = "The outcome of every row is known already, so this list looks back"
        if len(scored.evaluated_rows):
            hits = int((scored.y[contact_list.row_positions] == 1).sum())
            note += (
                f": **{hits:,}** of its rows are {positive}. A list to act on needs rows whose outcome is still open"
            )
        section_blocks.append(f"{note}.")
    elif scored.target is not None:
        section_blocks.append("Rows whose outcome is known already are not on it.")
    section_blocks.append(
        "The likeliest rows are not always those that a contact changes most: some would act as wished anyway, some will not "
        "whatever is said. To learn what contacts do, leave a part of the list, chosen at random, uncontacted, and compare."
    )
    return Section(title, (*section_blocks, *_first_contacts_table(scored, contact_list)))


def _first_contacts_table(scored_rows: ScoredRows, contact_list: ContactList) -> list[Part]:
    identifier_columns = scored_rows.identifiers.iloc[:, :1]
    columns = [
        *(ReportColumn("#", "count"), ReportColumn(ROW_HEADING, "count")),
        *map(ReportColumn, map(str, identifier_columns.columns)),
        *(ReportColumn("Probability", "number"), ReportColumn("Mostly because"), ReportColumn("Confidence")),
    ]
    if contact_list.retrospective:
        columns.append(ReportColumn("Outcome"))
    rows = []
    for rank, contact in enumerate(contact_list.contacts[:MAX_LISTED], start=1):
        cells: list[CellValue] = [rank, contact.row, *map(str, identifier_columns.iloc[contact.row])]
        cells += [contact.probability, "; ".join(contact.reasons), contact.confidence]
        if contact_list.retrospective:
            cells.append(scored_rows.bundle.schema.classes[scored_rows.y[contact.row]])
        rows.append(tuple(cells))
    reference_description = contact_list.reference
    if scored_rows.bundle.schema.modality == "tabular":
        reference_description += "; columns that go together are one reason"
    reasons_note = (
        "The reasons are those of the model as it is now. *Odds ×2* means that this doubles the odds that the model sees, "
        f"compared with {reference_description}. They are associations, and no causes."
    )
    return [ReportTable(tuple(columns), tuple(rows)), reasons_note]


def gains_section(scored: ScoredRows, gains: Gains | None, campaign: Campaign) -> Section:
    """Describe how many positive rows, and how much profit, come from contacting the most probable rows first.

    Parameters
    ----------
    scored : ScoredRows
        The rows, for their names and counts.
    gains : Gains or None
        None if there are no rows of both classes with a known outcome; the section then says what is missing.
    campaign : Campaign
        Cost and worth of contacts.

    Returns
    -------
    Section
        A table, a figure, and the profits of contact rules.
    """
    title = "What contacting the likeliest first finds"
    if gains is None:
        if scored.target is None:
            reason = "This needs rows whose outcome is known: name their column with `--target`."
        else:
            counted_rows_text = describe_rows_with_outcome(scored)
            reason = f"This needs rows of both classes whose outcome is known; there are {counted_rows_text}."
        return Section(title, (reason,))
    positive_class, label = escape(scored.positive_name), escape(scored.positive_label)
    positive_share = format_share(gains.positives / gains.rows)
    section_blocks: list[Part] = [
        f"Counted on {describe_rows_with_outcome(scored)}; {gains.positives:,} of them are {label} ({positive_share})."
    ]
    if caveat_text := warn_of_changed_training_rows(scored):
        section_blocks.append(caveat_text)
    columns = (
        ReportColumn("Contacted", "count"),
        ReportColumn("Of all rows", "share"),
        ReportColumn("Found", "count"),
        ReportColumn(f"Of all {scored.positive_name}", "share"),
        ReportColumn(f"{scored.positive_name} among them", "share"),
        ReportColumn("Times chance", "multiple"),
        ReportColumn("By chance", "count"),
    )
    table = ReportTable(columns, tuple(_gains_cells(gains, row) for row in gains.table))
    section_blocks += [table, plot_gains(gains, with_profit=campaign.worth_of_positive_contact is not None)]
    if gains.rules:
        section_blocks += _describe_rule_profits(gains.rules, campaign, positive_class)
    rarer_class_rows = min(gains.positives, gains.rows - gains.positives)
    if rarer_class_rows < MIN_CLASS_ROWS:
        rows = format_count(rarer_class_rows, "row")
        section_blocks.append(f"The rarer class has {rows} here, so all of this is rough, and its intervals too.")
    return Section(title, tuple(section_blocks))


def describe_rows_with_outcome(scored: ScoredRows) -> str:
    """Describe in words the rows on which outcomes are counted, and those that are left out."""
    rows, left_out = scored.evaluated_rows, int(((scored.y >= 0) & (scored.source == LEARNT)).sum())
    held_out, new_rows = (int((scored.source[rows] == row_source).sum()) for row_source in (HELD_OUT, NEW))
    row_descriptions = []
    if held_out:
        row_descriptions.append(
            f"{held_out:,} that the bundle's model has learnt from, or that are equal to such rows, with what the run's models said "
            "of them while they were sealed test rows"
        )
        repeats = scored.bundle.manifest.get("run", {}).get("protocol", {}).get("repeats", 1)
        if repeats > 1:
            row_descriptions[0] += f" (the mean of {repeats} repeats, which is often a little better than one model)"
    if new_rows:
        row_descriptions.append(f"{new_rows:,} that equal none of the rows it has learnt from")
    description = "no row"
    if row_descriptions:
        description = f"{format_count(len(rows), 'row')} whose outcome is known: {join_words(row_descriptions)}"
    if left_out:
        description += f"; {left_out:,} others are left out, as the model has learnt from them and there is nothing sealed to go by"
    return description


def _gains_cells(measured_gains: Gains, row: GainsRow) -> tuple[CellValue, ...]:
    chance_positives, chance_low, chance_high = row.chance
    return (
        row.contacted,
        row.contacted / measured_gains.rows,
        Interval(row.low, row.high, row.positives),
        row.positives / measured_gains.positives,
        row.positives / row.contacted,
        row.positives / chance_positives,
        Interval(chance_low, chance_high, chance_positives),
    )


def _describe_rule_profits(
    contact_rules: tuple[ContactRule, ...], campaign: Campaign, positive_class: str
) -> list[Part]:
    """Describe the profits of contact rules, and whether the best differs from contacting nobody."""
    best = contact_rules[0]
    if campaign.break_even is not None and campaign.break_even > 1:
        conclusion_text = "No contact can pay: it costs more than it brings, however sure it is."
    elif best.profit[1] <= 0:
        conclusion_text = (
            "Whether any contacts pay cannot be told from these rows: the interval of the best cut reaches below 0."
        )
    else:
        conclusion_text = (
            f"The best cut lies between {format_share(best.share[1])} and {format_share(best.share[2])} of the rows: within that, "
            "profits are hard to tell apart, and the shorter list is the cheaper one."
        )
    assumptions_text = (
        f"A contact costs {format_quantity(campaign.cost or 0)} and wins a {positive_class} row, worth "
        f"{format_quantity(campaign.value or 0)}, in {format_share(campaign.success)} of cases, whatever its probability; "
        "contacting others brings nothing and does no harm. These are assumptions, and profits are no surer than they are."
    )
    columns = (
        ReportColumn("Contact"),
        ReportColumn("Share of rows", "share"),
        ReportColumn(f"Profit per {PROFIT_ROWS:,} rows", "quantity"),
        ReportColumn("From probability", "number"),
    )
    return [assumptions_text, ReportTable(columns, tuple(map(_rule_cells, contact_rules))), conclusion_text]


def _rule_cells(contact_rule: ContactRule) -> tuple[CellValue, ...]:
    mean, interval_low, interval_high = contact_rule.share
    share_cell: CellValue = mean
    if interval_low < interval_high:
        share_cell = Interval(interval_low, interval_high, mean)
    mean, interval_low, interval_high = contact_rule.profit
    profit = Interval(interval_low, interval_high, mean)
    threshold = None
    if contact_rule.threshold is not None:
        mean, interval_low, interval_high = contact_rule.threshold
        threshold = Interval(interval_low, interval_high, mean)
    return contact_rule.description, share_cell, profit, threshold


def segment_section(scored: ScoredRows, counts: SegmentCounts | None) -> Section:
    """Describe the groups of rows in which the positive class is frequent or rare.

    Parameters
    ----------
    scored : ScoredRows
        The rows, for their names.
    counts : SegmentCounts or None
        None if no segments were found; the section then says what is missing.

    Returns
    -------
    Section
        A table of segments, the largest share first.
    """
    positive = escape(scored.positive_name)
    title = f"Where {scored.positive_label} is common"
    if counts is None:
        reason = "a tree finds no group"
        if scored.target is None:
            reason = "name the column of the outcomes with `--target`"
        section_blocks = (f"This needs at least 200 rows whose outcome is known, of both classes: {reason}.",)
        return Section(title, section_blocks)
    overall_positive_share = counts.positives / max(counts.rows, 1)
    rows = tuple(_segment_cells(segment, overall_positive_share) for segment in counts.segments)
    frequent_segments = []
    for segment in counts.segments:
        if segment.low > overall_positive_share:
            frequent_segments.append(segment)
    conclusion_text = "No group differs significantly from the rest."
    if size := sum(segment.rows for segment in frequent_segments):
        positives = sum(segment.positives for segment in frequent_segments)
        conclusion_text = (
            f"The groups with more than their share hold {format_share(positives / max(counts.positives, 1))} of all {positive} in "
            f"{format_share(size / max(counts.rows, 1))} of the rows."
        )
    introduction_text = (
        "Groups were looked for in one half of the rows whose outcome is known, without the model, and counted in the other: "
        f"{counts.rows:,} rows, {counts.positives:,} of them {positive}. Intervals hold for all groups at once. {conclusion_text}"
    )
    columns = (
        *(ReportColumn("Group"), ReportColumn("Rows", "count"), ReportColumn(scored.positive_name, "count")),
        *(ReportColumn("Share", "share"), ReportColumn("95 % interval", "share")),
        ReportColumn(f"Against all ({format_share(overall_positive_share)})"),
    )
    return Section(title, (introduction_text, ReportTable(columns, rows)))


def _segment_cells(segment: RowSegment, overall_positive_share: float) -> tuple[CellValue, ...]:
    difference_verdict = "no significant difference"
    if segment.low > overall_positive_share:
        difference_verdict = "more"
    elif segment.high < overall_positive_share:
        difference_verdict = "fewer"
    name, interval = "; ".join(segment.conditions) or "everybody", Interval(segment.low, segment.high)
    return name, segment.rows, segment.positives, segment.share, interval, difference_verdict
