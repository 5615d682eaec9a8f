"""`evenhand serve`: serving a bundle at an address until the process is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
import time
from types import FrameType

import uvicorn

from harness.deploy.bundle import Bundle
from harness.deploy.serve.app import PredictionService, make_app, make_service
from harness.deploy.serve.monitoring import LOGGER, JsonLogFormatter
from harness.errors import EvenhandError

MAX_DRAIN_SECONDS = 60  #: for requests that are still processed
#: Seconds after SIGTERM in which requests are still accepted, each connection being closed after its response: clients and
#: load balancers need a moment to learn that they must not send here.
SHUTDOWN_SECONDS = 1.0
POLL_SECONDS = 0.02


def run_http_server(bundle: Bundle, listener: socket.socket, token: str | None = None, *, combine: bool = True) -> None:
    """Serve a bundle at a bound socket until the process is told to stop.

    Parameters
    ----------
    bundle : Bundle
        The bundle.
    listener : socket
        From `bind_server_socket`.
    token : str, optional
        Token that requests must carry.
    combine : bool, default True
        Whether requests that wait are predicted together.
    """
    _configure_logging()
    prediction_service = make_service(bundle, combine=combine)
    config = uvicorn.Config(
        make_app(prediction_service, token),
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws="none",
        lifespan="on",
        limit_concurrency=1_000,
        timeout_keep_alive=65,  # longer than load balancers keep connections, so that they close them first
        timeout_graceful_shutdown=MAX_DRAIN_SECONDS,
    )
    print(describe_startup(bundle, listener, token), flush=True)
    sys.setswitchinterval(0.001)  # the model's thread gives way to requests after one millisecond instead of five
    # Rows contain no reference cycles: looking for them took a third of the time of reading rows.
    gc.set_threshold(50_000)
    gc.collect()
    gc.freeze()  # loaded objects stay until the end: later collections need not traverse them
    GracefulServer(config, prediction_service).run(sockets=[listener])


def describe_startup(bundle: Bundle, listener: socket.socket, token: str | None) -> str:
    """Return a few lines that say what is served at which address."""
    address, port = listener.getsockname()[:2]
    if ":" in address:
        address = f"[{address}]"
    url, manifest = f"http://{address}:{port}", bundle.manifest
    token_note = "; whoever asks must send the token" if token else ""
    return (
        f"{manifest.get('title') or manifest['task']}: {manifest['entry']}, bundle {bundle.id}\n"
        f"{url}  a page to try it, {url}/docs how to ask it{token_note}\nCtrl-C stops it"
    )


def bind_server_socket(host: str, port: int) -> socket.socket:
    """Bind a socket to an address without listening yet.

    The socket is created with the protocol TCP: asyncio sets TCP_NODELAY only on such sockets, and without it clients wait
    for 40 ms more for small responses.

    Parameters
    ----------
    host : str
        Name or address, an IPv6 address with or without brackets.
    port : int
        Port; 0 takes a free one.

    Returns
    -------
    socket
        The bound socket.

    Raises
    ------
    EvenhandError
        If there is no such address, or it is in use.
    """
    if not 0 <= port < 2**16:
        raise EvenhandError(f"cannot serve at {host}:{port}: ports are numbers from 0 to 65535")
    try:
        family, socket_kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[
            0
        ]
        listener = socket.socket(family, socket_kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except socket.gaierror as error:
        raise EvenhandError(f"no such address: {host} ({error.strerror})") from error
    except OSError as error:
        raise EvenhandError(f"cannot serve at {host}:{port}: {error.strerror} (another --port?)") from error
    return listener


def _configure_logging() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLogFormatter())
    for logger, level in ((LOGGER, logging.INFO), (logging.getLogger("uvicorn"), logging.WARNING)):
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


class GracefulServer(uvicorn.Server):
    """A server that shuts down in steps.

    When told to stop, it first announces that (/ready, Connection: close) and still accepts requests for a second; then it
    accepts none, answers those that it has, and ends. Ctrl-C skips the first step, a second Ctrl-C both.

    Parameters
    ----------
    config : uvicorn.Config
        Configuration with the application.
    service : PredictionService
        The service that is told about the shutdown.
    """

    def __init__(self, config: uvicorn.Config, service: PredictionService) -> None:
        super().__init__(config)
        self.service = service
        self.deadline = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 -- a signal handler's
        """Start to shut down, or shut down faster."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = self.service.shutting_down or sig == signal.SIGINT
        self.service.shutting_down = True
        self.deadline = time.monotonic() + SHUTDOWN_SECONDS

    async def on_tick(self, counter: int) -> bool:
        """Return whether the main loop ends."""
        return await super().on_tick(counter) or (self.service.shutting_down and time.monotonic() > self.deadline)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept the connections that wait, close the listening sockets, and wait for requests on open connections."""
        for listener in sockets or ():
            await self._accept_pending_and_close(listener)
        end = time.monotonic() + SHUTDOWN_SECONDS
        while self.server_state.connections and time.monotonic() < end and not self.force_exit:
            await asyncio.sleep(POLL_SECONDS)
        await super().shutdown(sockets)

    async def _accept_pending_and_close(self, listener: socket.socket) -> None:
        """Close a listening socket just after its backlog was emptied: connections left in the backlog would be reset."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        connections: list[socket.socket] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                connections.append(listener.accept()[0])
        for server in self.servers:
            server.close()
        for connection in connections:
            await loop.connect_accepted_socket(self._make_protocol, connection)

    def _make_protocol(self) -> asyncio.Protocol:
        protocol = self.config.http_protocol_class
        return protocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)  # type: ignore[call-arg]
