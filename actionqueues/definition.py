"""`Definition`: everything that is fixed about an action once it is decorated; the owner of its entries."""

from __future__ import annotations

import builtins
from _thread import _count, get_ident
from collections.abc import Callable, Sequence
from inspect import iscoroutine, unwrap
from time import monotonic
from types import FunctionType
from typing import Any, Protocol, TypeAlias
from weakref import WeakKeyDictionary, WeakSet

from .concurrency import limited
from .errors import AsyncActionInSyncBlock
from .frames import ASYNC_STEPS, caller, rename_keywords, specialize
from .handler import Handler
from .retry import Policy
from .signature import ANY, display_name, is_async, parameters_of
from .step import PENDING, Entry, Log, step_at

__all__ = ["DEFINITIONS", "Definition", "definition_behind", "function_of"]

_Function: TypeAlias = Callable[..., Any]


#: The functions that are handlers: one of them that has the name of another one does not override it.
_handlers: WeakSet[_Function] = WeakSet()

#: The definitions of all actions that are alive: what a journal finds them by.
DEFINITIONS: WeakSet[Definition] = WeakSet()


class _Labelled(Protocol):
    @property
    def label(self) -> str: ...


class Definition:
    """What is fixed about an action: its function, its options and its rollback handler.

    Attributes:
        function: the undecorated callable.
        name: its name in messages and reports.
        parameters: what it takes.
        frame: the function that makes a step of a call; None for what has not been decorated.
        run: calls the function with the arguments of an entry.
        retry: the policy of the body, or None.
        timeout: after how many seconds an attempt of the body is given up, or None.
        irreversible: whether the user said that it cannot be undone.
        handler: the rollback handler, or None.
        quick: undoes an entry that has an outcome; None where that takes more than one call.
        awaits_undo: whether what `quick` returns is to be awaited.
        given_name: the name that a journal records, if the user has given one.
        aliases: the names under which a journal may have recorded it before.
        probe: finds out whether a step whose outcome is unknown has happened, or None.
    """

    given_name: str | None = None
    aliases: tuple[str, ...] = ()
    probe: Handler | None = None
    awaits_undo = False

    def __init__(self, function: _Function, *, name: str | None = None) -> None:
        """Make the definition of a plain callable: any arguments, nothing to undo."""
        self.function = function
        self.name = name or display_name(function)
        self.retry: Policy | None = None
        self.irreversible = False
        self.timeout: float | None = None
        self.is_async = False
        self.handler: Handler | None = None
        self.quick: Callable[[Log, int], object] | None = None
        self.parameters = ANY
        self.frame: FunctionType | None = None
        self.size = 4
        self.run: Callable[[Entry], Any] = lambda entry: function(*entry[0], **entry[1])
        self._overrides: WeakKeyDictionary[type, Handler] | None = None

    def enter(self, /, *args: Any, **kwargs: Any) -> Entry:
        """An entry for a call with these arguments.

        Raises:
            TypeError: the interpreter's own, if they do not fit.
        """
        return [args, kwargs, PENDING, self]

    def generate(self, outside: _Function, current: Callable[[], Any]) -> FunctionType:
        """Read the function's signature, generate its frames, and return the one that makes a step of a call.

        Args:
            outside: what to call outside any block.
            current: returns the log of the block around a call, or None.
        """
        DEFINITIONS.add(self)
        self.is_async = is_async(self.function)
        parameters = self.parameters = parameters_of(self.function)
        self.size = len(parameters.names) + 2
        shape, names = parameters.shape, parameters.names
        by_keyword = names[parameters.positional :][: shape.keyword_only]
        codes = {
            name: rename_keywords(code, by_keyword)
            for name, code in caller(shape, self.retry is not None, self.is_async).items()
        }
        variables: dict[str, Any] = {
            "__builtins__": builtins,
            "__name__": getattr(self.function, "__module__", None),
            "definition": self,
            "body": self.function if self.timeout is None else limited(self.function, self.timeout),
            "outside": outside,
            "current": current,
            "thread": get_ident,
            "threads": _count,
            "clock": monotonic,
            "PENDING": PENDING,
        }
        qualname = getattr(self.function, "__qualname__", self.name)
        if self.is_async:
            step = variables["step"] = FunctionType(codes["step"], variables)
            step.__name__, step.__qualname__ = qualname.rpartition(".")[2], qualname  # as its coroutine is called
            ASYNC_STEPS.add(codes["step"])
        call = specialize(codes["call"], variables, qualname, names)
        enter = specialize(codes["enter"], variables, qualname, names)
        for frame in (call, enter):
            frame.__defaults__ = parameters.defaults or None
            frame.__kwdefaults__ = dict(parameters.keyword_defaults) or None
        self.enter = enter  # type: ignore[method-assign] # the one made for these parameters
        self.run = FunctionType(codes["run"], variables)
        self.frame = call
        return call

    def call_again(self, entry: Entry) -> Any:
        """Make the call of an entry once more, now that the block around it is another one, or there is none."""
        assert self.frame is not None  # noqa: S101 - it was called
        return self.frame(*self.args(entry), **self.kwargs(entry))

    def undo_with(self, handler: Handler) -> None:
        """Make `handler` the rollback handler."""
        self.check_async(handler)
        if isinstance(handler.function, FunctionType):  # other callables may be unhashable, and are no methods
            _handlers.add(handler.function)
        self.handler = handler
        self.quick = handler.quick
        self.awaits_undo = handler.is_async
        if _is_method_of_same_class(self.function, handler.function):
            self._overrides = WeakKeyDictionary()
            self._undo_name: str = handler.function.__name__
            self.quick = None if self.is_async else handler.quick and self._undo_by_class

    @property
    def overridable(self) -> bool:
        """Whether the handler depends on the class of the object that it is a method of."""
        return self._overrides is not None

    def handler_of(self, entry: Sequence[Any]) -> Handler | None:
        """The handler for one call: that of the class of its object, where a subclass has overridden it."""
        handler, overrides = self.handler, self._overrides
        if handler is None or overrides is None:
            return handler
        owner = entry[0]
        cls = owner if isinstance(owner, type) else type(owner)
        found = overrides.get(cls)
        if found is None:
            found = overrides[cls] = self._override(handler, cls)
        return found

    def _override(self, handler: Handler, cls: type) -> Handler:
        name: str = handler.function.__name__
        functions = [function_of(vars(base)[name]) for base in cls.__mro__ if name in vars(base)]
        if handler.function not in functions[1:] or (
            isinstance(functions[0], FunctionType) and functions[0] in _handlers
        ):
            return handler  # not a method of this class, not overridden, or only by the handler of another action
        if not callable(functions[0]):
            what = f"{cls.__qualname__}.{name}, which overrides the rollback handler of {self.name}"
            raise TypeError(f"{what}, is no method but {functions[0]!r}; make it one, or give it another name")
        override = Handler.bound(functions[0], self.parameters, self.name, retry=handler.retry)
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

    def refuse_async(self, where: _Labelled) -> None:
        """Refuse what is async, where nothing can be awaited.

        A plain callable, which is not known to be async, fails when it is called, if it returns a coroutine.
        """
        handler = self.handler
        if self.is_async or (handler is not None and handler.is_async):
            raise AsyncActionInSyncBlock(self.name, where.label)
        if self.frame is not None or self.parameters is not ANY:
            return  # an action, or an action object
        run, label = self.run, where.label

        def checked(entry: Entry) -> Any:
            result = run(entry)
            if iscoroutine(result):
                result.close()
                raise AsyncActionInSyncBlock(self.name, label)
            return result

        self.run = checked

    def _undo_by_class(self, log: Log, place: int) -> object:
        handler, owner = self.handler, log[place]
        cls = owner if isinstance(owner, type) else type(owner)
        # Mostly it is not overridden, which a look at the class tells sooner than a dictionary of classes.
        if handler is None or getattr(cls, self._undo_name, None) is not handler.function:
            handler = self.handler_of((owner,))
        assert handler is not None  # noqa: S101 - `undo_with` has set it
        if handler.quick is not None:
            return handler.quick(log, place)
        return handler.call(step_at(log, place + self.size))

    def args(self, entry: Entry) -> tuple[Any, ...]:
        """The positional arguments of an entry."""
        count, shape = self.parameters.positional, self.parameters.shape
        rest = entry[count + shape.keyword_only] if shape.var_positional else ()
        return (*entry[:count], *rest)

    def kwargs(self, entry: Entry) -> dict[str, Any]:
        """The keyword arguments of an entry."""
        count, shape = self.parameters.positional, self.parameters.shape
        keyword = slice(count, count + shape.keyword_only)
        named = dict(zip(self.parameters.names[keyword], entry[keyword], strict=True))
        return {**named, **entry[len(self.parameters.names) - 1]} if shape.var_keyword else named

    def arguments(self, entry: Entry) -> dict[str, Any]:
        """The arguments of an entry by name."""
        declared = self.parameters.declared
        if declared is not None:
            try:
                bound = declared.bind(*self.args(entry), **self.kwargs(entry))
            except TypeError:
                pass  # the wrapper supplies some of them itself
            else:
                bound.apply_defaults()
                return dict(bound.arguments)
        return dict(zip(self.parameters.names, entry, strict=False))

    def argument(self, entry: Entry, name: str) -> Any:
        """One that is declared by the function under a wrapper."""
        arguments = self.arguments(entry)
        if name not in arguments:
            raise TypeError(
                f"{name!r} cannot be supplied: {self.name} was called with arguments that do not fit "
                f"{self.name}{self.parameters.declared}; a wrapper supplies some itself, so let the handler take *args "
                "and **kwargs"
            )
        return arguments[name]


def definition_behind(fn: Any) -> Definition | None:
    """The definition of an action or of the frame of one; not of what wraps one, whose attributes look the same."""
    cls: type = type(fn)  # pyright: ignore[reportUnknownVariableType] - of anything
    definition: Definition | None = getattr(cls, "__actionqueues__", None)
    if definition is not None:
        return definition
    found = getattr(fn, "__dict__", {}).get("__actionqueues__") if cls is FunctionType else None
    return found if isinstance(found, Definition) and found.frame is fn else None


def function_of(attribute: Any) -> Any:
    """The function in a class method or static method, or `attribute` itself."""
    # What `isinstance` finds has type parameters nobody knows:
    return attribute.__func__ if isinstance(attribute, classmethod | staticmethod) else attribute  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def _is_method_of_same_class(function: _Function, handler: _Function) -> bool:
    prefix: str = getattr(function, "__qualname__", "").rpartition(".")[0]
    theirs: str = getattr(handler, "__qualname__", "").rpartition(".")[0]
    return bool(prefix) and prefix == theirs and not prefix.endswith("<locals>")
