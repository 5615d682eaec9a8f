"""What an operator sees: counts for Prometheus, and a line of JSON per request that repeats nothing of its rows."""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from harness.deploy.serve.replies import problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOGGER = logging.getLogger("evenhand.serve")
SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
GONE = 499  #: logged where a client left before its answer
ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Numbers:
    """What is counted, in a registry of its own: two services in one process do not mix."""

    def __init__(self, bundle: str, classes: tuple[str, ...]) -> None:
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"namespace": "evenhand", "registry": self.registry}
        self.requests = Counter("requests", "Requests answered", ["path", "status"], **own)
        self.seconds = Histogram("seconds", "Seconds from request to answer", ["path"], buckets=SECONDS, **own)
        self.rows = Counter("rows", "Rows answered", ["answer"], **own)
        self.flagged = Counter("flagged_rows", "Rows with something odd", **own)
        self.waiting = Gauge("waiting_rows", "Rows in line before the model", **own)
        Gauge("bundle", "The bundle that answers", ["id"], **own).labels(bundle).set(1)
        for name in classes:
            self.rows.labels(name)


@dataclass(frozen=True)
class Watch:
    """Counts and logs every request, gives it a name, and turns what nobody foresaw into a 500 without its content.

    `leaving()` says whether the service is about to end: then connections are closed after their answer.
    """

    app: ASGIApp
    numbers: Numbers
    paths: frozenset[str]
    leaving: Callable[[], bool]
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Watch over one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, name = time.perf_counter(), _name(scope)
        scope["noted"] = noted = {"rows": 0}
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                more = [(b"x-request-id", name.encode()), *self.headers]
                if self.leaving():
                    more.append((b"connection", b"close"))
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        try:
            await self.app(scope, receive, sent)
        except Exception as error:  # noqa: BLE001 -- the last resort: logged, and answered
            _log_failure(error, name)
            if not status:
                await problem(500, f"something went wrong here; its name in the log is {name}")(scope, receive, sent)
        finally:
            self._note(scope, status or GONE, time.perf_counter() - started, (name, noted["rows"]))

    def _note(self, scope: Scope, status: int, seconds: float, what: tuple[str, int]) -> None:
        path = scope["path"] if scope["path"] in self.paths else "(other)"
        method = scope["method"] if scope["method"] in {"GET", "POST", "HEAD"} else "(other)"
        self.numbers.requests.labels(path, status).inc()
        self.numbers.seconds.labels(path).observe(seconds)
        if path in {"/health", "/ready", "/metrics"} and status == 200:  # asked every few seconds, always the same
            return
        milliseconds = round(seconds * 1000, 2)
        LOGGER.info(
            "request",
            extra={
                "facts": {
                    "request": what[0],
                    "method": method,
                    "path": path,
                    "status": status,
                    "rows": what[1],
                    "milliseconds": milliseconds,
                }
            },
        )


class Lines(logging.Formatter):
    """A log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Time in UTC, level, what happened, and its facts."""
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        said: dict[str, Any] = {"time": f"{when}.{int(record.msecs):03d}Z", "level": record.levelname.lower()}
        said["event"] = record.getMessage()
        return json.dumps(said | getattr(record, "facts", {}), ensure_ascii=False)


def _name(scope: Scope) -> str:
    """The name that the client gave its request, where it is a plain one, or a new one."""
    given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    return given if ID.fullmatch(given) else secrets.token_hex(8)


def _log_failure(error: Exception, name: str) -> None:
    """Where it happened, without its message: that may repeat a value."""
    places = [
        f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)[-8:]
    ]
    LOGGER.error("failure", extra={"facts": {"request": name, "kind": type(error).__name__, "at": places}})
