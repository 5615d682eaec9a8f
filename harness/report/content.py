"""The content of a report: sections of Markdown and figures, made from the evidence of a run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import Scores
from harness.store.store import Store


@dataclass(frozen=True)
class Figure:
    """A figure to be drawn.

    Attributes
    ----------
    name : str
        The name of its files without ending (see `figures.writer.file_name`).
    alt_text : str
        What the figure shows, for readers who cannot see it.
    draw : partial of dict of str to bytes
        Draws the figure and returns its files by ending. Its arguments are plain values, so that their `repr` tells
        whether the figure has to be drawn again.
    """

    name: str
    alt_text: str
    draw: partial[dict[str, bytes]]


@dataclass(frozen=True)
class Section:
    """A heading with Markdown and figures below it; `task` is empty unless the section is about one task."""

    title: str
    parts: tuple[str | Figure, ...]
    task: str = ""


@dataclass(frozen=True)
class Evidence:
    """What sections are made from: the stored run, the scores of its entries, and the ranking of every task."""

    store: Store
    scores: Scores
    rankings: tuple[Ranking, ...]
