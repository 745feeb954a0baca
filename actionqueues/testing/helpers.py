"""What single tests of actions need: a fault at one step, a record of what happened, a step for a handler alone.

Stands on the seam of the core, and on how steps are bound.  Used by tests.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Literal, Self, TypeAlias

from actionqueues.core.options import known_options
from actionqueues.core.queue import definition_of
from actionqueues.core.requests import Request
from actionqueues.core.states import StepState
from actionqueues.core.step import OUTCOME, PENDING, Step
from actionqueues.core.watch import Hook, Passing, Watch

from .calling import as_if_undone
from .chaining import then, watching

__all__ = ["Recorder", "When", "fail_at", "fake_step"]

#: Where `fail_at` raises: before the body, once it has run, before the undo, or once that has run.
When: TypeAlias = Literal["before", "after", "undo", "undone"]


class _Failing(Passing):
    """Raises at one step."""

    def __init__(self, inner: Watch | None, fail: Callable[[Step[Any], str], None]) -> None:
        super().__init__(inner)
        self._fail = fail

    def _then(self, request: Request | None, step: Step[Any], when: When) -> Request | None:
        return then(request, lambda: self._fail(step, when))

    def attempting(self, step: Step[Any]) -> Request | None:
        return self._then(self.inner.attempting(step), step, "before")

    def attempted(self, step: Step[Any], result: object, error: BaseException | None) -> Request | None:
        told = self.inner.attempted(step, result, error)
        return told if error is not None else then(told, lambda: self._lose(step))

    def _lose(self, step: Step[Any]) -> None:
        try:
            self._fail(step, "after")
        except BaseException:
            step._record[OUTCOME] = PENDING  # its reply is lost
            raise

    def undoing(self, step: Step[Any]) -> Request | None:
        return self._then(self.inner.undoing(step), step, "undo")

    def undone(self, step: Step[Any], error: BaseException | None) -> Request | None:
        told = self.inner.undone(step, error)
        return told if error is not None else self._then(told, step, "undone")


@contextmanager
@known_options("fail_at()")
def fail_at(
    step: str | Callable[..., object],
    error: BaseException | type[BaseException],
    *,
    when: When = "before",
    times: int | None = None,
) -> Generator[list[Step[Any]], None, None]:
    """Let a step fail, in every transaction and classic queue, in whatever thread.

    Args:
        step: the action, or its name.
        error: what is raised.
        when: ``"before"`` its body, ``"after"`` its body (the reply is lost), before its ``"undo"``, or once that has
            been ``"undone"``.
        times: how often; always, by default.

    Yields:
        The steps that have failed so far, one for each time.
    """
    name = step if isinstance(step, str) else definition_of(step, (), {})[0].name
    failed: list[Step[Any]] = []

    def fail(made: Step[Any], where: str) -> None:
        if made.name == name and where == when and (times is None or len(failed) < times):
            failed.append(made)
            raise error

    with watching(lambda inner: _Failing(inner, fail)):
        yield failed


class Recorder:
    """Writes down, in words, what happens in all transactions and classic queues while it is entered.

    Attributes:
        events: what has happened, such as ``"done charge"``, ``"failed charge"``, ``"undone charge"``,
            ``"undo of charge failed"``, ``"committed sign-up"``, ``"rolled back sign-up"``, ``"hook notify"``.
    """

    __module__ = "actionqueues.testing"

    def __init__(self) -> None:
        self.events: list[str] = []
        self._watching: Any = None

    def __enter__(self) -> Self:
        self._watching = watching(lambda inner: _Recording(inner, self.events))
        self._watching.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._watching.__exit__(*exc_info)

    def of(self, what: str) -> list[str]:
        """The events that are about this step, transaction or hook."""
        return [event for event in self.events if what in event.split()]


class _Recording(Passing):
    def __init__(self, inner: Watch | None, events: list[str]) -> None:
        super().__init__(inner)
        self._say = events.append

    def attempted(self, step: Step[Any], result: object, error: BaseException | None) -> Request | None:
        self._say(f"done {step.name}" if error is None else f"failed {step.name}")
        return self.inner.attempted(step, result, error)

    def undone(self, step: Step[Any], error: BaseException | None) -> Request | None:
        self._say(f"undone {step.name}" if error is None else f"undo of {step.name} failed")
        return self.inner.undone(step, error)

    def committed(self, block: Any) -> None:
        self._say(f"committed {block.name}")
        self.inner.committed(block)

    def rolled_back(self, block: Any) -> Request | None:
        self._say(f"rolled back {block.name}")
        return self.inner.rolled_back(block)

    def calling_hook(self, hook: Hook) -> Request | None:
        self._say(f"hook {hook.name}")
        return self.inner.calling_hook(hook)


@contextmanager
def fake_step(
    action: Callable[..., object],
    /,
    *args: Any,
    state: StepState | str = StepState.DONE,
    result: object = PENDING,
    error: BaseException | None = None,
    saved: dict[str, Any] | None = None,
    key: str | None = None,
    **kwargs: Any,
) -> Generator[Step[Any], None, None]:
    """A step of an action that has not been run, for testing a body or a handler alone.

    While it is entered, `current_step()` gives it, and the body can be called as a plain function; so can the handler,
    with the step as its ``step``.

    Args:
        action: the action.
        args: the positional arguments of the call.
        kwargs: its keyword arguments.
        state: the state of the step.
        result: what its body is to have returned.
        error: what its body is to have raised.
        saved: what it is to have saved.
        key: its key.

    Raises:
        TypeError: if the arguments do not fit the action.
    """
    definition, args = definition_of(action, args, kwargs)
    record = definition.enter(*args, **kwargs)
    record[OUTCOME] = result
    step: Step[Any] = Step(record, StepState(state))
    step.error, step.attempts = error, 1
    step.saved.update(saved or {})
    step._key = key
    with as_if_undone(step):
        yield step
