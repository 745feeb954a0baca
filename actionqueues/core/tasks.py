"""What asyncio and trio do differently: sleeping, shielding, waiting for others.

Imports neither; only a program that already runs one of them gets here.

Stands on nothing of the engine.  Used by the drivers, which wait, and by what notes who runs.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from functools import cache, partial, wraps
from inspect import CO_ASYNC_GENERATOR, CORO_CLOSED, getcoroutinestate, iscoroutine
from typing import Any, Final, TypeVar

from .interrupts import protected_from_start
from .text import first_of

T = TypeVar("T")

#: The classes of event loops of asyncio that an engine moves from thread to thread.  Such a loop has to know all tasks,
#: since the engine ends them where it goes on with the program elsewhere.
LOOPS_OF_ENGINES: Final[set[type]] = set()


def in_trio() -> bool:
    """Whether the running task is one of trio's, and not one of asyncio's."""
    trio = sys.modules.get("trio")
    if trio is None:
        return False
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True


def moving_loop() -> Any:
    """The running event loop, if an engine moves it from thread to thread; None for all others."""
    loop = running_loop() if LOOPS_OF_ENGINES else None
    return loop if type(loop) in LOOPS_OF_ENGINES else None


async def sleep(seconds: float) -> None:
    """Suspend this task for a while."""
    if in_trio():
        import trio

        await trio.sleep(seconds)
    else:
        import asyncio

        await asyncio.sleep(seconds)


async def shielded(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await ``function()`` to its end, however often this task is cancelled meanwhile; the cancellation comes after it.

    In asyncio it runs in a task of its own, which nobody else can find and cancel (`asyncio.run` cancels all it finds),
    so that time-outs inside it work as ever.  The cancellation that comes out is the one that came in, and
    ``task.cancelling()`` counts as if nothing had held it up.  Any other interrupt of the waiting is kept likewise.
    """
    if in_trio():
        import trio

        with trio.CancelScope(shield=True):
            return await function()
    # A scope of anyio's that is cancelled would cancel the waiting at every turn of the event loop; and a group of its
    # is cancelled with any of its tasks, even with one whose step has been cancelled by a failing block.
    scope_of_anyio: Any = getattr(sys.modules.get("anyio"), "CancelScope", None)
    if scope_of_anyio is None or moving_loop() is not None:
        return await _in_own_task(function)
    scope = scope_of_anyio(shield=True)
    scope.__enter__()
    try:
        return await _in_own_task(function)
    finally:
        with suppress(RuntimeError):  # the coroutine is being closed outside its task
            scope.__exit__(None, None, None)


async def _in_own_task(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await it in a task of asyncio's that nobody else can cancel."""
    import asyncio

    begun: list[Any] = []

    async def run() -> T:
        begun.append(asyncio.current_task())
        return await function()

    task: Any = None
    tried, interrupt = False, None
    while True:
        try:
            if tried and task is None:  # interrupted at that moment, by a signal handler of the program's own
                await asyncio.sleep(0)
                task = begun[0] if begun else None
            if task is None:
                tried = True
                task = _new_task(run())
            if task.done():
                break
            await (asyncio.wait([task]) if moving_loop() is None else _until_done([task]))
        except GeneratorExit:
            raise  # nothing can be awaited any more
        except BaseException as error:
            # Python 3.12 keeps a cancellation that a task group has taken back, if its tasks begin at once.
            wanted = not isinstance(error, asyncio.CancelledError) or _is_cancelling(asyncio.current_task())
            if wanted:  # pragma: no branch - always so before that
                interrupt = first_of(interrupt, error)
    if interrupt is not None and (task.cancelled() or task.exception() is None):
        raise interrupt
    result: T = task.result()
    return result


@cache
def _shielded_task() -> Any:
    """A task that only what runs in it, and callbacks of its event loop such as time-outs, can cancel.

    Neither the end of `asyncio.run`, which cancels all tasks that it finds, nor a task that does the same.
    """
    import asyncio

    class Shielded(asyncio.Task[Any]):
        def cancel(self, msg: Any = None) -> bool:
            try:
                caller = asyncio.current_task()
            except RuntimeError:  # the event loop is not running: `asyncio.run` is ending it
                return False
            return super().cancel(msg) if caller is None or caller is self else False

        def cut_short(self) -> None:
            super().cancel()

    return Shielded


def _new_task(coroutine: Coroutine[Any, Any, Any]) -> Any:
    import asyncio

    loop = asyncio.get_running_loop()
    if moving_loop() is not None:
        return loop.create_task(coroutine)
    return _shielded_task()(coroutine, loop=loop)


async def _until_done(tasks: Iterable[Any]) -> None:
    """Wait until all of them have ended; an engine may warn of `asyncio.wait`, whose sets have no order."""
    loop = moving_loop()
    for task in tasks:
        if not task.done():
            waiter = loop.create_future()
            wake = partial(_wake, waiter)
            task.add_done_callback(wake)
            try:
                await waiter
            finally:
                task.remove_done_callback(wake)


def _wake(waiter: Any, _: Any) -> None:
    if not waiter.done():
        waiter.set_result(None)


class Group:
    """Tasks that are waited for together, and that nobody else can find and cancel."""

    def __init__(self) -> None:
        self._tasks: set[Any] = set()
        self._nursery: Any = None
        self._raised: list[BaseException] = []

    def spawn(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run ``function()``, which raises nothing, in a task of its own, in a copy of the context of this call."""
        if self._nursery is not None:
            self._nursery.start_soon(self._alone, function)
            return
        task = _new_task(self._counted(function))
        self._tasks.add(task)  # so that it can be cut short before it has begun

    @protected_from_start
    async def _alone(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await function()
        except BaseException as error:  # of one that was hit before it had begun: the nursery would cancel all others
            self._raised.append(error)

    async def _counted(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._tasks.add(running_task())  # again, if an interrupt has kept it out
        await function()

    def cancel(self) -> None:
        """Cut all of them short."""
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()
        for task in self._tasks - {None}:  # that of one that has begun in a child process
            (getattr(task, "cut_short", None) or task.cancel)()

    async def run(self, begin: Callable[[], None], over: Callable[[], bool]) -> BaseException | None:
        """Call `begin`, and wait until all that were spawned have ended; returns what has interrupted the waiting.

        An interrupt does not end it, but cuts them short if it is `over`.
        """
        if in_trio():
            import trio

            async with trio.open_nursery() as self._nursery:
                begin()
            return first_of(*self._raised)
        import asyncio

        interrupt: BaseException | None = None
        begin()
        begun = False
        while self._tasks or not begun:
            try:
                if begun:
                    ended = set(self._tasks)
                    await (asyncio.wait(ended) if moving_loop() is None else _until_done(ended))
                    self._tasks -= ended
                    raised = [task.exception() for task in ended if not task.cancelled()]
                    interrupt = first_of(interrupt, *raised)  # of one that was hit before it had begun
                else:
                    await asyncio.sleep(0)  # from here on all are known
                    begun = True
            except GeneratorExit:
                raise  # nothing can be awaited any more
            except BaseException as error:
                interrupt = first_of(interrupt, error)
                if over():
                    self.cancel()
                if running_loop() is None:  # pragma: no cover - in a child process, where no tracer looks
                    break  # nothing can be awaited there either
        return interrupt


def _is_cancelling(task: Any) -> bool:
    """Whether somebody wants a task of asyncio's to be cancelled; True for a task of a kind that does not tell."""
    cancelling: Callable[[], int] | None = getattr(task, "cancelling", None)
    return cancelling is None or cancelling() > 0


async def in_worker_thread(function: Callable[[], None]) -> None:
    """Call this in another thread."""
    if in_trio():
        import trio

        await trio.to_thread.run_sync(function)
    else:
        import asyncio

        await asyncio.to_thread(function)


class Signal:
    """Something to wait for once, that may be set from any thread."""

    def __init__(self) -> None:
        if in_trio():
            import trio

            self._event: Any = trio.Event()
            self._soon: Callable[..., object] = trio.lowlevel.current_trio_token().run_sync_soon
        else:
            import asyncio

            self._event = asyncio.Event()
            loop = asyncio.get_running_loop()
            self._soon = loop.call_soon_threadsafe if moving_loop() is None else loop.call_soon

    def set(self) -> None:
        """Let whoever waits go on; nobody can, if the event loop has ended."""
        with suppress(RuntimeError):
            self._soon(self._event.set)

    async def wait(self, seconds: float) -> bool:
        """Wait until it is set, or for so many seconds; returns whether it is set.

        An engine would record each such time-out, and nothing but tasks of its own loop has to be waited for there.
        """
        with suppress(TimeoutError):
            await (self._event.wait if moving_loop() is not None else limited(self._event.wait, seconds))()
        return bool(self._event.is_set())


def running_task() -> object:
    """The task that the calling coroutine runs in; None where nothing runs it, as while it is closed."""
    if in_trio():
        import trio

        return trio.lowlevel.current_task()
    asyncio: Any = sys.modules.get("asyncio")
    try:
        return None if asyncio is None else asyncio.current_task()
    except RuntimeError:  # no event loop is running
        return None


def has_ended(task: Any) -> bool:
    """Whether a task of asyncio or trio has come to its end, without having left what it was in."""
    done: Callable[[], bool] | None = getattr(task, "done", None)
    if done is not None:
        return done()
    coroutine = getattr(task, "coro", None)
    return iscoroutine(coroutine) and getcoroutinestate(coroutine) == CORO_CLOSED


def can_be_cancelled(task: Any) -> bool:
    """Whether `cancel` has an effect: not on a task of trio, of which only the scopes of its steps are cancelled."""
    return hasattr(task, "cancel")


def cancel(task: Any) -> None:
    """Cancel what stands in a log for what is running: a task of asyncio, or the cancel scope of a step in trio."""
    if can_be_cancelled(task):
        task.cancel()


async def in_scope(step: Callable[[object], Awaitable[T]], cancelled: Callable[[], BaseException]) -> T:
    """Run a step of a block so that it can be cancelled alone: asyncio cancels the task that it runs in, trio a scope.

    Args:
        step: the step, given what is cancelled.
        cancelled: makes what the caller of the step sees in trio, to which that cancellation does not belong.
    """
    if not in_trio():
        return await step(running_task())
    import trio

    with trio.CancelScope() as scope:
        return await step(scope)
    raise cancelled()


def running_loop() -> object:
    """What runs the calling code: an event loop of asyncio, or a run of trio; None if nothing does."""
    if in_trio():
        import trio

        return trio.lowlevel.current_trio_token()
    asyncio: Any = sys.modules.get("asyncio")
    try:
        return None if asyncio is None else asyncio.get_running_loop()
    except RuntimeError:
        return None


def in_debug_mode(loop: Any) -> bool:
    """Whether an event loop of asyncio looks for mistakes, at some cost."""
    ask: Callable[[], bool] | None = getattr(loop, "get_debug", None)
    return ask is not None and ask()


def is_closing(error: BaseException) -> bool:
    """Whether the coroutine that leaves its block is being closed; an async generator that is can still await."""
    if not isinstance(error, GeneratorExit) or error.__traceback__ is None:
        return False
    return not error.__traceback__.tb_frame.f_code.co_flags & CO_ASYNC_GENERATOR


def limited(function: Callable[..., Awaitable[Any]], seconds: float) -> Callable[..., Awaitable[Any]]:
    """`function`, given up with `TimeoutError` after so many seconds; not where it can wait for nothing anyway."""

    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        if running_task() is None:
            return await function(*args, **kwargs)
        if not in_trio():
            import asyncio

            limit = asyncio.timeout(seconds)
            try:
                async with limit:
                    return await function(*args, **kwargs)
            except TimeoutError as error:
                if error.args or not limit.expired():
                    raise
                raise TimeoutError(f"not done within {seconds} s") from error.__cause__
        import trio

        with trio.move_on_after(seconds):
            return await function(*args, **kwargs)
        raise TimeoutError(f"not done within {seconds} s")

    return call
