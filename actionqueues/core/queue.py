"""`add`: binding a step now that is to run later, shared by blocks and classic queues; and running it.

Stands on definitions and drivers.  Used by blocks and the classic queue, and by recovery, which binds steps again.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from inspect import getattr_static
from time import monotonic
from types import CoroutineType, FunctionType, MethodType
from typing import Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar, overload
from weakref import WeakKeyDictionary

from actionqueues.errors import AsyncActionInSyncBlock, IllegalOperation

from .calls import not_awaited
from .definition import Definition, definition_behind
from .exits import again_here, failed, run
from .frames import place_of_caller
from .handler import Handler
from .log import Log, Owner
from .signature import OBJECT, display_name, is_async, refuse_lazy, signature_of
from .states import StepState
from .step import DEFINITION, OUTCOME, PENDING, VALUES, Record, Step
from .telling import tell_where_queued

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")

_Co: TypeAlias = Coroutine[Any, Any, R]
_Or: TypeAlias = A | Step[A]
_F1: TypeAlias = Callable[Concatenate[A, P], R]
_F2: TypeAlias = Callable[Concatenate[A, B, P], R]
_F3: TypeAlias = Callable[Concatenate[A, B, C, P], R]
_F4: TypeAlias = Callable[Concatenate[A, B, C, D, P], R]

_QUEUED, _RUNNING = StepState.QUEUED, StepState.RUNNING
_PLAIN = "use a plain function"
_new = object.__new__


class SupportsAction(Protocol):
    """What a classic queue takes: any object with these two methods."""

    def execute(self) -> object:
        """Do it.  May raise anything; `ActionRetryException` to be called again."""

    def rollback(self) -> object:
        """Undo it; called once `execute` has been called, however that ended."""


class Adding:
    """Something that steps can be added to, to run later."""

    __slots__ = ()

    @overload
    def add(self, /, action: SupportsAction) -> Step[None]: ...
    @overload
    def add(self, fn: Callable[P, _Co[R]], /, *args: P.args, **kwargs: P.kwargs) -> Step[R]: ...
    @overload
    def add(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Step[R]: ...

    # A step may stand for its result.  These are for the last one at place 1, 2, 3, 4; what follows it is exact again.
    # Elsewhere `step.later` is the exact spelling.
    @overload
    def add(self, fn: _F1[A, P, _Co[R]], a: Step[A], /, *args: P.args, **kwargs: P.kwargs) -> Step[R]: ...
    @overload
    def add(self, fn: _F1[A, P, R], a: Step[A], /, *args: P.args, **kwargs: P.kwargs) -> Step[R]: ...
    @overload
    def add(self, fn: _F2[A, B, P, _Co[R]], a: _Or[A], b: Step[B], /, *args: P.args, **kwargs: P.kwargs) -> Step[R]: ...
    @overload
    def add(self, fn: _F2[A, B, P, R], a: _Or[A], b: Step[B], /, *args: P.args, **kwargs: P.kwargs) -> Step[R]: ...
    @overload
    def add(
        self, fn: _F3[A, B, C, P, _Co[R]], a: _Or[A], b: _Or[B], c: Step[C], /, *args: P.args, **kwargs: P.kwargs
    ) -> Step[R]: ...
    @overload
    def add(
        self, fn: _F3[A, B, C, P, R], a: _Or[A], b: _Or[B], c: Step[C], /, *args: P.args, **kwargs: P.kwargs
    ) -> Step[R]: ...
    @overload
    def add(
        self, fn: _F4[A, B, C, D, P, _Co[R]], a: _Or[A], b: _Or[B], c: _Or[C], d: Step[D], /, *v: P.args, **k: P.kwargs
    ) -> Step[R]: ...
    @overload
    def add(
        self, fn: _F4[A, B, C, D, P, R], a: _Or[A], b: _Or[B], c: _Or[C], d: Step[D], /, *v: P.args, **k: P.kwargs
    ) -> Step[R]: ...
    def add(self, /, *args: Any, **kwargs: Any) -> Step[Any]:
        """Queue a step, and return it.

        Queued steps run in the order in which they were added; one that was added in a savepoint or by a step is not
        run if that has been undone.  A `Step` among the arguments stands for the result of that step, which must
        have been queued before.

        Args:
            fn: a decorated function or a bound method of one; any other callable, which then has nothing to undo; or
                an object with ``execute`` and ``rollback``, which takes no arguments.
            args: its positional arguments.
            kwargs: its keyword arguments.

        Raises:
            TypeError: if `fn` is none of these, or the arguments do not fit.
            AsyncActionInSyncBlock: if it is async, and nothing here can await it.
            TransactionClosed: if the transaction has ended.
            IllegalOperation: if it has not been entered, or the queue has been executed.
        """
        if not args:
            args = (kwargs.pop("action"),) if "action" in kwargs else ()  # as the parameter was called in 0.8
        if not args:
            raise TypeError("add() takes a function and its arguments, or an action object")
        fn, args = args[0], args[1:]
        definition: Definition | None = getattr(type(fn), "__actionqueues__", None)
        if definition is None:
            if type(fn) is partial:
                fn, args, kwargs = _without_partial(fn, args, kwargs)
            definition, args = definition_of(fn, args, kwargs)
        step: Step[Any] = _new(Step)  # and not Step(), which would cost a frame
        step._record = definition.enter(*args, **kwargs)
        step._state = _QUEUED
        step.attempts = 0
        step._tries = step._key = step._saved = step.error = None
        step._fill = False
        for argument in args:
            if type(argument) is Step:
                step._fill = True
        if kwargs and Step in map(type, kwargs.values()):
            step._fill = True
        step._queued = place_of_caller()
        return self._add(step)

    def _add(self, step: Step[Any]) -> Step[Any]:  # noqa: ARG002 - abstract
        """Take a step that has been bound."""
        raise AssertionError  # pragma: no cover - abstract


def definition_of(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Definition, tuple[Any, ...]]:
    """The definition behind what a user gave to ``add``, and the positional arguments with the bound object, if any."""
    is_method = type(fn) is MethodType
    definition = definition_behind(fn.__func__ if is_method else fn)
    if definition is not None:
        return definition, (fn.__self__, *args) if is_method else args
    cls: type = type(fn)
    known = _definitions.get(cls)
    if known is None and cls is not FunctionType and (not callable(fn) or _is_action_object(fn)):
        known = _definition_of_object(fn)
    if known is not None:
        if args or kwargs:
            raise TypeError(f"{cls.__qualname__} is an action object, whose execute() takes no arguments")
        return known, (fn,)
    if isinstance(fn, type) and is_action_class(fn):
        raise TypeError(f"{fn.__qualname__} is a class; add an object of it: add({fn.__qualname__}(...))")
    check_arguments(fn, args, kwargs)
    definition = Definition(fn)
    definition.is_async = definition.waits = is_async(fn)
    return definition, args


def _without_partial(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The action in a `functools.partial`, and all arguments; what was given, if it is one of something else."""
    called = fn.func
    if definition_behind(called.__func__ if type(called) is MethodType else called) is None:
        return fn, args, kwargs
    return called, (*fn.args, *args), {**fn.keywords, **kwargs}


def is_action_class(cls: type) -> bool:
    """Whether all objects of a class have both methods.

    The class is looked at, and not an object, which may answer to every name, as a mock or the proxy of a server does.
    """
    if not hasattr(cls, "execute"):  # which costs little to ask
        return False
    return all(callable(getattr_static(cls, name, None)) for name in ("execute", "rollback"))


def _is_action_object(fn: Any) -> bool:
    """Whether a callable has both methods; by `__class__` a mock with a spec, and a proxy, says what it stands for."""
    return not isinstance(fn, type) and is_action_class(fn.__class__)


_definitions: WeakKeyDictionary[type, Definition] = WeakKeyDictionary()


def _definition_of_object(action: Any) -> Definition:
    """What is fixed about the action objects of a class: a step is given the object as its only value."""
    missing = [name for name in ("execute", "rollback") if not callable(getattr(action, name, None))]
    if missing:
        advice = f"it has no {missing[0]}()" if len(missing) == 1 else "add the function, not its result"
        raise TypeError(f"{action!r} cannot be added: it is neither callable nor an action object; {advice}")
    cls: type = type(action)
    for method in (action.execute, action.rollback):
        refuse_lazy(method, display_name(method), _PLAIN)
    definition = Definition(_execute, name=display_name(cls))
    definition.is_object, definition.parameters, definition.run = True, OBJECT, _execute
    definition.enter = lambda *args, **_: [PENDING, definition, *args]  # type: ignore[method-assign] # without a frame
    handler = definition.handler = Handler(_rollback)
    handler.call = _rollback  # type: ignore[method-assign] # sooner
    definition.is_async = is_async(action.execute)
    handler.is_async = definition.awaits_undo = is_async(action.rollback)
    definition.waits = definition.is_async or handler.is_async
    if is_action_class(cls):  # otherwise the next object of it may have other methods, or none
        _definitions[cls] = definition
    return definition


def _execute(record: Record) -> object:
    return record[VALUES].execute()


def _rollback(step: Step[Any]) -> object:
    return step._record[VALUES].rollback()


def undo_record(fn: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Record:
    """The record of something that was done by hand, and is undone by calling `fn`, whose result may be awaited."""
    check_arguments(fn, args, kwargs)
    definition = Definition(fn)
    handler = Handler(partial(fn, *args, **kwargs) if args or kwargs else fn)
    handler.is_async = definition.waits = definition.awaits_undo = is_async(fn)
    definition.handler, definition.quick = handler, handler.quick
    record = definition.enter(*args, **kwargs)
    record[OUTCOME] = None
    return record


def refuse_async(definition: Definition, owner: Owner) -> None:
    """Refuse what is known to be async, where nothing can be awaited."""
    if definition.waits:
        raise AsyncActionInSyncBlock(definition.name, owner.label)


def run_queued(log: Log, step: Step[Any]) -> None:
    """Run a step that was bound before: what the frame of a direct call does."""
    if step._fill:
        fill_in(step)
    record = step._record
    if not log.direct:
        run(log, step)()
        return
    definition: Definition = record[DEFINITION]
    started = None if definition.retry is None else monotonic()
    step._state = _RUNNING
    step.attempts = 1
    try:
        log.append(step)
        result = record[OUTCOME] = definition.run(record)  # in one statement, so that no interrupt can come between
        if type(result) is CoroutineType:
            raise not_awaited(record)
    except BaseException as error:
        log.block.plain, log.block.unsure = False, True
        if failed(log, record, error, started):
            del log, step  # which hold what was raised, whose traceback has this frame in it
            raise
    else:
        return
    again_here(log, record)()


def check_arguments(fn: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Refuse arguments that do not fit, now and not when it is too late."""
    if not callable(fn):
        raise TypeError(f"{fn!r} is not callable; give the function and its arguments, not the result of calling it")
    refuse_lazy(fn, display_name(fn), _PLAIN)
    try:
        signature = signature_of(fn)
    except ValueError:
        return  # a built-in callable that does not tell
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{display_name(fn)}{signature}: {error}") from None


def fill_in(step: Step[Any]) -> None:
    """Replace the steps among the arguments of a queued step by their results."""
    if not step._fill:
        return
    record, shape = step._record, step._record[DEFINITION].parameters.shape

    def value(argument: Any) -> Any:
        if not isinstance(argument, Step):
            return argument
        earlier: Step[Any] = argument
        if not earlier.has_result or earlier.state is StepState.UNDONE:
            what = f"one of its arguments is the result of {earlier.name}, which is {earlier.state}"
            advice = f"queue {earlier.name} before it, in the same transaction, and let it succeed"
            raise tell_where_queued(step, IllegalOperation(f"run {step.name}", what, advice))
        return earlier.result

    record[VALUES:] = [value(argument) for argument in record[VALUES:]]
    if shape.var_keyword:
        record[-1] = {name: value(argument) for name, argument in record[-1].items()}
    if shape.var_positional:
        place = -1 - shape.var_keyword
        record[place] = tuple(value(argument) for argument in record[place])
