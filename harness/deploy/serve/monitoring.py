"""What an operator sees: counts for Prometheus, and a line of JSON per request that repeats nothing of its rows."""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from harness.deploy.serve.responses import problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from harness.deploy.schema import Schema
    from harness.registry.task import Features


BLOCK = 1_000  #: rows counted together
BLOCKS = 20  #: that are remembered; older ones are forgotten
TOGETHER = 50  #: requests whose rows are counted together: each column costs its time once
FEWEST = 200  #: rows below which nothing is said
A_LOOK, LARGE = 0.1, 0.25
IN_LINE_95 = 1.6449  #: of a normal distribution, 95 % lie below


@dataclass
class Drift:
    """Counts per bin of the last `BLOCK * BLOCKS` rows; its size does not grow with them."""

    schema: Schema
    fresh: list[Features] = field(default_factory=list)  #: rows that wait to be counted
    blocks: deque[tuple[npt.NDArray[np.int64], ...]] = field(default_factory=lambda: deque(maxlen=BLOCKS))

    def see(self, X: Features) -> None:
        """Count rows, a few requests at a time."""
        self.fresh.append(X)
        if len(self.fresh) >= TOGETHER or sum(map(len, self.fresh)) >= BLOCK:
            self._count()

    def _count(self) -> None:
        from harness.deploy.schema import binned

        for X in _joined(self.fresh):
            counts = binned(self.schema, X)
            if self.blocks and self.blocks[-1][0].sum() < BLOCK:
                counts = tuple(a + b for a, b in zip(self.blocks.pop(), counts, strict=True))
            self.blocks.append(counts)
        self.fresh.clear()

    def report(self) -> dict[str, Any]:
        """Per column: the index, what chance alone would stay below 95 times of 100, and a verdict."""
        self._count()
        seen = [sum(of_one) for of_one in zip(*self.blocks, strict=True)]
        rows = int(seen[0].sum()) if seen else 0
        columns: list[dict[str, Any]] = []
        for one, now in zip(self.schema.features, seen, strict=False):
            index, chance = stability(one.shares, self.schema.rows, now)
            columns.append(
                {
                    "name": one.name,
                    "psi": round(index, 4),
                    "by_chance": round(chance, 4),
                    "verdict": _verdict(index, chance, rows),
                }
            )
        columns.sort(key=lambda one: one["psi"], reverse=True)
        return {"rows": rows, "training_rows": self.schema.rows, "fewest_rows": FEWEST, "columns": columns}


def _joined(fresh: list[Features]) -> list[Features]:
    """The rows in one piece, where all their columns are of one type: of a value that no level is, they are not."""
    import numpy as np
    import pandas as pd

    if len(fresh) < 2:
        return fresh
    if not hasattr(fresh[0], "columns"):
        return [np.concatenate(fresh)]
    whole: Features = pd.concat(fresh, ignore_index=True)
    return [whole] if (whole.dtypes == fresh[0].dtypes).all() else fresh


def stability(then: tuple[float, ...], rows: int, now: npt.NDArray[np.int64]) -> tuple[float, float]:
    """The index of counts against the shares of training, and its 95 % point were both of one population.

    Half a row is added to each bin of both, so that an empty one is no infinity.
    """
    import numpy as np

    bins, count = len(then), int(now.sum())
    before = (np.array(then) * rows + 0.5) / (rows + 0.5 * bins)
    after = (now + 0.5) / (count + 0.5 * bins)
    index = float(((after - before) * np.log(after / before)).sum())
    free = max(int(((np.array(then) > 0) | (now > 0)).sum()) - 1, 1)
    # The 95 % point of χ² as Wilson and Hilferty (1931) approximate it.
    quantile = free * (1 - 2 / (9 * free) + IN_LINE_95 * (2 / (9 * free)) ** 0.5) ** 3
    return index, (1 / max(rows, 1) + 1 / max(count, 1)) * quantile


def _verdict(index: float, chance: float, rows: int) -> str:
    if rows < FEWEST:
        return "too few rows to say"
    if index < A_LOOK or index <= chance:
        return "steady"
    return "shifted: worth a look" if index < LARGE else "shifted: large"


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
