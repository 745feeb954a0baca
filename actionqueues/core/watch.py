"""`Watch`: what may stand between a transaction and its steps.

The one seam for everything that has to know of each step, such as a journal or a fault sweep, or that runs it in a way
of its own, as an engine of durable execution does.  A transaction without one pays nothing for it: with one, no call
takes the short way through its generated frame.

Methods return None, or a request (see `requests.py`) for what may block or has to be awaited; what that raises counts
as raised by the method.  They may be called in any thread that runs a step.

Stands on requests and steps.  Used by the engine, which asks; by the journal and by fault sweeps, which answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from time import monotonic
from types import FunctionType
from typing import Any, Final, TypeAlias, cast

from actionqueues.retry import uniform

from .attempts import Attempts
from .requests import Asking, Call, Request, Wait
from .states import StepState
from .step import DEFINITION, Step

__all__ = ["SEAM", "Factory", "Hook", "Passing", "Seam", "Watch", "ask", "observed", "pause_before", "tell"]


class Hook:
    """A function to be called once everything has succeeded; a mark in the log where it was registered.

    It is `dropped` once the savepoint or the step that has registered it has been undone.
    """

    __slots__ = ("args", "dropped", "function", "kwargs", "name")

    def __init__(
        self, function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any], name: str
    ) -> None:
        self.function, self.args, self.kwargs, self.name = function, args, kwargs, name
        self.dropped = False

    def call(self) -> object:
        """Call it."""
        return self.function(*self.args, **self.kwargs)


class Watch:
    """Serves one outermost transaction, its savepoints included.  This one does nothing, and runs everything here.

    Attributes:
        raises: what its methods raise by themselves.  Anything else was raised by a signal handler of the program's own
            that came by: of what has happened, it is told once more then.
        id: the number of the transaction in a journal, or None.
        hidden: the names of arguments that are not to be shown.
        masked: takes what quotes their values out of a text.
        runs: whether it has ways of its own to run what `run_step` and the methods behind it are for.
        awaits: whether what these return is to be awaited, also where the function is not async.
    """

    raises: type[BaseException] = BaseException
    hidden: Collection[str] = ()
    masked: Callable[[str], str] = str
    runs = awaits = False

    @property
    def id(self) -> int | None:
        """Its number there."""
        return None

    def entering(self, block: Any) -> None:
        """The transaction is about to be entered.  Raise, and it is not."""

    def queued(self, step: Step[Any]) -> None:
        """A step has been added, to run later."""

    def starting(self, step: Step[Any]) -> Request | None:
        """A step is about to be started.  Raise, and it never was: there is nothing to undo."""

    def attempting(self, step: Step[Any]) -> Request | None:
        """An attempt of its body is about to be made.  Raise, and the attempt has failed with that."""

    def attempted(self, step: Step[Any], result: object, error: BaseException | None) -> Request | None:
        """An attempt has returned `result`, or raised `error`.  Raise, and the step has failed with that.

        If it had returned, it is undone with its result, and there is no further attempt.
        """

    def over(self, step: Step[Any], error: BaseException | None) -> None:
        """There is no further attempt: its body has returned, or has raised `error`."""

    def recorded(self, step: Step[Any]) -> Request | None:
        """``q.on_rollback`` has been called.  Raise, and that goes on; what it has given is called nevertheless."""

    def committing(self, block: Any, hooks: Sequence[Hook]) -> Request | None:
        """Everything has succeeded.  The last moment: raise, and it is rolled back."""

    def committed(self, block: Any) -> None:
        """The transaction has committed; its hooks are called next."""

    def rolling_back(self, block: Any, error: BaseException | None) -> Request | None:
        """All steps have ended, and are about to be undone because of `error`.  It goes on whatever is raised here."""

    def going_back(self, log: Any, error: BaseException | None) -> Request | None:
        """A savepoint, or what comes after a mark, is about to be undone.  It goes on whatever is raised here."""

    def retrying(self, step: Step[Any], attempts: Attempts) -> None:
        """Its undo is about to be tried, as often as `attempts` allows, which may be told of earlier ones."""

    def undoing(self, step: Step[Any]) -> Request | None:
        """An attempt of its undo is about to be made.  Raise, and the attempt has failed with that."""

    def undone(self, step: Step[Any], error: BaseException | None) -> Request | None:
        """An attempt of its undo has returned, or raised `error`.  Raise, and it has failed with that."""

    def settled(self, step: Step[Any]) -> Request | None:
        """Nothing more is done to undo it; its state says what became of it.  It goes on whatever is raised here."""

    def rolled_back(self, block: Any) -> Request | None:
        """Everything has been undone that could be; the report says what was not."""

    def abandoned(self, block: Any) -> None:
        """A third Ctrl-C has cut the rollback short."""

    def ended(self, block: Any) -> None:
        """The transaction, or a savepoint in it, has ended; hooks, if any, have been called."""

    def recovering(self, owner: Any) -> None:
        """What a dead process has left is about to be undone, or its hooks to be called: this stands for `entering`."""

    def registering(self, hook: Hook) -> None:
        """``q.on_commit`` has been called.  Raise, and nothing is registered."""

    def calling_hook(self, hook: Hook) -> Request | None:
        """A commit hook is about to be called.  Raise, and it has failed with that."""

    def called_hook(self, hook: Hook, error: BaseException | None) -> Request | None:
        """A commit hook has returned, or raised `error`."""

    # -- what an engine does in its own way

    def run_step(self, step: Step[Any]) -> Any:
        """Make one attempt at the body of a step; returns what that returns, or what is to be awaited for it."""
        return step._record[DEFINITION].run(step._record)

    def run_undo(self, step: Step[Any], handler: Any) -> Any:
        """Make one attempt at its undo: call its `Handler`."""
        return handler.call(step)

    def run_probe(self, step: Step[Any], probe: Any) -> Any:
        """Ask what became of a step: call its probe, another `Handler`."""
        return probe.call(step)

    def run_hook(self, hook: Hook) -> Any:
        """Call a commit hook."""
        return hook.call()

    def left_in(self, step: Step[Any]) -> StepState | None:  # noqa: ARG002 - engines know
        """The state that an attempt which has failed leaves a step in, if it is not that of a failed one.

        That is `DROPPED` if it was never started, `UNKNOWN` if nobody knows, and `UNDONE` if it was undone at once.
        """
        return None

    def calling_here(self, step: Step[Any]) -> None:
        """A step is about to be run where nothing can be awaited.  Raise, and it is not."""

    def waiting(self, seconds: float) -> Wait | None:  # noqa: ARG002 - engines use it
        """So many seconds are to be waited for the next attempt.  Returns what waits for them, if it is not we."""
        return None

    def now(self) -> float:
        """Seconds, from any moment on, by the clock that time-outs of retry policies go by."""
        return monotonic()

    def uniform(self, low: float, high: float) -> float:
        """A random number between two, for the jitter of retry policies."""
        return uniform(low, high)

    def is_elsewhere(self) -> bool:
        """Whether what is called now is run apart from the block, so that a block with an engine is no savepoint."""
        return False

    def is_news(self) -> bool:
        """Whether what happens now is new, and was not told to listeners by an execution before this one."""
        return True

    def is_control_flow(self, error: BaseException) -> bool:  # noqa: ARG002 - engines look at it
        """Whether that is no failure of the work, but the engine's own control flow, such as an eviction.

        Then nothing is undone: the block is given up here, and goes on wherever the engine runs it next.
        """
        return False


class Passing(Watch):
    """Passes everything on to another watch, `inner`, that a subclass has no method of its own for."""

    def __init__(self, inner: Watch | None) -> None:
        self.inner = Watch() if inner is None else inner
        self.raises, self.hidden, self.masked = self.inner.raises, self.inner.hidden, self.inner.masked
        self.runs, self.awaits = self.inner.runs, self.inner.awaits
        for name in _METHODS:
            if getattr(type(self), name) is getattr(Watch, name):
                setattr(self, name, getattr(self.inner, name))

    @property
    def id(self) -> int | None:
        """That of the other one."""
        return self.inner.id


_METHODS = frozenset(name for name, value in vars(Watch).items() if isinstance(value, FunctionType))


def ask(
    method: Callable[..., Request | None], *args: object
) -> Asking[tuple[BaseException | None, BaseException | None]]:
    """Call a method of a watch, and have done what it asks for.

    Returns what either has raised, and what has interrupted a request that nevertheless succeeded.
    """
    try:
        request = method(*args)
    except BaseException as error:
        return error, None
    if request is None:
        return None, None
    answer = yield request
    return answer, request.interrupted if isinstance(request, Call) else None


def tell(
    method: Callable[..., Request | None], *args: object
) -> Asking[tuple[BaseException | None, BaseException | None]]:
    """Let a watch know what has happened, or is about to be undone: the same as `ask`.

    What a signal handler of the program's own raises costs nothing that was to be told: it has interrupted that.
    """
    raises = cast("Any", method).__self__.raises
    error, interrupted = yield from ask(method, *args)
    if error is None or isinstance(error, raises):
        return error, interrupted
    again, _ = yield from ask(method, *args)
    return again if isinstance(again, raises) else None, error


def pause_before(watch: Watch | None, seconds: float) -> Wait:
    """What waits so many seconds for the next attempt."""
    return (None if watch is None else watch.waiting(seconds)) or Wait(seconds)


#: Makes the watch of a transaction, or returns None.
Factory: TypeAlias = Callable[[Any], "Watch | None"]


class Seam:
    """Where a watch is attached to transactions that are given none themselves."""

    __slots__ = ("default", "listeners", "observe", "show", "trace", "used")

    #: Makes the watch of every transaction that names none: that of a default journal.
    default: Factory | None
    #: Makes the watch of every transaction and queue, given the one that it has already; while tests look on.
    observe: Callable[[Any, Watch | None], Watch | None] | None
    #: Who wants to know of every transaction and queue.
    listeners: tuple[Any, ...]
    #: Makes what keeps a trace, given the watch that there is already.
    trace: Callable[[Any, Watch | None], Watch | None]
    #: Shows how far an owner of a log is, of so many steps, or in undoing so many; returns what ends that.
    show: Callable[[Any, Any, int, int], Callable[[], None]]
    used: bool  #: whether there is any of these

    def __init__(self) -> None:
        self.default = self.observe = None
        self.trace = lambda _owner, watch: watch
        self.listeners = ()
        self.used = False

    def attach(self, default: Factory | None) -> None:
        """Let `default` make the watch of every transaction that is given none itself; None for no more of that."""
        self.default = default
        self.look()

    def attach_trace(self, trace: Callable[[Any, Watch | None], Watch | None]) -> None:
        """Let `trace` make what keeps a trace, given the owner and the watch that there is already."""
        self.trace = trace

    def attach_progress(self, show: Callable[[Any, Any, int, int], Callable[[], None]]) -> None:
        """Let `show` show how far the owner of a log is, of so many steps, or in undoing so many."""
        self.show = show

    def watch(self, owner: Any, factory: Factory | None, *, trace: bool | None = None) -> Watch | None:
        """The watch of what is about to begin, whose own `factory` comes before the default.

        It is traced if that is wanted, or nobody says so and something records it; and if somebody listens.
        """
        factory = factory or self.default
        watch = None if factory is None else factory(owner)
        if self.listeners or trace or (trace is None and watch is not None):
            watch = self.trace(owner, watch)
        return watch if self.observe is None else self.observe(owner, watch)

    def look(self) -> None:
        """Look whether there is anything."""
        self.used = self.default is not None or self.observe is not None or bool(self.listeners)


SEAM: Final = Seam()


@contextmanager
def observed(factory: Callable[[Any, Watch | None], Watch | None]) -> Generator[None, None, None]:
    """Let `factory` make the watch of every transaction and queue that begins meanwhile, in whatever thread, given
    that and the watch that it has already.
    """
    before = SEAM.observe
    SEAM.observe, SEAM.used = factory, True
    try:
        yield
    finally:
        SEAM.observe = before
        SEAM.look()
