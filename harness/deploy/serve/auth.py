"""Who may ask: a token on every address that others can reach, and only this machine's own names without one."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import EvenhandError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

SHORTEST = 16
#: What anybody may have: whether the service lives, and a page that holds nothing of the bundle.
OPEN = frozenset({"/", "/docs", "/page.css", "/page.js", "/docs.js", "/health", "/ready"})
LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})


def read_token(path: Path) -> str:
    """The one line of a token file; raises `EvenhandError` where it is not there, too short, or not plain."""
    try:
        token = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise EvenhandError(f"token file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise EvenhandError(f"token file {path}: plain letters and digits only") from error
    if len(token) < SHORTEST or token.split() != [token]:
        raise EvenhandError(
            f"token file {path}: expected one line of at least {SHORTEST} characters without spaces, found {len(token)} characters "
            "(python -c 'import secrets; print(secrets.token_urlsafe())' makes one)"
        )
    return token


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Guard:
    """Lets requests through that may ask; `token` None lets everybody through who calls this machine by a local name.

    Without that a page of anybody could give its own name this machine's address, and ask as if from here.
    """

    app: ASGIApp
    token: str | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 or 421 in the application's place, or hand over to it."""
        if scope["type"] == "http" and (status := self._refusal(scope)):
            from harness.deploy.serve.responses import problem

            what = {
                401: "a token is needed: Authorization: Bearer …",
                421: "this address is served to this machine alone",
            }
            headers = {"www-authenticate": "Bearer"} if status == 401 else {}
            await problem(status, what[status], headers=headers)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> int:
        headers = dict(scope["headers"])
        if self.token is None:
            host = headers.get(b"host", b"").decode("latin-1").rpartition(":")
            name = host[0] if host[1] and host[2].isdigit() else "".join(host)
            return 0 if name.lower() in LOCAL else 421
        if scope["path"] in OPEN:
            return 0
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        known = hmac.compare_digest(_digest(given.strip()), _digest(self.token.encode()))
        return 0 if known and kind.lower() == b"bearer" else 401


def _digest(secret: bytes) -> bytes:
    """Of one length, so that comparing takes one time."""
    return hashlib.sha256(secret).digest()
