"""Caravan insurance (CoIL 2000): the training part, and both parts of the challenge with its predefined test rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.files import read_csv
from harness.data.sources import data_member, wheel_member
from harness.errors import Unavailable
from harness.registry.task import ColumnType, Task

if TYPE_CHECKING:
    import pandas as pd

DESCRIPTION = (
    "Who buys caravan insurance, from 43 columns about the postcode area and 42 about the policies held; 6.0 % do."
)
CITATION = "P. van der Putten and M. van Someren (eds), CoIL Challenge 2000: The Insurance Company Case, 2000"
LICENCE = "CC BY 4.0 (UCI Machine Learning Repository)"
# Customer types, whose numbers have no order; every other column is ordered.
TYPES: dict[str, ColumnType] = {"MOSTYPE": "category", "MOSHOOFD": "category"}


def load(_data_dir: Path | None) -> pd.DataFrame:
    """Load 5,822 customers, the training part of the challenge."""
    content = wheel_member(
        "ISLP",
        "0.6.0",
        "ca772cecca1747a2f84ee799a5503ddddbdf0e98f90c235494790c1d036c694b",
        "ISLP/data/Caravan.csv",
        "e89d49b6fb8fe02d76bb5bb80d8e0dab473bf9f6a72515e30c259f6d7da42269",
    )
    return read_csv(content, what="caravan")


def load_full(data_dir: Path | None) -> pd.DataFrame:
    """Load 9,822 customers; `ORIGIN` is `train` (5,822) or `test` (4,000)."""
    content = data_member(data_dir, "caravan-full", "caravan-insurance-challenge.csv")
    if content is None:
        raise Unavailable(
            "put caravan-insurance-challenge.csv (Kaggle, uciml/caravan-insurance-challenge) into "
            "the folder caravan-full of a data directory (--data-dir or EVENHAND_DATA)"
        )
    return read_csv(content, what="caravan_full")


CARAVAN = Task(
    name="caravan",
    load=load,
    target="Purchase",
    positive="Yes",
    title="Caravan insurance (CoIL 2000)",
    description=DESCRIPTION,
    source="CoIL Challenge 2000, training part, as in the wheel ISLP 0.6.0 on PyPI",
    licence=LICENCE,
    citation=CITATION,
    types=TYPES,
)

CARAVAN_FULL = Task(
    name="caravan_full",
    load=load_full,
    target="CARAVAN",
    positive="1",
    title="Caravan insurance (CoIL 2000), with the challenge's own test part",
    description=DESCRIPTION,
    source="CoIL Challenge 2000, both parts",
    licence=LICENCE,
    citation=CITATION,
    types=TYPES,
    split="ORIGIN",
)
