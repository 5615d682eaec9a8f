"""Bank marketing (UCI 222): who subscribes to a term deposit after a telephone call."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.files import read_csv
from harness.data.sources import data_member, url_member
from harness.registry.task import Task
from harness.seeding import seed_of

if TYPE_CHECKING:
    import pandas as pd

URL = "https://archive.ics.uci.edu/static/public/222/bank+marketing.zip"
SHA256 = "d1513ec63b385506f7cfce9f2c5caa9fe99e7ba4e8c3fa264b3aaf0f849ed32d"
MAX_POSITIVES = 3172  #: of the rarer task, 7.36 % of 43,094 rows


def load(data_dir: Path | None) -> pd.DataFrame:
    """Load 45,211 calls from `bank-full.csv` in the data directory, or from UCI."""
    content = data_member(data_dir, "bank-marketing", "bank-full.csv")
    if content is None:
        instructions = (
            "download it by hand into the folder bank-marketing of a data directory (--data-dir or EVENHAND_DATA)"
        )
        content = url_member(URL, "bank-full.csv", SHA256, instructions)
    return read_csv(content, separator=";", what="bank-full.csv")


def load_fewer(data_dir: Path | None) -> pd.DataFrame:
    """Load the same calls with 3,172 of the 5,289 positives, always the same ones, ordered by seeds of their positions."""
    frame = load(data_dir)
    positives = sorted(frame.index[frame["y"] == "yes"], key=lambda row: seed_of("subscription", int(row)))
    return frame.drop(index=positives[MAX_POSITIVES:]).reset_index(drop=True)


BANK_MARKETING = Task(
    name="bank_marketing",
    load=load,
    target="y",
    positive="yes",
    title="Bank marketing",
    description="Who subscribes to a term deposit after a call of a Portuguese bank, 2008 to 2010; 11.7 % do.",
    source="UCI Machine Learning Repository 222, bank-full.csv",
    licence="CC BY 4.0",
    citation="S. Moro, P. Cortez, P. Rita, A data-driven approach to predict the success of bank telemarketing, 2014",
    banned={"duration": "the length of the call is known only after it"},
)

WITH_DURATION = replace(
    BANK_MARKETING,
    name="bank_marketing_with_duration",
    title="Bank marketing, with the length of the call",
    description="As bank_marketing, with a column known only after the call: for comparison, not for use.",
    banned={},
)

SUBSCRIPTION = replace(
    BANK_MARKETING,
    name="subscription",
    load=load_fewer,
    title="Term deposit subscription, rarer",
    description="As bank_marketing with 3,172 of its positives (7.4 %): always predicting no is right for 92.6 % of the rows.",
)
