"""The scenarios of the async interrupt sweep, and what cancels or interrupts them at a chosen moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any

from actionqueues import action, current_transaction, transaction
from tests.async_library import Hung

from .swept_world import World, flaky, hopeless, make, put

Program = Callable[[World], Coroutine[Any, Any, None]]


async def pause() -> None:
    """Suspend once."""
    await asyncio.sleep(0)


@action
async def aput(world: World, name: str) -> str:
    await pause()
    world.start(name)
    await pause()
    return name


@aput.rollback
async def atake(world: World, name: str) -> None:
    await pause()
    if name in world.present:
        world.undo(name)


@action
async def afail(world: World, name: str) -> None:
    world.start(name)
    await pause()
    raise LookupError(name)


@afail.rollback
async def amend(world: World, name: str) -> None:
    await pause()
    world.undo(name)


@action
async def anest(world: World, name: str, depth: int) -> None:
    world.start(name)
    if depth:
        await anest(world, f"{name}.{depth}", depth - 1)
        put(world, f"{name}.{depth}.sync")


@anest.rollback
async def aunnest(world: World, name: str) -> None:
    await pause()
    world.undo(name)


@action(retry=lambda attempt, error: 0.0 if attempt < 3 else None)
async def aflaky(world: World, name: str) -> None:
    world.start(name)
    await pause()
    if world.attempts[name] < 3:
        raise ConnectionError(name)


@aflaky.rollback
async def aunflaky(world: World, name: str) -> None:
    await pause()
    world.undo(name)


async def commits(world: World) -> None:
    async with transaction() as q:
        world.block = q
        await aput(world, "a")
        put(world, "b")
        await aput(world, "c")


async def fails(world: World) -> None:
    async with transaction() as q:
        world.block = q
        await aput(world, "a")
        make(world, "b")
        await aput(world, "c")
        raise LookupError


async def marked(world: World) -> None:
    async with transaction() as q:
        world.block = q
        await aput(world, "a")
        mark = q.mark()
        await aput(world, "b")
        make(world, "c")
        await q.rollback(to=mark)
        await aput(world, "d")


async def caught(world: World) -> None:
    async with transaction() as q:
        world.block = q
        await aput(world, "a")
        try:
            await afail(world, "b")
        except LookupError:
            await aput(world, "c")


async def nested(world: World) -> None:
    async with transaction() as q:
        world.block = q
        await anest(world, "a", 2)
        await aput(world, "b")
        raise LookupError


async def retried(world: World) -> None:
    async with transaction() as q:
        world.block = q
        flaky(world, "a")
        await aflaky(world, "b")
        await aput(world, "c")


async def savepoints(world: World) -> None:
    async with transaction() as q:
        world.block = q
        await aput(world, "a")
        async with q.savepoint():
            await aput(world, "b")
        try:
            async with transaction():
                await aput(world, "c")
                put(world, "d")
                raise LookupError
        except LookupError:
            await aput(world, "e")
        async with transaction() as inner:
            await aput(world, "f")
            await inner.rollback()


async def queued(world: World) -> None:
    async with transaction() as q:
        world.block = q
        q.add(aput, world, "a")
        q.add(put, world, "b")
        await q.execute()
        q.add(aput, world, "c")


async def hooks(world: World) -> None:
    async def hook(name: str) -> None:
        await pause()
        world.hooks.append(name)

    async with transaction() as q:
        world.block = q
        q.on_commit(hook, "first")
        await aput(world, "a")
        q.on_commit(world.hooks.append, "second")


async def undos_fail(world: World) -> None:
    async with transaction() as q:
        world.block = q
        await aput(world, "a")
        hopeless(world, "b")
        await aput(world, "c")
        raise LookupError


async def together(world: World) -> None:
    async with transaction() as q:
        world.block = q
        async with asyncio.TaskGroup() as group:
            for name in "abc":
                group.create_task(aput(world, name))
        await aput(world, "d")


async def undone_together(world: World) -> None:
    async with transaction(undo_concurrently=True) as q:
        world.block = q
        async with asyncio.TaskGroup() as group:
            group.create_task(aput(world, "a"))
            group.create_task(anest(world, "b", 1))
        make(world, "c")
        await aput(world, "d")
        raise LookupError


@transaction
async def decorated(world: World) -> None:
    world.block = current_transaction()
    await aput(world, "a")
    await aput(world, "b")


PROGRAMS: list[Program] = [
    commits,
    fails,
    caught,
    nested,
    retried,
    savepoints,
    queued,
    hooks,
    marked,
    undos_fail,
    together,
    undone_together,
    decorated,
]


class Suspensions:
    """Awaits a coroutine, and calls something when it has suspended so many times."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], at: set[int], then: Callable[[], object]) -> None:
        self.coroutine, self.at, self.then = coroutine, at, then
        self.count = 0

    def __await__(self) -> Generator[Any, Any, None]:
        awaiting = self.coroutine.__await__()
        resume: Callable[[], Any] = partial(next, awaiting)
        while True:
            try:
                request = resume()
            except StopIteration:
                return
            self.count += 1
            if self.count in self.at:
                asyncio.get_running_loop().call_soon(self.then)
            try:
                resume = partial(awaiting.send, (yield request))
            except BaseException as error:
                resume = partial(awaiting.throw, error)


def cancelled_run(program: Program, *at: int) -> tuple[World, int, BaseException | None]:
    """Run it with cancellations at these suspensions; how often it has suspended, and what came out."""
    world = World()

    async def main() -> tuple[World, int, BaseException | None]:
        async def job() -> None:
            await suspensions

        task: asyncio.Task[None]
        suspensions = Suspensions(program(world), set(at), lambda: task.cancel())
        task = asyncio.create_task(job())
        (raised,) = await asyncio.gather(task, return_exceptions=True)
        assert task.cancelling() <= len(at)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return world, suspensions.count, raised

    return asyncio.run(main(), debug=False)


def as_scenario(program: Program) -> Callable[[World], None]:
    """The same as a plain function, in an event loop that leaves SIGINT to Python's own handler."""

    def scenario(world: World) -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(program(world))
        try:
            while not task.done():
                try:
                    loop.run_until_complete(task)
                except Hung:
                    raise
                except BaseException:
                    if task.done():
                        raise
                    task.cancel()  # as `asyncio.run` does
        except Hung:
            raise
        else:
            task.result()
        finally:
            if task.done() and (rest := asyncio.all_tasks(loop)) != set():
                loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
            loop.close()

    scenario.__name__ = program.__name__
    return scenario
