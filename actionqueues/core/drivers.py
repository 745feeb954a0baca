"""The two loops that wait: `drive` blocks a thread, `drive_async` suspends a task.

The only file that waits.  What the engine's generators yield is done here, in two ways side by side.

Stands on the engine.  Used by what frames call, by blocks, the queue and recovery.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from threading import Event
from time import sleep
from typing import Any, TypeVar, cast

from actionqueues.errors import AsyncActionInSyncBlock, IllegalOperation

from .interrupts import InterruptGuard
from .log import current, get_current, set_current, undoing
from .requests import Answer, Await, Call, Engine, Request, Shield, Shielded, Together, Undo, Until, Wait
from .step import OUTCOME
from .tasks import Group, Signal, in_worker_thread, running_task, shielded
from .tasks import sleep as sleep_async
from .text import first_of, log_warning

T = TypeVar("T")

_get_undoing, _set_undoing = undoing.get, undoing.set

#: Seconds after which it is logged that something is waited for, and after which who waits looks again: a task or
#: thread that ends inside a savepoint tells nobody.
_LONG, _LOOK = 10.0, 1.0


def drive(generator: Engine[T], answer: Answer = None) -> T:
    """Run a generator of requests to its end, blocking this thread while it waits."""
    while True:
        try:
            request = generator.send(answer)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return] # and no variable: it may hold what was raised, and this
        answer = _done(request)


def _done(request: Wait | Request | Until | Undo | Together) -> Answer:
    """Do what is asked for; returns what came of it."""
    try:
        if isinstance(request, Undo):
            shielded_here(request.shield, request.work)
        elif isinstance(request, Wait):
            (request.pause or pause)(request.seconds)
        elif isinstance(request, Until):
            return _wait(request)
        elif isinstance(request, Call):
            _call(request)
        elif isinstance(request, Together):
            return None  # it has not begun
        else:  # of a coroutine that is being closed, or of a sync step in an async block
            return _finish(request)
    except BaseException as interrupt:
        if type(request) is Undo and type(interrupt) is RecursionError:  # there is no room even to begin it
            request.shield.guard.broken = interrupt
        return interrupt
    return None


async def drive_async(generator: Engine[T]) -> T:
    """Run a generator of requests to its end, suspending this task while it waits."""
    answer: Answer = None
    while True:
        try:
            request = generator.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        answer = None
        try:
            if isinstance(request, Await):  # first, since there is one for each async undo
                if request.record is None:
                    request.result = await request.awaitable
                else:
                    request.record[OUTCOME] = await request.awaitable
            elif isinstance(request, Undo):
                await _shielded_in_task(request.shield, request.work)
            elif isinstance(request, Wait):
                await (request.sleep or pause_async)(request.seconds)
            elif isinstance(request, Until):
                await _wait_async(request)
            elif isinstance(request, Together):
                answer = await _together(request)
            else:
                answer = await _call_async(request)
        except BaseException as interrupt:
            answer = interrupt
            if isinstance(interrupt, GeneratorExit):  # the coroutine is being closed: nothing can be awaited any more
                return drive(generator, interrupt)


def pause(seconds: float) -> None:
    """Block this thread for a while."""
    sleep(seconds)


async def pause_async(seconds: float) -> None:
    """Suspend this task for a while."""
    await sleep_async(seconds)


def _wait(request: Until) -> Answer:
    """Wait for threads.  What tasks of the event loop in this thread do, could never end meanwhile."""
    if request.tasks:
        return IllegalOperation(
            f"wait for {request.what()}", "this thread runs its event loop", "make what has started it an `async def`"
        )
    waited = 0.0
    while not request.ready():
        event = Event()
        with _among_waiters(request, event):
            if not request.ready() and not event.wait(_LOOK):
                waited = _tell(request, waited + _LOOK)
    return None


async def _wait_async(request: Until) -> None:
    if request.shielded:
        await shielded(partial(_until, request))
    else:
        await _until(request)


async def _until(request: Until) -> None:
    waited = 0.0
    while not request.ready():
        signal = Signal()
        with _among_waiters(request, signal):
            if not request.ready() and not await signal.wait(_LOOK):
                waited = _tell(request, waited + _LOOK)


@contextmanager
def _among_waiters(request: Until, waiter: Event | Signal) -> Generator[None, None, None]:
    owner = request.owner
    owner.waiters = (*owner.waiters, waiter)
    try:
        yield
    finally:
        owner.waiters = tuple(each for each in owner.waiters if each is not waiter)


def _tell(request: Until, waited: float) -> float:
    """Log it if it has taken long; returns for how long nothing has been logged."""
    if waited < _LONG:
        return waited
    owner = request.owner
    what = f"waiting for more than {_LONG:g} seconds for {request.what()} to end"
    log_warning(what, transaction=owner.name, state=str(owner.state))
    return 0.0


def _finish(request: Await) -> Answer:
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
    name = getattr(coroutine, "__name__", request.name)
    return AsyncActionInSyncBlock(name, "what undoes a sync step, or a coroutine that is being closed,")


def _call(request: Call) -> None:
    """Do what may block; Ctrl-C has to wait."""
    guard = InterruptGuard()
    try:
        guard.begin()
        request.function()
    finally:
        guard.end()
        request.interrupted = guard.kept


async def _call_async(request: Call) -> Answer:
    """Let a worker thread do what may block; a cancellation has to wait."""
    raised: list[BaseException] = []

    def call() -> None:
        try:
            request.function()
        except BaseException as error:
            raised.append(error)

    try:
        await shielded(lambda: in_worker_thread(call))
    except GeneratorExit:
        raise
    except BaseException as interrupt:
        request.interrupted = interrupt
    return raised[0] if raised else None


def shielded_here(shield: Shield, work: Callable[[], Shielded]) -> None:
    """Run what is shielded to its end, outside any block, and without being cut short by Ctrl-C."""
    guard, around, before = shield.guard, get_current(), _get_undoing()
    try:
        try:
            shield.begin()
            set_current(None)
            _set_undoing(shield if shield.undoes else None)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - it is a rollback
            while not shield.ended:
                try:
                    working = work()
                    request = next(working, None)
                    if request is not None:  # most undos wait for nothing
                        drive(working, _done(request))
                except BaseException as interrupt:  # of a signal handler of the program's own: go on with the rest
                    shield.interrupted(interrupt)
        finally:
            _set_undoing(before)
            set_current(around)
            guard.end()
    except BaseException:  # again, for one that has cut that short
        _set_undoing(before)
        set_current(around)
        guard.end()
        raise


async def _shielded_in_task(shield: Shield, work: Callable[[], Shielded]) -> None:
    """The same, and without being cut short by a cancellation."""
    waiting: Shielded | None = None

    async def protected() -> None:
        nonlocal waiting
        current.set(None)
        undoing.set(cast("Any", shield) if shield.undoes else None)
        while not shield.ended:
            try:
                waiting = work()
                await drive_async(waiting)
            except GeneratorExit:
                raise
            except BaseException as interrupt:
                shield.interrupted(interrupt)

    around, before = current.get(), undoing.get()
    try:
        shield.begin()
        await shielded(protected)
    except GeneratorExit as closed:  # what it awaits goes on, in a task of its own; all else is done here
        if waiting is not None:  # pragma: no branch - otherwise it was closed before it had begun
            waiting.close()
        shield.interrupted(closed)
        raise
    finally:
        shield.guard.end()
        if current.get() is None:  # in trio, it was not in a task of its own
            current.set(around)
            undoing.set(before)


class _Begun:
    """A generator of requests that has been begun already, as `drive_async` sees it."""

    def __init__(self, undo: Undo, generator: Shielded) -> None:
        self.undo, self.generator = undo, generator

    def send(self, answer: Answer) -> Wait | Request | Together:
        """What it asks for next."""
        first, self.undo.first = self.undo.first, None
        return self.generator.send(answer) if first is None else first


async def _together(request: Together) -> Answer:
    """Begin what can be begun, and more whenever one has ended; what has to wait goes on in a task of its own.

    So those that wait for nothing, as sync handlers do, are done one after the other, in their order.
    """
    shield, group = request.shield, Group()
    raised: list[BaseException] = []
    request.begun = True

    def begin() -> None:
        try:
            while undos := request.ready():
                for undo in undos:
                    context = copy_context()
                    begun = context.run(_begin, undo)
                    if begun is not None:
                        context.run(group.spawn, partial(go_on, undo, begun))
        except BaseException as error:
            interrupted(error)

    async def go_on(undo: Undo, begun: _Begun) -> None:
        me, working = None, cast("Any", begun)
        try:
            while not undo.shield.ended:
                try:
                    me = me or running_task()
                    await drive_async(working)
                except GeneratorExit:
                    raise
                except BaseException as interrupt:
                    undo.shield.interrupted(interrupt)
                    working = undo.work()
            if running_task() is me:  # otherwise its coroutine is being closed
                begin()
        except GeneratorExit:
            raise
        except BaseException as error:
            interrupted(error)

    def interrupted(error: BaseException) -> None:
        raised.append(error)
        if shield.over:
            request.stop(error)
            group.cancel()

    late = await group.run(begin, lambda: shield.over)
    return first_of(*(each for each in raised if each is shield.guard.broken), *raised, late)


def _begin(undo: Undo) -> _Begun | None:
    """Do what of it waits for nothing; returns the rest."""
    shield = undo.shield
    undoing.set(cast("Any", shield))
    while not shield.ended:
        try:
            working = undo.work()
            undo.first = next(working, None)
            if undo.first is not None:
                return _Begun(undo, working)
        except BaseException as interrupt:
            shield.interrupted(interrupt)
    return None
