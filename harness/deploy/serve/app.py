"""The web application of a bundle: its paths, its limits, and the state of the running service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

from harness.deploy.bundle import Bundle
from harness.deploy.insights.shapley import ShapleyValues, shapley_values
from harness.deploy.predict import read_rows
from harness.deploy.schema import typical_row
from harness.deploy.serve import responses
from harness.deploy.serve.auth import TokenAuth
from harness.deploy.serve.batching import BatchAnswer, Batcher
from harness.deploy.serve.monitoring import DriftMonitor, RequestMonitor, ServiceMetrics
from harness.deploy.serve.openapi import MAX_EXPLAINED_ROWS, make_openapi_document
from harness.deploy.serve.requests import MAX_BODY_BYTES, MAX_ROWS, ParsedRows, RequestError, parse_request_rows
from harness.deploy.serve.responses import error_response, json_response
from harness.deploy.validate import InvalidRowsError

PAGE_FOLDER = Path(__file__).parent / "page"
PAGES = {"/": "page.html", "/page.css": "page.css", "/page.js": "page.js", "/docs": "docs.html", "/docs.js": "docs.js"}
API_PATHS = ("/predict", "/explain", "/schema", "/drift", "/metrics", "/health", "/ready", "/openapi.json")
#: Browsers may load only what this service serves.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)

BODY_SECONDS = 30.0
ANSWER_SECONDS = 60.0
MAX_BODIES_BYTES = 16 * MAX_BODY_BYTES  #: of all bodies that are in memory at the same time
MAX_PENDING_EXPLANATIONS = 8
LARGE_BODY_BYTES = 2**16  #: larger bodies are parsed in another thread than the event loop's
LARGE_ANSWER_ROWS = 200  #: answers for more rows are written there too
RETRY_HEADERS = {503: {"retry-after": "1"}}
T = TypeVar("T")


@dataclass
class PredictionService:
    """A bundle that is served, and the state of the service."""

    bundle: Bundle
    batcher: Batcher
    drift: DriftMonitor
    metrics: ServiceMetrics
    explainer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "reasons"))
    pending_explanations: int = 0
    reserved_bytes: int = 0  #: of bodies that are being read
    shutting_down: bool = False

    async def read_request_rows(self, request: Request, max_rows: int) -> ParsedRows:
        """Read and parse the rows of a request.

        Parameters
        ----------
        request : Request
            The request.
        max_rows : int
            Largest number of rows.

        Returns
        -------
        ParsedRows
            The rows.

        Raises
        ------
        RequestError
            If the body is too large, too slow or has another form.
        """
        content_type = request.headers.get("content-type", "")
        if request.headers.get("content-encoding", "identity") != "identity":
            raise RequestError(415, "send the body as it is, without Content-Encoding")
        size = int(request.headers.get("content-length") or MAX_BODY_BYTES)
        if size > MAX_BODY_BYTES:
            raise _body_too_large_error()
        with self._reserve_memory(size):
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    body = await _read_limited_body(request)
            except TimeoutError:
                raise RequestError(408, f"the body did not come within {BODY_SECONDS:.0f} seconds") from None
            in_thread = len(body) > LARGE_BODY_BYTES
            rows = await _call_off_event_loop(
                in_thread, lambda: parse_request_rows(content_type, body, self.bundle.schema, max_rows)
            )
        request.scope["row_counter"]["rows"] = rows.count
        return rows

    @contextmanager
    def _reserve_memory(self, size: int) -> Iterator[None]:
        """Reserve memory for a body while it is read."""
        if self.reserved_bytes + size > MAX_BODIES_BYTES:
            raise RequestError(503, "too many bodies are being read: try again in a second")
        self.reserved_bytes += size
        try:
            yield
        finally:
            self.reserved_bytes -= size

    async def predict_and_count(self, rows: ParsedRows) -> BatchAnswer:
        """Predict rows and count the predictions.

        Parameters
        ----------
        rows : ParsedRows
            The rows.

        Returns
        -------
        BatchAnswer
            Their predictions.

        Raises
        ------
        InvalidRowsError
            If a value does not fit the bundle's schema.
        RequestError
            If too many rows wait, or the prediction takes too long.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self.batcher.predict_request(rows)
        except TimeoutError:
            raise RequestError(503, f"no answer within {ANSWER_SECONDS:.0f} seconds: send fewer rows") from None
        self.metrics.flagged.inc(len(answer.flags))
        for class_index, name in enumerate(self.bundle.schema.classes):
            self.metrics.rows.labels(name).inc(int((answer.decided == class_index).sum()))
        return answer

    async def predict_and_explain(self, rows: ParsedRows) -> dict[str, Any]:
        """Predict and explain a few rows; raises as `predict_and_count` does, and if too many explanations wait."""
        if self.pending_explanations >= MAX_PENDING_EXPLANATIONS:
            raise RequestError(503, "too many rows wait for reasons: try again in a few seconds")
        self.pending_explanations += 1
        try:
            answer = await self.predict_and_count(rows)
            async with asyncio.timeout(ANSWER_SECONDS):
                loop = asyncio.get_running_loop()
                explained = await loop.run_in_executor(self.explainer, self._shapley_values, rows)
        except TimeoutError:
            raise RequestError(503, f"no reasons within {ANSWER_SECONDS:.0f} seconds: send fewer rows") from None
        finally:
            self.pending_explanations -= 1
        return responses.explanations_to_json(self.bundle, answer, explained)

    def _shapley_values(self, rows: ParsedRows) -> tuple[ShapleyValues, ...]:
        schema = self.bundle.schema
        return shapley_values(self.batcher.predict_in_chunks, schema, read_rows(schema, rows.columns).X, 0)

    @asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        """Run the service; one prediction is made first, so that no request waits for what happens only once."""
        self.bundle.predict_proba(typical_row(self.bundle.schema))
        with self.batcher.run_until_exit():
            yield
        self.explainer.shutdown(wait=False, cancel_futures=True)


def make_service(bundle: Bundle, *, combine: bool = True) -> PredictionService:
    """Make the service of a bundle.

    Parameters
    ----------
    bundle : Bundle
        The bundle.
    combine : bool, default True
        Whether requests that wait are predicted together.

    Returns
    -------
    Service
        Not running yet.
    """
    drift_monitor = DriftMonitor(bundle.schema)
    metrics = ServiceMetrics(bundle.id, bundle.schema.classes)
    batcher = Batcher(bundle, drift_monitor.count_rows, combine)
    metrics.waiting.set_function(lambda: batcher.queued_rows)
    return PredictionService(bundle, batcher, drift_monitor, metrics)


def make_app(service: PredictionService, token: str | None = None) -> FastAPI:
    """Make the application.

    Parameters
    ----------
    service : PredictionService
        Answers the requests.
    token : str, optional
        Token that requests must carry.

    Returns
    -------
    FastAPI
        An application without FastAPI's own pages, which load scripts from elsewhere.
    """
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=service.lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.add_middleware(TokenAuth, token=token)
    app.add_middleware(
        RequestMonitor,
        metrics=service.metrics,
        paths=frozenset((*PAGES, *API_PATHS)),
        is_shutting_down=lambda: service.shutting_down,
        headers=SECURITY_HEADERS,
    )
    app.add_exception_handler(RequestError, _respond_to_request_error)
    app.add_exception_handler(InvalidRowsError, _respond_to_request_error)
    app.add_exception_handler(HTTPException, _respond_to_http_error)
    _add_prediction_paths(app, service)
    _add_information_paths(app, service)
    for path, name in PAGES.items():
        app.add_api_route(path, _static_page_endpoint(PAGE_FOLDER / name))
    return app


def _add_prediction_paths(app: FastAPI, prediction_service: PredictionService) -> None:
    @app.post("/predict")
    async def predict(request: Request) -> Response:
        rows = await prediction_service.read_request_rows(request, MAX_ROWS)
        prediction_response = await prediction_service.predict_and_count(rows)
        in_thread = rows.count > LARGE_ANSWER_ROWS
        return json_response(
            await _call_off_event_loop(
                in_thread,
                lambda: responses.predictions_to_json(prediction_service.bundle, prediction_response, rows.ignored),
            )
        )

    @app.post("/explain")
    async def explain(request: Request) -> Response:
        return json_response(
            await prediction_service.predict_and_explain(
                await prediction_service.read_request_rows(request, MAX_EXPLAINED_ROWS)
            )
        )


def _add_information_paths(app: FastAPI, prediction_service: PredictionService) -> None:
    bundle = prediction_service.bundle
    document, bundle_id = make_openapi_document(bundle), {"bundle": bundle.id}

    @app.get("/schema")
    async def schema() -> Response:
        return json_response(describe_bundle_to_client(bundle))

    @app.get("/drift")
    async def drift() -> Response:
        # In the thread that counts, so that no count changes meanwhile.
        loop = asyncio.get_running_loop()
        return json_response(
            await loop.run_in_executor(prediction_service.batcher.worker, prediction_service.drift.drift_report)
        )

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(prediction_service.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/health")
    async def health() -> Response:
        return json_response({"status": "alive"} | bundle_id)

    @app.get("/ready")
    async def ready() -> Response:
        if prediction_service.shutting_down:
            return json_response({"status": "leaving"} | bundle_id, 503)
        return json_response({"status": "ready"} | bundle_id)

    @app.get("/openapi.json")
    async def openapi() -> Response:
        return json_response(document)


def describe_bundle_to_client(bundle: Bundle) -> dict[str, Any]:
    """Return what a client must know of a bundle: its rows, its classes, how it decides, and its measured quality."""
    keys = ("title", "task", "entry", "positive", "threshold", "calibration", "licence", "source", "measured")
    manifest_fields = dict(zip(keys, map(bundle.manifest.get, keys), strict=True))
    return {"bundle": bundle.id, **manifest_fields, **bundle.schema.as_dict()}


def _body_too_large_error() -> RequestError:
    return RequestError(413, f"the body is larger than {MAX_BODY_BYTES // 2**20} MB: send fewer rows")


async def _read_limited_body(request: Request) -> bytes:
    """Read a body, but not further than the largest allowed size."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise _body_too_large_error()
        chunks.append(chunk)
    return b"".join(chunks)


def _static_page_endpoint(path: Path) -> Callable[[], Awaitable[Response]]:
    async def page() -> Response:
        return FileResponse(path, headers={"cache-control": "no-cache"})

    return page


async def _call_off_event_loop(in_thread: bool, function: Callable[[], T]) -> T:
    """Call a function, in another thread if it would block the event loop for long."""
    if in_thread:
        return await asyncio.to_thread(function)
    return function()


async def _respond_to_request_error(_request: Request, error: Exception) -> Response:
    status = getattr(error, "status", 422)
    field_name, row, headers = getattr(error, "field", None), getattr(error, "row", None), RETRY_HEADERS.get(status)
    return error_response(status, str(error), field_name, row, headers)


async def _respond_to_http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 -- registered for nothing else
    details = {404: "there is nothing here: see /docs", 405: "not in this way: see /docs"}
    message = details.get(error.status_code, str(error.detail))
    return error_response(error.status_code, message, headers=error.headers)
