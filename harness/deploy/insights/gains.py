"""A campaign, and its gains: how many positive rows and how much profit come from contacting the most probable rows first.

Everything is counted on rows whose outcome is known. Sampling variation is measured by the bootstrap (Efron, Bootstrap
methods, 1979). A best share that is chosen and evaluated on the same rows is optimistic, so it is chosen on a bootstrap
sample and evaluated on the rows that the sample left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from harness.deploy.error_analysis import clopper_pearson_interval, wilson_interval
from harness.errors import EvenhandError

MAX_AMOUNT = 1e15  #: contacts or money; beyond it sums are no longer exact
Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Interval: TypeAlias = tuple[float, float, float]  #: mean, lower and upper end of the 95 % interval
CURVE_SHARES = np.linspace(0, 1, 101)  #: shares of rows contacted at which curves are evaluated
TABLE_SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5)
MAX_SAMPLES, MIN_SAMPLES = 1000, 200  #: bootstrap samples
MAX_WORK = 20_000_000  #: rows times bootstrap samples
PERCENTILES = (2.5, 97.5)
PROFIT_ROWS = 1000  #: rows to which profits are scaled
LIST_RULE = "as many as on the list"


@dataclass(frozen=True)
class Campaign:
    """How many rows can be contacted, what a contact costs, and what a successful contact brings.

    Parameters
    ----------
    capacity : int, optional
        Largest number of contacts.
    budget : float, optional
        Largest amount spent on contacts, in any one currency; requires `cost`.
    cost : float, optional
        Cost of one contact.
    value : float, optional
        Worth of one success; requires `cost`.
    success : float, default 1.0
        Share of contacted positive rows for which the contact achieves its purpose: a customer about to leave stays, an
        interested customer buys.

    Raises
    ------
    EvenhandError
        If a number is out of range or requires another one that is missing.
    """

    capacity: int | None = None
    budget: float | None = None
    cost: float | None = None
    value: float | None = None
    success: float = 1.0

    def __post_init__(self) -> None:
        for option, option_amount in (
            ("--capacity", self.capacity),
            ("--budget", self.budget),
            ("--value", self.value),
        ):
            if option_amount is not None and not 0 < option_amount <= MAX_AMOUNT:
                raise EvenhandError(f"{option} must be more than 0 and at most {MAX_AMOUNT:g}, but got {option_amount}")
        if self.cost is not None and not 0 <= self.cost <= MAX_AMOUNT:
            raise EvenhandError(f"--contact-cost must be 0 or more and at most {MAX_AMOUNT:g}, but got {self.cost}")
        if not 0 < self.success <= 1:
            raise EvenhandError(f"--success is a share above 0 and at most 1, but got {self.success}")
        if self.budget is not None and not self.cost:
            raise EvenhandError("--budget says how much may be spent: say what one contact costs, --contact-cost")
        if self.value is not None and self.cost is None:
            message = "--value says what a success is worth: say what one contact costs, --contact-cost (0 is one)"
            raise EvenhandError(message)

    @property
    def max_contacts(self) -> int | None:
        """Largest number of contacts that capacity and budget allow; None if neither is set."""
        contact_limits = []
        if self.capacity is not None:
            contact_limits.append(self.capacity)
        if self.budget is not None and self.cost:
            contact_limits.append(int(self.budget / self.cost + 1e-9))
        return min(contact_limits, default=None)

    @property
    def worth_of_positive_contact(self) -> float | None:
        """Average worth of contacting a positive row, before the cost of the contact; None without `value`."""
        if self.value is None:
            return None
        return self.value * self.success

    @property
    def break_even(self) -> float | None:
        """Probability from which a contact pays, if the probabilities are calibrated."""
        if self.worth_of_positive_contact is None or self.cost is None:
            return None
        return self.cost / self.worth_of_positive_contact


@dataclass(frozen=True)
class GainsCurve:
    """Estimates at each of `CURVE_SHARES`, and their 95 % interval."""

    estimate: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class GainsRow:
    """How many positive rows are among the `contacted` most probable rows, with the 95 % interval."""

    contacted: int
    positives: int
    low: float
    high: float
    chance: Interval  #: positives among as many rows drawn at random


@dataclass(frozen=True)
class ContactRule:
    """A rule that says whom to contact: the share of rows it selects, and their profit per 1,000 rows."""

    description: str
    share: Interval
    profit: Interval
    threshold: Interval | None = None  #: lowest probability contacted, if that was estimated


@dataclass(frozen=True)
class Gains:
    """Gains of contacting rows in descending order of probability."""

    rows: int
    positives: int
    share_of_positives: GainsCurve
    table: tuple[GainsRow, ...]
    profit: GainsCurve | None = None  #: per 1,000 rows
    rules: tuple[ContactRule, ...] = ()


def measure_gains(y: Labels, proba: Floats, campaign: Campaign, contacted: int | None, seed: int) -> Gains | None:
    """Measure gains on rows with a known outcome.

    Parameters
    ----------
    y : (n,) array of int
        Outcomes, 1 for a positive row and 0 otherwise.
    proba : (n,) array of float
        Probabilities of the positive class.
    campaign : Campaign
        Profits and rules are computed if it has a value.
    contacted : int or None
        Number of contacts to evaluate besides the usual shares.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    Gains or None
        None without rows of both classes.

    References
    ----------
    Efron (1979), Bootstrap methods: another look at the jackknife.
    """
    n, total_positives = len(y), int(y.sum())
    if not 0 < total_positives < n:
        return None
    rng = np.random.default_rng(seed)
    probability_order = np.lexsort((rng.random(n), -proba))  # random order within equal probabilities
    y, proba = y[probability_order], proba[probability_order]
    counts = {max(1, round(contacted_share * n)) for contacted_share in TABLE_SHARES}
    if contacted and contacted < n:
        counts.add(contacted)
    table_counts = sorted(counts)
    table_shares = np.array(table_counts) / n
    curves, tables, profits = [], [], []
    for weights in _bootstrap_weights(n, rng):
        curve, sample_positives = _gains_curve(y, weights, table_shares)
        curves.append(curve)
        tables.append(sample_positives)
        profits.append(_profit_curve(curve, float((weights * y).sum()) / n, campaign))
    full_curve, positives = _gains_curve(y, np.ones(n), table_shares)
    table = []
    for count, contacted_positives, samples in zip(table_counts, positives, np.array(tables).T, strict=True):
        table.append(_gains_row(n, total_positives, count, round(float(contacted_positives)), samples))
    share_of_positives = _curve_with_interval(full_curve, curves)
    if campaign.worth_of_positive_contact is None:
        return Gains(n, total_positives, share_of_positives, tuple(table))
    profit = _curve_with_interval(_profit_curve(full_curve, total_positives / n, campaign), profits)
    return Gains(
        n,
        total_positives,
        share_of_positives,
        tuple(table),
        profit,
        _compare_contact_rules(y, proba, campaign, contacted, rng),
    )


def _bootstrap_weights(n: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Yield how often each row is in each bootstrap sample."""
    for _ in range(int(np.clip(MAX_WORK / n, MIN_SAMPLES, MAX_SAMPLES))):
        yield np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)


def _gains_curve(y: Labels, weights: Floats, table_shares: Floats) -> tuple[Floats, Floats]:
    """Return the share of positives at each of `CURVE_SHARES`, and the number of positives at other shares."""
    contacted_shares = np.append(0, np.cumsum(weights)) / weights.sum()
    positives = np.append(0, np.cumsum(weights * y))
    positive_shares = np.interp(CURVE_SHARES, contacted_shares, positives) / max(positives[-1], 1.0)
    return positive_shares, np.interp(table_shares, contacted_shares, positives)


def _profit_curve(curve: Floats, positive_share: float, campaign: Campaign) -> Floats:
    """Return the profit per 1,000 rows at each of `CURVE_SHARES`."""
    return np.asarray(
        PROFIT_ROWS
        * ((campaign.worth_of_positive_contact or 0) * positive_share * curve - (campaign.cost or 0) * CURVE_SHARES)
    )


def _curve_with_interval(estimate: Floats, samples: list[Floats]) -> GainsCurve:
    band_low, band_high = np.percentile(np.array(samples), PERCENTILES, axis=0)
    return GainsCurve(estimate, band_low, band_high)


def _gains_row(n: int, total_positives: int, contacted_rows: int, positives: int, samples: Floats) -> GainsRow:
    from scipy.stats import hypergeom

    interval_low, interval_high = np.percentile(samples, PERCENTILES)
    # If all or none of a few contacts are positive, they are so in every bootstrap sample; Wilson's interval has a width there.
    share_low, share_high = wilson_interval(positives, contacted_rows)
    interval_low, interval_high = (
        min(interval_low, contacted_rows * share_low),
        max(interval_high, contacted_rows * share_high),
    )
    chance_distribution = hypergeom(n, total_positives, contacted_rows)
    chance_low, chance_high = chance_distribution.interval(0.95)
    interval = (float(chance_distribution.mean()), float(chance_low), float(chance_high))
    return GainsRow(contacted_rows, positives, float(interval_low), float(interval_high), interval)


def _compare_contact_rules(
    y: Labels, proba: Floats, campaign: Campaign, contacted_rows: int | None, rng: np.random.Generator
) -> tuple[ContactRule, ...]:
    """Evaluate the most profitable share, the length of the list, the break-even probability, and contacting everybody."""
    n = len(y)
    row_profits = PROFIT_ROWS * ((campaign.worth_of_positive_contact or 0.0) * y - (campaign.cost or 0.0))
    rule_intervals: list[Interval] = []
    for weights in _bootstrap_weights(n, rng):
        threshold = _most_profitable_threshold(proba, np.cumsum(weights * row_profits))
        left_out = weights == 0
        is_selected = left_out & (proba >= threshold)
        size = max(left_out.sum(), 1)
        rule_intervals.append((threshold, is_selected.sum() / size, float(row_profits[is_selected].sum()) / size))
    thresholds, contacted_shares, profits = np.array(rule_intervals).T
    in_sample_rule = _evaluate_contact_rule(
        "", y, proba >= _most_profitable_threshold(proba, np.cumsum(row_profits)), campaign
    )
    mean, interval_low, interval_high = _bootstrap_mean_and_interval(profits)
    # Bootstrap samples contain no other rows than these, so with few positives they vary too little.
    profit = mean, min(interval_low, in_sample_rule.profit[1]), max(interval_high, in_sample_rule.profit[2])
    description = "the most profitable share, chosen on other rows"
    contact_rules = [
        ContactRule(
            description,
            _bootstrap_mean_and_interval(contacted_shares),
            profit,
            _bootstrap_mean_and_interval(thresholds),
        )
    ]
    if campaign.max_contacts is not None and contacted_rows and contacted_rows < n:
        contact_rules.append(
            _evaluate_contact_rule(LIST_RULE, y, np.arange(n) < contacted_rows, campaign, fixed_contacts=True)
        )
    if campaign.break_even is not None:
        description = f"a contact should pay: probability {campaign.break_even:.3g} or more"
        contact_rules.append(_evaluate_contact_rule(description, y, proba >= campaign.break_even, campaign))
    contact_rules.append(_evaluate_contact_rule("everybody", y, np.ones(n, dtype=bool), campaign, fixed_contacts=True))
    return tuple(contact_rules)


def _evaluate_contact_rule(
    description: str, y: Labels, is_selected: npt.NDArray[np.bool_], campaign: Campaign, *, fixed_contacts: bool = False
) -> ContactRule:
    """Compute the profit of contacting the selected rows; with `fixed_contacts` the rule selects as many of any other sample.

    Profit is a weighted difference of two shares of all rows: contacted positives and contacts. Its interval combines
    theirs and their correlation (MOVER: Zou, Toward using confidence intervals to compare correlations, 2007), which also
    holds with few positives.
    """
    n, positives, contacts = len(y), int(y[is_selected].sum()), int(is_selected.sum())
    contact_worth, cost = campaign.worth_of_positive_contact or 0.0, campaign.cost or 0.0
    hit_share, contact_share = positives / n, contacts / n
    hit_low, hit_high = clopper_pearson_interval(positives, n)
    contact_share_low = contact_share_high = contact_share
    correlation = 0.0
    if not fixed_contacts:
        contact_share_low, contact_share_high = clopper_pearson_interval(contacts, n)
        if hit_share > 0 and contact_share < 1:
            correlation = math.sqrt(hit_share * (1 - contact_share) / (contact_share * (1 - hit_share)))

    def profit_half_width(gain_margin: float, cost_margin: float) -> float:
        squared_half_width = (
            gain_margin * gain_margin + cost_margin * cost_margin - 2 * correlation * gain_margin * cost_margin
        )
        return math.sqrt(max(0.0, squared_half_width))

    mean = contact_worth * hit_share - cost * contact_share
    profit_low = mean - profit_half_width(
        contact_worth * (hit_share - hit_low), cost * (contact_share_high - contact_share)
    )
    profit_high = mean + profit_half_width(
        contact_worth * (hit_high - hit_share), cost * (contact_share - contact_share_low)
    )
    profit = (PROFIT_ROWS * mean, PROFIT_ROWS * profit_low, PROFIT_ROWS * profit_high)
    return ContactRule(description, (contact_share, contact_share_low, contact_share_high), profit)


def _most_profitable_threshold(proba: Floats, cumulative_profit: Floats) -> float:
    """Return the probability down to which contacting is most profitable; infinity if no contact is."""
    last_tied_rows = np.append(
        np.flatnonzero(np.diff(proba)), len(proba) - 1
    )  # rows of equal probability are contacted together
    best_row = int(last_tied_rows[cumulative_profit[last_tied_rows].argmax()])
    return float(proba[best_row]) if cumulative_profit[best_row] > 0 else np.inf


def _bootstrap_mean_and_interval(samples: Floats) -> Interval:
    """Return the mean and the 95 % interval of the finite numbers among bootstrap results; infinity if there is none."""
    finite_samples = samples[np.isfinite(samples)]
    if not len(finite_samples):
        return np.inf, np.inf, np.inf
    interval_low, interval_high = np.percentile(finite_samples, PERCENTILES)
    return float(finite_samples.mean()), float(interval_low), float(interval_high)
