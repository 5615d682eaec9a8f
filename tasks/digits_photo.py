"""Digits in sign language: colour photographs, and the nine against the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.data.images import LabeledImages, load_zip, one_against_rest
from harness.data.sources import data_member
from harness.errors import Unavailable
from harness.registry.task import Task


def load(data_dir: Path | None) -> LabeledImages:
    """Load 2,062 photographs of 100 × 100 pixels from `sign-digits.zip` in the data directory, about 206 of each digit."""
    content = data_member(data_dir, "sign-digits", "sign-digits.zip")
    if content is None:
        raise Unavailable(
            "put the photographs (github.com/ardamavi/Sign-Language-Digits-Dataset, a folder per digit) as "
            "sign-digits.zip into the folder sign-digits of a data directory (--data-dir or EVENHAND_DATA)"
        )
    return load_zip(content, "sign-digits.zip")


def load_nine(data_dir: Path | None) -> LabeledImages:
    """Load the same photographs, labelled `nine` and `rest`."""
    return one_against_rest(load(data_dir), "9", "nine")


DIGITS = Task(
    name="digits_photo",
    load=load,
    target="digit",
    modality="image",
    title="Digits shown by hand",
    description="Which digit a hand shows in 2,062 colour photographs, about 206 of each.",
    source="Sign Language Digits Dataset, in the data directory",
    licence="Apache-2.0",
    citation="A. Mavi, Sign Language Digits Dataset, 2017",
)

NINE = replace(
    DIGITS,
    name="photo_nine",
    load=load_nine,
    positive="nine",
    title="Nine shown by hand against the rest",
    description="Which of 2,062 colour photographs of hands show a nine; 10 % do.",
)
