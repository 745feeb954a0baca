"""`Page`: a socket that only this machine reaches, and a server on it that ends in order.

Stands on the application and on uvicorn.  Used by the command.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import signal
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final, Self

import uvicorn

from actionqueues.journal import Journal
from actionqueues.journal.inspecting import current_entries

from .application import application

__all__ = ["Page"]

_LOOPBACK: Final = "127.0.0.1"
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave them to `Page.run`, around the event loop: raised again inside it, they would cancel it."""
        yield


class Page:
    """A journal as a page, which can be opened at once, and is answered while `run` runs.

    Args:
        journal: what it shows.
        port: where to listen; 0: anywhere.
        allow_actions: whether it may try again, decide, and abandon.

    Attributes:
        address: where it is, with the token, for whoever may see it.

    Raises:
        OSError: if the port is taken, or may not be used.
        JournalError: if the file cannot be read.
    """

    def __init__(self, journal: Journal, *, port: int = 0, allow_actions: bool = False) -> None:
        current_entries(journal.store)  # what is no journal is refused now, and in the terminal
        self._listening = _listening(port)
        token = secrets.token_urlsafe(32)
        hosts = [f"{name}:{self._listening.getsockname()[1]}" for name in (_LOOPBACK, "localhost")]
        # What is behind the # is sent to nobody, and so logged by nobody.
        self.address = f"http://{hosts[0]}/#token={token}"
        self._server = _Server(
            uvicorn.Config(
                application(journal, token=token, hosts=hosts, allow_actions=allow_actions),
                access_log=False,
                http="h11",
                lifespan="off",
                log_config=None,
                log_level="warning",
                proxy_headers=False,
                server_header=False,
                ws="none",
            )
        )

    def run(self) -> None:
        """Answer until `stop` is called, or until Ctrl-C.

        Raises:
            KeyboardInterrupt: for the Ctrl-C that has ended it, in order: what was being done is done.
        """
        received: list[int] = []

        def end(number: int, _: FrameType | None) -> None:
            if received and number == signal.SIGINT:
                # Its own way to end at once waits for all connections, from Python 3.12 on.
                loop.call_soon_threadsafe(serving.cancel)  # pragma: no cover - in a process of its own
            received.append(number)
            self.stop()

        is_main = threading.current_thread() is threading.main_thread()
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            serving = loop.create_task(self._server.serve(sockets=[self._listening]))
            before = {each: signal.signal(each, end) for each in (_SIGNALS if is_main else ())}
            try:
                with suppress(asyncio.CancelledError):
                    runner.run(_waited_for(serving))
            finally:
                for each, handler in before.items():
                    signal.signal(each, handler)
        if received:
            signal.raise_signal(received[0])

    def stop(self) -> None:
        """End it in order, from another thread or from a signal handler."""
        self._server.should_exit = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()


async def _waited_for(task: asyncio.Task[None]) -> None:
    await task


def _listening(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # pragma: no branch - elsewhere it would mean that others may listen there as well
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((_LOOPBACK, port))
        made.listen(100)
    except OSError as error:
        made.close()
        taken = error.errno == errno.EADDRINUSE
        why = "it is taken; name another one, or none, for any that is free" if taken else error.strerror
        raise OSError(f"cannot listen on port {port}: {why}") from error
    return made
