"""Texts of the command line as values: statuses, stages."""

from __future__ import annotations

from harness.errors import EvenhandError
from harness.store.record import STATUSES

STAGES = {"default": ("default",), "tuned": ("tuned",), "both": ("default", "tuned")}


def parse_statuses(text: str) -> tuple[str, ...]:
    """Read statuses of cells, separated by commas; raises `EvenhandError` for one that does not exist."""
    statuses = tuple(filter(None, map(str.strip, text.split(","))))
    for status in statuses:
        if status not in STATUSES:
            raise EvenhandError(f"unknown status {status!r}: there are {', '.join(STATUSES)}")
    return statuses


def parse_stages(text: str) -> tuple[str, ...]:
    """Read `default`, `tuned` or `both` as stages of a cell; raises `EvenhandError` for anything else."""
    if text not in STAGES:
        raise EvenhandError(f"unknown stage {text!r}: there are default, tuned and both (--stage)")
    return STAGES[text]
