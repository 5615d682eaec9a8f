"""The handwritten nine against the other digits: a small data set that comes with scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.registry.task import Task

if TYPE_CHECKING:
    import pandas as pd


def load(_data_dir: Path | None) -> pd.DataFrame:
    """Load 1,797 images of 8 × 8 grey values from 0 to 16, one column per pixel."""
    from sklearn.datasets import load_digits

    digits = load_digits(as_frame=True)
    frame: pd.DataFrame = digits.data
    return frame.assign(digit=digits.target.map(lambda digit: "nine" if digit == 9 else "rest"))


TASK = Task(
    name="digits_nine",
    load=load,
    target="digit",
    positive="nine",
    title="Handwritten nine against the rest",
    description="Which of 1,797 images of 8 × 8 pixels show a nine; 10.0 % do.",
    source="scikit-learn's load_digits: the test part of UCI's Optical Recognition of Handwritten Digits",
    licence="CC BY 4.0 (UCI Machine Learning Repository)",
    citation="E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998",
)
