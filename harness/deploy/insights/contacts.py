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

from harness.declare.task import take
from harness.deploy.insights.asked import Campaign
from harness.deploy.insights.given import HELD_OUT, NEW, Given
from harness.deploy.insights.reasons import Reasons, log_odds, reasons

#: Contacts that are given reasons, and rows predicted for each; networks take longer.
EXPLAINED = {"tabular": (1000, 250), "text": (200, 250), "image": (12, 240)}
REASONS = 3  #: of each contact
CLOSE = math.log(1.5)  #: log-odds from the threshold within which a decision is close
FROM = {NEW: "the model", HELD_OUT: "held out"}
FORMULA = ("=", "+", "-", "@", "\t", "\r")  #: what a spreadsheet takes for the beginning of a formula
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?")


@dataclass(frozen=True)
class Contact:
    """One row of the list: its position among the given rows, and why it is there."""

    row: int
    probability: float
    reasons: Reasons | None
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


def contacts(given: Given, campaign: Campaign, seed: int) -> Contacts:
    """The list for a campaign, of the rows whose outcome is open, or of all where none is."""
    open_rows = np.flatnonzero(given.y < 0)
    rows = open_rows if len(open_rows) else np.arange(len(given))
    p = given.positive[rows]
    ranked = rows[np.lexsort((rows, -p))]
    count, why = _length(given, campaign, given.positive[ranked])
    last = given.positive[ranked[count - 1]] if count else math.inf
    tied = int((given.positive[ranked[count:]] == last).sum())
    most, evaluations = EXPLAINED[given.bundle.schema.modality]
    X = take(given.X, ranked[: min(count, most)])
    found = reasons(given.bundle.predict_proba, given.bundle.schema, X, seed, position=1, evaluations=evaluations)
    chosen = [
        Contact(int(row), float(given.positive[row]), found[at] if at < len(found) else None, sureness(given, int(row)))
        for at, row in enumerate(ranked[:count])
    ]
    return Contacts(tuple(chosen), len(rows), why, not len(open_rows), tied)


def _length(given: Given, campaign: Campaign, ranked: npt.NDArray[np.float64]) -> tuple[int, str]:
    """How long the list is, and why it ends there."""
    limit, pays = campaign.limit, campaign.pays_from
    worth = len(ranked) if pays is None else int((ranked >= pays).sum())
    if pays is not None and worth < min(limit or len(ranked), len(ranked)):
        return worth, f"beyond it a contact costs more than it brings by its probability (below {pays:.3g})"
    if limit is not None:
        said = "the budget" if campaign.capacity != limit else "the capacity"
        return min(limit, len(ranked)), f"that is {said}" if limit < len(ranked) else "these are all rows"
    if pays is not None:
        return worth, "every row pays by its probability"
    threshold = given.bundle.threshold
    called = int((ranked >= (0.5 if threshold is None else threshold)).sum())
    return called, f"these are the rows that the bundle calls {given.bundle.schema.classes[1]} (no capacity was given)"


def sureness(given: Given, row: int) -> str:
    """How sure the model can be of a row, in words: near the threshold, or with values that training did not have."""
    odd = [name for name, what in given.flags.get(row, ()) if "missing" not in what]
    near = abs(float(log_odds(given.proba[row, 1]) - log_odds(np.array(given.bundle.threshold or 0.5)))) < CLOSE
    said = ["close call" if near else "clear"]
    if odd:
        said.append(f"unlike training: {', '.join(odd[:3])}")
    return "; ".join(said)


def factor(value: float) -> str:
    """What a contribution to log-odds does to odds."""
    times = math.exp(min(max(value, -20.0), 20.0))
    return f"×{times:.3g}" if times < 100 else f"×{times:,.0f}"


def told(found: Reasons, most: int = REASONS) -> list[str]:
    """The strongest reasons for the positive class, then those against it where there is room."""
    strongest = found.strongest(len(found.names))
    first = [j for j in strongest if found.values[j] > 0][:most]
    chosen = first + [j for j in strongest if found.values[j] < 0][: most - len(first)]
    named = found.names != found.shown and any(found.shown)
    return [
        f"{found.names[j]} = {found.shown[j]} (odds {factor(found.values[j])})"
        if named
        else f"{found.names[j]} (odds {factor(found.values[j])})"
        for j in chosen
    ]


def contacts_csv(given: Given, listed: Contacts, campaign: Campaign) -> str:
    """The list as CSV; `row` counts the rows of the data from 1. What a spreadsheet would run is text in it."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for line in _lines(given, listed, campaign):
        writer.writerow([_harmless(cell) for cell in line])
    return file.getvalue()


def _lines(given: Given, listed: Contacts, campaign: Campaign) -> Iterator[Sequence[str]]:
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
        why = "; ".join(told(one.reasons)) if one.reasons else ""
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
