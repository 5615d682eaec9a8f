"""`evenhand insights`: what a bundle and rows tell people who act on them, as Markdown, a web page and a contact list."""

from __future__ import annotations

from pathlib import Path

from harness.deploy.bundle import Bundle, read_bundle
from harness.deploy.insights import model_sections, row_sections
from harness.deploy.insights.confidence import (
    ConfidenceAssessment,
    assess_confidence,
    warn_of_leakage,
    warn_of_miscalibration,
)
from harness.deploy.insights.contact_list import ContactList, contacts_csv, make_contact_list
from harness.deploy.insights.contributions import average_contribution_sizes
from harness.deploy.insights.counterfactuals import find_counterfactuals
from harness.deploy.insights.gains import LIST_RULE, Campaign, ContactRule, Gains, measure_gains
from harness.deploy.insights.importance import Importances, importances_from_json, rank_groups_and_columns
from harness.deploy.insights.page import render_html, render_markdown
from harness.deploy.insights.scored_rows import InsightsRequest, ScoredRows, read_scored_rows
from harness.deploy.insights.segments import find_segments
from harness.errors import BundleError, EvenhandError
from harness.report.content import Section
from harness.report.render.cells import format_quantity, format_share
from harness.report.render.csv import render_section_tables
from harness.report.render.markdown import escape, format_count, inline_code, join_words
from harness.seeding import seed_of

MARKDOWN_FILE, PAGE_FILE, LIST_FILE, TABLE_FOLDER = "insights.md", "insights.html", "contacts.csv", "tables"


def write_insights(request: InsightsRequest) -> list[Path]:
    """Write insights.md, insights.html and, for two classes, contacts.csv; and the tables as CSV files.

    Parameters
    ----------
    request : InsightsRequest
        Bundle, rows, campaign and output folder.

    Returns
    -------
    list of Path
        The files, without those of the tables.

    Raises
    ------
    EvenhandError
        If the bundle or the rows cannot be read, or the request does not fit them.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

    with threadpool_limits(1):  # many small predictions: threads would only wait for each other
        bundle = read_bundle(request.bundle)
        request.check_actionable(bundle.schema)
        scored_rows = read_scored_rows(bundle, request)
        if scored_rows.has_two_classes:
            lead_sentences, sections, contact_lists = _two_class_insights(scored_rows, request)
        else:
            lead_sentences, sections, contact_lists = _multiclass_insights(scored_rows, request)
        title = f"{bundle.manifest.get('title') or bundle.manifest['task']}"
        files = {
            MARKDOWN_FILE: render_markdown(title, lead_sentences, sections),
            PAGE_FILE: render_html(title, lead_sentences, sections),
        }
        files |= contact_lists
        for name, table in render_section_tables(sections).items():
            _write_insights_file(request.output_folder / TABLE_FOLDER, name, table)
    return [_write_insights_file(request.output_folder, name, file_text) for name, file_text in files.items()]


def _two_class_insights(
    scored_rows: ScoredRows, request: InsightsRequest
) -> tuple[list[str], list[Section], dict[str, str]]:
    """Return the lead, the sections and the contact list for two classes."""
    campaign, seed = request.campaign, seed_of(request.seed, "insights", scored_rows.bundle.id)
    contact_list = make_contact_list(scored_rows, campaign, seed)
    rows = scored_rows.evaluated_rows
    positive_outcomes = (scored_rows.y[rows] == 1).astype("int64")
    contacted_rows = contact_list.scale_list_length(len(rows))
    measured_gains = measure_gains(positive_outcomes, scored_rows.positive_proba[rows], campaign, contacted_rows, seed)
    importances, confidence_summary = _read_importances(scored_rows.bundle), assess_confidence(scored_rows)
    caveat_text = warn_of_miscalibration(scored_rows, confidence_summary)
    counterfactuals = find_counterfactuals(scored_rows, contact_list.row_positions, request.actionable)
    sections = [
        row_sections.contact_section(scored_rows, contact_list, campaign, caveat_text),
        row_sections.gains_section(scored_rows, measured_gains, campaign),
        row_sections.segment_section(scored_rows, find_segments(scored_rows, seed)),
        model_sections.importance_section(scored_rows, importances, average_contribution_sizes(scored_rows, seed)),
        model_sections.counterfactual_section(scored_rows, counterfactuals, request.actionable),
        model_sections.confidence_section(scored_rows, confidence_summary),
    ]
    lead_sentences = [
        _describe_rows_and_bundle(scored_rows, request),
        _main_findings(scored_rows, contact_list, measured_gains, importances, confidence_summary),
    ]
    if scored_rows.target is not None:
        lead_sentences.append(f"Outcomes are counted on {row_sections.describe_rows_with_outcome(scored_rows)}.")
    lead_sentences += filter(None, [caveat_text, warn_of_leakage(scored_rows)])
    return lead_sentences, sections, {LIST_FILE: contacts_csv(scored_rows, contact_list, campaign)}


def _multiclass_insights(
    scored_rows: ScoredRows, request: InsightsRequest
) -> tuple[list[str], list[Section], dict[str, str]]:
    """Return the lead and the sections for more than two classes, where there is no single class to contact for."""
    if request.campaign != Campaign():
        raise EvenhandError(
            f"this bundle predicts {len(scored_rows.bundle.schema.classes)} classes: a list to contact, with --capacity, "
            "--budget or --value, needs two, of which one is wanted or feared"
        )
    seed = seed_of(request.seed, "insights", scored_rows.bundle.id)
    sections = model_sections.multiclass_sections(scored_rows, _read_importances(scored_rows.bundle), seed)
    return [_describe_rows_and_bundle(scored_rows, request)], sections, {}


def _read_importances(bundle: Bundle) -> Importances | None:
    json_importances = bundle.read_permutation_importances()
    if json_importances is None:
        return None
    try:
        return importances_from_json(json_importances)
    except (KeyError, TypeError, ValueError) as error:
        message = f"{bundle.folder}: drivers.json cannot be understood ({error}): export the bundle again"
        raise BundleError(message) from error


def _describe_rows_and_bundle(scored_rows: ScoredRows, request: InsightsRequest) -> str:
    file_name, entry = inline_code(request.source.name), escape(scored_rows.bundle.manifest["entry"])
    rows = format_count(len(scored_rows), "row")
    return f"{rows} of {file_name}, looked at with the bundle of {entry} (`{scored_rows.bundle.id}`)."


def _main_findings(
    scored_rows: ScoredRows,
    contact_list: ContactList,
    measured_gains: Gains | None,
    importances: Importances | None,
    confidence_summary: ConfidenceAssessment,
) -> str:
    """List the main findings, one line each."""
    contacts = format_count(len(contact_list.contacts), "row")
    lines = [f"**Contact** {contacts} of {contact_list.candidates:,}: {contact_list.end_reason}."]
    if measured_gains is not None:
        lines.append(
            _summarize_gains(
                measured_gains, contact_list.scale_list_length(measured_gains.rows), escape(scored_rows.positive_name)
            )
        )
        if measured_gains.rules:
            lines.append(_summarize_profit(measured_gains.rules))
    if importances is not None:
        lines += _summarize_importances(importances)
    close_calls = format_share(confidence_summary.close_calls / confidence_summary.rows)
    lines.append(f"**Confidence**: {close_calls} of the rows are close calls.")
    return "\n".join(f"- {line}" for line in lines)


def _summarize_importances(importances: Importances) -> list[str]:
    """Name the most important columns, and how many would be significant by chance; nothing if none is significant."""
    column_groups = rank_groups_and_columns(importances)
    significant_groups = []
    for column_group in column_groups:
        if column_group.is_significant:
            significant_groups.append(column_group)
    if not significant_groups:
        return []
    names = []
    for column_group in significant_groups[:4]:
        names.append(" + ".join(map(escape, column_group.columns[:3])))
        if len(column_group.columns) > 3:
            names[-1] += " + …"
    sentence = f"**The model goes by** {join_words(names)} above all, which are associations and no causes"
    expected_false_positives = model_sections.FALSE_POSITIVE_RATE * len(column_groups)
    if len(significant_groups) <= 2 * expected_false_positives:
        sentence += f"; of {len(column_groups)} columns and groups about {expected_false_positives:.1f} would stand out so by chance"
    return [f"{sentence}."]


def _summarize_gains(gains: Gains, contacted_rows: int, positive: str) -> str:
    """Describe the gains of as many contacts as the list has; of a tenth of the rows if that is none or nearly all."""
    if not 0 < contacted_rows < gains.rows:
        contacted_rows = round(gains.rows * 0.1)
    row = min(gains.table, key=lambda candidate: abs(candidate.contacted - contacted_rows))
    chance, chance_low, chance_high = row.chance
    return (
        f"**Found**: among rows whose outcome is known, the {row.contacted:,} likeliest of {gains.rows:,} hold {row.positives:,} of "
        f"{gains.positives:,} {positive} ({row.low:,.0f} to {row.high:,.0f}, 95 %); chance would find {chance:,.0f} "
        f"({chance_low:,.0f} to {chance_high:,.0f})."
    )


def _summarize_profit(contact_rules: tuple[ContactRule, ...]) -> str:
    """Describe the profit of the best rule, and of the length of the list if that is evaluated."""
    best_rule = contact_rules[0]
    summary = f"**Profit** per 1,000 rows: the best cut {_format_profit(best_rule)}, from {format_share(best_rule.share[0])} of them"
    for contact_rule in contact_rules:
        if contact_rule.description == LIST_RULE:
            summary += f"; as many as on the list {_format_profit(contact_rule)}"
    return f"{summary}."


def _format_profit(contact_rule: ContactRule) -> str:
    mean, profit_low, profit_high = map(format_quantity, contact_rule.profit)
    return f"{mean} ({profit_low} to {profit_high}, 95 %)"


def _write_insights_file(folder: Path, name: str, file_text: str) -> Path:
    path, temporary = folder / name, folder / f".{name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(file_text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise EvenhandError(f"cannot write {path}: {error.strerror or error}") from error
    return path
