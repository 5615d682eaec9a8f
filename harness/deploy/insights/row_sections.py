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
    expectation = (
        f"By their probabilities {expected:,.0f} of them are {escape(scored.positive_label)}, give or take {Z_95 * deviation:,.0f} by "
        "chance alone, if the probabilities are right (see *How sure the model is*)."
    )
    blocks: list[Part] = [
        f"**{rows}** of {contact_list.candidates:,}, likeliest first; {contact_list.end_reason}. `contacts.csv` holds them all.",
        expectation,
    ]
    if caveat:
        blocks.append(caveat)
    if contact_list.ties:
        blocks.append(
            f"{format_count(contact_list.ties, 'more row has', 'more rows have')} the same probability as the last one: which of them "
            "are on the list is chance."
        )
    if campaign.worth_of_positive_contact is not None:
        profit = expected * campaign.worth_of_positive_contact - count * (campaign.cost or 0)
        blocks.append(
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
        blocks.append(f"{note}.")
    elif scored.target is not None:
        blocks.append("Rows whose outcome is known already are not on it.")
    blocks.append(
        "The likeliest rows are not always those that a contact changes most: some would act as wished anyway, some will not "
        "whatever is said. To learn what contacts do, leave a part of the list, chosen at random, uncontacted, and compare."
    )
    return Section(title, (*blocks, *_first_contacts_table(scored, contact_list)))


def _first_contacts_table(scored: ScoredRows, contact_list: ContactList) -> list[Part]:
    identifiers = scored.identifiers.iloc[:, :1]
    columns = [
        *(ReportColumn("#", "count"), ReportColumn(ROW_HEADING, "count")),
        *map(ReportColumn, map(str, identifiers.columns)),
        *(ReportColumn("Probability", "number"), ReportColumn("Mostly because"), ReportColumn("Confidence")),
    ]
    if contact_list.retrospective:
        columns.append(ReportColumn("Outcome"))
    rows = []
    for rank, contact in enumerate(contact_list.contacts[:MAX_LISTED], start=1):
        cells: list[CellValue] = [rank, contact.row, *map(str, identifiers.iloc[contact.row])]
        cells += [contact.probability, "; ".join(contact.reasons), contact.confidence]
        if contact_list.retrospective:
            cells.append(scored.bundle.schema.classes[scored.y[contact.row]])
        rows.append(tuple(cells))
    reference = contact_list.reference
    if scored.bundle.schema.modality == "tabular":
        reference += "; columns that go together are one reason"
    note = (
        "The reasons are those of the model as it is now. *Odds ×2* means that this doubles the odds that the model sees, "
        f"compared with {reference}. They are associations, and no causes."
    )
    return [ReportTable(tuple(columns), tuple(rows)), note]


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
            counted = describe_rows_with_outcome(scored)
            reason = f"This needs rows of both classes whose outcome is known; there are {counted}."
        return Section(title, (reason,))
    positive, label = escape(scored.positive_name), escape(scored.positive_label)
    share = format_share(gains.positives / gains.rows)
    blocks: list[Part] = [
        f"Counted on {describe_rows_with_outcome(scored)}; {gains.positives:,} of them are {label} ({share})."
    ]
    if caveat := warn_of_changed_training_rows(scored):
        blocks.append(caveat)
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
    blocks += [table, plot_gains(gains, with_profit=campaign.worth_of_positive_contact is not None)]
    if gains.rules:
        blocks += _describe_rule_profits(gains.rules, campaign, positive)
    rarer = min(gains.positives, gains.rows - gains.positives)
    if rarer < MIN_CLASS_ROWS:
        rows = format_count(rarer, "row")
        blocks.append(f"The rarer class has {rows} here, so all of this is rough, and its intervals too.")
    return Section(title, tuple(blocks))


def describe_rows_with_outcome(scored: ScoredRows) -> str:
    """Describe in words the rows on which outcomes are counted, and those that are left out."""
    rows, left_out = scored.evaluated_rows, int(((scored.y >= 0) & (scored.source == LEARNT)).sum())
    held_out, new = (int((scored.source[rows] == source).sum()) for source in (HELD_OUT, NEW))
    parts = []
    if held_out:
        parts.append(
            f"{held_out:,} that the bundle's model has learnt from, or that are equal to such rows, with what the run's models said "
            "of them while they were sealed test rows"
        )
        repeats = scored.bundle.manifest.get("run", {}).get("protocol", {}).get("repeats", 1)
        if repeats > 1:
            parts[0] += f" (the mean of {repeats} repeats, which is often a little better than one model)"
    if new:
        parts.append(f"{new:,} that equal none of the rows it has learnt from")
    description = "no row"
    if parts:
        description = f"{format_count(len(rows), 'row')} whose outcome is known: {join_words(parts)}"
    if left_out:
        description += f"; {left_out:,} others are left out, as the model has learnt from them and there is nothing sealed to go by"
    return description


def _gains_cells(gains: Gains, row: GainsRow) -> tuple[CellValue, ...]:
    chance, chance_low, chance_high = row.chance
    return (
        row.contacted,
        row.contacted / gains.rows,
        Interval(row.low, row.high, row.positives),
        row.positives / gains.positives,
        row.positives / row.contacted,
        row.positives / chance,
        Interval(chance_low, chance_high, chance),
    )


def _describe_rule_profits(rules: tuple[ContactRule, ...], campaign: Campaign, positive: str) -> list[Part]:
    """Describe the profits of contact rules, and whether the best differs from contacting nobody."""
    best = rules[0]
    if campaign.break_even is not None and campaign.break_even > 1:
        conclusion = "No contact can pay: it costs more than it brings, however sure it is."
    elif best.profit[1] <= 0:
        conclusion = (
            "Whether any contacts pay cannot be told from these rows: the interval of the best cut reaches below 0."
        )
    else:
        conclusion = (
            f"The best cut lies between {format_share(best.share[1])} and {format_share(best.share[2])} of the rows: within that, "
            "profits are hard to tell apart, and the shorter list is the cheaper one."
        )
    assumptions = (
        f"A contact costs {format_quantity(campaign.cost or 0)} and wins a {positive} row, worth "
        f"{format_quantity(campaign.value or 0)}, in {format_share(campaign.success)} of cases, whatever its probability; "
        "contacting others brings nothing and does no harm. These are assumptions, and profits are no surer than they are."
    )
    columns = (
        ReportColumn("Contact"),
        ReportColumn("Share of rows", "share"),
        ReportColumn(f"Profit per {PROFIT_ROWS:,} rows", "quantity"),
        ReportColumn("From probability", "number"),
    )
    return [assumptions, ReportTable(columns, tuple(map(_rule_cells, rules))), conclusion]


def _rule_cells(rule: ContactRule) -> tuple[CellValue, ...]:
    mean, low, high = rule.share
    share: CellValue = mean
    if low < high:
        share = Interval(low, high, mean)
    mean, low, high = rule.profit
    profit = Interval(low, high, mean)
    threshold = None
    if rule.threshold is not None:
        mean, low, high = rule.threshold
        threshold = Interval(low, high, mean)
    return rule.description, share, profit, threshold


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
        blocks = (f"This needs at least 200 rows whose outcome is known, of both classes: {reason}.",)
        return Section(title, blocks)
    overall = counts.positives / max(counts.rows, 1)
    rows = tuple(_segment_cells(segment, overall) for segment in counts.segments)
    frequent = []
    for segment in counts.segments:
        if segment.low > overall:
            frequent.append(segment)
    conclusion = "No group differs significantly from the rest."
    if size := sum(segment.rows for segment in frequent):
        positives = sum(segment.positives for segment in frequent)
        conclusion = (
            f"The groups with more than their share hold {format_share(positives / max(counts.positives, 1))} of all {positive} in "
            f"{format_share(size / max(counts.rows, 1))} of the rows."
        )
    introduction = (
        "Groups were looked for in one half of the rows whose outcome is known, without the model, and counted in the other: "
        f"{counts.rows:,} rows, {counts.positives:,} of them {positive}. Intervals hold for all groups at once. {conclusion}"
    )
    columns = (
        *(ReportColumn("Group"), ReportColumn("Rows", "count"), ReportColumn(scored.positive_name, "count")),
        *(ReportColumn("Share", "share"), ReportColumn("95 % interval", "share")),
        ReportColumn(f"Against all ({format_share(overall)})"),
    )
    return Section(title, (introduction, ReportTable(columns, rows)))


def _segment_cells(segment: RowSegment, overall: float) -> tuple[CellValue, ...]:
    verdict = "no significant difference"
    if segment.low > overall:
        verdict = "more"
    elif segment.high < overall:
        verdict = "fewer"
    name, interval = "; ".join(segment.conditions) or "everybody", Interval(segment.low, segment.high)
    return name, segment.rows, segment.positives, segment.share, interval, verdict
