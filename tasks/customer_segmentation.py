"""Customer segmentation (HackerEarth HackLive): a part of the bank marketing data, with missing values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.files import read_csv
from harness.data.sources import data_member
from harness.errors import Unavailable
from harness.registry.task import Task

if TYPE_CHECKING:
    import pandas as pd


def load(data_dir: Path | None) -> pd.DataFrame:
    """Load 31,647 customers, the training file of the competition."""
    content = data_member(data_dir, "hackerearth-customer-segmentation", "train.csv")
    if content is None:
        raise Unavailable(
            "put train.csv of HackerEarth's HackLive customer segmentation challenge into "
            "the folder hackerearth-customer-segmentation of a data directory (--data-dir or EVENHAND_DATA)"
        )
    return read_csv(content, what="customer_segmentation")


CUSTOMER_SEGMENTATION = Task(
    name="customer_segmentation",
    load=load,
    target="term_deposit_subscribed",
    positive="1",
    title="Customer segmentation",
    description="Who subscribes to a term deposit, with missing values in seven columns; 10.7 % do.",
    source="HackerEarth HackLive, customer segmentation, training file",
    licence="competition data, derived from UCI's bank marketing (CC BY 4.0)",
    citation="HackerEarth HackLive: Guided Hackathon, Machine Learning, 2020; S. Moro et al., 2014",
    banned={
        "id": "it names the customer",
        "last_contact_duration": "the length of the call is known only after it",
    },
)

WITH_DURATION = replace(
    CUSTOMER_SEGMENTATION,
    name="customer_segmentation_with_duration",
    title="Customer segmentation, with the length of the call",
    description="As customer_segmentation, with a column known only after the call: for comparison, not for use.",
    banned={"id": "it names the customer"},
)
