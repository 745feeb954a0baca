"""What `q.on_commit` registers, and how it is run."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import update_wrapper
from inspect import iscoroutine
from typing import Any, Generic, ParamSpec, TypeVar

from .errors import CommitHookFailed
from .interceptor import Interceptor, ask
from .interrupts import InterruptGuard
from .report import HookFailure, Report
from .requests import Attempting, Await, Request
from .signature import display_name
from .step import Step
from .telling import first_of

__all__ = ["AsyncDurable", "Durable", "Hook", "HookRun"]

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
T = TypeVar("T")


class Durable(Generic[P, R]):
    """A function that recovery may call by its name: what `actionqueues.journal.durable` makes.

    Attributes:
        function: the function, or the action.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        self.function = function
        update_wrapper(self, function)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<durable {display_name(self.function)}>"


class AsyncDurable(Durable[P, Coroutine[Any, Any, T]]):
    """One whose function is async, which is told by looking at how it is called."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.function(*args, **kwargs)


class Hook:
    """A function to be called once everything has succeeded.

    Attributes:
        name: its name in messages.
        within: the step whose body registered it, or None; if that is undone, the hook is not called.
    """

    __slots__ = ("args", "attempt", "function", "kwargs", "name", "within")

    def __init__(
        self, function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any], within: Step[Any] | None
    ) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.name = display_name(function)
        self.within = within
        self.attempt = within.attempts if within is not None else 0

    @property
    def due(self) -> bool:
        """Whether the step that registered it has succeeded, in the attempt that registered it."""
        step = self.within
        return step is None or (step.state == "done" and step.attempts == self.attempt)

    def call(self) -> object:
        """Call it."""
        return self.function(*self.args, **self.kwargs)


class HookRun:
    """The commit hooks of a transaction, being called."""

    __slots__ = ("errors", "guard", "hooks", "interrupts", "label", "report", "watch")

    def __init__(self, report: Report, label: str, watch: Interceptor | None = None) -> None:
        self.hooks: list[Hook] = []
        self.watch = watch
        self.report = report
        self.label = label
        self.guard = InterruptGuard()
        self.errors: list[Exception] = []
        self.interrupts: list[BaseException] = []

    def _call(self, hook: Hook) -> Attempting:
        """Call one of them; returns what it raised."""
        try:
            value = hook.call()
        except BaseException as raised:
            return raised
        return (yield Await(value, hook.name)) if iscoroutine(value) else None

    def _watched_call(self, watch: Interceptor, hook: Hook) -> Attempting:
        """The same, with an interceptor asked before and after."""
        error, interrupted = yield from ask(watch.calling_hook, hook)
        if error is None:
            error = yield from self._call(hook)
            late, also = yield from ask(watch.called_hook, hook, error)
            self.interrupts += [each for each in (interrupted, also) if each is not None]
            error = first_of(error, late)
        return error

    def calls(self) -> Generator[Request, BaseException | None, None]:
        """Call all of them; a generator of requests."""
        while self.hooks:
            hook = self.hooks.pop(0)
            error = yield from self._call(hook) if self.watch is None else self._watched_call(self.watch, hook)
            if error is not None:
                self.report.hook_failures.append(HookFailure(hook.name, error))
                broken = self.guard.broken
                if broken is not None and error is broken:
                    self.report.hooks_not_run += [hook.name for hook in self.hooks]
                    raise broken
                if isinstance(error, Exception):
                    self.errors.append(error)
                else:
                    self.interrupts.append(error)

    def result(self) -> None:
        """Raise what they have raised."""
        group = None
        if self.errors:
            names = ", ".join(name for name, error in self.report.hook_failures if isinstance(error, Exception))
            message = f"{self.label} has committed, but these commit hooks failed: {names}"
            group = CommitHookFailed(message, self.errors)
        interrupt = first_of(self.guard.kept, *self.interrupts)
        if interrupt is not None:
            raise interrupt from group
        if group is not None:
            raise group
