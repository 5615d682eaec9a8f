"""Results that others published for a task, as they stand in the publication."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import DeclarationError


@dataclass(frozen=True)
class PublishedRow:
    """A row of a published table.

    Attributes
    ----------
    label : str
        What the publication calls it.
    family, strategy : str
        The entry of a run that corresponds to it.
    metrics : tuple of str
        The metric in each column; empty where a column has none in this row.
    values : tuple of str
        The published values as shares, with the decimals of the publication; empty where there is none.
    """

    label: str
    family: str
    strategy: str
    metrics: tuple[str, ...]
    values: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PublishedTable:
    """A published table about a task.

    Attributes
    ----------
    task : str
        The task.
    title, source : str
        What the table shows, and where it was published.
    protocol : str
        How the publication evaluated, in one line.
    label_heading : str
        Heading of the labels.
    columns : tuple of str
        Headings of the columns.
    rows : tuple of PublishedRow
        The rows; a row without values names metrics for which the publication has no numbers.
    """

    task: str
    title: str
    source: str
    protocol: str
    label_heading: str
    columns: tuple[str, ...]
    rows: tuple[PublishedRow, ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.metrics) != len(self.columns) or len(row.values) not in (0, len(self.columns)):
                raise DeclarationError(
                    f"published table {self.title!r}: row {row.label!r} has {len(row.metrics)} metrics and "
                    f"{len(row.values)} values, but there are {len(self.columns)} columns"
                )
