"""Data of public sources, named by an address in the place of a file or of a task, as the user data of a run."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.data.addresses import fetch_address, is_address, is_suite
from harness.data.source_cache import FetchedData
from harness.data.user_data import FOLDER_TARGET, UserData
from harness.errors import EvenhandError

if TYPE_CHECKING:
    from harness.api.request import RunOptions


def names_address(source: Any) -> bool:
    """Whether this is the address of a public source, and no file, folder or declared task."""
    return isinstance(source, str) and is_address(source)


def fetch_data(address: str) -> FetchedData:
    """Fetch the one data set of an address; what the user should know of it is written to the standard error."""
    fetched = fetch_address(address)[0]
    if fetched.note:
        sys.stderr.write(f"{address}: {fetched.note}\n")
    return fetched


def describe_fetched_data(fetched: FetchedData, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the options of a user by what a source says of its data.

    Parameters
    ----------
    fetched : FetchedData
        The data.
    columns : mapping of str to object
        The fields of `UserData` that the user has set; these have priority.

    Returns
    -------
    dict
        Fields of `UserData`.
    """
    described = dict(columns)
    described["name"] = columns.get("name") or fetched.name
    if fetched.path.is_dir():
        return described
    described["target"] = columns.get("target") or require_target(fetched)
    if described["target"] == fetched.target and not columns.get("text"):
        described["text"] = fetched.text
    drop = [*(columns.get("drop") or ()), *fetched.drop]
    if not any(map(columns.get, ("split", "test_path", "time"))):
        described["split"] = fetched.split
    elif fetched.split:
        drop.append(fetched.split)
    described["drop"] = _without_used_columns(drop, described)
    return described


def _without_used_columns(drop: Sequence[str], columns: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns to leave out that have no other use, each once."""
    used: set[Any] = set(map(columns.get, ("target", "text", "split", "group", "time", "weights")))
    for name in ("ids", "types"):
        used.update(columns.get(name) or ())
    return tuple(name for name in dict.fromkeys(drop) if name not in used)


def fetch_sources(options: RunOptions) -> tuple[UserData, ...]:
    """Fetch the data of all addresses among the tasks of a run, and of a suite in the place of a file.

    Parameters
    ----------
    options : RunOptions
        The options of the run.

    Returns
    -------
    tuple of UserData
        One for every task.

    Raises
    ------
    EvenhandError
        If data cannot be fetched, or a source does not say which column is the target.
    """
    addresses = list(filter(is_address, options.tasks))
    if is_suite(str(options.file)):
        addresses.insert(0, str(options.file))
    sources: dict[str, UserData] = {}
    for address in addresses:
        for fetched in fetch_address(address):
            user_data = make_source_user_data(fetched)
            sources[user_data.task_name] = user_data
    return tuple(sources.values())


def require_target(fetched: FetchedData) -> str:
    """Return the target that a source names; raises `EvenhandError` where it names none."""
    if fetched.target is None:
        title = fetched.origin.get("title", fetched.name)
        raise EvenhandError(
            f"{title}: which column is to be predicted? its source names none: say --target COLUMN (in Python target=)"
        )
    return fetched.target


def make_source_user_data(fetched: FetchedData) -> UserData:
    """Describe fetched data as a task; raises `EvenhandError` where its source does not say which column is the target."""
    if fetched.path.is_dir():
        return UserData(str(fetched.path), FOLDER_TARGET, name=fetched.name, origin=fetched.origin)
    user_data = UserData(str(fetched.path), require_target(fetched), name=fetched.name, origin=fetched.origin)
    return replace(user_data, text=fetched.text, split=fetched.split, drop=fetched.drop)
