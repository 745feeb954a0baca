"""`Definition`: everything that is fixed about an action once it is decorated.

Stands on handlers, signatures and generated frames.  Used by `@action`, the queue and the engine.
"""

from __future__ import annotations

import builtins
from _thread import _count, get_ident
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import WRAPPER_ASSIGNMENTS, cached_property, partial, partialmethod, singledispatchmethod
from inspect import cleandoc
from time import monotonic
from types import CodeType, CoroutineType, FunctionType
from typing import Any, TypeAlias, cast
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from actionqueues.errors import NoTransaction
from actionqueues.retry import Policy, is_made_policy

from .attempts import judged
from .frames import caller, current_task_getter, rename_keywords, specialize
from .handler import Description, Handler
from .log import Log, current, get_current, set_current, undoing
from .signature import ANY, display_name, is_async, parameters_of, text_attribute, unawaited, unwrapped
from .states import StepState
from .step import PENDING, VALUES, Record, Step
from .tasks import limited

_Function: TypeAlias = Callable[..., Any]

#: The functions that are handlers: one of them that has the name of another one does not override it.
_handlers: WeakSet[_Function] = WeakSet()

#: Those of all actions that are alive, by their `id`: what is read while other threads decorate cannot be a `WeakSet`.
_definitions: WeakValueDictionary[int, Definition] = WeakValueDictionary()


class Definition:
    """What is fixed about an action: its undecorated function, its options and its rollback handler.

    Attributes:
        frame: the function that makes a step of a call; None for what has not been decorated.
        run: calls the function with the arguments of a record.
        quick: undoes a record that has an outcome; None where that takes more than one call.
        awaits_undo: whether what `quick` returns is to be awaited.
        waits: whether the body or the undo is async.
        is_object: whether its steps are action objects of the classic API.
        owners: the classes in whose bodies it stands.
        given_name: the name that a journal records, if the user has given one.
        probe: finds out whether a step whose outcome is unknown has happened, or None.
        description: says in words what a call would do, or None.
        transaction_required: whether it refuses to be called outside any block.
        hold: what stands for its body in a block, for one that waits for the commit; its step changes nothing then.
    """

    retry: Policy | None
    timeout: float | None
    handler: Handler | None
    quick: Callable[[Record], object] | None
    given_name: str | None = None
    aliases: tuple[str, ...] = ()
    owners: tuple[type, ...] = ()
    probe: Handler | None = None
    description: Handler | None = None
    hold: Callable[[Definition, _Function], _Function] | None = None
    irreversible = read_only = is_object = awaits_undo = waits = transaction_required = False
    _overrides: WeakKeyDictionary[type, Handler] | None

    def __init__(self, function: _Function, *, name: str | None = None) -> None:
        """Make the definition of a plain callable: any arguments, nothing to undo."""
        self.function = function
        self.name = name or display_name(function)
        self.frame: FunctionType | None = None
        self.retry = self.timeout = self.handler = self.quick = self._overrides = None
        self.is_async, self.parameters = False, ANY
        self.run: Callable[[Record], Any] = lambda record: function(*record[VALUES], **record[VALUES + 1])

    def enter(self, /, *args: Any, **kwargs: Any) -> Record:
        """The record of a call with these arguments, or the interpreter's own `TypeError`, if they do not fit."""
        return [PENDING, self, args, kwargs]

    def generate(self, exits: Mapping[str, _Function]) -> FunctionType:
        """Read the function's signature, generate its frames, and return the one that makes a step of a call.

        For what is out of the ordinary it calls the `exits`, by these names.
        """
        self.is_async = self.waits = is_async(self.function)
        parameters = self.parameters = parameters_of(self.function)
        generated = caller(parameters.shape, self.retry is not None, self.is_async)
        codes = {name: rename_keywords(code, parameters.keyword) for name, code in generated.items()}
        variables: dict[str, Any] = {
            "__builtins__": builtins,
            "__name__": getattr(self.function, "__module__", None),
            "definition": self,
            "CoroutineType": CoroutineType,
            "current": get_current,
            "thread": get_ident,
            "threads": _count,
            "clock": monotonic,
            "PENDING": PENDING,
            "__tracebackhide__": True,
            **exits,
        }
        qualname = text_attribute(self.function, "__qualname__", self.name)
        if self.is_async:
            for name, names in (("step", (".log", *parameters.names)), ("later", (".log", ".record"))):
                variables[name] = specialize(codes[name], variables, qualname, names)
            variables |= {"Log": Log, "set_current": set_current, "reset_current": current.reset}
            variables["current_task"] = current_task_getter()
        call, enter = (specialize(codes[name], variables, qualname, parameters.names) for name in ("call", "enter"))
        for frame in (call, enter):
            frame.__defaults__ = parameters.defaults or None
            frame.__kwdefaults__ = dict(parameters.keyword_defaults) or None
        self.enter = enter  # type: ignore[method-assign] # the one made for these parameters
        self.run = specialize(codes["run"], variables, qualname, (".record",))
        self.frame = call
        _definitions[id(self)] = self
        self.run_in_frames(self.function)
        self.show_frame()
        return call

    def run_in_frames(self, body: _Function) -> None:
        """Let the frames call `body`, in a block and outside any."""
        assert self.frame is not None  # noqa: S101 - it has been generated
        variables = self.frame.__globals__
        inner = body if self.hold is None else self.hold(self, body)
        limit = inner if self.timeout is None else limited(inner, self.timeout)
        variables["body"] = judged(limit, self.retry, self.name, is_async=self.is_async)
        variables["plain"] = body
        self.place_outside()

    def place_outside(self) -> None:
        """Let the frame call its function outside any block, or refuse that."""
        assert self.frame is not None  # noqa: S101 - it has been generated
        variables = self.frame.__globals__
        refused = self.transaction_required or _Everywhere.required
        variables["outside"] = partial(_refuse, self) if refused else variables["plain"]

    def show_frame(self) -> None:
        """Let the frame, which is what bound methods show, look like the function, and name its undo.

        What answers to every name, such as the proxy of a server, gives no texts.
        """
        frame, function = self.frame, self.function
        assert frame is not None  # noqa: S101 - it has been generated
        held: object = getattr(function, "__dict__", None)
        frame.__dict__.update(held if isinstance(held, dict) else {})
        for name in WRAPPER_ASSIGNMENTS:
            with suppress(AttributeError, TypeError):
                setattr(frame, name, getattr(function, name))
        frame.__doc__ = self.doc
        frame.__dict__ |= {"__wrapped__": function, "__actionqueues__": self}

    def show(self, name: str, value: object) -> None:
        """Set an attribute of the function, and of the frame, but for what makes that one what it is."""
        setattr(self.function, name, value)
        if name == "__doc__":
            value = self.doc
        if name in WRAPPER_ASSIGNMENTS or not hasattr(FunctionType, name):
            setattr(self.frame, name, value)

    def hide(self, name: str) -> None:
        """Delete it."""
        delattr(self.function, name)
        vars(self.frame).pop(name, None)
        cast("FunctionType", self.frame).__doc__ = self.doc

    @property
    def doc(self) -> str | None:
        """The docstring of its function, with a line that says how it is undone, if that has been said."""
        doc: Any = self.function.__doc__
        if self.handler is None and not (self.irreversible or self.read_only):
            return doc  # type: ignore[no-any-return] # what a function has is one, or None
        line = f"Undone by {self.handler.name}." if self.handler else "Nothing to undo: it is read-only."
        line = "It cannot be undone." if self.irreversible else line
        line = "It cannot be undone, so it waits for the commit." if self.hold else line
        return f"{cleandoc(doc)}\n\n{line}" if isinstance(doc, str) and doc else line

    def call_again(self, record: Record) -> Callable[[], Any]:
        """What makes the call of a record once more, when the block around it is another one, or there is none."""
        assert self.frame is not None  # noqa: S101 - it was called
        return partial(self.frame, *self.args(record), **self.kwargs(record))

    def bound(self, thing: Any, method: str, retry: Policy | None = None, timeout: float | None = None) -> Handler:
        """What was given to ``rollback``, ``landed`` or ``describe``, bound to the parameters of this action.

        Raises:
            TypeError: if it cannot be the handler, the probe or the description, or there is one already.
        """
        what, known = {
            "rollback": ("rollback handler", self.handler),
            "landed": ("probe", self.probe),
            "describe": ("description", self.description),
        }[method]
        one, other = (getattr(unwrapped(each), "__code__", None) for each in (self.function, function_of(thing)))
        # The second `def` of one name in one place, as the setter of a property is, hides the action.  Not what one
        # `def` has made that was run twice, lambdas, and what is not to be found by its name.
        if isinstance(one, CodeType) and isinstance(other, CodeType) and one is not other and one.co_name != "_":
            there = (one.co_filename, one.co_qualname) == (other.co_filename, other.co_qualname)
            if there and one.co_name.isidentifier():
                raise TypeError(
                    f"the {what} of {self.name} is called {self.name} too, so that this name would no longer mean the "
                    "action; give it a name of its own"
                )
        if known is not None:
            advice = ", or override it in a subclass, like any method" if method == "rollback" else ""
            raise TypeError(
                f"{self.name} already has a {what}, {known.name}; an action has one: call several functions from "
                f"it{advice}"
            )
        return self._bound(thing, f"{self.name}.{method} takes", what, retry, timeout)

    def _bound(
        self, thing: Any, taker: str, kind: str, retry: Policy | None = None, timeout: float | None = None
    ) -> Handler:
        function = function_in(thing, taker)
        what = f"the {kind} {display_name(function)}"
        cls = Description if kind == "description" else Handler
        handler = cls.bound(function, self.parameters, f"{what} of {self.name}", retry=retry, timeout=timeout)
        if handler.is_async and not self.is_async:
            raise TypeError(
                f"{what} is async, but {self.name} is not, and may be called where nothing can be awaited; make "
                f"{self.name} an `async def`, or the {kind.removeprefix('rollback ')} a plain `def`"
            )
        return handler

    def undo_with(self, handler: Handler) -> None:
        """Make `handler` the rollback handler."""
        if isinstance(handler.function, FunctionType):  # other callables may be unhashable, and are no methods
            _handlers.add(handler.function)
        self.handler, self.quick, self.awaits_undo = handler, handler.quick, handler.is_async
        cast("FunctionType", self.frame).__doc__ = self.doc
        self.waits = self.is_async or handler.is_async
        mine, theirs = (
            text_attribute(each, "__qualname__", "").rpartition(".")[0] for each in (self.function, handler.function)
        )
        if mine and mine == theirs and not mine.endswith("<locals>"):  # a method of the same class
            self._overrides = WeakKeyDictionary()
            self._undo_name: str = handler.function.__name__
            self.quick = None if self.is_async else handler.quick and self._undo_by_class

    def describe_by(self, thing: Any) -> None:
        """Make a function the description."""
        made = self.bound(thing, "describe")
        if made.is_async:
            advice = "make it a plain `def` that looks at the arguments only"
            raise TypeError(f"the description {made.name} of {self.name} is async, and nobody awaits it; {advice}")
        self.description = made

    def handler_of(self, record: Record) -> Handler | None:
        """The handler for one call: that of the class of its object, where a subclass has overridden it."""
        handler, overrides = self.handler, self._overrides
        if handler is None or overrides is None:
            return handler
        owner = record[VALUES]
        cls = owner if isinstance(owner, type) else type(owner)
        if cls not in overrides:
            overrides[cls] = self._override(handler, cls)
        return overrides[cls]

    def _override(self, handler: Handler, cls: type) -> Handler:
        name = self._undo_name
        first, *others = [function_of(vars(base)[name]) for base in cls.__mro__ if name in vars(base)] or [None]
        if handler.function not in others or (isinstance(first, FunctionType) and first in _handlers):
            return handler  # not a method of this class, not overridden, or only by the handler of another action
        taker = f"{cls.__qualname__}.{name} undoes {self.name}, so it must be"
        return self._bound(first, taker, "rollback handler", handler.retry, handler.timeout)

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
        named = dict(zip(self.parameters.keyword, record[VALUES + self.parameters.positional :], strict=False))
        return {**named, **record[-1]} if self.parameters.shape.var_keyword else named

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


class _Everywhere:
    """Whether every action refuses to be called outside any block."""

    required = False


def refuse_outside(refused: bool) -> bool:
    """Let every action refuse to be called outside any block, or do so no longer; returns whether they did so far."""
    before, _Everywhere.required = _Everywhere.required, refused
    for each in all_definitions():  # those that are made meanwhile look for themselves
        each.place_outside()
    return before


def _refuse(definition: Definition, /, *args: object, **kwargs: object) -> object:
    if not definition.transaction_required and undoing.get() is not None:
        assert definition.frame is not None  # noqa: S101 - it was called
        return definition.frame.__globals__["plain"](*args, **kwargs)  # a handler may call what undoes by itself
    name = definition.name
    advice = f"call it inside `with transaction() as q:`, in a thread or a pool by `q.run({name}, ...)`"
    raise NoTransaction(name, advice)


def all_definitions() -> list[Definition]:
    """The definitions of all actions that are alive: what a journal finds them by."""
    return [definition for each in _definitions.valuerefs() if (definition := each()) is not None]


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
    # Not what only looks like one, as an action made of it does.
    return attribute.__func__ if issubclass(type(attribute), classmethod | staticmethod) else attribute


def function_in(thing: Any, taker: str, hint: str = "") -> Any:
    """The function in what was given to a decorator; `taker` says which, and `hint` more, if there is none."""
    function = function_of(thing)
    if callable(function) and not is_made_policy(function):
        return function
    if callable(function):
        hint = "; a policy goes by keyword, retry="
    if isinstance(function, property | cached_property | partialmethod | singledispatchmethod):
        hint = "; put the decorator below that"
    elif isinstance(function, str) and taker == "@action takes":
        hint = f"; a name goes by keyword: @action(name={function!r})"
    raise TypeError(f"{taker} a function, not {thing!r}{hint}")


def unawaited_undo(value: object, definition: Definition, handler: Handler | None) -> Exception:
    """What is wrong with a coroutine that the handler of an action has returned, where nobody expects one."""
    function = None if handler is None or definition.is_object else handler.function
    return unawaited(value, function, f"the rollback handler of {definition.name}")
