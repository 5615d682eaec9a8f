"""A bundle as a service: rows in, answers with reasons out, and what an operator must see."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from harness.deploy.serve.auth import is_loopback_address, read_token_file
from harness.errors import EvenhandError, Unavailable

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
    if missing_packages := [name for name in REQUIRED_PACKAGES if importlib.util.find_spec(name) is None]:
        raise Unavailable(f"serving needs {', '.join(missing_packages)}: pip install 'evenhand[deploy]'")
    token = read_token_file(token_file) if token_file else None
    if token is None and not is_loopback_address(host):
        raise EvenhandError(f"others can reach {host}: give --token-file, or serve on 127.0.0.1")
    from harness.deploy.bundle import read_bundle, read_manifest
    from harness.deploy.serve.server import bind_server_socket, run_http_server

    read_manifest(bundle)  # a wrong bundle is reported before a port that is in use
    with bind_server_socket(host, port) as listener:
        run_http_server(read_bundle(bundle), listener, token)
