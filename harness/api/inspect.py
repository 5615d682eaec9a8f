"""The inspection of one's own rows before a run, for Python and the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.arguments import CLASS_NAME, COLUMN, COLUMNS, FLAG, PATH, TEXT, check_arguments, whole_number_kind
from harness.errors import EvenhandError
from harness.findings import Finding
from harness.inspection.summary import Inspection
from harness.registry.protocol import EvaluationProtocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from harness.api.request import RunOptions
    from harness.registry.task import Raw, Task

FINDING_COLUMNS = ("code", "severity", "column", "rows", "message", "advice", "examples")


@dataclass(frozen=True)
class DataInspection:
    """What `evenhand.inspect` found.

    Attributes
    ----------
    inspection : Inspection
        All numbers as values.
    """

    inspection: Inspection

    def findings(self) -> pd.DataFrame:
        """List the findings, errors first: code, severity, column, rows, message, advice, positions of example rows."""
        import pandas as pd

        lines = []
        for finding in self.inspection.findings:
            lines.append([getattr(finding, name) for name in FINDING_COLUMNS])
        return pd.DataFrame(lines, columns=list(FINDING_COLUMNS)).astype({"rows": "Int64"})

    def columns(self) -> pd.DataFrame:
        """List the columns as they are read: type, how they are read, missing values, levels, an example."""
        import pandas as pd

        return pd.DataFrame(list(self.inspection.columns), columns=list(_column_summary_fields()))

    def scores(self) -> pd.DataFrame:
        """List the scores of a quick model by column: alone, and of all columns without it; empty where it was not fitted."""
        import pandas as pd

        scores = self.inspection.scores
        field_names = ("name", "auc_alone", "precision_alone", "auc_without", "precision_without")
        lines = [[getattr(column, name) for name in field_names] for column in scores.columns] if scores else []
        return pd.DataFrame(lines, columns=list(field_names))

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings of severity error."""
        return self.inspection.of_severity("error")

    def summary(self) -> str:
        """Summarise the inspection in three to six lines."""
        from harness.report.inspection import summarize_inspection

        return "\n".join(summarize_inspection(self.inspection))

    def markdown(self) -> str:
        """Write the inspection as Markdown."""
        from harness.report.inspection import render_markdown

        return render_markdown(self.inspection)

    @check_arguments(path=PATH)
    def write_html(self, path: str | Path) -> Path:
        """Write the inspection as a page with figures.

        Parameters
        ----------
        path : str or Path
            The file, which is replaced.

        Returns
        -------
        Path
            The file.
        """
        from harness.report.inspection import render_html
        from harness.store.files import write_atomic

        write_atomic(Path(path), render_html(self.inspection).encode())
        return Path(path)

    def __str__(self) -> str:
        """The inspection as text: findings with what to do, scores of columns, columns."""
        from harness.report.inspection import render_text

        return render_text(self.inspection)

    def _repr_html_(self) -> str:
        from harness.report.render.html import parse_markdown_blocks

        return "".join(markdown_block.html for markdown_block in parse_markdown_blocks(self.markdown()))


def _column_summary_fields() -> tuple[str, ...]:
    from dataclasses import fields

    from harness.inspection.summary import ColumnSummary

    return tuple(summary_field.name for summary_field in fields(ColumnSummary))


@check_arguments(
    target=COLUMN,
    positive=CLASS_NAME,
    text=COLUMN,
    drop=COLUMNS,
    group=COLUMN,
    time=COLUMN,
    split=COLUMN,
    weights=COLUMN,
    ids=COLUMNS,
    title=TEXT,
    drop_missing_target=FLAG,
    folds=whole_number_kind(2),
    repeats=whole_number_kind(1),
    inner_folds=whole_number_kind(2),
    seed=whole_number_kind(0),
)
def inspect(  # noqa: PLR0913 -- the options are those of a benchmark
    data: Any,
    *,
    target: str | None = None,
    positive: Any = None,
    text: str | None = None,
    drop: Sequence[str] = (),
    group: str | None = None,
    time: str | None = None,
    split: str | None = None,
    test: Any = None,
    weights: str | None = None,
    ids: Sequence[str] = (),
    costs: Any = None,
    title: str = "",
    types: Mapping[str, str] | None = None,
    drop_missing_target: bool = False,
    folds: int | None = None,
    repeats: int | None = None,
    inner_folds: int | None = None,
    seed: int | None = None,
) -> DataInspection:
    """Inspect rows before a benchmark: columns as they are read, the folds of a run, and what its scores must be read with.

    Parameters
    ----------
    data : DataFrame of pandas or polars, str or Path
        Rows; or a CSV or Parquet file; or a folder of images with a folder per class.
    target : str, optional
        Column to predict; needed for frames and files.
    positive : default the rarer class
        The positive one of two classes.
    text : str, optional
        Column of texts to classify; no other column is read.
    drop : sequence of str, optional
        Columns to leave out.
    group, time : str, optional
        Columns by which rows are split.
    split, test, weights, ids, costs, title
        As in `benchmark`.
    types : mapping of str to str, optional
        Column → its type, as in `benchmark`.
    drop_missing_target : bool, default False
        Leave out rows without a label.
    folds, repeats, inner_folds : int, default 5, 1 and 3
        Outer folds, their repeats, inner folds of the run.
    seed : int, default 0
        Every random draw descends from it.

    Returns
    -------
    DataInspection
        Findings and columns as data frames; printed, it is a text that is read in a minute.

    Raises
    ------
    EvenhandError
        For wrong arguments, or data that cannot be used.

    Examples
    --------
    >>> print(evenhand.inspect(df, target="churned"))  # doctest: +SKIP
    """
    arguments = dict(locals())
    from harness.api.call_data import add_user_data, collect_data_arguments, convert_frame
    from harness.api.data_frames import is_data_frame
    from harness.api.request import RunOptions

    protocol_numbers = {name: arguments[name] for name in ("folds", "repeats", "inner_folds", "seed")}
    options = RunOptions(
        file=None,
        suite=None,
        tasks=(),
        families=(),
        strategies=(),
        protocol=protocol_numbers,
        columns=collect_data_arguments(arguments),
        in_python=True,
    )
    if isinstance(data, (str, Path)):
        return inspect_file(add_user_data(options, data, test, "", None))
    if not is_data_frame(data):
        data_type = type(data).__name__
        raise EvenhandError(f"data must be a data frame of pandas or polars, or a path, but got a {data_type}")
    frame, options = convert_frame(options, data, test)
    from harness.data.user_data import UserData

    columns = {name: column_option for name, column_option in options.columns.items() if column_option is not None}
    return _inspect_task_rows(UserData("data", **columns).task(), frame, protocol_numbers)


def inspect_file(options: RunOptions) -> DataInspection:
    """Inspect the user's file or folder that options describe; raises `EvenhandError` where it cannot be used."""
    from harness.api.request import make_user_data

    user_data = make_user_data(options)
    if user_data is None:
        raise EvenhandError("which file is to be inspected? evenhand inspect FILE --target COLUMN")
    task = user_data.task()
    return _inspect_task_rows(task, task.load(None), options.protocol)


def _inspect_task_rows(task: Task, raw_rows: Raw, protocol_numbers: Mapping[str, int | None]) -> DataInspection:
    from harness.inspection.inspector import inspect_rows

    protocol_fields: dict[str, Any] = {
        name: protocol_number for name, protocol_number in protocol_numbers.items() if protocol_number is not None
    }
    protocol = EvaluationProtocol(**protocol_fields)
    return DataInspection(inspect_rows(task, raw_rows, protocol))
