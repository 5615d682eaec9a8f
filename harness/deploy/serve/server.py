"""`evenhand serve`: serving a bundle at an address until the process is told to stop."""

from __future__ import annotations

import gc
import importlib.util
import logging
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.deploy.serve.auth import is_loopback, read_token
from harness.errors import EvenhandError, Unavailable

if TYPE_CHECKING:
    from harness.deploy.bundle import Bundle

MAX_DRAIN_SECONDS = 60  #: for requests that are still processed
REQUIRED_PACKAGES = ("fastapi", "uvicorn", "prometheus_client")


def serve_bundle(bundle: Path, host: str = "127.0.0.1", port: int = 8000, token_file: Path | None = None) -> None:
    """Serve a bundle until SIGTERM or Ctrl-C; requests that are being processed are answered before it ends.

    Parameters
    ----------
    bundle : Path
        Folder of the bundle.
    host : str, default "127.0.0.1"
        Address to listen on.
    port : int, default 8000
        Port to listen on; 0 takes a free one.
    token_file : Path, optional
        File with the token that requests must carry; required if other machines can reach `host`.

    Raises
    ------
    EvenhandError
        If the bundle cannot be read, the token file is missing or unusable, or the address is not free.
    Unavailable
        If packages of the extra `deploy` are not installed.
    """
    if missing := [name for name in REQUIRED_PACKAGES if importlib.util.find_spec(name) is None]:
        raise Unavailable(f"serving needs {', '.join(missing)}: pip install 'evenhand[deploy]'")
    token = read_token(token_file) if token_file else None
    if token is None and not is_loopback(host):
        raise EvenhandError(f"others can reach {host}: give --token-file, or serve on 127.0.0.1")
    from harness.deploy.bundle import read_bundle, read_manifest

    read_manifest(bundle)  # a wrong bundle is reported before a port that is in use
    with bind_socket(host, port) as listener:
        run_server(read_bundle(bundle), listener, token)


def run_server(bundle: Bundle, listener: socket.socket, token: str | None = None, *, combine: bool = True) -> None:
    """Serve a bundle at a bound socket until the process is told to stop.

    Parameters
    ----------
    bundle : Bundle
        The bundle.
    listener : socket
        From `bind_socket`.
    token : str, optional
        Token that requests must carry.
    combine : bool, default True
        Whether requests that wait are predicted together.
    """
    import uvicorn

    from harness.deploy.serve.app import make_app, make_service
    from harness.deploy.serve.shutdown import GracefulServer

    _configure_logging()
    service = make_service(bundle, combine=combine)
    config = uvicorn.Config(
        make_app(service, token),
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
    print(startup_message(bundle, listener, token), flush=True)
    sys.setswitchinterval(0.001)  # the model's thread gives way to requests after one millisecond instead of five
    gc.set_threshold(
        50_000
    )  # rows contain no reference cycles: looking for them took a third of the time of reading rows
    gc.collect()
    gc.freeze()  # loaded objects stay until the end: later collections need not traverse them
    GracefulServer(config, service).run(sockets=[listener])


def startup_message(bundle: Bundle, listener: socket.socket, token: str | None) -> str:
    """Return a few lines that say what is served at which address."""
    address, port = listener.getsockname()[:2]
    if ":" in address:
        address = f"[{address}]"
    url, manifest = f"http://{address}:{port}", bundle.manifest
    note = "; whoever asks must send the token" if token else ""
    return (
        f"{manifest.get('title') or manifest['task']}: {manifest['entry']}, bundle {bundle.id}\n"
        f"{url}  a page to try it, {url}/docs how to ask it{note}\nCtrl-C stops it"
    )


def bind_socket(host: str, port: int) -> socket.socket:
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
        family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except socket.gaierror as error:
        raise EvenhandError(f"no such address: {host} ({error.strerror})") from error
    except OSError as error:
        raise EvenhandError(f"cannot serve at {host}:{port}: {error.strerror} (another --port?)") from error
    return listener


def _configure_logging() -> None:
    from harness.deploy.serve.monitoring import LOGGER, JsonLogFormatter

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLogFormatter())
    for logger, level in ((LOGGER, logging.INFO), (logging.getLogger("uvicorn"), logging.WARNING)):
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
