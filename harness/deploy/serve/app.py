"""The service around a bundle: what is asked, and who answers it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

from harness.deploy.input_rows import BadRows, read_rows
from harness.deploy.insights.shapley import reasons
from harness.deploy.schema import typical
from harness.deploy.serve.auth import Guard
from harness.deploy.serve.batching import Batcher
from harness.deploy.serve.monitoring import Drift, Numbers, Watch
from harness.deploy.serve.openapi import MOST_EXPLAINED, describe_service
from harness.deploy.serve.requests import MOST_BYTES, MOST_ROWS, Refused, Sent, read_body
from harness.deploy.serve.responses import answered, as_json, explained, problem

if TYPE_CHECKING:
    from harness.deploy.bundle import Bundle
    from harness.deploy.serve.batching import Answer

PAGES = Path(__file__).parent / "page"
FILES = {"/": "page.html", "/page.css": "page.css", "/page.js": "page.js", "/docs": "docs.html", "/docs.js": "docs.js"}
ASKED = ("/predict", "/explain", "/schema", "/drift", "/metrics", "/health", "/ready", "/openapi.json")
#: What a browser may do with the pages: nothing but load what is served here.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
STRICT = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)

BODY_SECONDS = 30.0
ANSWER_SECONDS = 60.0
MOST_HELD = 16 * MOST_BYTES  #: bytes of bodies in memory at one time
MOST_WAITING_REASONS = 8
LARGE_BODY = 2**16  #: bytes from which a body is read beside the event loop
MANY_ROWS = 200  #: from which an answer is written beside it
T = TypeVar("T")


@dataclass
class Service:
    """A bundle at work: the line before its model, what was seen, and whether it is about to end."""

    bundle: Bundle
    batcher: Batcher
    drift: Drift
    numbers: Numbers
    explainer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "reasons"))
    explaining: int = 0
    held: int = 0
    leaving: bool = False

    @property
    def columns(self) -> list[str]:
        """What a row must have."""
        return [one.name for one in self.bundle.schema.features]

    async def read(self, request: Request, most: int) -> Sent:
        """The rows of a request. Raises `Refused`."""
        kind = request.headers.get("content-type", "")
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Refused(415, "send the body as it is, without Content-Encoding")
        size = int(request.headers.get("content-length") or MOST_BYTES)
        if size > MOST_BYTES:
            raise _too_large()
        with self._room(size):
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    body = await _whole(request)
            except TimeoutError:
                raise Refused(408, f"the body did not come within {BODY_SECONDS:.0f} seconds") from None
            schema = self.bundle.schema
            sent = await _aside(len(body) > LARGE_BODY, lambda: read_body(kind, body, schema, most))
        request.scope["noted"]["rows"] = sent.count
        return sent

    @contextmanager
    def _room(self, size: int) -> Iterator[None]:
        """Space for a body, while it is read."""
        if self.held + size > MOST_HELD:
            raise Refused(503, "too many bodies are being read: try again in a second")
        self.held += size
        try:
            yield
        finally:
            self.held -= size

    async def answer(self, sent: Sent) -> Answer:
        """What the bundle says. Raises `Refused` and `BadRows`."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self.batcher.predict(sent)
        except TimeoutError:
            raise Refused(503, f"no answer within {ANSWER_SECONDS:.0f} seconds: send fewer rows") from None
        self.numbers.flagged.inc(len(answer.flags))
        for position in range(len(self.bundle.schema.classes)):
            count = int((answer.decided == position).sum())
            self.numbers.rows.labels(self.bundle.schema.classes[position]).inc(count)
        return answer

    async def explain(self, sent: Sent) -> dict[str, Any]:
        """What the bundle says of a few rows, and why. Raises `Refused` and `BadRows`."""
        if self.explaining >= MOST_WAITING_REASONS:
            raise Refused(503, "too many rows wait for reasons: try again in a few seconds")
        self.explaining += 1
        try:
            answer = await self.answer(sent)
            async with asyncio.timeout(ANSWER_SECONDS):
                why = await asyncio.get_running_loop().run_in_executor(self.explainer, self._reasons, sent)
        except TimeoutError:
            raise Refused(503, f"no reasons within {ANSWER_SECONDS:.0f} seconds: send fewer rows") from None
        finally:
            self.explaining -= 1
        return explained(self.bundle, answer, why)

    def _reasons(self, sent: Sent) -> Any:
        X = read_rows(self.bundle.schema, sent.columns).X
        return reasons(self.batcher.predict_piecewise, self.bundle.schema, X, 0)

    def warm_up(self) -> None:
        """Let everything happen once that happens once, before anybody waits for it."""
        self.bundle.predict_proba(typical(self.bundle.schema))

    @asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        """From the first request to the last."""
        self.warm_up()
        with self.batcher.at_work():
            yield
        self.explainer.shutdown(wait=False, cancel_futures=True)


def service_of(bundle: Bundle, *, together: bool = True) -> Service:
    """A bundle, ready to be served; `together=False` predicts each request alone."""
    drift = Drift(bundle.schema)
    numbers = Numbers(bundle.id, bundle.schema.classes)
    batcher = Batcher(bundle, drift.see, together)
    numbers.waiting.set_function(lambda: batcher.rows)
    return Service(bundle, batcher, drift, numbers)


def make_app(service: Service, token: str | None = None) -> FastAPI:
    """The application; with a token, whoever asks must send it."""
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=service.lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.add_middleware(Guard, token=token)
    paths = frozenset((*FILES, *ASKED))
    app.add_middleware(Watch, numbers=service.numbers, paths=paths, leaving=lambda: service.leaving, headers=STRICT)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(BadRows, _refused)
    app.add_exception_handler(HTTPException, _not_here)
    _answering(app, service)
    _telling(app, service)
    return app


def _answering(app: FastAPI, service: Service) -> None:
    @app.post("/predict")
    async def predict(request: Request) -> Response:
        sent = await service.read(request, MOST_ROWS)
        answer = await service.answer(sent)
        return as_json(await _aside(sent.count > MANY_ROWS, lambda: answered(service.bundle, answer, sent.ignored)))

    @app.post("/explain")
    async def explain(request: Request) -> Response:
        return as_json(await service.explain(await service.read(request, MOST_EXPLAINED)))


def _telling(app: FastAPI, service: Service) -> None:
    bundle = service.bundle
    document, state = describe_service(bundle), {"bundle": bundle.id}

    @app.get("/schema")
    async def schema() -> Response:
        return as_json(about(bundle))

    @app.get("/drift")
    async def drift() -> Response:
        # In the thread that counts, so that no count changes meanwhile.
        loop = asyncio.get_running_loop()
        return as_json(await loop.run_in_executor(service.batcher.worker, service.drift.report))

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(service.numbers.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/health")
    async def health() -> Response:
        return as_json({"status": "alive"} | state)

    @app.get("/ready")
    async def ready() -> Response:
        return as_json({"status": "leaving"} | state, 503) if service.leaving else as_json({"status": "ready"} | state)

    @app.get("/openapi.json")
    async def openapi() -> Response:
        return as_json(document)

    for path, name in FILES.items():
        app.add_api_route(path, _file(PAGES / name))


def about(bundle: Bundle) -> dict[str, Any]:
    """What a client must know of a bundle: its rows, its classes, how it decides, how good it was found."""
    named = ("title", "task", "entry", "positive", "threshold", "calibration", "licence", "source", "measured")
    told = {name: bundle.manifest.get(name) for name in named}
    return {"bundle": bundle.id} | told | bundle.schema.as_dict()


def _too_large() -> Refused:
    return Refused(413, f"the body is larger than {MOST_BYTES // 2**20} MB: send fewer rows")


async def _whole(request: Request) -> bytes:
    """A body, of which no more is read than may be."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise _too_large()
        parts.append(part)
    return b"".join(parts)


def _file(path: Path) -> Callable[[], Any]:
    async def page() -> Response:
        return FileResponse(path, headers={"cache-control": "no-cache"})

    return page


async def _aside(large: bool, work: Callable[[], T]) -> T:
    """Do what takes long beside the event loop, and what does not at once."""
    return await asyncio.to_thread(work) if large else work()


async def _refused(_request: Request, error: Exception) -> Response:
    status = getattr(error, "status", 422)
    headers = {"retry-after": "1"} if status == 503 else {}
    return problem(status, str(error), getattr(error, "field", None), getattr(error, "row", None), headers)


async def _not_here(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 -- registered for nothing else
    detail = {404: "there is nothing here: see /docs", 405: "not in this way: see /docs"}
    return problem(error.status_code, detail.get(error.status_code, str(error.detail)), headers=error.headers)
