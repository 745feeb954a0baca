"""`add`: binding a step now that is to run later, shared by blocks and classic queues."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from operator import methodcaller
from types import MethodType
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload
from weakref import WeakKeyDictionary

from .definition import Definition, definition_behind
from .errors import IllegalOperation
from .handler import Handler
from .signature import OBJECT, display_name, is_async, is_generator, signature_of
from .states import StepState
from .step import OUTCOME, PENDING, Entry, Step

__all__ = ["Adding", "SupportsAction", "check_arguments", "definition_of", "fill_in", "undo_entry"]

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")


class SupportsAction(Protocol):
    """What a classic queue takes: any object with these two methods."""

    def execute(self) -> object:
        """Do it.  May raise anything; `ActionRetryException` to be called again."""

    def rollback(self) -> object:
        """Undo it; called once `execute` has been called, however that ended."""


class Adding:
    """Something that steps can be added to, to run later."""

    @overload
    def add(self, /, action: SupportsAction) -> Step[None]: ...
    @overload
    def add(self, fn: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs) -> Step[R]: ...
    @overload
    def add(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Step[R]: ...

    # A step may stand for its result.  These are for the last positional step at place 1, 2, 3, 4; what follows it is
    # exact again.  Elsewhere `step.later` is the exact spelling.
    @overload
    def add(
        self,
        fn: Callable[Concatenate[A, P], Coroutine[Any, Any, R]],
        a: Step[A],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Step[R]: ...
    @overload
    def add(self, fn: Callable[Concatenate[A, P], R], a: Step[A], /, *args: P.args, **kwargs: P.kwargs) -> Step[R]: ...
    @overload
    def add(
        self,
        fn: Callable[Concatenate[A, B, P], Coroutine[Any, Any, R]],
        a: A | Step[A],
        b: Step[B],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Step[R]: ...
    @overload
    def add(
        self,
        fn: Callable[Concatenate[A, B, P], R],
        a: A | Step[A],
        b: Step[B],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Step[R]: ...
    @overload
    def add(
        self,
        fn: Callable[Concatenate[A, B, C, P], Coroutine[Any, Any, R]],
        a: A | Step[A],
        b: B | Step[B],
        c: Step[C],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Step[R]: ...
    @overload
    def add(
        self,
        fn: Callable[Concatenate[A, B, C, P], R],
        a: A | Step[A],
        b: B | Step[B],
        c: Step[C],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Step[R]: ...
    @overload
    def add(
        self,
        fn: Callable[Concatenate[A, B, C, D, P], Coroutine[Any, Any, R]],
        a: A | Step[A],
        b: B | Step[B],
        c: C | Step[C],
        d: Step[D],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Step[R]: ...
    @overload
    def add(
        self,
        fn: Callable[Concatenate[A, B, C, D, P], R],
        a: A | Step[A],
        b: B | Step[B],
        c: C | Step[C],
        d: Step[D],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Step[R]: ...
    def add(self, /, *args: Any, **kwargs: Any) -> Step[Any]:
        """Queue a step, and return it.

        Queued steps run in the order in which they were added.  A `Step` among the arguments stands for the result of
        that step, which must have been queued before.

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
        definition, args = definition_of(args[0], args[1:], kwargs)
        return self._add(Step(definition, definition.enter(*args, **kwargs), StepState.QUEUED))

    def _add(self, step: Step[Any]) -> Step[Any]:  # noqa: ARG002 - abstract
        """Take a step that has been bound."""
        raise AssertionError  # pragma: no cover - abstract


def definition_of(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Definition, tuple[Any, ...]]:
    """The definition behind what a user gave to ``add``, and the positional arguments with the bound object, if any."""
    definition = definition_behind(fn)
    if definition is not None:
        return definition, args
    if type(fn) is MethodType and (definition := definition_behind(fn.__func__)) is not None:
        return definition, (fn.__self__, *args)
    if callable(getattr(fn, "execute", None)) and callable(getattr(fn, "rollback", None)):
        if isinstance(fn, type):
            raise TypeError(f"{fn.__qualname__} is a class; add an object of it: add({fn.__qualname__}(...))")
        if args or kwargs:
            raise TypeError(f"{type(fn).__qualname__} is an action object, whose execute() takes no arguments")
        return _definition_of_object(fn), (fn,)  # pyright: ignore[reportArgumentType] - it has both methods
    if callable(fn):
        check_arguments(fn, args, kwargs)
        definition = Definition(fn)
        definition.is_async = is_async(fn)
        return definition, args
    missing = [name for name in ("execute()", "rollback()") if not callable(getattr(fn, name[:-2], None))]
    advice = f"it has no {missing[0]}" if len(missing) == 1 else "add the function, not its result"
    raise TypeError(f"{fn!r} cannot be added: it is neither callable nor an action object; {advice}")


class _ObjectHandler(Handler):
    """Calls the `rollback` of an action object."""

    def asks_for(self, *names: str) -> bool:  # noqa: ARG002 - it knows all it needs itself
        return False

    def call(self, step: Step[Any]) -> object:
        return step.entry[0].rollback()


_execute, _rollback = methodcaller("execute"), methodcaller("rollback")
_definitions: WeakKeyDictionary[type, Definition] = WeakKeyDictionary()


def _definition_of_object(action: SupportsAction) -> Definition:
    """What is fixed about the action objects of a class: a step is given the object as its only value."""
    cls = type(action)
    definition = _definitions.get(cls)
    if definition is None:
        definition = _definitions[cls] = Definition(_execute, name=display_name(cls))
        definition.is_async = is_async(action.execute)
        definition.parameters = OBJECT
        definition.run = lambda entry: entry[0].execute()
        # An action object has no signature to make it from:
        definition.enter = lambda *args, **_: [*args, PENDING, definition]  # type: ignore[method-assign]
        definition.size = 3
        definition.handler = _ObjectHandler(_rollback)
        definition.handler.is_async = is_async(action.rollback)
    return definition


def undo_entry(
    fn: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any], *, awaits: bool = False
) -> Entry:
    """The entry of something that was done by hand, and is undone by calling `fn`, whose result may be awaited."""
    check_arguments(fn, args, kwargs)
    definition = Definition(fn)
    handler = Handler(partial(fn, *args, **kwargs) if args or kwargs else fn)
    handler.is_async = is_async(fn)
    definition.handler, definition.awaits_undo = handler, handler.is_async
    # A plain callable of which nobody knows whether it is async:
    definition.quick = None if awaits and not handler.is_async else handler.quick
    entry = definition.enter(*args, **kwargs)
    entry[OUTCOME] = None
    return entry


def check_arguments(fn: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Refuse arguments that do not fit, now and not when it is too late."""
    if not callable(fn):
        raise TypeError(f"{fn!r} is not callable; give the function and its arguments, not the result of calling it")
    if is_generator(fn):
        raise TypeError(
            f"{display_name(fn)} is a generator function: calling it would run nothing; use a plain function"
        )
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
    entry, shape = step.entry, step.definition.parameters.shape
    if not (shape.var_positional or shape.var_keyword or Step in map(type, entry)):
        return  # none of them is a step, which is the common case

    def value(argument: Any) -> Any:
        if not isinstance(argument, Step):
            return argument
        earlier: Step[Any] = argument  # pyright: ignore[reportUnknownVariableType] - a step of anything
        if not earlier.has_result or earlier.state is StepState.UNDONE:
            raise IllegalOperation(
                f"run {step.name}",
                f"one of its arguments is the result of {earlier.name}, which is {earlier.state}",
                f"queue {earlier.name} before it, in the same transaction, and let it succeed",
            )
        return earlier.result

    count = len(step.definition.parameters.names)
    entry[:count] = [value(argument) for argument in entry[:count]]
    if shape.var_keyword:
        entry[count - 1] = {name: value(argument) for name, argument in entry[count - 1].items()}
    if shape.var_positional:
        place = count - 1 - shape.var_keyword
        entry[place] = tuple(value(argument) for argument in entry[place])
