"""Sections about the scored rows: whom to contact, what that finds and earns, where the positive class is frequent."""

from __future__ import annotations

import math

import numpy as np

from harness.deploy.insights.confidence import Z_95, new_rows_caveat
from harness.deploy.insights.contact_list import ContactList
from harness.deploy.insights.gains import PROFIT_ROWS, Campaign, ContactRule, Gains, GainsRow
from harness.deploy.insights.page import Block, InsightsSection, folding_table, plot_gains
from harness.deploy.insights.scored_rows import HELD_OUT, LEARNT, NEW, ROW_HEADING, ScoredRows
from harness.deploy.insights.segments import RowSegment, SegmentCounts
from harness.deploy.markdown import escape, format_decimal, format_percent, format_range, markdown_table
from harness.report.render.cells import MISSING, format_quantity
from harness.report.render.markdown import format_count, join_words

MIN_CLASS_ROWS = 30  #: rows of a class below which bootstrap samples vary too little
MAX_LISTED = 25  #: contacts on the page; the file has them all


def contact_section(
    scored: ScoredRows, contact_list: ContactList, campaign: Campaign, caveat: str = ""
) -> InsightsSection:
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
    InsightsSection
        Ends with a table of the first 25 contacts.
    """
    title, positive, count = "Whom to contact", escape(scored.positive_name), len(contact_list.contacts)
    if not count:
        return InsightsSection(title, (f"Nobody: {contact_list.end_reason}.",))
    p = np.array([contact.probability for contact in contact_list.contacts])
    expected, deviation = float(p.sum()), math.sqrt(float((p * (1 - p)).sum()))
    rows = format_count(count, "row")
    expectation = (
        f"By their probabilities {expected:,.0f} of them are {escape(scored.positive_label)}, give or take {Z_95 * deviation:,.0f} by "
        "chance alone, if the probabilities are right (see *How sure the model is*)."
    )
    blocks: list[Block] = [
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
    if campaign.gain is not None:
        profit = expected * campaign.gain - count * (campaign.cost or 0)
        blocks.append(
            f"Expected profit of the whole list: **{format_quantity(profit)}**, from {format_quantity(campaign.value or 0)} for each "
            f"{positive} row that is won, a success in {format_percent(campaign.success)} of them, and "
            f"{format_quantity(campaign.cost or 0)} a contact."
        )
    if contact_list.retrospective:
        note = "The outcome of every row is known already, so this list looks back"
        if len(scored.evaluated):
            hits = int((scored.y[contact_list.rows] == 1).sum())
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
    return InsightsSection(title, (*blocks, *_first_contacts(scored, contact_list)))


def _first_contacts(scored: ScoredRows, contact_list: ContactList) -> list[Block]:
    identifiers = scored.identifiers.iloc[:, :1]
    header = ["#", ROW_HEADING, *map(escape, identifiers.columns), "Probability", "Mostly because", "Confidence"]
    if contact_list.retrospective:
        header.append("Outcome")
    rows = []
    for rank, contact in enumerate(contact_list.contacts[:MAX_LISTED], start=1):
        cells = [str(rank), f"{contact.row:,}", *map(escape, identifiers.iloc[contact.row])]
        reasons = "; ".join(map(escape, contact.reasons))
        cells += [format_decimal(contact.probability), reasons, escape(contact.confidence)]
        if contact_list.retrospective:
            cells.append(escape(scored.bundle.schema.classes[scored.y[contact.row]]))
        rows.append(cells)
    reference = contact_list.reference
    if scored.bundle.schema.modality == "tabular":
        reference += "; columns that go together are one reason"
    note = (
        "The reasons are those of the model as it is now. *Odds ×2* means that this doubles the odds that the model sees, "
        f"compared with {reference}. They are associations, and no causes."
    )
    return [*folding_table(header, rows), note]


def gains_section(scored: ScoredRows, gains: Gains | None, campaign: Campaign) -> InsightsSection:
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
    InsightsSection
        A table, a figure, and the profits of contact rules.
    """
    title = "What contacting the likeliest first finds"
    if gains is None:
        if scored.target is None:
            reason = "This needs rows whose outcome is known: name their column with `--target`."
        else:
            counted = describe_counted_rows(scored)
            reason = f"This needs rows of both classes whose outcome is known; there are {counted}."
        return InsightsSection(title, (reason,))
    positive, label = escape(scored.positive_name), escape(scored.positive_label)
    share = format_percent(gains.positives / gains.rows)
    blocks: list[Block] = [
        f"Counted on {describe_counted_rows(scored)}; {gains.positives:,} of them are {label} ({share})."
    ]
    if caveat := new_rows_caveat(scored):
        blocks.append(caveat)
    header = ["Contacted", "Of all rows", "Found", f"Of all {positive}", f"{positive} among them", "Times chance"]
    table = [_gains_cells(gains, row) for row in gains.table]
    blocks += [markdown_table([*header, "By chance"], table), plot_gains(gains, with_profit=campaign.gain is not None)]
    if gains.rules:
        blocks += _profit_blocks(gains.rules, campaign, positive)
    rarer = min(gains.positives, gains.rows - gains.positives)
    if rarer < MIN_CLASS_ROWS:
        rows = format_count(rarer, "row")
        blocks.append(f"The rarer class has {rows} here, so all of this is rough, and its intervals too.")
    return InsightsSection(title, tuple(blocks))


def describe_counted_rows(scored: ScoredRows) -> str:
    """Describe in words the rows on which outcomes are counted, and those that are left out."""
    rows, left_out = scored.evaluated, int(((scored.y >= 0) & (scored.source == LEARNT)).sum())
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


def _gains_cells(gains: Gains, row: GainsRow) -> list[str]:
    chance, chance_low, chance_high = row.chance
    return [
        f"{row.contacted:,}",
        format_percent(row.contacted / gains.rows),
        f"{row.positives:,} ({format_range(f'{row.low:,.0f}', f'{row.high:,.0f}')})",
        format_percent(row.positives / gains.positives),
        format_percent(row.positives / row.contacted),
        f"×{row.positives / chance:.2g}",
        f"{chance:,.0f} ({format_range(f'{chance_low:,.0f}', f'{chance_high:,.0f}')})",
    ]


def _profit_blocks(rules: tuple[ContactRule, ...], campaign: Campaign, positive: str) -> list[Block]:
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
            f"The best cut lies between {format_percent(best.share[1])} and {format_percent(best.share[2])} of the rows: within that, "
            "profits are hard to tell apart, and the shorter list is the cheaper one."
        )
    assumptions = (
        f"A contact costs {format_quantity(campaign.cost or 0)} and wins a {positive} row, worth "
        f"{format_quantity(campaign.value or 0)}, in {format_percent(campaign.success)} of cases, whatever its probability; "
        "contacting others brings nothing and does no harm. These are assumptions, and profits are no surer than they are."
    )
    header = ["Contact", "Share of rows", f"Profit per {PROFIT_ROWS:,} rows", "From probability"]
    return [assumptions, markdown_table(header, list(map(_rule_cells, rules))), conclusion]


def _rule_cells(rule: ContactRule) -> list[str]:
    mean, low, high = map(format_percent, rule.share)
    share = f"{mean} ({format_range(low, high)})" if rule.share[1] < rule.share[2] else mean
    mean, low, high = map(format_quantity, rule.profit)
    profit = f"{mean} ({format_range(low, high)})"
    threshold = MISSING
    if rule.threshold is not None:
        mean, low, high = map(format_decimal, rule.threshold)
        threshold = f"{mean} ({format_range(low, high)})"
    return [rule.description, share, profit, threshold]


def segment_section(scored: ScoredRows, counts: SegmentCounts | None) -> InsightsSection:
    """Describe the groups of rows in which the positive class is frequent or rare.

    Parameters
    ----------
    scored : ScoredRows
        The rows, for their names.
    counts : SegmentCounts or None
        None if no segments were found; the section then says what is missing.

    Returns
    -------
    InsightsSection
        A table of segments, the largest share first.
    """
    positive = escape(scored.positive_name)
    title = f"Where {scored.positive_label} is common"
    if counts is None:
        reason = "a tree finds no group"
        if scored.target is None:
            reason = "name the column of the outcomes with `--target`"
        blocks = (f"This needs at least 200 rows whose outcome is known, of both classes: {reason}.",)
        return InsightsSection(title, blocks)
    overall = counts.positives / max(counts.rows, 1)
    rows = [_segment_cells(segment, overall) for segment in counts.segments]
    frequent = [segment for segment in counts.segments if segment.low > overall]
    conclusion = "No group differs significantly from the rest."
    if size := sum(segment.rows for segment in frequent):
        positives = sum(segment.positives for segment in frequent)
        conclusion = (
            f"The groups with more than their share hold {format_percent(positives / max(counts.positives, 1))} of all {positive} in "
            f"{format_percent(size / max(counts.rows, 1))} of the rows."
        )
    introduction = (
        "Groups were looked for in one half of the rows whose outcome is known, without the model, and counted in the other: "
        f"{counts.rows:,} rows, {counts.positives:,} of them {positive}. Intervals hold for all groups at once. {conclusion}"
    )
    header = ["Group", "Rows", positive, "Share", "95 % interval", f"Against all ({format_percent(overall)})"]
    return InsightsSection(title, (introduction, markdown_table(header, rows)))


def _segment_cells(segment: RowSegment, overall: float) -> list[str]:
    verdict = "no significant difference"
    if segment.low > overall:
        verdict = "more"
    elif segment.high < overall:
        verdict = "fewer"
    name = "; ".join(map(escape, segment.conditions)) or "everybody"
    share, low, high = map(format_percent, (segment.share, segment.low, segment.high))
    return [name, f"{segment.rows:,}", f"{segment.positives:,}", share, format_range(low, high), verdict]
