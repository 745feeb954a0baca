"""The loops that do what the engine asks for: the only code that sleeps, in two versions, side by side."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from time import sleep
from typing import Any, TypeVar, cast

from .concurrency import in_worker_thread, pause_async, running_task, shielded
from .engine import Rollback
from .errors import AsyncActionInSyncBlock
from .hooks import HookRun
from .interceptor import Attempt, Interceptor
from .interrupts import InterruptGuard
from .owner import current, set_back, undoing
from .requests import Await, Call, Request, Undo, Unwinding, Wait
from .step import PENDING, Step
from .telling import first_of
from .turns import Rank, Turn, Turns

__all__ = [
    "asked",
    "attempted",
    "drive",
    "drive_async",
    "pause",
    "pause_async",
    "roll_back",
    "roll_back_async",
    "run_hooks",
    "run_hooks_async",
]

T = TypeVar("T")


def drive(
    generator: Generator[Wait | Await | Call | Undo, BaseException | None, T],
    turns: Turns | None = None,
    rank: Rank = (),
) -> T:
    """Run a generator of requests to its end, blocking this thread while it waits.

    Args:
        generator: the generator.
        turns: lets one undoing at a time go on.
        rank: among those that wait for their turn, the highest comes first.
    """
    answer: BaseException | None = None
    while True:
        try:
            request = generator.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        if isinstance(request, Undo):
            answer = None
            try:
                roll_back(request.rollback, request.unwind, turns=turns, rank=rank)
            except BaseException as interrupt:  # raised by the generator, once it has told what could not be undone
                request.rollback.interrupts.append(interrupt)
        elif isinstance(request, Wait):
            answer = None
            try:
                sleep(request.seconds)
            except BaseException as interrupt:
                answer = interrupt
        elif isinstance(request, Call):
            answer = _call(request)
        else:  # of a coroutine that is being closed, or of a sync step that has an event loop of its own
            answer = _finish(request)


def asked(method: Callable[..., Request | None], *args: object) -> tuple[BaseException | None, BaseException | None]:
    """``drive(ask(method, *args))`` without the generator, which costs as much as all the rest."""
    try:
        request = method(*args)
    except BaseException as error:
        return error, None
    if request is None:
        return None, None
    if isinstance(request, Call):
        return _call(request), request.interrupted
    return _finish(request), None


def attempted(watch: Interceptor, step: Step[Any]) -> Attempt:
    """``drive(attempt(watch, step))`` of a sync body without its generators: the path of a journaled step."""
    error, interrupted = asked(watch.attempting, step)
    if error is not None or interrupted is not None:
        return Attempt(PENDING, first_of(error, interrupted))
    made = Attempt(PENDING)
    try:
        made.result = step.definition.run(step.entry)
    except BaseException as raised:
        made.error = raised
    return made.told(*asked(watch.attempted, step, made.result, made.error))


def _finish(request: Await) -> BaseException | None:
    """Run a coroutine where nothing can be awaited: that works if it never suspends."""
    coroutine = cast("Coroutine[Any, Any, object]", request.awaitable)
    try:
        coroutine.send(None)
    except StopIteration as stop:
        request.result = stop.value
        return None
    except BaseException as error:
        return error
    coroutine.close()
    return AsyncActionInSyncBlock(request.name, "what undoes a sync step, or a coroutine that is being closed,")


def _call(request: Call) -> BaseException | None:
    """Do what may block; Ctrl-C has to wait."""
    guard = InterruptGuard()
    try:
        guard.begin()
        request.function()
    except BaseException as error:
        return error
    else:
        return None
    finally:
        guard.end()
        request.interrupted = guard.kept


async def drive_async(
    generator: Generator[Wait | Await | Call | Undo, BaseException | None, T],
    turns: Turns | None = None,
    rank: Rank = (),
) -> T:
    """Run a generator of requests to its end, suspending this task while it waits.

    Args:
        generator: the generator.
        turns: lets one undoing at a time go on.
        rank: among those that wait for their turn, the highest comes first.
    """
    answer: BaseException | None = None
    while True:
        try:
            request = generator.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        if isinstance(request, Undo):
            answer = None
            try:
                await roll_back_async(request.rollback, request.unwind, turns=turns, rank=rank)
            except BaseException as interrupt:  # raised by the generator, once it has told what could not be undone
                request.rollback.interrupts.append(interrupt)
            continue
        answer = None
        try:
            if isinstance(request, Await):  # first, since there is one for each async undo
                request.result = await request.awaitable
            elif isinstance(request, Wait):
                await pause_async(request.seconds)
            else:
                answer = await _call_async(request)
        except BaseException as interrupt:
            answer = interrupt


async def _call_async(request: Call) -> BaseException | None:
    """Let a worker thread do what may block; a cancellation has to wait."""
    raised: list[BaseException] = []

    def call() -> None:
        try:
            request.function()
        except BaseException as error:
            raised.append(error)

    try:
        await shielded(lambda: in_worker_thread(call))
    except BaseException as interrupt:
        request.interrupted = interrupt
    return raised[0] if raised else None


def pause(seconds: float) -> None:
    """Block this thread for a while."""
    sleep(seconds)


def roll_back(
    rollback: Rollback,
    unwind: Callable[[], Unwinding],
    before: Callable[[], None] | None = None,
    *,
    turns: Turns | None = None,
    rank: Rank = (),
) -> None:
    """Run an unwinding to its end, outside any block, and without being cut short by Ctrl-C.

    Args:
        rollback: the rollback.
        unwind: its unwinding.
        before: is called first, under the same protection.
        turns: lets one undoing at a time go on, if other threads take part.
        rank: among those that wait for their turn, the highest comes first.
    """
    turn: Turn | None = None
    try:
        rollback.guard.begin()  # first, so that nothing can come between the lines that follow
        outside = current.set(None)
        inside = undoing.set(rollback)
        try:
            if before is not None:
                before()
            while True:
                try:
                    if turns is not None and turn is None:
                        turn = turns.take(rank, lambda: (rollback.owner, rollback.end))
                    return drive(unwind())
                except KeyboardInterrupt as interrupt:
                    rollback.cut = interrupt
                    rollback.interrupted(interrupt)  # by a signal handler of the program's own: go on with the rest
                except BaseException as error:
                    rollback.cut = error  # kept for later, if there is no room to account for it here
                    rollback.interrupted(error)
                    raise
        finally:
            if turns is not None:
                turns.leave(turn)
            undoing.reset(inside)
            current.reset(outside)
    finally:
        rollback.guard.end()


async def roll_back_async(
    rollback: Rollback,
    unwind: Callable[[], Unwinding],
    before: Callable[[], Coroutine[Any, Any, None]] | None = None,
    *,
    turns: Turns | None = None,
    rank: Rank = (),
) -> None:
    """Run an unwinding to its end, outside any block, and without being cut short by Ctrl-C or by a cancellation.

    Args:
        rollback: the rollback.
        unwind: its unwinding.
        before: is awaited first, under the same protection.
        turns: lets one undoing at a time go on.
        rank: among those that wait for their turn, the highest comes first.
    """

    async def unwound() -> None:
        while True:
            try:
                return await drive_async(unwind())
            except KeyboardInterrupt as interrupt:
                rollback.cut = interrupt
                rollback.interrupted(interrupt)
            except BaseException as error:
                rollback.cut = error  # likewise
                rollback.interrupted(error)
                raise

    async def protected() -> None:
        outside = current.set(None)
        inside = undoing.set(rollback)
        try:
            if before is not None:
                await before()
            if turns is None:
                await unwound()
                return
            turn = await turns.take_async(rank, lambda: (rollback.owner, rollback.end), caller)
            try:
                await unwound()
            finally:
                turns.leave(turn)
        finally:
            set_back(undoing, inside)
            set_back(current, outside)

    caller = None if turns is None else running_task()
    try:
        rollback.guard.begin()  # first, so that nothing can come between this and the waiting
        await shielded(protected)
    except GeneratorExit:
        rollback.orphaned = True  # it goes on in its own task
        raise
    finally:
        rollback.guard.end()


def run_hooks(run: HookRun, commit: Callable[[], None]) -> None:
    """Commit, call the commit hooks, all of them, and raise what they raised."""
    try:
        run.guard.begin()
        commit()
        drive(run.calls())
    finally:
        run.guard.end()
    run.result()


async def run_hooks_async(run: HookRun, commit: Callable[[], None]) -> None:
    """Commit, call and await the commit hooks, all of them, and raise what they raised."""

    async def protected() -> None:
        commit()
        await drive_async(run.calls())

    try:
        run.guard.begin()
        await shielded(protected)
    except BaseException as interrupt:
        run.interrupts.append(interrupt)
    finally:
        run.guard.end()
    run.result()
