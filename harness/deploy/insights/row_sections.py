"""Sections about the given rows: whom to contact, what that finds and earns, where the positive class is common."""

from __future__ import annotations

import math

import numpy as np

from harness.deploy.insights.campaign import Campaign
from harness.deploy.insights.confidence import new_to_it
from harness.deploy.insights.contact_list import Contacts
from harness.deploy.insights.figures import gains_picture
from harness.deploy.insights.gains import PER, Cut, Found, Gains
from harness.deploy.insights.markdown import IN_SIGHT, between, count, figure, listed, money, percent, table
from harness.deploy.insights.page import Fold, Part, Section
from harness.deploy.insights.scored_rows import HELD_OUT, LEARNT, NEW, ScoredRows
from harness.deploy.insights.segments import Segments
from harness.deploy.markdown import text

FEW = 30  #: rows of a class below which drawn samples say little of how far figures move
IN_THE_TABLE = 25  #: contacts on the page; the file has them all


def contact_section(given: ScoredRows, listed_: Contacts, campaign: Campaign, doubt: str = "") -> Section:
    """The list: how long and why, what it should hold, its beginning; `doubt` is what is wrong with its probabilities."""
    positive = text(given.positive_name)
    chosen = listed_.chosen
    if not chosen:
        return Section("Whom to contact", (f"Nobody: {listed_.why}.",))
    p = np.array([one.probability for one in chosen])
    expected, spread = float(p.sum()), math.sqrt(float((p * (1 - p)).sum()))
    parts = [
        f"**{count(len(chosen), 'row')}** of {listed_.asked:,}, likeliest first; {listed_.why}. `contacts.csv` holds them all.",
        (
            f"By their probabilities {expected:,.0f} of them are {text(given.wanted)}, give or take {1.96 * spread:,.0f} by chance "
            "alone, if the probabilities are right (see *How sure the model is*)."
        ),
    ]
    if doubt:
        parts.append(doubt)
    if listed_.tied:
        parts.append(
            f"{count(listed_.tied, 'more row has', 'more rows have')} the same probability as the last one: which of them are on the "
            "list is chance."
        )
    if campaign.gain is not None:
        worth = expected * campaign.gain - len(chosen) * (campaign.cost or 0)
        parts.append(
            f"Expected profit of the whole list: **{money(worth)}**, from {money(campaign.value or 0)} for each {positive} row "
            f"that is won, a success in {percent(campaign.success)} of them, and {money(campaign.cost or 0)} a contact."
        )
    if listed_.looking_back:
        outcomes = given.y[[one.row for one in chosen]]
        parts.append(
            f"The outcome of every row is known already, so this list looks back: **{int((outcomes == 1).sum()):,}** of its rows "
            f"are {positive}. A list to act on needs rows whose outcome is still open."
            if len(given.known)
            else "The outcome of every row is known already, so this list looks back."
        )
    elif given.target is not None:
        parts.append("Rows whose outcome is known already are not on it.")
    parts.append(
        "The likeliest rows are not always those that a contact changes most: some would act as wished anyway, some will not "
        "whatever is said. To learn what contacts do, leave a part of the list, chosen at random, uncontacted, and compare."
    )
    return Section("Whom to contact", (*parts, *_list(given, listed_)))


def _list(given: ScoredRows, listed_: Contacts) -> list[Part]:
    names = [str(name) for name in given.names.columns][:1]
    outcome = ["Outcome"] if listed_.looking_back else []
    header = ["#", "Row", *map(text, names), "Probability", "Mostly because", "Sureness", *outcome]
    rows = []
    for rank, one in enumerate(listed_.chosen[:IN_THE_TABLE], start=1):
        why = "; ".join(map(text, one.reasons))
        who = [text(given.names.iloc[one.row][name]) for name in names]
        was = [text(given.bundle.schema.classes[given.y[one.row]])] if listed_.looking_back else []
        rows.append([str(rank), f"{one.row + 1:,}", *who, figure(one.probability), why, text(one.sureness), *was])
    one_reason = "; columns that go together are one reason" if given.bundle.schema.modality == "tabular" else ""
    note = (
        "The reasons are those of the model as it is now. *Odds ×2* means that this doubles the odds that the model sees, "
        f"compared with {listed_.compared}{one_reason}. They are associations, and no causes."
    )
    rest = [Fold(f"{len(rows) - IN_SIGHT} more", table(header, rows[IN_SIGHT:]))] if len(rows) > IN_SIGHT else []
    return [table(header, rows[:IN_SIGHT]), *rest, note]


def gains_section(given: ScoredRows, found: Gains | None, campaign: Campaign) -> Section:
    """What contacting the likeliest first finds and earns, where outcomes are known."""
    title = "What contacting the likeliest first finds"
    if found is None:
        return Section(title, (_why_not(given),))
    positive = text(given.positive_name)
    header = [
        "Contacted",
        "Of all rows",
        "Found",
        f"Of all {positive}",
        f"{positive} among them",
        "Times chance",
        "By chance",
    ]
    rows = [_row(found, one) for one in found.table]
    parts: list[Part] = [
        f"Counted on {counted(given)}; {found.positives:,} of them are {text(given.wanted)} ({percent(found.positives / found.rows)}).",
        *filter(None, [new_to_it(given)]),
        table(header, rows),
        gains_picture(found, campaign.gain is not None),
    ]
    if found.cuts:
        parts += _profit(found, campaign, positive)
    if (few := min(found.positives, found.rows - found.positives)) < FEW:
        parts.append(f"The rarer class has {count(few, 'row')} here, so all of this is rough, and its intervals too.")
    return Section(title, tuple(parts))


def counted(given: ScoredRows) -> str:
    """Which rows figures about outcomes are counted on, in words."""
    known, left_out = given.known, int(((given.y >= 0) & (given.source == LEARNT)).sum())
    held = int((given.source[known] == HELD_OUT).sum())
    new = int((given.source[known] == NEW).sum())
    from_run = (
        "that the bundle's model has learnt from, or that are equal to such rows, with what the run's models said of them while "
        "they were sealed test rows"
    )
    repeats = given.bundle.manifest.get("run", {}).get("protocol", {}).get("repeats", 1)
    if repeats > 1:
        from_run += f" (the mean of {repeats} repeats, which is often a little better than one model)"
    parts = [f"{held:,} {from_run}"] if held else []
    parts += [f"{new:,} that equal none of the rows it has learnt from"] if new else []
    said = f"{count(len(known), 'row')} whose outcome is known: {listed(parts)}" if parts else "no row"
    if left_out:
        said += f"; {left_out:,} others are left out, as the model has learnt from them and there is nothing sealed to go by"
    return said


def _why_not(given: ScoredRows) -> str:
    if given.target is None:
        return "This needs rows whose outcome is known: name their column with `--target`."
    return f"This needs rows of both classes whose outcome is known; there are {counted(given)}."


def _row(found: Gains, one: Found) -> list[str]:
    share = one.found / one.contacted
    chance = one.chance[0]
    low, high = (f"{value:,.0f}" for value in (one.low, one.high))
    return [
        f"{one.contacted:,}",
        percent(one.contacted / found.rows),
        f"{one.found:,} ({between(low, high)})",
        percent(one.found / found.positives),
        percent(share),
        f"×{one.found / chance:.2g}",
        f"{chance:,.0f} ({between(f'{one.chance[1]:,.0f}', f'{one.chance[2]:,.0f}')})",
    ]


def _profit(found: Gains, campaign: Campaign, positive: str) -> list[Part]:
    """What ways to choose earn, and which of them can be told apart from contacting nobody."""
    header = ["Contact", "Share of rows", f"Profit per {PER:,} rows", "From probability"]
    rows = [
        [
            _contact(one),
            f"{percent(one.share[0])} ({between(percent(one.share[1]), percent(one.share[2]))})"
            if one.share[1] < one.share[2]
            else percent(one.share[0]),
            f"{money(one.profit[0])} ({between(money(one.profit[1]), money(one.profit[2]))})",
            f"{figure(one.threshold[0])} ({between(figure(one.threshold[1]), figure(one.threshold[2]))})"
            if one.threshold
            else "–",
        ]
        for one in found.cuts
    ]
    best = found.cuts[0]
    spread = best.profit[1] <= 0
    never = campaign.pays_from is not None and campaign.pays_from > 1
    said = (
        "No contact can pay: it costs more than it brings, however sure it is."
        if never
        else "Whether any contacts pay cannot be told from these rows: the interval of the best cut reaches below 0."
        if spread
        else f"The best cut lies between {percent(best.share[1])} and {percent(best.share[2])} of the rows: within that, profits "
        "are hard to tell apart, and the shorter list is the cheaper one."
    )
    assumed = (
        f"A contact costs {money(campaign.cost or 0)} and wins a {positive} row, worth {money(campaign.value or 0)}, in "
        f"{percent(campaign.success)} of cases, whatever its probability; contacting others brings nothing and does no harm. "
        "These are assumptions, and profits are no surer than they are."
    )
    return [assumed, table(header, rows), said]


def _contact(one: Cut) -> str:
    return one.said


def segment_section(given: ScoredRows, found: Segments | None) -> Section:
    """Groups of rows with more or fewer positives than others."""
    positive = text(given.positive_name)
    title = f"Where {given.wanted} is common"
    if found is None:
        why = "a tree finds no group" if given.target is not None else "name the column of the outcomes with `--target`"
        return Section(title, (f"This needs at least 200 rows whose outcome is known, of both classes: {why}.",))
    overall = found.positives / max(found.rows, 1)
    header = ["Group", "Rows", positive, "Share", "95 % interval", f"Against all ({percent(overall)})"]
    rows = []
    for one in found.found:
        verdict = "more" if one.low > overall else "fewer" if one.high < overall else "not told apart"
        name = "; ".join(map(text, one.conditions)) or "everybody"
        interval = between(percent(one.low), percent(one.high))
        rows.append([name, f"{one.rows:,}", f"{one.positives:,}", percent(one.share), interval, verdict])
    kept = sum(one.positives for one in found.found if one.low > overall)
    held = sum(one.rows for one in found.found if one.low > overall)
    said = (
        f"The groups with more than their share hold {percent(kept / max(found.positives, 1))} of all {positive} in "
        f"{percent(held / max(found.rows, 1))} of the rows."
        if held
        else "No group can be told from the rest."
    )
    return Section(
        title,
        (
            (
                f"Groups were looked for in one half of the rows whose outcome is known, without the model, and counted in the other: "
                f"{found.rows:,} rows, {found.positives:,} of them {positive}. Intervals hold for all groups at once. {said}"
            ),
            table(header, rows),
        ),
    )
