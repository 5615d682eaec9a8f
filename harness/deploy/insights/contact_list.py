"""The contact list: rows ranked by probability, as many as the campaign allows or as pay, each with its reasons."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.deploy.insights.contributions import (
    MIN_BACKGROUND,
    compute_tree_contributions,
    estimate_contributions_by_sampling,
)
from harness.deploy.insights.gains import Campaign
from harness.deploy.insights.importance import find_associated_columns
from harness.deploy.insights.scored_rows import HELD_OUT, NEW, Positions, ScoredRows
from harness.deploy.insights.shapley import ShapleyValues, format_feature_value, log_odds, shapley_values
from harness.deploy.validate import MISSING_VALUE
from harness.registry.task import take
from harness.report.render.cells import format_multiple
from harness.report.render.csv import format_safe_csv

#: Contacts that get reasons: by exact contributions, by sampling, and of other data than tables.
MAX_EXACT, MAX_SAMPLED, MAX_OTHER_ROWS = 1000, 200, {"text": 100, "image": 12}
MAX_REASONS = 3  #: of each contact
MIN_CONTRIBUTION = 0.05  #: log-odds below which the factor is written as odds ×1
MIN_GROUP_SHARE = 0.3  #: share of the largest contribution in a group from which a second column of it is named
CLOSE_CALL = math.log(1.5)  #: difference of log-odds from the threshold below which a prediction is a close call
SOURCES = {NEW: "the model", HELD_OUT: "held out"}


@dataclass(frozen=True)
class Contact:
    """One row of the list: its position among the scored rows, and why it is on the list."""

    row: int
    probability: float
    reasons: tuple[str, ...]
    confidence: str


@dataclass(frozen=True)
class ContactList:
    """The contacts, most probable first."""

    contacts: tuple[Contact, ...]
    candidates: int  #: rows that the list was chosen from
    end_reason: str  #: why the list ends where it does
    retrospective: bool  #: whether all outcomes are known, so that the list shows what it would have found
    ties: int  #: further rows with the probability of the last contact
    reference: str = ""  #: what the reasons compare a row with

    def scale_list_length(self, rows: int) -> int:
        """Return the number of contacts among `rows` other rows that corresponds to the length of the list."""
        return round(rows * len(self.contacts) / self.candidates)

    @property
    def row_positions(self) -> list[int]:
        """Positions of the contacts among the scored rows."""
        return [contact.row for contact in self.contacts]


def make_contact_list(scored: ScoredRows, campaign: Campaign, seed: int) -> ContactList:
    """Choose the rows to contact.

    Parameters
    ----------
    scored : ScoredRows
        Rows of two classes. Rows with unknown outcome are candidates; if there is none, all rows are.
    campaign : Campaign
        Limits the length of the list.
    seed : int
        Seed of sampled reasons.

    Returns
    -------
    ContactList
        Can be empty.
    """
    candidate_rows = np.flatnonzero(scored.y < 0)
    is_retrospective = not len(candidate_rows)
    if is_retrospective:
        candidate_rows = np.arange(len(scored))
    ranked_rows = candidate_rows[np.lexsort((candidate_rows, -scored.positive_proba[candidate_rows]))]
    ranked_p = scored.positive_proba[ranked_rows]
    count, end_reason = _contact_list_length(scored, campaign, ranked_p)
    tied_rows = int(np.isin(ranked_p[count:], ranked_p[:count][-1:]).sum())
    reasons, reference_description = _reasons_of_contacts(scored, ranked_rows[:count], seed)
    contacts = []
    reasons += [()] * (count - len(reasons))
    for row, row_reasons in zip(ranked_rows[:count].tolist(), reasons, strict=True):
        row_probability = float(scored.positive_proba[row])
        contacts.append(Contact(row, row_probability, row_reasons, _describe_row_confidence(scored, row)))
    return ContactList(
        tuple(contacts), len(candidate_rows), end_reason, is_retrospective, tied_rows, reference_description
    )


def _contact_list_length(
    scored_rows: ScoredRows, campaign: Campaign, ranked_p: npt.NDArray[np.float64]
) -> tuple[int, str]:
    """Return the length of the list, and why it ends there; `ranked_p` are the candidates' probabilities in descending order."""
    total_rows, contact_limit, break_even = len(ranked_p), campaign.max_contacts, campaign.break_even
    if contact_limit == 0:
        return 0, "the budget does not pay for a single contact"
    if break_even is not None:
        if break_even > 1:
            return 0, "a contact costs more than it brings, however sure it is"
        paying_rows = int((ranked_p >= break_even).sum())
        if paying_rows < min(contact_limit or total_rows, total_rows):
            return (
                paying_rows,
                f"beyond it a contact costs more than it brings by its probability (below {break_even:.3g})",
            )
    if contact_limit is not None and contact_limit < total_rows:
        return contact_limit, "that is the capacity" if campaign.capacity == contact_limit else "that is the budget"
    if contact_limit is not None or break_even is not None:
        return total_rows, "every row pays by its probability" if contact_limit is None else "these are all rows"
    predicted_positives = int((ranked_p >= scored_rows.threshold).sum())
    return (
        predicted_positives,
        f"these are the rows that the bundle predicts as {scored_rows.positive_name} (no capacity was given)",
    )


def _reasons_of_contacts(scored_rows: ScoredRows, rows: Positions, seed: int) -> tuple[list[tuple[str, ...]], str]:
    """Return the reasons of the first of these rows, and what the reasons compare a row with."""
    schema = scored_rows.bundle.schema
    if not len(rows):
        return [], ""
    if schema.modality != "tabular":
        X = take(scored_rows.X, rows[: MAX_OTHER_ROWS[schema.modality]])
        row_explanations = shapley_values(scored_rows.bundle.predict_proba, schema, X, seed, class_index=1)
        return list(map(describe_shapley_values, row_explanations)), "the same without it"
    if len(scored_rows) < MIN_BACKGROUND:
        columns, reference_description = (
            estimate_contributions_by_sampling(scored_rows, rows, seed, against_typical_row=True),
            "the typical row of training",
        )
    else:
        tree_contributions = compute_tree_contributions(scored_rows, rows[:MAX_EXACT])
        columns = tree_contributions or estimate_contributions_by_sampling(scored_rows, rows[:MAX_SAMPLED], seed)
        reference_description = "the average row"
    column_groups = _column_groups_for_reasons(scored_rows)
    reasons = []
    for row, contributions in zip(rows.tolist(), columns.contributions, strict=False):
        reasons.append(_describe_largest_contributions(scored_rows, row, contributions, column_groups))
    return reasons, reference_description


def _column_groups_for_reasons(scored_rows: ScoredRows) -> list[tuple[str, ...]]:
    """Return groups of associated columns, as found at export or in enough scored rows, then each remaining column."""
    groups: list[tuple[str, ...]] = []
    if drivers := scored_rows.bundle.read_permutation_importances():
        groups = [tuple(group["columns"]) for group in drivers.get("together", ())]
    elif len(scored_rows) >= MIN_BACKGROUND:
        groups = find_associated_columns([scored_rows.X])
    grouped_columns = set().union(*groups)
    return groups + [
        (feature.name,) for feature in scored_rows.bundle.schema.features if feature.name not in grouped_columns
    ]


def _describe_largest_contributions(
    scored_rows: ScoredRows, row: int, contributions: npt.NDArray[np.float64], column_groups: Sequence[tuple[str, ...]]
) -> tuple[str, ...]:
    """Describe the largest contributions to a table's row; a group of associated columns is one reason."""
    features = {feature.name: feature for feature in scored_rows.bundle.schema.features}
    contribution_by_column = dict(zip(features, contributions.tolist(), strict=True))

    def contribution_size(name: str) -> float:
        return abs(float(contribution_by_column[name]))

    reasons = []
    for column_group in column_groups:
        columns = sorted(column_group, key=contribution_size, reverse=True)
        named_columns = [columns[0]]
        if len(columns) > 1 and contribution_size(columns[1]) >= MIN_GROUP_SHARE * contribution_size(columns[0]):
            named_columns.append(columns[1])
        assignments = [
            f"{name} = {format_feature_value(features[name], scored_rows.X[name].iloc[row])}" for name in named_columns
        ]
        reasons.append((", ".join(assignments), sum(map(contribution_by_column.__getitem__, column_group))))
    return _format_largest_reasons(reasons)


def describe_shapley_values(explained: ShapleyValues) -> tuple[str, ...]:
    """Describe the largest contributions that exceed their sampling error, such as `age = 60 (odds ×2)`."""
    has_values = explained.names != explained.row_values and any(explained.row_values)
    reasons = []
    for j in explained.largest_contributions(len(explained.names)):
        name = explained.names[j]
        if has_values:
            name += f" = {explained.row_values[j]}"
        reasons.append((name, explained.contributions[j]))
    return _format_largest_reasons(reasons)


def _format_largest_reasons(reasons: Sequence[tuple[str, float]]) -> tuple[str, ...]:
    """Format the largest reasons for the class, then, if fewer than three, those against it; each with its factor of the odds."""
    ranked_reasons = sorted(reasons, key=lambda reason: -abs(reason[1]))
    supporting_reasons = [reason for reason in ranked_reasons if reason[1] > MIN_CONTRIBUTION][:MAX_REASONS]
    opposing_reasons = [reason for reason in ranked_reasons if reason[1] < -MIN_CONTRIBUTION]
    formatted_reasons = []
    for name, contribution in (supporting_reasons + opposing_reasons)[:MAX_REASONS]:
        odds_factor = math.exp(min(max(contribution, -20.0), 20.0))
        formatted_reasons.append(f"{name} (odds {format_multiple(odds_factor)})")
    return tuple(formatted_reasons)


def is_close_call(p: npt.NDArray[np.float64], threshold: float) -> npt.NDArray[np.bool_]:
    """Return whether the odds of probabilities (n,) differ from the threshold's by less than a factor of 1.5."""
    return np.asarray(np.abs(log_odds(p) - log_odds(np.array(threshold))) < CLOSE_CALL)


def _describe_row_confidence(scored_rows: ScoredRows, row: int) -> str:
    """Describe how certain the model is of a row: near the threshold or not, with values that training did not have or not."""
    description = "clear"
    if is_close_call(scored_rows.positive_proba[row : row + 1], scored_rows.threshold)[0]:
        description = "close call"
    unseen_columns = [
        unusual_value.column for unusual_value in scored_rows.flags.get(row, ()) if unusual_value.code != MISSING_VALUE
    ]
    if unseen_columns:
        description += f"; unlike training: {', '.join(unseen_columns[:3])}"
    return description


def contacts_csv(scored: ScoredRows, contact_list: ContactList, campaign: Campaign) -> str:
    """Write the list as CSV.

    Text that a spreadsheet would run as a formula gets an apostrophe in front of it.

    Parameters
    ----------
    scored : ScoredRows
        The rows that the list was chosen from.
    contact_list : ContactList
        The list; its column `row` counts the rows of the input from 1.
    campaign : Campaign
        The expected profit is a column if the campaign has a value.

    Returns
    -------
    str
        A header, and a line per contact.
    """
    return format_safe_csv(_contact_csv_records(scored, contact_list, campaign))


def _contact_csv_records(scored_rows: ScoredRows, contact_list: ContactList, campaign: Campaign) -> Iterator[list[str]]:
    has_profit, classes = campaign.worth_of_positive_contact is not None, scored_rows.bundle.schema.classes
    profit_header = ["expected_profit"] if has_profit else []
    outcome_header = ["outcome"] if contact_list.retrospective else []
    header = ["rank", "row", *map(str, scored_rows.identifiers.columns), "probability", *profit_header]
    yield [*header, "reasons", "sureness", "probability_from", *outcome_header]
    for rank, contact in enumerate(contact_list.contacts, start=1):
        row_identifiers = map(_format_identifier, scored_rows.identifiers.iloc[contact.row])
        record = [str(rank), str(contact.row), *row_identifiers, f"{contact.probability:.6g}"]
        if has_profit:
            record.append(
                f"{contact.probability * (campaign.worth_of_positive_contact or 0) - (campaign.cost or 0):.6g}"
            )
        probability_source = SOURCES.get(int(scored_rows.source[contact.row]), "the model, which learnt from this row")
        record += ["; ".join(contact.reasons), contact.confidence, probability_source]
        if contact_list.retrospective:
            record.append(classes[scored_rows.y[contact.row]])
        yield record


def _format_identifier(row_identifier: Any) -> str:
    return "" if row_identifier != row_identifier else str(row_identifier)  # noqa: PLR0124 -- NaN
