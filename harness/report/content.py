"""What a report is made of: sections of Markdown and pictures, made from the evidence of a run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import Scores
from harness.store.store import Store


@dataclass(frozen=True)
class Figure:
    """A picture to be drawn.

    `name` is that of its files without ending (`gallery.file_name`), `said` what it shows, for who cannot see it. `draw` gives
    its files by ending; its arguments are plain values, so that their `repr` tells whether it must be drawn anew.
    """

    name: str
    said: str
    draw: partial[dict[str, bytes]]


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it, Markdown and pictures in turn; `task` where it is about one task."""

    title: str
    parts: tuple[str | Figure, ...]
    task: str = ""


@dataclass(frozen=True)
class Evidence:
    """What sections are made from: what is stored, what entries scored, and the ranking of every task."""

    store: Store
    scores: Scores
    rankings: tuple[Ranking, ...]
