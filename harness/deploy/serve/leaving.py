"""The way out: a service that is told to stop loses nobody's request."""

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
