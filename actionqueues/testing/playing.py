"""How a scenario is run once.

Stands on the injector, and on the seam of the core.  Used by the sweep, and by the children that it kills.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from inspect import iscoroutine
from typing import Any, Literal, TypeAlias, cast

from actionqueues.actionqueue import ActionQueue
from actionqueues.core.log import undoing
from actionqueues.core.tasks import running_loop
from actionqueues.core.watch import Watch

from .chaining import watching
from .children import PATIENCE
from .faults import Endless, Fault, Injected
from .injector import Injector
from .others import Disturb, acting_as, somebody_else_acts
from .outcomes import SweepError
from .record import Run
from .waiting import no_sleep

__all__ = ["Backend", "Player"]

#: What runs a scenario that is async.
Backend: TypeAlias = "Literal['asyncio', 'trio'] | Callable[[Coroutine[Any, Any, Any]], object]"


_LOOPS = ("asyncio", "trio")

#: What trio calls its worker threads while they wait for work.
_IDLE_IN_TRIO = "Trio thread "


class _Quiet(logging.Filter):
    """Keeps injected failures, and what follows from them, out of the log: they are not real.

    What a rollback had to leave is told by the outcomes.
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if somebody_else_acts() or (error is None and ": not undone: " in record.getMessage()):
            return False
        follows = error is not None and bool(self._run.armed_at_undo or self._run.disturbed)
        return not (isinstance(error, Injected) or follows)


@contextmanager
def _quiet(run: Run) -> Generator[None, None, None]:
    quiet = _Quiet(run)
    logger = logging.getLogger("actionqueues")
    tell = threading.excepthook

    def tell_what_is_real(args: Any) -> None:
        # Otherwise it has ended a thread of the scenario, as it was to.
        if not (isinstance(args.exc_value, Injected) or run.disturbed):
            tell(args)

    logger.addFilter(quiet)
    threading.excepthook = tell_what_is_real
    try:
        yield
    finally:
        logger.removeFilter(quiet)
        threading.excepthook = tell


class Player:
    """Runs a scenario, as often as it is asked to.

    Args:
        scenario: a function without arguments, sync or async.
        backend: what runs what is async.
        disturb: changes what a step has made.
        error: what is raised in place of a step.

    Raises:
        TypeError, ValueError: for a scenario or a backend that is none.
    """

    def __init__(
        self, scenario: Callable[[], object], backend: Backend, disturb: Disturb | None = None, error: Any = None
    ) -> None:
        given: Any = scenario
        if not callable(given):
            if iscoroutine(given):
                given.close()
            raise TypeError(
                f"the scenario must be a function without arguments, not {given!r}: a sweep calls it itself, many "
                "times; pass it without parentheses, or as a lambda: sweep(lambda: sign_up(shop), state=...)"
            )
        if not callable(backend) and backend not in _LOOPS:
            raise ValueError(
                f"backend must be 'asyncio', 'trio' or a function that is given a coroutine, not {backend!r}"
            )
        self.scenario = scenario
        self.backend: Backend = backend
        self._disturb = disturb
        self._error = error
        self._known_threads: set[threading.Thread] = set()

    def play(self, run: Run) -> None:
        """Run it once; what comes out is in `run`.

        Raises:
            SweepError: if what the user has given for it raises.
            BaseException: a real Ctrl-C, or whatever else is no `Exception` and was not injected.
        """
        before = {*threading.enumerate(), *self._known_threads}
        with (
            _pooled() as pooled,
            no_sleep(),
            _quiet(run),
            watching(lambda inner: self._injector(run, inner)),
            _refusing_classic(run),
        ):
            try:
                result = self.scenario()
                if iscoroutine(result):
                    self._run(result, run)
            except BaseException as error:
                run.error = error
                if isinstance(error, SweepError) or not self._expected(run, error):
                    raise
            if run.after_rollback is None:
                Injector(run).repair()  # of a classic queue, whose end nobody tells
            self._join(before, pooled, run)
        if run.mistake is not None:
            raise SweepError(f"disturb=, or what takes that back, raised {run.mistake!r}") from run.mistake

    def _injector(self, run: Run, inner: Watch | None) -> Watch | None:
        """What stands in a transaction, but for one that an undo makes for itself: that is a part of the undo."""
        if somebody_else_acts():
            return acting_as(inner)
        if undoing.get() is not None:
            return inner
        return Injector(run, inner, disturb=self._disturb, error=self._error)

    def _run(self, coroutine: Coroutine[Any, Any, Any], run: Run) -> None:
        if running_loop() is not None:
            coroutine.close()
            raise SweepError(
                "an async scenario cannot be swept where an event loop runs already, since each run of it gets a loop "
                "of its own; make the test a plain def, or sweep in a thread (asyncio.to_thread) and give as backend= "
                "what lets your loop run a coroutine (asyncio.run_coroutine_threadsafe)"
            )
        if callable(self.backend):
            self.backend(coroutine)
        elif self.backend == "asyncio":
            import asyncio

            tasks: list[asyncio.Task[Any]] = []

            async def watched() -> None:
                tasks.append(cast("asyncio.Task[Any]", asyncio.current_task()))
                await coroutine

            try:
                asyncio.run(watched())
            finally:
                for task in tasks:
                    if not task.cancelled():
                        task.exception()  # after Ctrl-C the loop has not looked, and would tell so in the log
        else:
            import trio

            async def main() -> None:
                with trio.CancelScope() as scope:
                    run.scope = scope
                    await coroutine

            trio.run(main)

    @staticmethod
    def _expected(run: Run, error: BaseException) -> bool:
        if isinstance(error, Exception | Endless | SystemExit):  # scripts end so when something has failed
            return True
        faults = {point.fault for point in run.fired}
        if isinstance(error, KeyboardInterrupt):
            return Fault.INTERRUPT in faults
        if type(error).__name__ in ("CancelledError", "Cancelled"):
            return True  # out of a loop of the scenario, where a failure may have cancelled other tasks
        injected = any(fault.startswith(("cancel", "interrupt")) for fault in faults)
        return injected and isinstance(error, BaseExceptionGroup)

    def _join(self, before: set[threading.Thread], pooled: set[threading.Thread], run: Run) -> None:
        """Wait for the threads that it has started, except those of pools."""
        started = [thread for thread in threading.enumerate() if thread not in before | pooled]
        run.threads = bool(started or pooled)
        for thread in started:
            if thread.name.startswith(_IDLE_IN_TRIO):
                continue
            thread.join(PATIENCE)
            if thread.is_alive():
                self._known_threads.add(thread)
                run.left_threads.append(thread.name)


@contextmanager
def _pooled() -> Generator[set[threading.Thread], None, None]:
    """Note the threads that pools start meanwhile: those go on waiting for work, and are not to be waited for."""
    pooled: set[threading.Thread] = set()
    submit = ThreadPoolExecutor.submit

    def submit_and_note(self: ThreadPoolExecutor, /, *args: Any, **kwargs: Any) -> Any:
        before = set(threading.enumerate())
        try:
            return submit(self, *args, **kwargs)
        finally:
            pooled.update(set(threading.enumerate()) - before)

    ThreadPoolExecutor.submit = submit_and_note  # type: ignore[method-assign, assignment] # a pool does not tell
    try:
        yield pooled
    finally:
        ThreadPoolExecutor.submit = submit  # type: ignore[method-assign] # likewise


@contextmanager
def _refusing_classic(run: Run) -> Generator[None, None, None]:
    """Let a classic queue fail once all its actions have been executed, where a transaction would be refused."""
    execute = ActionQueue.execute

    def execute_and_refuse(self: ActionQueue, **options: Any) -> None:
        execute(self, **options)
        watch = self._owner.watch
        if watch is not None and undoing.get() is None:  # in an undo it is a part of that
            watch.committing(self._owner, ())
            run.committed += 1

    ActionQueue.execute = execute_and_refuse  # type: ignore[method-assign] # a queue tells nobody of its end
    try:
        yield
    finally:
        ActionQueue.execute = execute  # type: ignore[method-assign] # likewise
