"""Authentication: a token on every address that other machines can reach; without a token only local host names are served."""

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

MIN_TOKEN_LENGTH = 16
#: Paths that need no token: the health checks, and pages that contain nothing of the bundle.
PUBLIC_PATHS = frozenset({"/", "/docs", "/page.css", "/page.js", "/docs.js", "/health", "/ready"})
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
UNAUTHORIZED, MISDIRECTED = 401, 421
MESSAGES = {
    UNAUTHORIZED: "a token is needed: Authorization: Bearer …",
    MISDIRECTED: "this address is served to this machine alone",
}
HEADERS = {UNAUTHORIZED: {"www-authenticate": "Bearer"}}


def read_token_file(path: Path) -> str:
    """Read a token from a file with one line.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    str
        At least 16 ASCII characters without spaces.

    Raises
    ------
    EvenhandError
        If the file cannot be read or its content is no such token.
    """
    try:
        token = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise EvenhandError(f"token file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise EvenhandError(f"token file {path}: plain letters and digits only") from error
    if len(token) < MIN_TOKEN_LENGTH or token.split() != [token]:
        raise EvenhandError(
            f"token file {path}: expected one line of at least {MIN_TOKEN_LENGTH} characters without spaces, found {len(token)} "
            "characters (python -c 'import secrets; print(secrets.token_urlsafe())' makes one)"
        )
    return token


def is_loopback_address(host: str) -> bool:
    """Return whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class TokenAuth:
    """Middleware that checks the token of requests.

    Without a token it checks the Host header for a local name instead. Otherwise a web page could let its own host name
    point to this machine and send requests from the user's browser (DNS rebinding).
    """

    app: ASGIApp
    token: str | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with 401 or 421, or pass the request on to the application."""
        if scope["type"] == "http" and (status := self._refusal_status(scope)):
            from harness.deploy.serve.responses import error_response

            response = error_response(status, MESSAGES[status], headers=HEADERS.get(status))
            await response(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refusal_status(self, request_scope: Scope) -> int | None:
        headers = dict(request_scope["headers"])
        if self.token is None:
            host = headers.get(b"host", b"").decode("latin-1")
            name, _, port = host.rpartition(":")
            if not port.isdigit():
                name = host
            return None if name.lower() in LOCAL_NAMES else MISDIRECTED
        if request_scope["path"] in PUBLIC_PATHS:
            return None
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        token_matches = hmac.compare_digest(_secret_digest(token.strip()), _secret_digest(self.token.encode()))
        return None if token_matches and scheme.lower() == b"bearer" else UNAUTHORIZED


def _secret_digest(secret_bytes: bytes) -> bytes:
    """Hash a secret to a fixed length, so that comparison time does not depend on it."""
    return hashlib.sha256(secret_bytes).digest()
