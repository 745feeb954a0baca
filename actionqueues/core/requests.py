"""What the engine asks its driver for: the protocol between what is decided and what waits.

What has to be done once something has gone wrong, at the end of a block, or where somebody watches, is a generator.  It
yields a request whenever something has to be waited for.  Its driver does that and sends back what came of it: None, or
what was raised.  Outcomes are sent and returned as values, never thrown, since a `StopIteration` of the user's that is
thrown into a generator, or raised in one, would be lost: the engine returns errors, and the shell raises them.

Stands on the guard of interrupts.  Used by the engine, the drivers and whatever watches a block.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from functools import partial
from typing import Any, ClassVar, TypeAlias, TypeVar
from weakref import ref

from .interrupts import InterruptGuard, in_another_thread
from .text import log_warning

T = TypeVar("T")

#: What a request is answered with.
Answer: TypeAlias = "BaseException | None"


class Wait:
    """Go on in so many seconds.  Answered with None, or with what interrupted the wait.

    Attributes:
        pause: waits for them where this thread is blocked, if it is not the driver that does.
        sleep: waits for them where this task is suspended, likewise.
    """

    __slots__ = ("pause", "seconds", "sleep")

    def __init__(
        self,
        seconds: float,
        pause: Callable[[float], None] | None = None,
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        self.seconds, self.pause, self.sleep = seconds, pause, sleep


class Await:
    """Await this.  Answered with None, or with what it raised.

    Attributes:
        record: of a body, the record of the step, where what it returns is put at once.
        result: what it returned, otherwise.
    """

    __slots__ = ("awaitable", "name", "record", "result")

    def __init__(self, awaitable: Awaitable[object], name: str, record: list[Any] | None = None) -> None:
        self.awaitable, self.name, self.record = awaitable, name, record
        self.result: Any = None


class Call:
    """Call this, which may block: async code lets a worker thread do it.  Answered with None, or with what it raised.

    It is not cut short: what interrupts it meanwhile, Ctrl-C or a cancellation, is kept in `interrupted`, to be raised
    by whoever has made the request.
    """

    __slots__ = ("function", "interrupted")

    def __init__(self, function: Callable[[], object]) -> None:
        self.function = function
        self.interrupted: BaseException | None = None


class Until:
    """Wait until something that is running has ended.  Answered with None, or with what interrupted the wait.

    Attributes:
        ready: whether it has.
        owner: the `Owner` among whose `waiters` that is to be put meanwhile which lets it look again.
        what: says what is waited for, for the log, if it takes long.
        shielded: whether a cancellation does not end the wait, but comes after it.
        tasks: whether tasks of an event loop are among it, which only another task can wait for.
    """

    __slots__ = ("owner", "ready", "shielded", "tasks", "what")

    def __init__(
        self, ready: Callable[[], bool], owner: Any, what: Callable[[], str], *, shielded: bool, tasks: bool
    ) -> None:
        self.ready, self.owner, self.what, self.shielded, self.tasks = ready, owner, what, shielded, tasks


class Shield:
    """What must not be cut short: a rollback, or the calling of hooks.

    Attributes:
        undoes: whether it calls rollback handlers.
        guard: keeps Ctrl-C away meanwhile.
        ended: whether it has come to its end; an interrupt may have come before it had begun.
        interrupts: what was raised that is no `Exception`, to be raised once it has ended.
    """

    undoes: ClassVar[bool] = False
    ended = False
    guard: InterruptGuard
    interrupts: list[BaseException]

    def begin(self) -> None:
        """Keep Ctrl-C away until `guard.end`, and tell of the first one."""
        self.guard.told = partial(_pressed, ref(self))  # not held: without its event loop it ends once nobody holds it
        self.guard.begin()

    def interrupted(self, interrupt: BaseException) -> None:
        """Something has come out of the work itself, which is begun again; raise it, and it is not."""
        raise interrupt  # pragma: no cover - abstract

    def under_way(self) -> tuple[str, dict[str, Any]] | None:
        """What it is doing, and that two more presses of Ctrl-C get out of it, for the log, with fields of the record.

        Called in a signal handler.
        """
        raise AssertionError  # pragma: no cover - abstract

    @property
    def disowned(self) -> bool:
        """Whether it goes on elsewhere, and not here: see `giving_up.py`."""
        return self.guard.disowned

    @property
    def over(self) -> bool:
        """Whether nothing more is done."""
        return self.ended or self.guard.broken is not None or self.disowned

    def to_its_end(self, work: Callable[[], Shielded]) -> Engine[None]:
        """Do it, and begin again as often as that is interrupted before it had begun, or by the waiting for it."""
        while not self.over:
            interrupt = yield Undo(self, work)
            if interrupt is not None and interrupt is not self.guard.broken:
                self.interrupts.append(interrupt)


def _pressed(held: ref[Shield]) -> None:
    """The first Ctrl-C has come, and is kept: tell what it would take to get out.

    This is called in a signal handler, and may have interrupted what holds a lock of the log.  So another thread logs
    it, which may have to wait for that; the program goes on meanwhile.
    """
    shield = held()
    told = None if shield is None else shield.under_way()
    if told is not None:  # pragma: no branch - it may have ended just now
        in_another_thread(partial(log_warning, told[0], **told[1]))


class Undo:
    """Run a generator outside any block, without letting anything cut it short.  Answered with None, or with what
    interrupted it.

    `work` makes it, and is called again if something has come out of it, until `shield.over`.

    Attributes:
        first: of one among others, what it asks for first, until that is done.
    """

    __slots__ = ("first", "shield", "work")

    def __init__(self, shield: Shield, work: Callable[[], Shielded]) -> None:
        self.shield, self.work = shield, work
        self.first: Wait | Request | Together | None = None


class Together:
    """Do several undos at the same time, in tasks of their own.  Answered with None, or with what interrupted it.

    Where nothing can be awaited it is left alone, which `begun` tells.

    Attributes:
        shield: that of all of them, which is on duty.
        ready: says which can be begun now, each once; asked again whenever one of them has ended.
        stop: called with what has cut one of them short, so that all are: none of them does anything more.
    """

    __slots__ = ("begun", "ready", "shield", "stop")

    def __init__(
        self, shield: Shield, ready: Callable[[], Sequence[Undo]], stop: Callable[[BaseException], object]
    ) -> None:
        self.shield, self.ready, self.stop = shield, ready, stop
        self.begun = False


#: What a watch may ask for.
Request: TypeAlias = Call | Await

#: A question to a watch, or one attempt: returns what it raised, or more.
Asking: TypeAlias = Generator[Request, Answer, T]

#: What is shielded: returns nothing, and is sent the answers.
Shielded: TypeAlias = Generator[Wait | Request | Together, Answer, None]

#: Everything that the engine decides.
Engine: TypeAlias = Generator[Wait | Request | Until | Undo | Together, Answer, T]
