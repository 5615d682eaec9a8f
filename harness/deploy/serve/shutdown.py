"""Graceful shutdown: a server that announces its end, and loses no request on the way."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from harness.deploy.serve.app import Service

#: Seconds after SIGTERM in which requests are still accepted, each connection being closed after its response: clients and
#: load balancers need a moment to learn that they must not send here.
SHUTDOWN_SECONDS = 1.0
POLL_SECONDS = 0.02


class GracefulServer(uvicorn.Server):
    """A server that shuts down in steps.

    When told to stop, it first announces that (/ready, Connection: close) and still accepts requests for a second; then it
    accepts none, answers those that it has, and ends. Ctrl-C skips the first step, a second Ctrl-C both.

    Parameters
    ----------
    config : uvicorn.Config
        Configuration with the application.
    service : Service
        The service that is told about the shutdown.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
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
            await self._accept_last(listener)
        end = time.monotonic() + SHUTDOWN_SECONDS
        while self.server_state.connections and time.monotonic() < end and not self.force_exit:
            await asyncio.sleep(POLL_SECONDS)
        await super().shutdown(sockets)

    async def _accept_last(self, listener: socket.socket) -> None:
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
