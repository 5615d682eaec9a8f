"""Sections about the model: what it goes by, what would change its answer, how sure it is."""

from __future__ import annotations

import numpy as np

from harness.deploy.error_analysis import wilson
from harness.deploy.insights.confidence import QUANTILES, Sureness, new_to_it
from harness.deploy.insights.contact_list import told
from harness.deploy.insights.contributions import Contributions
from harness.deploy.insights.counterfactuals import Common, Flip, Flips, common
from harness.deploy.insights.figures import curves_picture, drivers_picture, sureness_picture
from harness.deploy.insights.importance import UNCLEAR, Driver, Drivers, shape
from harness.deploy.insights.markdown import IN_SIGHT, between, count, figure, listed, percent, table
from harness.deploy.insights.page import Fold, Part, Section
from harness.deploy.insights.row_sections import counted
from harness.deploy.insights.scored_rows import ScoredRows
from harness.deploy.insights.shapley import reasons
from harness.deploy.markdown import plus_minus, text
from harness.registry.task import take

CAUSES = (
    "**These are associations, not causes.** They say what the model goes by. Whether changing a column would change what "
    "happens, only a trial can say."
)
MOST_UNITS = 15
FLIPS_SHOWN, MOST_CHANGES = 12, 8


def driver_section(given: ScoredRows, found: Drivers | None, added: Contributions | None) -> Section:
    """Drivers, their curves, and what columns add for the given rows."""
    title = "What the model goes by"
    if given.bundle.schema.modality != "tabular":
        return Section(
            title, ("Drivers are measured of tables; here the reasons of single rows say what the model goes by.",)
        )
    parts: list[Part] = [CAUSES]
    if found is None:
        parts.append("The bundle holds no drivers (`evenhand export` measures them unless `--no-drivers` is said).")
    else:
        parts += _measured(given, found)
    if added is not None:
        parts.append(_added(added))
    return Section(title, tuple(parts))


def units(found: Drivers) -> list[Driver]:
    """Columns that stand alone and groups of columns that go together, greatest loss first."""
    grouped = {name for one in found.together for name in one.columns}
    alone = [one for one in found.columns if one.columns[0] not in grouped]
    return sorted([*alone, *found.together], key=lambda one: -one.loss)


def _told_apart(one: Driver) -> tuple[bool, bool, float]:
    """Whether the mean probability surely moves with a column, whether that was measured, then what is lost without it."""
    return shape(one) not in ("–", UNCLEAR), one.curve is not None, one.loss


def _measured(given: ScoredRows, found: Drivers) -> list[Part]:
    shown = units(found)
    by_name = {one.columns[0]: one for one in found.columns}
    rows = []
    for one in shown[:MOST_UNITS]:
        lead = max((by_name[name] for name in one.columns), key=_told_apart)
        how = shape(lead)
        if len(one.columns) > 1 and lead.curve:
            how = f"{text(lead.columns[0])}: {how}"
        name = " + ".join(map(text, one.columns))
        rows.append([f"**{name}**" if one.clear else name, plus_minus(one.loss, one.half), how])
    clear, chance = sum(one.clear for one in shown), 0.025 * len(shown)
    surely = (
        f"**Bold**: the 95 % interval over the folds lies above 0, {clear} of {len(shown)}; about {chance:.1f} would by chance alone."
        if any(one.half == one.half for one in shown)
        else "The folds allow no intervals, so nothing here, no direction either, can be told from chance."
    )
    introduction = (
        f"How much the model loses when a column is shuffled among rows, which leaves everything else as it is: measured in "
        f"{count(found.folds, 'outer fold')} on {found.rows:,} rows that the models had not learnt from; unshuffled, their "
        f"{text(found.label)} is {figure(found.score)}. Columns that say much the same are shuffled together, as the model may "
        f"take one for the other. {surely}"
    )
    header = ["Column", "Loss", "How the mean probability moves with it"]
    parts: list[Part] = [
        introduction,
        table(header, rows[:IN_SIGHT]),
        drivers_picture(shown[:IN_SIGHT], found.label),
    ]
    if len(rows) > IN_SIGHT:
        parts.insert(2, Fold(f"{len(rows) - IN_SIGHT} more", table(header, rows[IN_SIGHT:])))
    ranked = sorted((one for one in found.columns if one.curve), key=lambda one: -one.loss)
    curves = curves_picture(ranked, given.bundle.schema.classes[-1])
    if curves:
        parts.append(curves)
        parts.append(
            "A curve sets one column to a value in all rows and leaves the others as they are: where columns go together, some "
            "of these rows could not exist, and a curve says less there."
        )
    if found.together:
        single = [[text(one.columns[0]), plus_minus(one.loss, one.half), shape(one)] for one in found.columns]
        parts.append(Fold(f"Each of {count(len(single), 'column')} alone", table(header, single)))
    return parts


def _added(added: Contributions) -> Fold:
    """What columns add for these rows, greatest first."""
    rows = [[text(name), figure(size)] for name, size in zip(added.names, added.size, strict=True) if size > 0][
        :MOST_UNITS
    ]
    return Fold(
        f"What each column adds for {count(added.rows, 'row')} of these data",
        f"The mean size of its contribution to the log-odds before calibration ({added.how}), whichever way it points. Here one "
        "column of several that go together may get all of what they share.\n\n"
        + table(["Column", "Mean size, log-odds"], rows),
    )


def flip_section(given: ScoredRows, found: Flips | None, asked: tuple[str, ...]) -> Section:
    """The nearest changes of actionable columns."""
    title = "What would change the answer"
    if given.bundle.schema.modality != "tabular":
        return Section(title, ("This is for tables: a text or a picture has no columns that could be acted on.",))
    if not asked:
        return Section(
            title, ("Say which columns somebody can act on, with `--actionable`, and the nearest changes stand here.",)
        )
    positive, other = (text(given.bundle.schema.classes[at]) for at in (1, 0))
    names = listed([text(name) for name in asked])
    if found is None:
        return Section(title, (f"No row of the list is called {positive} by the model.",))
    flipped = [one for one in found.rows if one.enough]
    others = [one for one in found.rows if not one.enough and one.changes]
    parts: list[Part] = [
        CAUSES,
        (
            f"For the first {len(found.rows):,} rows of the list that the model calls {positive}: the smallest change of {names}, "
            f"one column or two, with which it would call them {other}. Only values and pairs of values that occur in these data "
            f"are tried. Found for **{len(flipped):,}**; for {len(found.rows) - len(flipped):,} no such change is enough."
        ),
    ]
    for title_, some in (("Nearest change", flipped), ("Largest fall, not enough", others)):
        if some:
            header = [title_, "Rows", "Of those asked about", "Mean probability", "Would be"]
            parts.append(table(header, [_common(one, len(found.rows)) for one in common(some)[:MOST_CHANGES]]))
    if rows := [_flip(one) for one in (*flipped, *others)[:FLIPS_SHOWN]]:
        parts.append(Fold("Row by row", table(["Row", "The bundle's model says", "Would be", "If"], rows)))
    return Section(title, tuple(parts))


def _common(one: Common, asked: int) -> list[str]:
    return [
        text("; ".join(one.changes)),
        f"{one.rows:,}",
        percent(one.rows / asked),
        figure(one.before),
        figure(one.after),
    ]


def _flip(one: Flip) -> list[str]:
    change = "; ".join(f"{text(name)} were {text(to)} instead of {text(own)}" for name, own, to in one.changes)
    return [f"{one.row + 1:,}", figure(one.before), figure(one.after), change]


def sureness_section(given: ScoredRows, found: Sureness) -> Section:
    """How near to the threshold rows lie, and whether probabilities came true."""
    threshold = 0.5 if given.bundle.threshold is None else given.bundle.threshold
    positive = text(given.positive_name)
    quantiles = ", ".join(f"{figure(value)}" for value in found.quantiles)
    levels = listed([f"{100 * level:.0f} %" for level in QUANTILES])
    parts: list[Part] = [
        (
            f"{count(found.called, 'row')} of {found.rows:,} reach the threshold of {figure(threshold)} and are called "
            f"{text(given.wanted)}. "
            f"**{percent(found.close / found.rows)}** are close calls: their odds differ from the threshold's by less than half. "
            f"Probabilities below which {levels} of the rows lie: {quantiles}."
        ),
        sureness_picture(given.positive, threshold, found.bins),
    ]
    if found.bins:
        outside = sum(not one.low <= one.said <= one.high for one in found.bins)
        parted = (
            f", though in {outside} of {len(found.bins)} tenths of the rows they lie outside the interval"
            if outside > 1
            else ""
        )
        verdict = (
            f"as chance allows: the probabilities hold on the whole{parted}"
            if found.holds
            else "which chance does not explain: **take probabilities, and profits computed from them, as an order only**"
        )
        reach = 1.96 * max(found.spread, 0.0)
        parts.append(
            f"Where outcomes are known, the probabilities add up to {found.expected:,.0f} {positive} (± {reach:,.0f}), and "
            f"{found.positives:,} there were, {verdict}."
        )
        rows = [
            [
                f"{one.rows:,}",
                percent(one.said),
                percent(one.positives / one.rows),
                between(percent(one.low), percent(one.high)),
                "" if one.low <= one.said <= one.high else "outside",
            ]
            for one in found.bins
        ]
        header = ["Rows", "Said", "Came true", "95 % interval", "Said lies"]
        parts.append(Fold("Tenths of the rows by probability", table(header, rows)))
    parts += _odd(found)
    return Section("How sure the model is", tuple(parts))


def _odd(found: Sureness) -> list[str]:
    said = []
    if found.odd:
        some = [f"{text(name)} ({n:,})" for name, n in found.odd[:8]]
        said.append(
            f"Values that training did not have, where the model has nothing to go by: {listed(some)} of {found.rows:,} rows."
        )
    if found.missing:
        some = [f"{text(name)} ({n:,})" for name, n in found.missing[:8]]
        said.append(f"Missing values: {listed(some)}.")
    if not said:
        said.append("No row holds a value that training did not have, and none is missing.")
    return said


DOUBTFUL = 0.6  #: a probability of the likeliest class below which a call is close
SHOWN = 10


def several_sections(given: ScoredRows, found: Drivers | None, seed: int) -> list[Section]:
    """Sections about rows of several classes."""
    return [_called(given), _doubtful(given, seed), driver_section(given, found, None)]


def _called(given: ScoredRows) -> Section:
    """How many rows are called each class, and of how many that came true."""
    classes, decided = given.bundle.schema.classes, given.bundle.decide(given.proba)
    known = given.known
    header, rows = ["Class", "Rows", "Mean probability"], []
    if len(known):
        header += ["Of known ones", "Right", "95 % interval"]
    for at, name in enumerate(classes):
        here = decided == at
        row = [text(name), f"{int(here.sum()):,}", figure(float(given.proba[here, at].mean())) if here.any() else "–"]
        if len(known):
            told_so = decided[known] == at
            right = int((given.y[known][told_so] == at).sum())
            low, high = wilson(right, int(told_so.sum()))
            share = percent(right / told_so.sum()) if told_so.any() else "–"
            row += [f"{int(told_so.sum()):,}", share, between(percent(low), percent(high))]
        rows.append(row)
    parts: list[Part] = [table(header, rows)]
    if len(known):
        parts[:0] = [f"What came true is counted on {counted(given)}.", *filter(None, [new_to_it(given)])]
    parts.append("Whom to contact, gains and profit need two classes, of which one is wanted or feared.")
    return Section("What the rows are called", tuple(parts))


def _doubtful(given: ScoredRows, seed: int) -> Section:
    """Rows whose likeliest class is no more than likely, with the reasons for it."""
    top = given.proba.max(axis=1)
    close = np.flatnonzero(top < DOUBTFUL)
    said = f"**{percent(len(close) / len(given))}** of the rows have no class with a probability of {DOUBTFUL} or more."
    chosen = close[np.argsort(top[close], kind="stable")][:SHOWN]
    if not len(chosen):
        return Section("How sure the model is", (said,))
    bundle = given.bundle
    why = reasons(bundle.predict_proba, bundle.schema, take(given.X, chosen), seed)
    rows = []
    for row, one in zip(chosen.tolist(), why, strict=True):
        first, second = np.argsort(-given.proba[row])[:2]
        names = [f"{text(bundle.schema.classes[at])} ({figure(given.proba[row, at])})" for at in (first, second)]
        who = text(given.names.iloc[row, 0]) if given.names.shape[1] else f"{row + 1:,}"
        rows.append([who, *names, text("; ".join(told(one)))])
    table_ = table(["Row", "Likeliest", "Next", "Mostly because, for the model's first choice"], rows)
    return Section("How sure the model is", (said, "The least sure ones, which a person should look at:", table_))
