"""Whom to contact: rows in the order of their probabilities, as many as can be paid for or pay, each with its reasons."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.deploy.insights.campaign import Campaign
from harness.deploy.insights.column_groups import groups_of
from harness.deploy.insights.contributions import ENOUGH, Added, against_typical, exact, sampled
from harness.deploy.insights.scored_rows import HELD_OUT, NEW, Index, ScoredRows
from harness.deploy.insights.shapley import Reasons, log_odds, reasons, written
from harness.registry.task import take

#: Contacts that are given reasons: by the model's own arithmetic, by sampling; of texts and of pictures.
EXACT, SAMPLED, TEXTS, PICTURES = 1000, 200, 100, 12
REASONS = 3  #: of each contact
NOTHING = 0.05  #: log-odds that are odds ×1 when they are written
SHARED = 0.3  #: of what the first column of a group adds, from which another one of it is named too
CLOSE = math.log(1.5)  #: log-odds from the threshold within which a decision is close
FROM = {NEW: "the model", HELD_OUT: "held out"}
FORMULA = ("=", "+", "-", "@", "\t", "\r")  #: what a spreadsheet takes for the beginning of a formula
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?")


@dataclass(frozen=True)
class Contact:
    """One row of the list: its position among the given rows, and why it is there."""

    row: int
    probability: float
    reasons: tuple[str, ...]
    sureness: str


@dataclass(frozen=True)
class Contacts:
    """The list, likeliest first; `why` says where it ends, `asked` among how many rows it chose.

    `looking_back`: the outcome of every row is known already, so that the list shows what it would have found. `tied` rows
    beyond the end have the probability of its last one.
    """

    chosen: tuple[Contact, ...]
    asked: int
    why: str
    looking_back: bool
    tied: int
    compared: str = ""  #: what the reasons compare a row with


def contacts(given: ScoredRows, campaign: Campaign, seed: int) -> Contacts:
    """The list for a campaign, of the rows whose outcome is open, or of all where none is."""
    open_rows = np.flatnonzero(given.y < 0)
    rows = open_rows if len(open_rows) else np.arange(len(given))
    p = given.positive[rows]
    ranked = rows[np.lexsort((rows, -p))]
    count, why = _length(given, campaign, given.positive[ranked])
    last = given.positive[ranked[count - 1]] if count else math.inf
    tied = int((given.positive[ranked[count:]] == last).sum())
    why_each, compared = _reasons(given, ranked[:count], seed)
    chosen = [
        Contact(
            int(row), float(given.positive[row]), why_each[at] if at < len(why_each) else (), sureness(given, int(row))
        )
        for at, row in enumerate(ranked[:count])
    ]
    return Contacts(tuple(chosen), len(rows), why, not len(open_rows), tied, compared)


def _reasons(given: ScoredRows, rows: Index, seed: int) -> tuple[list[tuple[str, ...]], str]:
    """The reasons of the first of these rows, and what they compare a row with."""
    bundle = given.bundle
    if not len(rows):
        return [], ""
    if bundle.schema.modality != "tabular":
        X = take(given.X, rows[: TEXTS if bundle.schema.modality == "text" else PICTURES])
        found = reasons(bundle.predict_proba, bundle.schema, X, seed, position=1)
        return [told(one) for one in found], "the same without it"
    if len(given) < ENOUGH:
        added, compared = against_typical(given, rows, seed), "the typical row of training"
    else:
        added = exact(given, rows[:EXACT]) or sampled(given, rows[:SAMPLED], seed)
        compared = "the average row"
    together = _together(given)
    return [_told(given, int(row), added, at, together) for at, row in enumerate(rows[: len(added.values)])], compared


def _together(given: ScoredRows) -> list[tuple[str, ...]]:
    """Columns that go together: as they did at export, else in these rows, where they are enough to tell."""
    if drivers := given.bundle.drivers():
        return [tuple(one["columns"]) for one in drivers.get("together", ())]
    return groups_of([given.X]) if len(given) >= ENOUGH else []


def _told(given: ScoredRows, row: int, added: Added, at: int, together: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The strongest reasons of a table's row; columns that go together are one."""
    features = {one.name: one for one in given.bundle.schema.features}
    values = dict(zip(features, added.values[at].tolist(), strict=True))
    grouped = {name for group in together for name in group}
    units = [*together, *((name,) for name in features if name not in grouped)]
    named = []
    for unit in units:
        members = sorted(unit, key=lambda name: -abs(values[name]))
        leading = [name for name in members if abs(values[name]) >= SHARED * abs(values[members[0]])][:2]
        said = ", ".join(f"{name} = {written(features[name], given.X[name].iloc[row])}" for name in leading)
        named.append((said, sum(values[name] for name in unit)))
    return tuple(f"{said} ({effect(value)})" for said, value in strongest(named))


def _length(given: ScoredRows, campaign: Campaign, ranked: npt.NDArray[np.float64]) -> tuple[int, str]:
    """How long the list is, and why it ends there."""
    limit, pays = campaign.limit, campaign.pays_from
    worth = len(ranked) if pays is None else int((ranked >= pays).sum())
    if limit == 0:
        return 0, "the budget does not pay for a single contact"
    if pays is not None and pays > 1:
        return 0, "a contact costs more than it brings, however sure it is"
    if pays is not None and worth < min(limit or len(ranked), len(ranked)):
        return worth, f"beyond it a contact costs more than it brings by its probability (below {pays:.3g})"
    if limit is not None:
        said = "the budget" if campaign.capacity != limit else "the capacity"
        return min(limit, len(ranked)), f"that is {said}" if limit < len(ranked) else "these are all rows"
    if pays is not None:
        return worth, "every row pays by its probability"
    threshold = given.bundle.threshold
    called = int((ranked >= (0.5 if threshold is None else threshold)).sum())
    return called, f"these are the rows that the bundle calls {given.positive_name} (no capacity was given)"


def sureness(given: ScoredRows, row: int) -> str:
    """How sure the model can be of a row, in words: near the threshold, or with values that training did not have."""
    odd = [name for name, what in given.flags.get(row, ()) if "missing" not in what]
    near = abs(float(log_odds(given.proba[row, 1]) - log_odds(np.array(given.bundle.threshold or 0.5)))) < CLOSE
    said = ["close call" if near else "clear"]
    if odd:
        said.append(f"unlike training: {', '.join(odd[:3])}")
    return "; ".join(said)


def effect(value: float) -> str:
    """What a contribution to log-odds does to odds."""
    times = math.exp(min(max(value, -20.0), 20.0))
    return f"odds ×{times:.2g}" if times < 100 else f"odds ×{times:,.0f}"


def strongest(named: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """The strongest reasons for the class, then, where there is room, those against it."""
    ordered = sorted((one for one in named if abs(one[1]) > NOTHING), key=lambda one: -abs(one[1]))
    first = [one for one in ordered if one[1] > 0][:REASONS]
    return first + [one for one in ordered if one[1] < 0][: REASONS - len(first)]


def told(found: Reasons) -> tuple[str, ...]:
    """The strongest reasons of a text, a picture, or of any row, beyond the error of sampling."""
    kept = found.strongest(len(found.names))
    table = found.names != found.shown and any(found.shown)
    named = [(f"{found.names[j]} = {found.shown[j]}" if table else found.names[j], found.values[j]) for j in kept]
    return tuple(f"{said} ({effect(value)})" for said, value in strongest(named))


def contacts_csv(given: ScoredRows, listed: Contacts, campaign: Campaign) -> str:
    """The list as CSV; `row` counts the rows of the data from 1. What a spreadsheet would run is text in it."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for line in _lines(given, listed, campaign):
        writer.writerow([_harmless(cell) for cell in line])
    return file.getvalue()


def _lines(given: ScoredRows, listed: Contacts, campaign: Campaign) -> Iterator[Sequence[str]]:
    paid = campaign.gain is not None
    yield [
        "rank",
        "row",
        *map(str, given.names.columns),
        "probability",
        *(["expected_profit"] if paid else []),
        "reasons",
        "sureness",
        "probability_from",
        *(["outcome"] if listed.looking_back else []),
    ]
    classes = given.bundle.schema.classes
    for rank, one in enumerate(listed.chosen, start=1):
        names = ["" if value != value else str(value) for value in given.names.iloc[one.row]]  # noqa: PLR0124 -- NaN
        profit = [f"{one.probability * (campaign.gain or 0) - (campaign.cost or 0):.6g}"] if paid else []
        outcome = [classes[given.y[one.row]]] if listed.looking_back else []
        why = "; ".join(one.reasons)
        origin = FROM.get(int(given.source[one.row]), "the model, which learnt from this row")
        yield [
            str(rank),
            str(one.row + 1),
            *names,
            f"{one.probability:.6g}",
            *profit,
            why,
            one.sureness,
            origin,
            *outcome,
        ]


def _harmless(cell: str) -> str:
    """An apostrophe before what a spreadsheet would take for a formula."""
    return f"'{cell}" if cell.startswith(FORMULA) and not NUMBER.fullmatch(cell) else cell
