"""`Body`: the work of an async unit, which alone is cancelled when the block is, and not what records it.

Stands on asyncio.  Used by the adapter of DBOS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Body"]


class Body:
    """Runs work in a task of its own, between what an engine does before it and after it in another one.

    Args:
        work: makes the coroutine.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, str]]) -> None:
        self.work = work
        self._task: asyncio.Task[str] | None = None
        self._wanted = self._told = False  # whether it is to be cancelled, and has been

    async def run(self) -> str:
        """Run it; this is what the engine is given."""
        self._task = asyncio.create_task(self.work())
        if self._wanted:
            asyncio.get_running_loop().call_soon(self._cancel)  # once it has begun, where it first waits
        return await self._task

    def _cancel(self) -> None:
        self._wanted = True
        if self._task is not None and self._task.cancel():
            self._told = True

    async def ended(self, recording: asyncio.Task[str]) -> asyncio.CancelledError | None:
        """Wait until the engine has recorded it; a cancellation is passed on to the work.

        Returns one that has come too late for that.
        """
        cancelled: asyncio.CancelledError | None = None
        while not recording.done():
            try:
                await asyncio.wait([recording])
            except asyncio.CancelledError as error:
                cancelled = cancelled or error
                self._cancel()
        return None if self._told else cancelled
