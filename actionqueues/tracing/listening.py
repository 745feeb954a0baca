"""`listen` and `watch`: who wants to know of every transaction, and of what happens in it.

Stands on events and the seam.  Used by programs, by the views that listen, and by the trace, which tells.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from threading import Lock
from types import TracebackType
from typing import Any, Final, Self, cast

from actionqueues import events
from actionqueues.core.options import did_you_mean
from actionqueues.core.signature import display_name, is_async
from actionqueues.core.text import first_of, log_error, raise_late, shown
from actionqueues.core.watch import SEAM
from actionqueues.events import Event

__all__ = ["METHODS", "Listening", "listen", "tell_all", "watch"]

#: What the methods of a listener are called, by the class of the event: ``step_done`` for `StepDone`.
METHODS: Final = {
    cls: re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    for name, cls in vars(events).items()
    if isinstance(cls, type) and issubclass(cls, Event) and name not in ("Event", "StepEvent")
}

_lock = Lock()


class Listening:
    """What `listen` and `watch` return: it goes on until `stop` is called, or its ``with`` is left."""

    __module__ = "actionqueues"

    __slots__ = ("_call", "_target")

    def __init__(self, target: object, call: Callable[[Event], object] | None) -> None:
        self._target, self._call = target, call
        with _lock:
            SEAM.listeners = (*SEAM.listeners, self)
            SEAM.look()

    def stop(self) -> None:
        """Tell it nothing more, of transactions that are under way neither; called again, it does nothing."""
        with _lock:
            SEAM.listeners = tuple(each for each in SEAM.listeners if each is not self)
            SEAM.look()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        what = "watch" if self._call is None else f"listen {display_name(self._target)}"
        return f"<Listening: {what}{'' if self in SEAM.listeners else ', stopped'}>"


def listen(target: Any, /) -> Listening:
    """Tell `target` of everything that happens in transactions, classic queues and recoveries that begin from now on.

    Args:
        target: a function of one event; or an object with methods that are called like events, such as
            ``step_done(event)`` for `StepDone`, for those that it wants to know of.  Both are called where the event
            happens, in its thread, task and context, one after the other, and must not block for long.  What they
            raise is logged, and changes nothing.

    Returns:
        A handle: ``stop()`` ends it, as does leaving a ``with`` over it.

    Raises:
        TypeError: if it is async, or no function and has no such method.

    ```python
    from actionqueues import events, listen

    def tell(event):
        if isinstance(event, events.StepUndone):
            print("undone:", event.step.name)

    with listen(tell):
        ...
    ```
    """
    methods: dict[type[Event], Callable[[Event], object]] = {}
    if not inspect.isclass(target):
        methods = {
            cls: method
            for cls, name in METHODS.items()
            if callable(method := inspect.getattr_static(target, name, None))
        }
        methods = {cls: getattr(target, METHODS[cls]) for cls in methods}
    for called in [*methods.values(), *([target] if callable(target) else [])]:
        if is_async(called):
            advice = "listeners are called at once: let a plain function put the event into a queue"
            raise TypeError(f"listen() takes no async function, and {display_name(called)} is one; {advice}")
    if methods:
        _refuse_others(target)
        for method in methods.values():
            _must_take_one(method)
        return Listening(target, lambda event: methods.get(type(event), _ignore)(event))
    if not callable(target) or inspect.isclass(target):
        raise TypeError(f"listen() takes a function of one event, or an object with methods of events; {_why(target)}")
    _must_take_one(target)
    return Listening(target, target)


def watch() -> Listening:
    """Watch all transactions that begin from now on: their reports have all steps, with times, also once committed.

    Returns:
        A handle: ``stop()`` ends it, as does leaving a ``with`` over it.
    """
    return Listening(None, None)


def _why(target: Any) -> str:
    """Why it is no listener."""
    if inspect.isclass(target):
        return f"{target.__qualname__} is a class: make one, as in listen({target.__qualname__}())"
    known, cls = set(METHODS.values()), type(cast("object", target))
    found = ((name, did_you_mean(name.removeprefix("on_"), known, 0.8)) for name in dir(cls))
    meant = next((f": it has {name!r}{meant}" for name, meant in found if meant and name[0] != "_"), "")
    return f"{target!r:.80} is neither{meant}. The methods are {', '.join(METHODS.values())}"


def _must_take_one(called: Callable[..., object]) -> None:
    """Refuse what cannot be called with one event, if it tells what it takes."""
    try:
        signature = inspect.signature(called)
    except (TypeError, ValueError):  # of what is not written in Python
        return
    try:
        signature.bind(None)
    except TypeError:
        raise TypeError(f"listen(): {display_name(called)} cannot be called with one argument, the event") from None


def _ignore(_event: Event) -> None:
    """What happens to an event that a listener has no method for."""


def _refuse_others(target: object) -> None:
    """Refuse a method that looks like one of an event that there is not."""
    known = set(METHODS.values())
    for name in dir(type(target)):
        meant = did_you_mean(name, known, 0.8) if re.match(r"(transaction|step|hook)_[a-z_]+$", name) else ""
        if meant and name not in known:
            raise TypeError(f"listen(): there is no event {name!r}{meant}")


def tell_all(event: Event) -> None:
    """Tell all listeners of an event, those that began first first; what is no `Exception` is raised in the end."""
    interrupt: BaseException | None = None
    for each in SEAM.listeners:
        if each._call is not None and each in SEAM.listeners:  # the one before may have stopped it
            try:
                each._call(event)
            except Exception as error:
                told = f"a listener failed on {type(event).__name__}: {display_name(each._target)}: {shown(error)}"
                log_error(told, error, transaction=event.report.name, state=str(event.report.state))
            except BaseException as error:
                interrupt = first_of(interrupt, error)
    raise_late(interrupt)
