"""The scenarios' worlds in the variants of asyncio, and in trio."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from .async_library import Library
from .world import AsyncWorld, MixedWorld, Program, World, settle


@dataclass
class InLibrary(World):
    """Runs scenarios in a library."""

    library: Library = field(default_factory=Library)

    def drive_program(self, program: Program) -> None:
        def main() -> Coroutine[Any, Any, None]:
            return program(self)

        self.library.run(main)


@dataclass
class MixedIn(InLibrary, MixedWorld):
    """Sync actions in async blocks."""


@dataclass
class AsyncIn(InLibrary, AsyncWorld):
    """Async actions in async blocks."""

    def functions(self, run: Any, unwind: Any, needs_result: bool) -> tuple[Any, Any]:
        async def function(value: Any = None) -> Any:
            await self.library.checkpoint()
            return settle(await run(value))

        if needs_result:

            async def needing(result: Any, step: Any) -> None:
                settle(await unwind(step))

            return function, needing

        async def handler(step: Any) -> None:
            await self.library.checkpoint()
            settle(await unwind(step))

        return function, handler
