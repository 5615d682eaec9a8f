"""Addresses of data: OpenML, the Hugging Face hub, and files behind URLs."""

from __future__ import annotations

import re

from harness.data.source_cache import FetchedData
from harness.errors import DataError

PREFIXES = ("openml:", "openml-task:", "openml-suite:", "hf:")
URL = re.compile(r"[a-z][a-z0-9+.-]+://.+", re.IGNORECASE)


def is_address(text: str) -> bool:
    """Whether a text names data of a public source, and neither a file nor a declared task."""
    return text.startswith(PREFIXES) or URL.fullmatch(text) is not None


def is_suite(text: str) -> bool:
    """Whether an address names several tasks."""
    return text.startswith(("openml-suite:", "openml:suite/"))


def fetch_address(text: str) -> list[FetchedData]:
    """Fetch what an address names into the cache.

    Parameters
    ----------
    text : str
        The address.

    Returns
    -------
    list of FetchedData
        One data set; of a suite, the data set of every task.

    Raises
    ------
    Unavailable
        If something is not in the cache and the network cannot be reached, or a package is missing.
    DataError
        If there is no such thing, or it cannot be used.
    """
    if text.startswith("openml"):
        from harness.data.openml import fetch_openml

        return fetch_openml(text)
    if text.startswith("hf:"):
        from harness.data.huggingface import fetch_huggingface

        return fetch_huggingface(text)
    if "::" in text:
        raise DataError(f"{text}: chained addresses are not read: name the file itself")
    from harness.data.remote_files import fetch_remote_file

    return fetch_remote_file(text)
