"""Insights of several classes: what the rows are called, how sure that is, why single rows got their answer."""

from __future__ import annotations

import numpy as np

from harness.declare.task import take
from harness.deploy.insights.about_model import driver_section
from harness.deploy.insights.about_rows import counted
from harness.deploy.insights.contacts import told
from harness.deploy.insights.doubts import new_to_it
from harness.deploy.insights.drivers import Drivers
from harness.deploy.insights.given import Given
from harness.deploy.insights.markdown import between, figure, percent, table
from harness.deploy.insights.reasons import reasons
from harness.deploy.insights.section import Part, Section
from harness.deploy.markdown import text
from harness.deploy.shares import wilson

DOUBTFUL = 0.6  #: a probability of the likeliest class below which a call is close
SHOWN = 10


def several_sections(given: Given, found: Drivers | None, seed: int) -> list[Section]:
    """Sections about rows of several classes."""
    return [_called(given), _doubtful(given, seed), driver_section(given, found, None)]


def _called(given: Given) -> Section:
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


def _doubtful(given: Given, seed: int) -> Section:
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
