"""What `q.on_commit` registers, and how it is run."""

from __future__ import annotations

from collections.abc import Callable, Generator
from inspect import iscoroutine
from typing import Any

from .engine import Await
from .errors import CommitHookFailed
from .interrupts import InterruptGuard
from .report import HookFailure, Report
from .signature import display_name
from .step import Step

__all__ = ["Hook", "HookRun"]


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

    __slots__ = ("errors", "guard", "hooks", "interrupts", "label", "report")

    def __init__(self, report: Report, label: str) -> None:
        self.hooks: list[Hook] = []
        self.report = report
        self.label = label
        self.guard = InterruptGuard()
        self.errors: list[Exception] = []
        self.interrupts: list[BaseException] = []

    def calls(self) -> Generator[Await, BaseException | None, None]:
        """Call all of them; a generator of requests, as in `engine.py`."""
        while self.hooks:
            hook = self.hooks.pop(0)
            error: BaseException | None = None
            try:
                value = hook.call()
            except BaseException as raised:
                error = raised
            else:
                if iscoroutine(value):
                    error = yield Await(value, hook.name)
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
        interrupt = self.guard.kept or next(iter(self.interrupts), None)
        if interrupt is not None:
            raise interrupt from group
        if group is not None:
            raise group
