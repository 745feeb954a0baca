"""`Interceptor`: what may stand between a transaction and its steps.

The one seam for everything that has to know of each step, such as a journal or a fault sweep.  A transaction without
one pays nothing for it: with one, no call takes the short way through its generated frame.

Methods return None, or a request (see `requests.py`) for what may block or has to be awaited; what that raises counts
as raised by the method.  They may be called in any thread that runs a step.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeAlias

from .requests import Await, Call, Request
from .step import PENDING
from .telling import first_of

if TYPE_CHECKING:
    from .attempts import Attempts
    from .blockstate import BlockState
    from .hooks import Hook
    from .step import Step

__all__ = ["Asking", "Attempt", "Interceptor", "ask", "attempt"]


class Interceptor:
    """Serves one outermost transaction, its savepoints included.  This one does nothing."""

    def entering(self, block: BlockState) -> None:
        """The transaction is about to be entered.  Raise, and it is not."""

    def starting(self, step: Step[Any]) -> Request | None:
        """A step is about to be started.  Raise, and it never was: there is nothing to undo."""

    def attempting(self, step: Step[Any]) -> Request | None:
        """An attempt of its body is about to be made.  Raise, and the attempt has failed with that."""

    def attempted(self, step: Step[Any], result: object, error: BaseException | None) -> Request | None:
        """An attempt has returned `result`, or raised `error`.  Raise, and it has failed with that, its reply lost."""

    def recorded(self, step: Step[Any]) -> Request | None:
        """``q.on_rollback`` has been called.  Raise, and nothing is recorded."""

    def committing(self, block: BlockState, hooks: Sequence[Hook]) -> Request | None:
        """Everything has succeeded.  The last moment: raise, and it is rolled back."""

    def committed(self, block: BlockState) -> None:
        """The transaction has committed; its hooks are called next."""

    def rolling_back(self, block: BlockState, error: BaseException | None) -> Request | None:
        """All steps have ended, and are about to be undone because of `error`.  It goes on whatever is raised here."""

    def retrying(self, step: Step[Any], attempts: Attempts) -> None:
        """Its undo is about to be tried, as often as `attempts` allows, which may be told of earlier ones."""

    def undoing(self, step: Step[Any]) -> Request | None:
        """An attempt of its undo is about to be made.  Raise, and the attempt has failed with that."""

    def undone(self, step: Step[Any], error: BaseException | None) -> Request | None:
        """An attempt of its undo has returned, or raised `error`.  Raise, and it has failed with that."""

    def settled(self, step: Step[Any]) -> Request | None:
        """Nothing more is done to undo it; its state says what became of it.  It goes on whatever is raised here."""

    def rolled_back(self, block: BlockState) -> Request | None:
        """Everything has been undone that could be; the report says what was not."""

    def abandoned(self, block: BlockState) -> None:
        """A third Ctrl-C has cut the rollback short."""

    def registering(self, hook: Hook) -> None:
        """``q.on_commit`` has been called.  Raise, and nothing is registered."""

    def calling_hook(self, hook: Hook) -> Request | None:
        """A commit hook is about to be called.  Raise, and it has failed with that."""

    def called_hook(self, hook: Hook, error: BaseException | None) -> Request | None:
        """A commit hook has returned, or raised `error`."""


#: Asks an interceptor.
Asking: TypeAlias = Generator[Request, BaseException | None, tuple[BaseException | None, BaseException | None]]


def ask(method: Callable[..., Request | None], *args: object) -> Asking:
    """Call a method of an interceptor, and have done what it asks for.

    Returns:
        What either has raised, and what has interrupted a request that nevertheless succeeded.
    """
    try:
        request = method(*args)
    except BaseException as error:
        return error, None
    if request is None:
        return None, None
    answer = yield request
    return answer, request.interrupted if isinstance(request, Call) else None


class Attempt:
    """What became of one attempt of a body.

    Attributes:
        result: what it returned, or `PENDING`.
        error: what it raised, or None.
        interrupted: what is to be raised although it has succeeded.
    """

    __slots__ = ("error", "interrupted", "result")

    def __init__(
        self, result: Any, error: BaseException | None = None, interrupted: BaseException | None = None
    ) -> None:
        self.result = result
        self.error = error
        self.interrupted = interrupted


def attempt(watch: Interceptor, step: Step[Any]) -> Generator[Request, BaseException | None, Attempt]:
    """Make one attempt of the body of a step."""
    error, interrupted = yield from ask(watch.attempting, step)
    if error is not None or interrupted is not None:
        return Attempt(PENDING, first_of(error, interrupted))
    result: Any = PENDING
    try:
        result = step.definition.run(step.entry)
    except BaseException as raised:
        error = raised
    else:
        if step.definition.is_async and isawaitable(result):
            body = Await(result, step.name)
            error = yield body
            result = PENDING if error is not None else body.result
    late, interrupted = yield from ask(watch.attempted, step, result, error)
    if late is not None and error is None:
        return Attempt(PENDING, late)
    return Attempt(result, error, interrupted)
