"""`evenhand insights`: what a bundle and some rows tell people who act on it, as Markdown, as a page, and as a list to work through."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.deploy.bundle import Bundle, read_bundle
from harness.deploy.insights.campaign import Asked, Campaign
from harness.deploy.insights.confidence import Sureness, how_sure, no_frequencies, too_good
from harness.deploy.insights.contact_list import Contacts, contacts, contacts_csv
from harness.deploy.insights.contributions import contributions
from harness.deploy.insights.counterfactuals import flips
from harness.deploy.insights.gains import AS_LISTED, Cut, Gains, gains
from harness.deploy.insights.importance import Drivers, read_drivers
from harness.deploy.insights.markdown import count, listed, money, percent
from harness.deploy.insights.model_sections import (
    driver_section,
    flip_section,
    several_sections,
    sureness_section,
    units,
)
from harness.deploy.insights.page import Section, markdown_of, page_of
from harness.deploy.insights.row_sections import contact_section, counted, gains_section, segment_section
from harness.deploy.insights.scored_rows import ScoredRows, read_given
from harness.deploy.insights.segments import segments
from harness.deploy.markdown import text
from harness.errors import BundleError, EvenhandError
from harness.seeding import seed_of

CHANCE = 0.025  #: share of columns that no model needs whose interval lies above 0 all the same
MARKDOWN, PAGE, LIST = "insights.md", "insights.html", "contacts.csv"


@dataclass(frozen=True)
class _Found:
    """What was found of two classes, before it is said."""

    listed: Contacts
    gains: Gains | None
    drivers: Drivers | None
    sure: Sureness


def write_insights(asked: Asked) -> list[Path]:
    """Write insights.md, insights.html and, of two classes, contacts.csv into a folder; returns their paths.

    Raises `EvenhandError`, in one line, where the bundle or the rows cannot be read or what is asked does not fit them.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

    with threadpool_limits(1):  # many small predictions: threads would only wait for each other
        return _write_all(asked)


def _write_all(asked: Asked) -> list[Path]:
    bundle = read_bundle(asked.bundle)
    asked.check_actionable(bundle.schema)
    given = read_given(bundle, asked)
    lead, sections, files = _two(given, asked) if given.binary else _several(given, asked)
    title = f"{bundle.manifest.get('title') or bundle.manifest['task']}"
    files = {
        MARKDOWN: markdown_of(title, lead, sections),
        PAGE: page_of(title, lead, sections),
    } | files
    return [_write(asked.folder, name, content) for name, content in files.items()]


def _two(given: ScoredRows, asked: Asked) -> tuple[list[str], list[Section], dict[str, str]]:
    """Of two classes: whom to contact, and everything that this rests on."""
    campaign, seed = asked.campaign, seed_of(asked.seed, "insights", given.bundle.id)
    chosen = contacts(given, campaign, seed)
    known = given.known
    y, p = (given.y[known] == 1).astype("int64"), given.positive[known]
    found = _Found(
        listed=chosen,
        gains=gains(y, p, campaign, round(len(y) * len(chosen.chosen) / chosen.asked), seed),
        drivers=_drivers(given.bundle),
        sure=how_sure(given),
    )
    changed = flips(given, [one.row for one in chosen.chosen], asked.actionable) if asked.actionable else None
    sections = [
        contact_section(given, chosen, campaign, no_frequencies(given, found.sure)),
        gains_section(given, found.gains, campaign),
        segment_section(given, segments(given, seed)),
        driver_section(given, found.drivers, contributions(given, seed)),
        flip_section(given, changed, asked.actionable),
        sureness_section(given, found.sure),
    ]
    return _lead(given, asked, found), sections, {LIST: contacts_csv(given, chosen, campaign)}


def _several(given: ScoredRows, asked: Asked) -> tuple[list[str], list[Section], dict[str, str]]:
    """Of several classes: there is no one class to contact for."""
    if asked.campaign != Campaign():
        raise EvenhandError(
            f"this bundle tells {len(given.bundle.schema.classes)} classes apart: a list to contact, with --capacity, "
            "--budget or --value, needs two, of which one is wanted or feared"
        )
    seed = seed_of(asked.seed, "insights", given.bundle.id)
    lead = [_rows_said(given, asked)]
    return lead, several_sections(given, _drivers(given.bundle), seed), {}


def _drivers(bundle: Bundle) -> Drivers | None:
    plain = bundle.drivers()
    if plain is None:
        return None
    try:
        return read_drivers(plain)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{bundle.folder}: drivers.json cannot be understood ({error}): export the bundle again"
        ) from error


def _rows_said(given: ScoredRows, asked: Asked) -> str:
    manifest = given.bundle.manifest
    return (
        f"{count(len(given), 'row')} of `{asked.data.name.replace('`', '')}`, looked at with the bundle of {text(manifest['entry'])} "
        f"(`{given.bundle.id}`)."
    )


def _lead(given: ScoredRows, asked: Asked, found: _Found) -> list[str]:
    """The answers in short, one line each."""
    positive = text(given.positive_name)
    lines = [f"**Contact** {count(len(found.listed.chosen), 'row')} of {found.listed.asked:,}: {found.listed.why}."]
    if found.gains is not None:
        lines.append(
            _found_line(found.gains, round(found.gains.rows * len(found.listed.chosen) / found.listed.asked), positive)
        )
        if found.gains.cuts:
            lines.append(_profit_line(found.gains))
    if found.drivers is not None and (by := _drivers_line(found.drivers)):
        lines.append(by)
    lines.append(f"**Sureness**: {percent(found.sure.close / found.sure.rows)} of the rows are close calls.")
    known = [] if given.target is None else [f"Outcomes are counted on {counted(given)}."]
    known += [doubt for doubt in (no_frequencies(given, found.sure), too_good(given)) if doubt]
    return [_rows_said(given, asked), "\n".join(f"- {line}" for line in lines), *known]


def _drivers_line(found: Drivers) -> str:
    """What the model goes by, and how little that may be when many columns are looked at; empty where nothing stands out."""
    every = units(found)
    clear = [one for one in every if one.clear]
    if not clear:
        return ""
    names = [" + ".join(map(text, one.columns[:3])) + (" + …" if len(one.columns) > 3 else "") for one in clear[:4]]
    said = f"**The model goes by** {listed(names)} above all, which are associations and no causes"
    if len(clear) <= 2 * CHANCE * len(every):
        said += f"; of {len(every)} columns and groups about {CHANCE * len(every):.1f} would stand out so by chance"
    return f"{said}."


def _found_line(found: Gains, contacted: int, positive: str) -> str:
    """What as many contacts found where outcomes are known; the usual tenth where the list takes nearly all."""
    tenth = round(found.rows * 0.1)
    one = min(found.table, key=lambda one: abs(one.contacted - (contacted if 0 < contacted < found.rows else tenth)))
    return (
        f"**Found**: among rows whose outcome is known, the {one.contacted:,} likeliest of {found.rows:,} hold {one.found:,} of "
        f"{found.positives:,} {positive} ({one.low:,.0f} to {one.high:,.0f}, 95 %); chance would find {one.chance[0]:,.0f} "
        f"({one.chance[1]:,.0f} to {one.chance[2]:,.0f})."
    )


def _profit_line(found: Gains) -> str:
    """What the best cut earns; and the list, where it is another one."""
    best = found.cuts[0]
    listed_ = next((one for one in found.cuts if one.said == AS_LISTED), None)
    said = f"**Profit** per 1,000 rows: the best cut {_earns(best)}, from {percent(best.share[0])} of them"
    return said + (f"; as many as on the list {_earns(listed_)}." if listed_ else ".")


def _earns(one: Cut) -> str:
    return f"{money(one.profit[0])} ({money(one.profit[1])} to {money(one.profit[2])}, 95 %)"


def _write(folder: Path, name: str, content: str) -> Path:
    path, beside = folder / name, folder / f".{name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside.write_text(content, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise EvenhandError(f"cannot write {path}: {error.strerror or error}") from error
    return path
