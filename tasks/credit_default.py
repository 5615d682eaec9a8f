"""Credit card default, simulated: three columns, 3.3 % positives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.files import read_csv
from harness.data.sources import wheel_member
from harness.registry.task import Task

if TYPE_CHECKING:
    import pandas as pd


def load(_data_dir: Path | None) -> pd.DataFrame:
    """Load 10,000 simulated people: balance, income, and whether they are students."""
    content = wheel_member(
        "ISLP",
        "0.6.0",
        "ca772cecca1747a2f84ee799a5503ddddbdf0e98f90c235494790c1d036c694b",
        "ISLP/data/Default.csv",
        "d113590204485565bdd692b2d8430e7c2fcc72ec323df92314a745c99a0eefe9",
    )
    return read_csv(content, what="credit_default")


TASK = Task(
    name="credit_default",
    load=load,
    target="default",
    positive="Yes",
    title="Credit card default (simulated)",
    description="Who does not pay a credit card debt, from balance, income and being a student; simulated, 3.3 % do not.",
    source="An Introduction to Statistical Learning, as in the wheel ISLP 0.6.0 on PyPI",
    licence="BSD-3 (the wheel's)",
    citation="G. James, D. Witten, T. Hastie, R. Tibshirani, J. Taylor, An Introduction to Statistical Learning, 2023",
)
