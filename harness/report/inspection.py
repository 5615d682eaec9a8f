"""The inspection of a table in words and tables: a summary of a few lines, a text for the terminal, Markdown, and a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from harness.findings import Finding
from harness.inspection.summary import SEVERITIES, FoldSummary, Inspection
from harness.report.content import CellValue, Figure, Part, ReportColumn, ReportTable, Section
from harness.report.figures import inspection as figures
from harness.report.render import markdown, terminal
from harness.report.render.cells import format_number, format_percent
from harness.report.render.markdown import escape, format_count, join_words

if TYPE_CHECKING:
    from harness.report.render.html import EmbeddedFigure

MAX_SUMMARY_FINDINGS = 3
MAX_CLASSES = 6
MAX_SCORED_COLUMNS = 10
MAX_TERMINAL_COLUMNS = 30
SPLIT_NAMES = {"stratified": "stratified split", "forward": "split forward in time", "published": "published split"}


def summarize_inspection(inspection: Inspection) -> list[str]:
    """Summarise an inspection in three to six lines of plain text: size and classes, splits, findings, the gravest of them."""
    lines = [
        f"{inspection.source}: {_describe_size(inspection)}",
        _describe_splits(inspection.folds),
        _count_findings(inspection),
    ]
    grave_findings = [finding for finding in inspection.findings if finding.severity != "note"]
    for finding in grave_findings[:MAX_SUMMARY_FINDINGS]:
        lines.append(f"{finding.severity} {finding.code}: {finding.message}")
    return lines


def render_text(inspection: Inspection) -> str:
    """Render an inspection for a terminal: the summary, every finding with what to do, scores of columns, all columns."""
    paragraphs = ["\n".join(summarize_inspection(inspection)[:3])]
    paragraphs += [_format_finding(finding) for finding in inspection.findings]
    if (table := tabulate_column_scores(inspection)) is not None:
        paragraphs.append(f"{_describe_quick_scores(inspection)}\n\n{terminal.render_terminal_table(table)}")
    columns = tabulate_inspected_columns(inspection)
    if columns.rows:
        visible_columns = ReportTable(columns.columns, columns.rows[:MAX_TERMINAL_COLUMNS])
        paragraphs.append(terminal.render_terminal_table(visible_columns))
        if len(columns.rows) > MAX_TERMINAL_COLUMNS:
            paragraphs.append(f"and {len(columns.rows) - MAX_TERMINAL_COLUMNS} more columns (--html FILE shows all)")
    paragraphs.append(_describe_sampling(inspection))
    return "\n\n".join(filter(None, paragraphs))


def render_markdown(inspection: Inspection) -> str:
    """Render an inspection as Markdown."""
    markdown_parts = [f"# Inspection of {escape(inspection.source)}"]
    for section in make_inspection_sections(inspection):
        section_texts = [
            markdown.render_markdown_part(section_part)
            for section_part in section.parts
            if not isinstance(section_part, Figure)
        ]
        markdown_parts += [f"## {section.title}", *section_texts]
    return "\n\n".join(markdown_parts) + "\n"


def render_html(inspection: Inspection) -> str:
    """Render an inspection as a page of HTML with its figures inside."""
    # Not at the top: the text of the terminal, which every run prints, needs no pages.
    from harness.report.html_report import build_section, render_report_page

    figure_embedder = _FigureDrawer()
    sections = []
    for section_number, section in enumerate(make_inspection_sections(inspection), start=1):
        sections.append(build_section(f"section-{section_number}", section.title, section, figure_embedder))
    return render_report_page("inspection.html", name=inspection.source, sections=sections)


class _FigureDrawer:
    """Draws figures at once and embeds them."""

    def __init__(self) -> None:
        self.count = 0

    def embed(self, figure: Figure) -> EmbeddedFigure:
        import matplotlib as mpl

        from harness.report.render.html import embed_figure

        self.count += 1
        with mpl.rc_context():
            mpl.rcdefaults()
            return embed_figure(figure, figure.draw(), f"f{self.count}-")


def make_inspection_sections(inspection: Inspection) -> list[Section]:
    """Write the sections of an inspection: overview, findings, columns that predict, order of the rows, all columns."""
    overview_parts: list[Part] = [markdown.bullet_list([escape(line) for line in summarize_inspection(inspection)[:3]])]
    sections = [Section("Overview", tuple(overview_parts)), Section("Findings", (_tabulate_findings(inspection),))]
    if (table := tabulate_column_scores(inspection)) is not None:
        draw_figure = partial(
            figures.column_scores_figure,
            _make_score_bars(inspection),
            _chance_and_full_score(inspection),
            _quick_model_metric(inspection),
        )
        caption = f"{_quick_model_metric(inspection)} of a quick model: single columns, and all columns without each"
        score_parts: list[Part] = [
            escape(_describe_quick_scores(inspection)),
            Figure("columns", caption, draw_figure),
            table,
        ]
        sections.append(Section("What columns contribute", tuple(score_parts)))
    if len(inspection.class_shares) > 1:
        draw_figure = partial(figures.class_shares_figure, inspection.class_shares, inspection.classes, inspection.rows)
        caption = "Share of classes from the first to the last row of the file, with what chance allows"
        sections.append(Section("Order of the rows", (Figure("order", caption, draw_figure),)))
    if inspection.columns:
        column_parts: list[Part] = [tabulate_inspected_columns(inspection)]
        missing_shares = tuple(
            (column.name, column.missing / inspection.rows) for column in inspection.columns if column.missing
        )
        if missing_shares:
            caption = "Share of missing values by column"
            column_parts.insert(0, Figure("missing", caption, partial(figures.missing_values_figure, missing_shares)))
        sections.append(Section("Columns as they are read", tuple(column_parts)))
    if sampling_note := _describe_sampling(inspection):
        sections.append(Section("How this was made", (sampling_note,)))
    return sections


def tabulate_column_scores(inspection: Inspection) -> ReportTable | None:
    """Tabulate the scores of the most informative columns; None where no quick model could be fitted."""
    scores = inspection.scores
    if scores is None:
        return None
    is_binary = not math.isnan(scores.average_precision)
    columns = [ReportColumn("Column"), ReportColumn("ROC AUC alone", "number")]
    columns += [ReportColumn("ROC AUC without it", "number")]
    if is_binary:
        columns += [ReportColumn("AP alone", "number"), ReportColumn("AP without it", "number")]
    rows: list[tuple[CellValue, ...]] = []
    for column in scores.columns[:MAX_SCORED_COLUMNS]:
        row: list[CellValue] = [column.name, column.auc_alone, column.auc_without]
        if is_binary:
            row += [column.precision_alone, column.precision_without]
        rows.append(tuple(row))
    return ReportTable(tuple(columns), tuple(rows))


def tabulate_inspected_columns(inspection: Inspection) -> ReportTable:
    """Tabulate all columns of the file as they are read."""
    columns = (
        ReportColumn("Column"),
        ReportColumn("Type"),
        ReportColumn("Missing", "percent", 0),
        ReportColumn("Levels", "count"),
        ReportColumn("Example"),
        ReportColumn("How it is read"),
    )
    rows = []
    for column in inspection.columns:
        missing_share = column.missing / inspection.rows
        rows.append((column.name, column.kind, missing_share, column.levels, column.example, column.reading))
    return ReportTable(columns, tuple(rows))


def _describe_size(inspection: Inspection) -> str:
    """Rows, columns and classes."""
    class_counts = sorted(zip(inspection.classes, inspection.counts, strict=True), key=lambda pair: -pair[1])
    class_share_texts = []
    for name, class_count in class_counts[:MAX_CLASSES]:
        class_share_texts.append(f"{name} {class_count:,} ({format_percent(class_count / inspection.rows, 1)})")
    if len(class_counts) > MAX_CLASSES:
        class_share_texts.append(f"{len(class_counts) - MAX_CLASSES} more classes")
    size_text = format_count(inspection.rows, "row")
    if inspection.columns:
        size_text += f", {format_count(len(inspection.columns), 'column')}"
    return f"{size_text}, {inspection.features}; {inspection.target}: {', '.join(class_share_texts)}"


def _describe_splits(folds: FoldSummary | None) -> str:
    """The splits, the fewest test rows of the rarest class, and what they can detect."""
    if folds is None:
        return "no splits can be made (see the error below)"
    text = f"{format_count(folds.outer, SPLIT_NAMES[folds.kind])}, {format_count(folds.inner, 'inner fold')} each"
    if folds.groups is not None:
        text += f"; rows of {format_count(folds.groups, 'group')} together"
    text += f"; at least {format_count(folds.rarest_test_rows, 'row')} of class {folds.rarest_class} in a test part"
    if not math.isnan(folds.detectable_difference):
        text += f"; differences of ROC AUC below about {format_number(folds.detectable_difference)} cannot be detected"
    return text


def _count_findings(inspection: Inspection) -> str:
    count_texts = []
    for severity in SEVERITIES:
        if finding_count := len(inspection.of_severity(severity)):
            count_texts.append(format_count(finding_count, severity))
    return f"inspection: {join_words(count_texts) if count_texts else 'nothing noticed'}"


def _format_finding(finding: Finding) -> str:
    """A finding for a terminal: what was found, and below it what to do."""
    lines = [f"{finding.severity} {finding.code}: {finding.message}{_format_examples(finding)}"]
    if finding.advice:
        lines.append(f"    {finding.advice}")
    return "\n".join(lines)


def _format_examples(finding: Finding) -> str:
    if not finding.examples:
        return ""
    return f" (rows {', '.join(map(str, finding.examples))}, counted from 0)"


def _tabulate_findings(inspection: Inspection) -> Part:
    if not inspection.findings:
        return "Nothing was noticed."
    columns = (
        ReportColumn("Severity"),
        ReportColumn("Code"),
        ReportColumn("Column"),
        ReportColumn("Rows", "count"),
        ReportColumn("What was found"),
        ReportColumn("What to do"),
    )
    rows: list[tuple[CellValue, ...]] = []
    for finding in inspection.findings:
        message = f"{finding.message}{_format_examples(finding)}"
        rows.append((finding.severity, finding.code, finding.column, finding.rows, message, finding.advice))
    return ReportTable(columns, tuple(rows), foldable=False)


def _describe_quick_scores(inspection: Inspection) -> str:
    """What the quick model is and what it scores."""
    scores = inspection.scores
    if scores is None:
        return ""
    text = f"A quick model (gradient boosting, 3 folds) reaches ROC AUC {format_number(scores.auc)}"
    if not math.isnan(scores.average_precision):
        text += (
            f" and average precision {format_number(scores.average_precision)} (chance {format_number(scores.chance)})"
        )
    return f"{text}, out of fold. Single columns, the most informative first:"


def _describe_sampling(inspection: Inspection) -> str:
    if inspection.sampled_rows >= inspection.rows:
        return ""
    return (
        f"The quick model, the search of neighbours and the comparison of first and last rows used {inspection.sampled_rows:,} "
        f"of {inspection.rows:,} rows, drawn at random; all other counts are of all rows."
    )


def _quick_model_metric(inspection: Inspection) -> str:
    scores = inspection.scores
    return "Average precision" if scores and not math.isnan(scores.average_precision) else "ROC AUC"


def _chance_and_full_score(inspection: Inspection) -> tuple[float, float]:
    """Chance and the score of all columns."""
    scores = inspection.scores
    if scores is None or math.isnan(scores.average_precision):
        return 0.5, scores.auc if scores else math.nan
    return scores.chance, scores.average_precision


def _make_score_bars(inspection: Inspection) -> tuple[figures.ScoreBar, ...]:
    bars: list[figures.ScoreBar] = []
    scores = inspection.scores
    for column in scores.columns[:MAX_SCORED_COLUMNS] if scores else ():
        if _quick_model_metric(inspection) == "ROC AUC":
            bars.append((column.name, column.auc_alone, column.auc_without))
        else:
            bars.append((column.name, column.precision_alone, column.precision_without))
    return tuple(bars)


def join_finding_messages(findings: Sequence[Finding]) -> str:
    """Join findings with their codes to one line."""
    return "; ".join(f"{finding.code}: {finding.message}" for finding in findings)
