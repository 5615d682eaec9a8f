"""The target of a task: labels as they were written, spellings of one class, labels that are missing; classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness.data import repairs
from harness.data.reader import column_to_text, count_texts
from harness.data.spellings import map_spellings_to_names, match_known_names, normalize_class_label
from harness.errors import DataError
from harness.findings import Finding
from harness.readings import MISSING_WORDS
from harness.registry.task import Task

if TYPE_CHECKING:
    import pandas as pd

MAX_CLASSES = 100
MAX_NUMERIC_CLASSES = 20  #: up to this number of distinct numbers, a numeric target has classes whatever it looks like
#: Words that may be the name of a class, although they often mean a missing value.
CLASS_WORDS = frozenset({"None", "NA", "N/A", "n/a"})


def read_labelled_rows(task: Task, column: pd.Series) -> tuple[pd.Series, list[Finding]]:
    """Read the labels of a target.

    Labels come back as they were written. Spellings of one name are one class, the commonest, unless the target is declared
    a category. Words such as NA are classes where other labels are names, and missing where these are numbers.

    Parameters
    ----------
    task : Task
        The task.
    column : Series
        The raw target.

    Returns
    -------
    labels : Series of str
        The label of each row that has one, with the index of `column`.
    findings : list of Finding
        Rows that were left out, labels that were read as another one, words that may mean a missing label.

    Raises
    ------
    DataError
        If labels are missing, and the task does not leave such rows out.
    """
    text = column_to_text(column)
    counts = count_texts(text)
    words = _missing_words_as_classes(text, counts, drop_missing=task.drop_missing_target)
    text = text.mask(text.isin(set(MISSING_WORDS).difference(words)))
    findings: list[Finding] = []
    if missing := int(text.isna().sum()):
        if not task.drop_missing_target:
            raise DataError(
                f"target {task.target!r} is missing in {missing} of {len(text)} rows: fill them in, or leave these rows out with "
                "--drop-missing-target (in Python drop_missing_target=True)"
            )
        text = text.dropna()
        message = f"{missing} rows without a label are left out"
        findings.append(Finding("missing_target", "note", message, column=task.target, rows=missing))
    for word in words:
        message = f"{word!r} is read as a class; if it means that a label is missing, empty these cells"
        findings.append(Finding("class_named_missing", "warning", message, task.target, int(counts[word])))
    label_spellings: dict[str, str] = {}
    if task.types.get(task.target) != "category":
        label_spellings = find_label_spellings(text)
    if label_spellings:
        label_repair = repairs.spellings_repair(counts, label_spellings, "merged_label")
        findings.append(repairs.repair_to_finding(label_repair, task.target))
        text = text.replace(label_spellings)
    return text.astype("str"), findings


def _missing_words_as_classes(text: pd.Series, counts: Mapping[str, int], *, drop_missing: bool) -> list[str]:
    """Words that often mean a missing value and are classes of this target."""
    words = [word for word in MISSING_WORDS if word in counts]
    labels = list(counts.keys() - words)
    if _are_numeric_labels(labels) or not CLASS_WORDS.intersection(words):
        return []
    only_classes = CLASS_WORDS.issuperset(words) and not text.isna().any()
    if drop_missing and only_classes:  # nothing else can be meant by a missing label
        return []
    return sorted(CLASS_WORDS.intersection(words))


def find_label_spellings(labels: pd.Series) -> dict[str, str]:
    """Find labels that are spellings of a commoner one."""
    counts = {str(label): int(count) for label, count in labels.value_counts().items()}
    if len(counts) > MAX_CLASSES:  # no classes, but a quantity, text or identifiers
        return {}
    return map_spellings_to_names(counts, {label: normalize_class_label(label) for label in counts})


def find_blank_padded_labels(task: Task, column: pd.Series) -> list[Finding]:
    """Find labels that stand with blanks around them in some rows and without in others."""
    import pandas as pd

    known_labels = column.dropna()
    if not pd.api.types.is_string_dtype(known_labels) and not pd.api.types.is_object_dtype(known_labels):
        return []
    texts = known_labels.map(str)
    stripped_texts = texts.str.strip()
    is_padded = texts != stripped_texts
    is_counted = is_padded & stripped_texts.isin(set(stripped_texts[~is_padded]))
    if not is_counted.any():
        return []
    rows, label = int(is_counted.sum()), str(stripped_texts[is_counted].iloc[0])
    message = f"{rows} labels have blanks around them and are read as without: {label!r} and the same with blanks are one class"
    return [Finding("padded_label", "note", message, task.target, rows)]


def _are_numeric_labels(labels: list[str]) -> bool:
    """Whether all labels are numbers, so that a word among them is none of the classes."""
    import pandas as pd

    return bool(labels) and bool(pd.to_numeric(pd.Series(labels, dtype="str"), errors="coerce").notna().all())


def encode_target(task: Task, labels: pd.Series) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Find the classes of a target and encode it.

    Parameters
    ----------
    task : Task
        The task; its positive class and cost matrix are checked.
    labels : Series
        The label of each row, as `read_labelled_rows` returns them.

    Returns
    -------
    y : array of shape (n_rows,), int
        Class of each row, from 0.
    classes : tuple of str
        Names in order: numbers by size, others by name; of two classes the positive one is last.

    Raises
    ------
    DataError
        If the target has one class, looks like a quantity, or contradicts the task's declaration.
    """
    import pandas as pd

    counts = labels.value_counts()
    _check_class_counts(task.target, counts)
    label_numbers = pd.to_numeric(pd.Series(counts.index), errors="coerce")
    classes = sorted(map(str, counts.index))
    if label_numbers.notna().all():
        classes = list(map(str, counts.index[label_numbers.argsort().to_numpy()]))
    positive_class = None
    if task.positive is not None:
        positive_class = _find_positive_class(task, classes)
    if len(classes) == 2:
        # Of two equally rare classes the later one is the positive one, as 1 is of 0 and 1.
        positive_class = positive_class or min(reversed(classes), key=lambda name: int(counts[name]))
        classes.sort(key=lambda name: name == positive_class)
    if task.costs is not None and list(map(len, task.costs)) != [len(classes)] * len(classes):
        raise DataError(f"task {task.name!r}: its cost matrix must be {len(classes)} × {len(classes)}, one row a class")
    return pd.Categorical(labels, categories=classes).codes.astype(np.int64), tuple(classes)


def _check_class_counts(target: str, counts: pd.Series) -> None:
    """Raise `DataError` if a target has one class, is a quantity (many distinct numbers, or numbers that occur once), or text."""
    import pandas as pd

    if not len(counts):
        raise DataError(f"target {target!r} is missing in every row: name another column with --target")
    if len(counts) < 2:
        raise DataError(f"target {target!r} has one class only ({counts.index[0]!r}): expected at least two")
    is_scattered = len(counts) > min(MAX_CLASSES, counts.sum() / 2) or counts.min() == 1
    if len(counts) > MAX_NUMERIC_CLASSES and is_scattered:
        label_numbers = pd.to_numeric(pd.Series(counts.index).str.replace(",", "."), errors="coerce")
        if label_numbers.notna().all():
            raise DataError(
                f"target {target!r} has {len(counts)} different numbers: this looks like regression, evenhand compares "
                "classifiers (classes can be made of ranges of it)"
            )
    if len(counts) > MAX_CLASSES:
        raise DataError(
            f"target {target!r} has {len(counts)} different values, an identifier or text: "
            f"expected at most {MAX_CLASSES} classes"
        )


def _find_positive_class(task: Task, classes: list[str]) -> str:
    """The class that a task names as the positive one, whichever of its spellings it names."""
    named_class = str(task.positive)
    positive_class = match_known_names([named_class], classes).get(named_class, named_class)
    if positive_class not in classes:
        raise DataError(
            f"positive class {named_class!r} is not in target {task.target!r}: its classes are {', '.join(classes)}"
        )
    if len(classes) > 2:
        raise DataError(
            f"target {task.target!r} has {len(classes)} classes: a positive class is named only where there are two"
        )
    return positive_class
