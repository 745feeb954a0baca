"""Hooks: what `q.on_commit` registers, and how it is called once everything has succeeded.

Stands on the seam.  Used by blocks, and by recovery for durable hooks.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from types import CoroutineType
from typing import Any

from actionqueues.errors import CommitHookFailed
from actionqueues.report import HookCall, HookFailure, Report

from .interrupts import InterruptGuard
from .requests import Asking, Await, Shield, Shielded
from .signature import is_async, unawaited
from .text import add_note, first_of, listed, log_warning
from .tracebacks import from_theirs
from .watch import Hook, Watch, tell

#: The block whose hooks are being called here: what `on_commit` is told in a hook comes behind the others.
calling: ContextVar[Any] = ContextVar("actionqueues.hooks", default=None)


class Durable:
    """The mark of a function that recovery may call by its name: only a journal can register it as a hook."""


class Held(partial[Any]):
    """The body of an action that waits for the commit: a hook that a journal records, by the name of the action.

    Attributes:
        definition: the `Definition` of that.
    """

    definition: Any


class HookRun(Shield):
    """The commit hooks of a transaction, being called: after `commit`, without being cut short.

    Attributes:
        commit: is called first, under the same protection; called again, it does nothing.
        block: what has committed, in whose place nothing stands in recovery.
        hooks: those that have not been called yet.
        hook: the one that is being called.
        errors: each `Exception` that one of them has raised.
        awaits: whether what a plain function returns is awaited.
    """

    awaits = True

    def __init__(
        self, report: Report, label: str, watch: Watch | None = None, commit: Callable[[], None] | None = None
    ) -> None:
        self.report, self.label, self.watch, self.commit = report, label, watch, commit
        self.guard = InterruptGuard()
        self.block: Any = None
        self.hooks: list[Hook] = []
        self.hook: Hook | None = None
        self.errors: list[Exception] = []
        self.interrupts = []

    def interrupted(self, interrupt: BaseException) -> None:
        """Something has come out of the calling itself: the hooks that are left are called, unless it was the third."""
        if self.disowned:
            raise interrupt
        if type(interrupt) is RecursionError:  # there is no room for them either
            self.guard.broken = interrupt
        if self.guard.broken is not None:
            if self.hooks:  # pragma: no branch - the last one may have been on its way
                names = [hook.name for hook in self.hooks]
                self.report.hooks_not_run.extend(names)
                self.hooks = []
                told = f"the commit hooks were cut short; not called: {listed(names)}"
                add_note(interrupt, told)
                log_warning(f"{self.report.name}: {told}", **self.under_way()[1])
            raise interrupt
        self.interrupts.append(interrupt)

    def under_way(self) -> tuple[str, dict[str, Any]]:
        text = f"{self.report.name}: calling commit hooks; twice more to leave out the others"
        return text, {"transaction": self.report.name, "state": str(self.report.state)}

    def _call(self, hook: Hook) -> Asking[BaseException | None]:
        """Call one of them, with the watch asked before and after; returns what it raised."""
        watch, interrupted = self.watch, None
        if watch is not None:
            error, interrupted = yield from tell(watch.calling_hook, hook)
            if error is not None:
                return error
        error, around = None, calling.get()
        try:
            calling.set(self.block)
            value = hook.call() if watch is None else watch.run_hook(hook)
            if type(value) is CoroutineType:
                if self.awaits or is_async(hook.function):
                    error = yield Await(value, hook.name)
                else:
                    error = unawaited(value, hook.function, f"the commit hook {hook.name}")
        except BaseException as raised:
            error = raised
        finally:
            calling.set(around)
        if watch is None:
            return error
        if error is not None and watch.is_control_flow(error):
            self.guard.disowned = True
            raise error
        late, also = yield from tell(watch.called_hook, hook, error)
        self.interrupts += [each for each in (interrupted, also) if each is not None]
        return first_of(error, late)

    def calls(self) -> Shielded:
        """Commit, and call all of them; those that are registered meanwhile come last."""
        if self.commit is not None:
            self.commit()
        lost = self.hook
        if lost is not None and self.watch is not None and lost not in self.hooks:  # interrupted in the middle of it
            yield from tell(self.watch.called_hook, lost, self.interrupts[-1])  # pragma: no cover - a sweep comes here
        while self.hooks:
            hook = self.hook = self.hooks[0]
            self.hooks.pop(0)
            error = yield from self._call(hook)
            self.report.hooks.append(HookCall(hook.name, error))
            if error is not None:
                from_theirs(error)
                self.report.hook_failures.append(HookFailure(hook.name, error))
                if error is self.guard.broken:
                    raise error
                if isinstance(error, Exception):
                    self.errors.append(error)
                else:
                    self.interrupts.append(error)
            self.hook = None
        self.ended = True

    def result(self) -> BaseException | None:
        """What is to be raised for what they have raised."""
        group = None
        if self.errors:
            failed = [name for name, error in self.report.hook_failures if isinstance(error, Exception)]
            message = f"{self.label} has committed, but these commit hooks failed: {listed(failed)}"
            group = CommitHookFailed(message, self.errors)
        interrupt = first_of(self.guard.broken, self.guard.kept, *self.interrupts)
        if interrupt is not None:
            interrupt.__cause__ = group
        return first_of(interrupt, group)
