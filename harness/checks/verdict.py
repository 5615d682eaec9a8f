"""What a check says, and how checks are made one after another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.errors import Unavailable, failure

NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Verdict:
    """What came of one check: `complaint` is empty where it passed, `skipped` says why it could not be made."""

    kind: str
    name: str
    check: str
    complaint: str = ""
    skipped: str = ""


def named(name: str) -> Callable[[], str]:
    """The check that a declaration's name is one that can be typed."""

    def has_a_plain_name() -> str:
        return "" if NAME.fullmatch(name) else f"a name is lower-case letters, digits and underscores, but got {name!r}"

    return has_a_plain_name


def run_checks(kind: str, name: str, checks: list[Callable[[], str]], on: str = "") -> Iterator[Verdict]:
    """Make checks one by one, `on` what; data that are not here skip the rest."""
    for check in checks:
        title = check.__name__.replace("_", " ") + (f" on {on}" if on else "")
        try:
            yield Verdict(kind, name, title, complaint=check())
        except Unavailable as reason:
            yield Verdict(kind, name, title, skipped=str(reason))
            return
        except Exception as error:  # noqa: BLE001 -- whatever a declaration raises is the complaint
            yield Verdict(kind, name, title, complaint=failure(error))
