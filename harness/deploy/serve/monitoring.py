"""Monitoring: drift of the rows, metrics for Prometheus, and a log line per request that contains none of its content."""

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
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from harness.deploy.schema import Schema, count_rows_per_bin
from harness.deploy.serve.responses import error_response
from harness.registry.task import Features

BLOCK_ROWS = 1_000  #: rows of a block of counts
MAX_BLOCKS = 20  #: older blocks are dropped
MAX_PENDING = 50  #: requests whose rows are counted in one go: counting has a fixed cost per column
MIN_ROWS = 200  #: rows below which there is no verdict
MODERATE_SHIFT, LARGE_SHIFT = 0.1, 0.25  #: usual limits of the population stability index
NORMAL_QUANTILE_95 = 1.6449

LOGGER = logging.getLogger("evenhand.serve")
LATENCY_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
CLIENT_CLOSED_REQUEST = 499  #: logged if the client disconnected before the response
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
POLLED_PATHS = frozenset({"/health", "/ready", "/metrics"})  #: requested every few seconds; successes are not logged
METHODS = frozenset({"GET", "POST", "HEAD"})


@dataclass
class DriftMonitor:
    """Counts per bin of about the last 20,000 rows; its size does not depend on the number of rows."""

    schema: Schema
    pending: list[Features] = field(default_factory=list)  #: rows that are not counted yet
    blocks: deque[tuple[npt.NDArray[np.int64], ...]] = field(default_factory=lambda: deque(maxlen=MAX_BLOCKS))

    def count_rows(self, X: Features) -> None:
        """Add rows; they are counted a few requests at a time."""
        self.pending.append(X)
        if len(self.pending) >= MAX_PENDING or sum(map(len, self.pending)) >= BLOCK_ROWS:
            self._count_pending()

    def _count_pending(self) -> None:
        for X in _concatenate_rows(self.pending):
            counts = count_rows_per_bin(self.schema, X)
            if self.blocks and self.blocks[-1][0].sum() < BLOCK_ROWS:
                counts = tuple(a + b for a, b in zip(self.blocks.pop(), counts, strict=True))
            self.blocks.append(counts)
        self.pending.clear()

    def drift_report(self) -> dict[str, Any]:
        """Return, per column, the population stability index, its 95 % point without drift, and a verdict."""
        self._count_pending()
        counts_by_column = [np.sum(column_blocks, axis=0) for column_blocks in zip(*self.blocks, strict=True)]
        rows = sum(int(count_block[0].sum()) for count_block in self.blocks)
        columns: list[dict[str, Any]] = []
        for feature, counts in zip(self.schema.features, counts_by_column, strict=False):
            index, index_limit = population_stability_index(feature.shares, self.schema.rows, counts)
            drift_verdict = _drift_verdict(index, index_limit, rows)
            sizes = {"psi": round(index, 4), "by_chance": round(index_limit, 4)}
            columns.append({"name": feature.name, **sizes, "verdict": drift_verdict})
        columns.sort(key=itemgetter("psi"), reverse=True)
        return {"rows": rows, "training_rows": self.schema.rows, "fewest_rows": MIN_ROWS, "columns": columns}


def _concatenate_rows(batches: list[Features]) -> list[Features]:
    """Concatenate rows, if that keeps the types of their columns: categories with an unknown level have another type."""
    if len(batches) < 2:
        return batches
    if not hasattr(batches[0], "columns"):
        return [np.concatenate(batches)]
    rows: Features = pd.concat(batches, ignore_index=True)
    return [rows] if (rows.dtypes == batches[0].dtypes).all() else batches


def population_stability_index(
    training_shares: tuple[float, ...], training_rows: int, counts: npt.NDArray[np.int64]
) -> tuple[float, float]:
    """Compute the population stability index, and its 95 % point if both samples are from one population.

    Half a row is added to each bin of both samples, so that empty bins do not make the index infinite.

    Parameters
    ----------
    training_shares : tuple of float
        Share of the training rows in each bin.
    training_rows : int
        Number of training rows.
    counts : (bins,) array of int
        New rows in each bin.

    Returns
    -------
    index : float
        0 for equal distributions.
    limit : float
        95 % point.

    References
    ----------
    Wilson & Hilferty (1931), The distribution of chi-square: the approximation of its quantile.
    """
    training_share_array, bins, count = np.array(training_shares), len(training_shares), int(counts.sum())
    smoothed_training_shares = (training_share_array * training_rows + 0.5) / (training_rows + 0.5 * bins)
    smoothed_new_shares = (counts + 0.5) / (count + 0.5 * bins)
    index = float(
        (
            (smoothed_new_shares - smoothed_training_shares) * np.log(smoothed_new_shares / smoothed_training_shares)
        ).sum()
    )
    degrees_of_freedom = max(int(((training_share_array > 0) | (counts > 0)).sum()) - 1, 1)
    quantile = (
        degrees_of_freedom
        * (1 - 2 / (9 * degrees_of_freedom) + NORMAL_QUANTILE_95 * (2 / (9 * degrees_of_freedom)) ** 0.5) ** 3
    )
    return index, (1 / max(training_rows, 1) + 1 / max(count, 1)) * quantile


def _drift_verdict(index: float, index_limit: float, rows: int) -> str:
    if rows < MIN_ROWS:
        return "too few rows to say"
    if index < MODERATE_SHIFT or index <= index_limit:
        return "steady"
    if index < LARGE_SHIFT:
        return "shifted: worth a look"
    return "shifted: large"


class ServiceMetrics:
    """Metrics for Prometheus in a registry of their own, so that two services in one process have separate metrics.

    Parameters
    ----------
    bundle_id : str
        The bundle that is served.
    classes : tuple of str
        Classes whose predictions are counted, each from 0.
    """

    def __init__(self, bundle_id: str, classes: tuple[str, ...]) -> None:
        self.registry = CollectorRegistry()
        options: dict[str, Any] = {"namespace": "evenhand", "registry": self.registry}
        self.requests = Counter("requests", "Requests answered", ["path", "status"], **options)
        latency: dict[str, Any] = {"buckets": LATENCY_BUCKETS, **options}
        self.seconds = Histogram("seconds", "Seconds from request to answer", ["path"], **latency)
        self.rows = Counter("rows", "Rows answered", ["answer"], **options)
        self.flagged = Counter("flagged_rows", "Rows with something odd", **options)
        self.waiting = Gauge("waiting_rows", "Rows in line before the model", **options)
        Gauge("bundle", "The bundle that answers", ["id"], **options).labels(bundle_id).set(1)
        for name in classes:
            self.rows.labels(name)


@dataclass(frozen=True)
class RequestMonitor:
    """Middleware that counts and logs every request, gives it an id, and turns unexpected errors into responses with status 500.

    Parameters
    ----------
    app : ASGI application
        Handles the requests.
    metrics : ServiceMetrics
        Count the requests.
    paths : frozenset of str
        Paths that are counted and logged by name.
    is_shutting_down : callable
        Returns whether the service is about to end; connections are then closed after the response.
    headers : tuple of (bytes, bytes)
        Headers of every response.
    """

    app: ASGIApp
    metrics: ServiceMetrics
    paths: frozenset[str]
    is_shutting_down: Callable[[], bool]
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, request_id = time.perf_counter(), _client_or_new_request_id(scope)
        scope["row_counter"] = row_counter = {"rows": 0}
        status = 0

        async def send_monitored(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (b"x-request-id", request_id.encode()), *self.headers]
                if self.is_shutting_down():
                    headers.append((b"connection", b"close"))
                message["headers"] = headers
            await send(message)

        try:
            await self.app(scope, receive, send_monitored)
        except Exception as error:  # noqa: BLE001 -- the last handler: the error is logged and the request answered
            _log_failure(error, request_id)
            if not status:
                message = f"something went wrong here; its name in the log is {request_id}"
                await error_response(500, message)(scope, receive, send_monitored)
        finally:
            seconds = time.perf_counter() - started
            self._count_and_log_request(
                scope, status or CLIENT_CLOSED_REQUEST, seconds, request_id, row_counter["rows"]
            )

    def _count_and_log_request(
        self, request_scope: Scope, status: int, seconds: float, request_id: str, rows: int
    ) -> None:
        path = request_scope["path"] if request_scope["path"] in self.paths else "(other)"
        self.metrics.requests.labels(path, status).inc()
        self.metrics.seconds.labels(path).observe(seconds)
        if path in POLLED_PATHS and status == 200:
            return
        http_method = request_scope["method"] if request_scope["method"] in METHODS else "(other)"
        logged_fields = {"request": request_id, "method": http_method, "path": path, "status": status, "rows": rows}
        logged_fields["milliseconds"] = round(seconds * 1000, 2)
        LOGGER.info("request", extra={"facts": logged_fields})


class JsonLogFormatter(logging.Formatter):
    """Formats a log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time (UTC), level, event and facts of a record."""
        timestamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        timestamp += f".{int(record.msecs):03d}Z"
        entry = {"time": timestamp, "level": record.levelname.lower(), "event": record.getMessage()}
        return json.dumps(entry | getattr(record, "facts", {}), ensure_ascii=False)


def _client_or_new_request_id(request_scope: Scope) -> str:
    """Return the id that the client sent, if it is a plain one, else a new one."""
    request_id = dict(request_scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    return request_id if REQUEST_ID.fullmatch(request_id) else secrets.token_hex(8)


def _log_failure(error: Exception, request_id: str) -> None:
    """Log where an error occurred, without its message, which can contain values of rows."""
    positions = []
    for frame in traceback.extract_tb(error.__traceback__)[-8:]:
        positions.append(f"{frame.filename}:{frame.lineno} {frame.name}")
    LOGGER.error("failure", extra={"facts": {"request": request_id, "kind": type(error).__name__, "at": positions}})
