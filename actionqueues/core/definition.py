"""`Definition`: everything that is fixed about an action once it is decorated.

Stands on handlers, signatures and generated frames.  Used by `@action`, the queue and the engine.
"""

from __future__ import annotations

import builtins
from _thread import _count, get_ident
from collections.abc import Callable, Mapping
from contextlib import suppress
from inspect import unwrap
from time import monotonic
from types import FunctionType
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary, WeakSet

from actionqueues.retry import Policy

from .frames import caller, current_task_getter, rename_keywords, specialize
from .handler import Handler
from .log import Log, current, get_current, set_current
from .signature import ANY, display_name, is_async, parameters_of
from .states import StepState
from .step import PENDING, VALUES, Record, Step
from .tasks import limited

__all__ = ["DEFINITIONS", "Definition", "definition_behind", "function_of"]

_Function: TypeAlias = Callable[..., Any]

#: The functions that are handlers: one of them that has the name of another one does not override it.
_handlers: WeakSet[_Function] = WeakSet()

#: The definitions of all actions that are alive: what a journal finds them by.
DEFINITIONS: WeakSet[Definition] = WeakSet()


class Definition:
    """What is fixed about an action: its undecorated function, its options and its rollback handler.

    Attributes:
        frame: the function that makes a step of a call; None for what has not been decorated.
        run: calls the function with the arguments of a record.
        quick: undoes a record that has an outcome; None where that takes more than one call.
        awaits_undo: whether what `quick` returns is to be awaited.
        waits: whether the body or the undo is async.
        is_object: whether its steps are action objects of the classic API.
        given_name: the name that a journal records, if the user has given one.
        probe: finds out whether a step whose outcome is unknown has happened, or None.
    """

    retry: Policy | None
    timeout: float | None
    handler: Handler | None
    quick: Callable[[Record], object] | None
    given_name: str | None = None
    aliases: tuple[str, ...] = ()
    probe: Handler | None = None
    read_only = is_object = awaits_undo = waits = False
    _overrides: WeakKeyDictionary[type, Handler] | None

    def __init__(self, function: _Function, *, name: str | None = None) -> None:
        """Make the definition of a plain callable: any arguments, nothing to undo."""
        self.function = function
        self.name = name or display_name(function)
        self.frame: FunctionType | None = None
        self.retry = self.timeout = self.handler = self.quick = self._overrides = None
        self.irreversible = self.is_async = False
        self.parameters = ANY
        self.run: Callable[[Record], Any] = lambda record: function(*record[VALUES], **record[VALUES + 1])

    def enter(self, /, *args: Any, **kwargs: Any) -> Record:
        """The record of a call with these arguments.

        Raises:
            TypeError: the interpreter's own, if they do not fit.
        """
        return [PENDING, self, args, kwargs]

    def generate(self, outside: _Function, exits: Mapping[str, _Function]) -> FunctionType:
        """Read the function's signature, generate its frames, and return the one that makes a step of a call.

        Outside any block it calls `outside`, and for what is out of the ordinary the `exits`, by these names.
        """
        DEFINITIONS.add(self)
        self.is_async = self.waits = is_async(self.function)
        parameters = self.parameters = parameters_of(self.function)
        shape, names = parameters.shape, parameters.names
        by_keyword = names[parameters.positional :][: shape.keyword_only]
        generated = caller(shape, self.retry is not None, self.is_async)
        codes = {name: rename_keywords(code, by_keyword) for name, code in generated.items()}
        variables: dict[str, Any] = {
            "__builtins__": builtins,
            "__name__": getattr(self.function, "__module__", None),
            "definition": self,
            "body": self.function if self.timeout is None else limited(self.function, self.timeout),
            "outside": outside,
            "current": get_current,
            "thread": get_ident,
            "threads": _count,
            "clock": monotonic,
            "PENDING": PENDING,
            **exits,
        }
        qualname = getattr(self.function, "__qualname__", self.name)
        if self.is_async:
            step = variables["step"] = FunctionType(codes["step"], variables)
            step.__name__, step.__qualname__ = qualname.rpartition(".")[2], qualname  # as its coroutine is called
            variables |= {"Log": Log, "set_current": set_current, "reset_current": current.reset}
            variables["current_task"] = current_task_getter()
        call, enter = (specialize(codes[name], variables, qualname, names) for name in ("call", "enter"))
        for frame in (call, enter):
            frame.__defaults__ = parameters.defaults or None
            frame.__kwdefaults__ = dict(parameters.keyword_defaults) or None
        self.enter = enter  # type: ignore[method-assign] # the one made for these parameters
        self.run = FunctionType(codes["run"], variables)
        self.frame = call
        return call

    def call_again(self, record: Record) -> Any:
        """Make the call of a record once more, now that the block around it is another one, or there is none."""
        assert self.frame is not None  # noqa: S101 - it was called
        return self.frame(*self.args(record), **self.kwargs(record))

    def undo_with(self, handler: Handler) -> None:
        """Make `handler` the rollback handler."""
        self.check_async(handler)
        if isinstance(handler.function, FunctionType):  # other callables may be unhashable, and are no methods
            _handlers.add(handler.function)
        self.handler, self.quick, self.awaits_undo = handler, handler.quick, handler.is_async
        self.waits = self.is_async or handler.is_async
        if _is_method_of_same_class(self.function, handler.function):
            self._overrides = WeakKeyDictionary()
            self._undo_name: str = handler.function.__name__
            self.quick = None if self.is_async else handler.quick and self._undo_by_class

    @property
    def undo(self) -> str:
        """How a step of it is undone, in words."""
        if self.handler is not None:
            return f"undone by {self.handler.name}"
        return "irreversible" if self.irreversible else "read-only" if self.read_only else "no rollback handler"

    def handler_of(self, record: Record) -> Handler | None:
        """The handler for one call: that of the class of its object, where a subclass has overridden it."""
        handler, overrides = self.handler, self._overrides
        if handler is None or overrides is None:
            return handler
        owner = record[VALUES]
        cls = owner if isinstance(owner, type) else type(owner)
        found = overrides.get(cls)
        if found is None:
            found = overrides[cls] = self._override(handler, cls)
        return found

    def _override(self, handler: Handler, cls: type) -> Handler:
        name = self._undo_name
        first, *others = [function_of(vars(base)[name]) for base in cls.__mro__ if name in vars(base)] or [None]
        if handler.function not in others or (isinstance(first, FunctionType) and first in _handlers):
            return handler  # not a method of this class, not overridden, or only by the handler of another action
        if not callable(first):
            what = f"{cls.__qualname__}.{name}, which overrides the rollback handler of {self.name}"
            raise TypeError(f"{what}, is no method but {first!r}; make it one, or give it another name")
        override = Handler.bound(first, self.parameters, self.name, retry=handler.retry)
        self.check_async(override)
        return override

    def refuse_name(self, function: _Function, what: str) -> None:
        """Refuse the second ``def`` of one name in one place, as the setter of a property is: it hides the action."""
        first, second = unwrap(self.function), unwrap(function)
        if not isinstance(first, FunctionType) or not isinstance(second, FunctionType):
            return
        one, other = first.__code__, second.__code__
        if one is other or not one.co_name.isidentifier() or one.co_name == "_":
            return  # made by one `def` that was run twice; lambdas; and what is not to be found by its name
        if (one.co_filename, one.co_qualname) == (other.co_filename, other.co_qualname):
            raise TypeError(
                f"the {what} of {self.name} is called {self.name} too, so that this name would no longer mean the "
                "action; give it a name of its own"
            )

    def check_async(self, handler: Handler) -> None:
        """Refuse an async handler for a sync action: a sync block could not await it."""
        if handler.is_async and not self.is_async:
            raise TypeError(
                f"the rollback handler {handler.name} is async, but {self.name} is not, and may be called where "
                f"nothing can be awaited; make {self.name} an `async def`, or the handler a plain `def`"
            )

    def _undo_by_class(self, record: Record) -> object:
        handler, owner = self.handler, record[VALUES]
        cls = owner if isinstance(owner, type) else type(owner)
        # Mostly it is not overridden, which a look at the class tells sooner than a dictionary of classes.
        if handler is None or getattr(cls, self._undo_name, None) is not handler.function:
            handler = self.handler_of(record)
        assert handler is not None  # noqa: S101 - `undo_with` has set it
        return handler.call(Step(record, StepState.DONE)) if handler.quick is None else handler.quick(record)

    def args(self, record: Record) -> tuple[Any, ...]:
        """The positional arguments of a record."""
        values, count, shape = record[VALUES:], self.parameters.positional, self.parameters.shape
        return (*values[:count], *(values[count + shape.keyword_only] if shape.var_positional else ()))

    def kwargs(self, record: Record) -> dict[str, Any]:
        """The keyword arguments of a record."""
        values, count, shape = record[VALUES:], self.parameters.positional, self.parameters.shape
        keyword = slice(count, count + shape.keyword_only)
        named = dict(zip(self.parameters.names[keyword], values[keyword], strict=True))
        return {**named, **values[len(self.parameters.names) - 1]} if shape.var_keyword else named

    def arguments(self, record: Record) -> dict[str, Any]:
        """The arguments of a record by name."""
        declared = self.parameters.declared
        if declared is not None:
            with suppress(TypeError):  # the wrapper supplies some of them itself
                bound = declared.bind(*self.args(record), **self.kwargs(record))
                bound.apply_defaults()
                return dict(bound.arguments)
        return dict(zip(self.parameters.names, record[VALUES:], strict=True))

    def argument(self, record: Record, name: str) -> Any:
        """One that is declared by the function under a wrapper."""
        arguments = self.arguments(record)
        if name not in arguments:
            raise TypeError(
                f"{name!r} cannot be supplied: {self.name} was called with arguments that do not fit "
                f"{self.name}{self.parameters.declared}; a wrapper supplies some itself, so let the handler take *args "
                "and **kwargs"
            )
        return arguments[name]


def definition_behind(fn: Any) -> Definition | None:
    """The definition of an action or of the frame of one; not of what wraps one, whose attributes look the same."""
    cls: type = type(fn)
    definition: Definition | None = getattr(cls, "__actionqueues__", None)
    if definition is None and cls is FunctionType:
        found: object = getattr(fn, "__actionqueues__", None)
        return found if isinstance(found, Definition) and found.frame is fn else None
    return definition


def function_of(attribute: Any) -> Any:
    """The function in a class method or static method, or `attribute` itself."""
    return attribute.__func__ if isinstance(attribute, classmethod | staticmethod) else attribute


def _is_method_of_same_class(function: _Function, handler: _Function) -> bool:
    prefix: str = getattr(function, "__qualname__", "").rpartition(".")[0]
    theirs: str = getattr(handler, "__qualname__", "").rpartition(".")[0]
    return bool(prefix) and prefix == theirs and not prefix.endswith("<locals>")
