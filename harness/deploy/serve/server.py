"""`evenhand serve`: a bundle at an address, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import logging
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from harness.deploy.serve.auth import is_loopback, read_token
from harness.errors import EvenhandError, Unavailable

if TYPE_CHECKING:
    from harness.deploy.bundle import Bundle
if TYPE_CHECKING:
    from harness.deploy.serve.app import Service


#: Seconds after SIGTERM in which requests are still taken, each connection being closed after its answer: whoever sends
#: requests here needs a moment to learn that it must not.
LEAVING_SECONDS = 1.0


class Leaving(uvicorn.Server):
    """A server that leaves in steps.

    Told to stop, it first says so (/ready, Connection: close) and still takes what comes; then it takes nothing new,
    answers what it has, and ends. Ctrl-C skips the first step, a second one skips both.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service
        self.until = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 -- a signal handler's
        """Begin to leave, or leave faster."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = self.service.leaving or sig == signal.SIGINT
        self.service.leaving = True
        self.until = time.monotonic() + LEAVING_SECONDS

    async def on_tick(self, counter: int) -> bool:
        """Whether it is time to end."""
        return await super().on_tick(counter) or (self.service.leaving and time.monotonic() > self.until)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take who stands in line, then nobody; wait for requests on their way through connections made already."""
        for at in sockets or ():
            await self._take_last(at)
        end = time.monotonic() + LEAVING_SECONDS
        while self.server_state.connections and time.monotonic() < end and not self.force_exit:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    async def _take_last(self, at: socket.socket) -> None:
        """Close a listening socket just after its line was found empty: who stands in it would be thrown out."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(at)
        last: list[socket.socket] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                last.append(at.accept()[0])
        for server in self.servers:
            server.close()
        for one in last:
            await loop.connect_accepted_socket(self._connection, one)

    def _connection(self) -> asyncio.Protocol:
        made = self.config.http_protocol_class
        return made(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)  # type: ignore[call-arg]


NEEDED = ("fastapi", "uvicorn", "prometheus_client")
FINISHING_SECONDS = 60  #: for what is in flight when it is told to stop


def serve(bundle: Path, host: str = "127.0.0.1", port: int = 8000, token_file: Path | None = None) -> None:
    """Serve a bundle until SIGTERM or Ctrl-C; answers what is in flight before it ends.

    Raises `EvenhandError` for a bundle that cannot be read, a token file that is needed or not usable, an address that
    is not free, and `Unavailable` where packages of the extra `deploy` are not installed.
    """
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise Unavailable(f"serving needs {', '.join(missing)}: pip install 'evenhand[deploy]'")
    token = read_token(token_file) if token_file else None
    if token is None and not is_loopback(host):
        raise EvenhandError(f"others can reach {host}: give --token-file, or serve on 127.0.0.1")
    from harness.deploy.bundle import read_bundle, read_manifest

    read_manifest(bundle)  # what is no bundle is said before a port that is taken
    with bound(host, port) as at:
        loaded = read_bundle(bundle)
        run(loaded, at, token)


def run(bundle: Bundle, at: socket.socket, token: str | None = None, *, together: bool = True) -> None:
    """Serve a bundle at a bound socket, until the process is told to stop."""
    import uvicorn

    from harness.deploy.serve.app import make_app, service_of

    _log_as_lines()
    service = service_of(bundle, together=together)
    config = uvicorn.Config(
        make_app(service, token),
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws="none",
        lifespan="on",
        limit_concurrency=1_000,
        timeout_keep_alive=65,  # longer than load balancers keep theirs, so that it is they who close
        timeout_graceful_shutdown=FINISHING_SECONDS,
    )
    print(opening(bundle, at, token), flush=True)
    sys.setswitchinterval(0.001)  # the model's thread gives way to requests after one millisecond, not five
    gc.set_threshold(50_000)  # of ten thousand rows nothing is a cycle: looking for some costs a third of reading them
    gc.collect()
    gc.freeze()  # what is loaded stays: it need not be looked through again while somebody waits
    Leaving(config, service).run(sockets=[at])


def opening(bundle: Bundle, at: socket.socket, token: str | None) -> str:
    """What is served, where, in a few lines."""
    address, port = at.getsockname()[:2]
    url = f"http://{f'[{address}]' if ':' in address else address}:{port}"
    manifest = bundle.manifest
    return (
        f"{manifest.get('title') or manifest['task']}: {manifest['entry']}, bundle {bundle.id}\n"
        f"{url}  a page to try it, {url}/docs how to ask it" + ("; whoever asks must send the token" if token else "")
        + "\nCtrl-C stops it"
    )  # fmt: skip


def bound(host: str, port: int) -> socket.socket:
    """A socket at this address, at which nobody is listened to yet; raises `EvenhandError` where there can be none.

    It says that it speaks TCP: asyncio sends small answers at once (TCP_NODELAY) on such sockets alone, and on others a
    client waits for 40 ms more.
    """
    if not 0 <= port < 2**16:
        raise EvenhandError(f"cannot serve at {host}:{port}: ports are numbers from 0 to 65535")
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        at = socket.socket(family, kind, proto)
        at.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        at.bind(address)
    except socket.gaierror as error:
        raise EvenhandError(f"no such address: {host} ({error.strerror})") from error
    except OSError as error:
        raise EvenhandError(f"cannot serve at {host}:{port}: {error.strerror} (another --port?)") from error
    return at


def _log_as_lines() -> None:
    from harness.deploy.serve.monitoring import LOGGER, Lines

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    for logger, level in ((LOGGER, logging.INFO), (logging.getLogger("uvicorn"), logging.WARNING)):
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
