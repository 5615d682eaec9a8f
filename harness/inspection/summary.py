"""What an inspection found, as values: columns, folds, scores of a quick model, findings."""

from __future__ import annotations

from dataclasses import dataclass

from harness.findings import Finding, Severity

#: Severities in the order in which findings are listed.
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class ColumnSummary:
    """A column as it is read.

    Attributes
    ----------
    name : str
        Its name.
    kind : str
        Type of a feature (number, date, category), the role of another column, or "left out".
    reading : str
        How its values were read, or why it is left out; empty where there is nothing to say.
    missing : int
        How many values are missing.
    levels : int
        How many different values there are.
    example : str
        A value as it is written.
    """

    name: str
    kind: str
    reading: str
    missing: int
    levels: int
    example: str


@dataclass(frozen=True)
class FoldSummary:
    """The splits that a run would use.

    Attributes
    ----------
    kind : {"stratified", "forward", "published"}
        Rule of the outer splits.
    outer, inner : int
        Number of outer splits, and of inner folds within each.
    groups : int or None
        Number of groups whose rows stay together; None without groups.
    rarest_class : str
        Name of the class with the fewest rows.
    rarest_test_rows : int
        Fewest rows of that class in a test part.
    detectable_difference : float
        Smallest true difference of ROC AUC between two similar models that would be significant in four of five such runs;
        NaN where no test is possible.
    """

    kind: str
    outer: int
    inner: int
    groups: int | None
    rarest_class: str
    rarest_test_rows: int
    detectable_difference: float


@dataclass(frozen=True)
class ColumnScore:
    """What a column contributes to the scores of a quick model, out of fold.

    Attributes
    ----------
    name : str
        The column.
    auc_alone, precision_alone : float
        ROC AUC and average precision of the column alone; the latter NaN with more than two classes.
    auc_without, precision_without : float
        The same of all columns without it and those that repeat it; NaN where that was not computed.
    repeats : tuple of str, default ()
        Columns that carry the same information and were left out with it.
    """

    name: str
    auc_alone: float
    precision_alone: float
    auc_without: float = float("nan")
    precision_without: float = float("nan")
    repeats: tuple[str, ...] = ()


@dataclass(frozen=True)
class QuickScores:
    """Scores of a quick model on the sampled rows.

    Attributes
    ----------
    auc, average_precision : float
        Of all columns, out of fold; average precision is NaN with more than two classes.
    chance : float
        Average precision without information.
    columns : tuple of ColumnScore
        The columns, the most informative first.
    rows, rarest_rows : int
        Number of rows that were scored, and of those of the rarest class.
    """

    auc: float
    average_precision: float
    chance: float
    columns: tuple[ColumnScore, ...]
    rows: int
    rarest_rows: int


@dataclass(frozen=True)
class Inspection:
    """All that an inspection found.

    Attributes
    ----------
    source, target : str
        Name of the data and of the target.
    classes : tuple of str
        Names of the classes; of two, the second is the positive one.
    counts : tuple of int
        Rows of every class.
    features : str
        Kind and number of features.
    columns : tuple of ColumnSummary
        All columns of the file, in its order; none of images.
    folds : FoldSummary or None
        The splits; None where the rows cannot be split.
    scores : QuickScores or None
        Scores of a quick model; None for texts and images, and where a class has too few rows.
    class_shares : tuple of tuple of float
        Share of every class in equal parts of the file, from its first to its last row.
    sampled_rows : int
        Number of rows that the quick model and the search of neighbours were restricted to.
    findings : tuple of Finding
        The findings, errors first.
    """

    source: str
    target: str
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    features: str
    columns: tuple[ColumnSummary, ...]
    folds: FoldSummary | None
    scores: QuickScores | None
    class_shares: tuple[tuple[float, ...], ...]
    sampled_rows: int
    findings: tuple[Finding, ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(self.counts)

    def of_severity(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of a severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)


def sort_findings(findings: list[Finding]) -> tuple[Finding, ...]:
    """Sort findings by severity; those of one severity stay in their order."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))
