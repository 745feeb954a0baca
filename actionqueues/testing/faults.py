"""The faults of a sweep, what each looks like, and the ids by which one of them can be run alone.

Stands on retry policies, which say what is worth another attempt.  Used by all of a sweep.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

from actionqueues.core.step import Step
from actionqueues.errors import RollbackConflict
from actionqueues.retry import Policy, next_wait

__all__ = [
    "FAMILIES",
    "Endless",
    "ErrorSource",
    "Fault",
    "Injected",
    "InjectedConflict",
    "Point",
    "Refused",
    "Trial",
    "chosen_faults",
    "error_for",
    "parse_trial",
]


class Fault(StrEnum):
    """A kind of fault.  Each member equals its text: ``outcome.trial.fault == "after"``."""

    BEFORE = "before"  #: the body is not reached
    BEFORE_TWICE = "before-twice"  #: two attempts fail so, then it works
    BEFORE_ALWAYS = "before-always"  #: each further attempt and call of this action fails so as well
    AFTER = "after"  #: the body has run, and its reply is lost
    AFTER_TWICE = "after-twice"  #: two replies are lost, then it works
    AFTER_ALWAYS = "after-always"  #: so are all further replies to this action
    INTERRUPT = "interrupt"  #: Ctrl-C once the body has run
    CANCEL_BEFORE = "cancel-before"  #: the task is cancelled before the body
    CANCEL_INSIDE = "cancel-inside"  #: the task is cancelled where the body first waits
    CANCEL_AFTER = "cancel-after"  #: the task is cancelled once the body has run
    COMMIT = "commit"  #: everything has succeeded, and then the transaction fails
    UNDO = "undo"  #: the handler raises, however often it is called
    UNDO_ONCE = "undo-once"  #: the handler raises once, and is called again by its policy
    TWICE = "twice"  #: the handler is called a second time
    STALE = "stale"  #: somebody else has changed it before it is undone
    TAKEN = "taken"  #: what the step is about to make is there already, made by somebody else
    CRASH = "crash"  #: the process is killed, and what it left is recovered
    HOOK = "hook"  #: a commit hook raises


#: What a user may name in ``faults=``: a kind with all its variants.
FAMILIES: Final = {
    "before": {Fault.BEFORE, Fault.BEFORE_TWICE, Fault.BEFORE_ALWAYS},
    "after": {Fault.AFTER, Fault.AFTER_TWICE, Fault.AFTER_ALWAYS},
    "cancel": {Fault.CANCEL_BEFORE, Fault.CANCEL_INSIDE, Fault.CANCEL_AFTER},
    "undo": {Fault.UNDO, Fault.UNDO_ONCE},
}


#: What a kind of fault cannot do without.
_NEEDS: Final = {Fault.CRASH: "recover=", Fault.STALE: "disturb=", Fault.HOOK: "reset="}


def chosen_faults(names: Iterable[str] | None, needed: Mapping[Fault, object]) -> frozenset[Fault]:
    """The kinds of fault that these names mean; all of them for None; a name with a minus leaves a kind out.

    Args:
        names: what the user names.
        needed: what kinds of fault cannot do without, or None for each where that is not there.

    Raises:
        ValueError: for a name that means none, or a kind that lacks what it needs.
    """
    if names is None:
        return frozenset(Fault)
    wanted: set[Fault] = set()
    unwanted: set[Fault] = set()
    for name in [names] if isinstance(names, str) else names:
        kind, chosen = name.removeprefix("-"), unwanted if name.startswith("-") else wanted
        if kind in FAMILIES:
            chosen |= FAMILIES[kind]
        elif kind in list(Fault):
            chosen.add(Fault(kind))
        else:
            raise ValueError(f"there is no fault {kind!r}; there are {', '.join(sorted({*FAMILIES, *Fault}))}")
    if unwanted and not wanted:
        return frozenset(set(Fault) - unwanted)
    chosen = wanted - unwanted
    for fault, need in needed.items():
        if fault in chosen and need is None:
            raise ValueError(f"the fault {str(fault)!r} needs {_NEEDS[fault]}")
    return frozenset(chosen)


class Injected(Exception):
    """What a sweep raises in place of a step, a handler or a hook; nothing has really failed."""

    __module__ = "actionqueues.testing"


class InjectedConflict(Injected, RollbackConflict):
    """Ends the retries of an undo that would have no end."""

    __module__ = "actionqueues.testing"


class Endless(BaseException):
    """Ends the retries of a step that would have no end: what a policy without a bound does to a lasting fault."""

    __module__ = "actionqueues.testing"


class Refused(Injected):
    """Raised by a sweep in place of the commit, once everything has succeeded."""

    __module__ = "actionqueues.testing"


#: What a sweep raises in place of a step: an exception class, or a function of the step; None leaves it to the sweep.
ErrorSource: TypeAlias = "type[BaseException] | Callable[[Step[Any]], BaseException] | None"

_USUAL: Final = (Exception, ConnectionError, TimeoutError, OSError, RuntimeError, ValueError, LookupError)


def error_for(step: Step[Any], policy: Policy | None, source: ErrorSource = None) -> BaseException:
    """The exception to be raised in place of `step` or of its undo: one that `policy` takes for worth another attempt.

    Args:
        step: the step.
        policy: the retry policy of what is to fail.
        source: where the user says what it is to be.
    """
    if isinstance(source, type):
        made: BaseException = source("injected")
        return made
    if source is not None:
        return source(step)
    if policy is None:
        return Injected("injected")
    return next((error for error in map(_like, _candidates(policy)) if _retried(policy, error)), Injected("injected"))


def _candidates(policy: Policy) -> list[type[Exception]]:
    on: Any = getattr(policy, "on", None)
    chosen: list[Any] = [cls for cls in _as_tuple(on) if isinstance(cls, type) and issubclass(cls, Exception)]
    return [*_USUAL, *chosen]


def _as_tuple(value: Any) -> tuple[Any, ...]:
    # A tuple of anything:
    return tuple(value) if isinstance(value, tuple) else (value,)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - of anything


def _like(cls: type[Exception]) -> Exception:
    """An injected error that is also one of these."""
    made: Any = Injected if cls is Exception else type(f"Injected{cls.__name__}", (Injected, cls), {})
    try:
        error: Exception = made("injected")
    except TypeError:  # its constructor wants more
        error = made.__new__(made, "injected")
    return error


def _retried(policy: Policy, error: Exception) -> bool:
    try:
        return next_wait(policy, 1, error, 0) is not None
    except Exception:  # a policy that does not know such errors
        return False


@dataclass(frozen=True, slots=True)
class Point:
    """A fault at a place.

    Attributes:
        fault: its kind.
        place: the step, hook or transaction, by its name and, from the second of that name on, ``#`` and its number;
            for a crash, that of the step with a dot and the event.
    """

    fault: Fault
    place: str

    def __str__(self) -> str:
        return f"{self.fault}@{self.place}"


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a scenario: a fault, and the faults that lead to the path where its place is.

    Its text is its id, such as ``after@charge`` or ``before@book>after@book#2``.
    """

    point: Point
    via: tuple[Point, ...] = ()

    @property
    def fault(self) -> Fault:
        """The kind of the fault."""
        return self.point.fault

    @property
    def place(self) -> str:
        """Where it is injected."""
        return self.point.place

    def __str__(self) -> str:
        return ">".join(map(str, (*self.via, self.point)))


#: Between two points of an id; a name may have such a sign in it as well.
_NEXT_POINT: Final = re.compile(rf">(?=(?:{'|'.join(Fault)})@)")


def parse_trial(text: str) -> Trial:
    """The trial that has this id.

    Raises:
        ValueError: if it is none.
    """
    points: list[Point] = []
    for part in re.split(_NEXT_POINT, text):
        fault, at, place = part.partition("@")
        if not at or not place or fault not in list(Fault) or re.search(r"\s$", place):
            raise ValueError(f"{text!r} is no id of a fault: it is written like after@charge")
        points.append(Point(Fault(fault), place))
    return Trial(points[-1], tuple(points[:-1]))
