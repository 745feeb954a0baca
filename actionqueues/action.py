"""`action`: the decorator that makes a step of a function, and `Action`, the base class of the classic API.

Stands on definitions and on what generated frames call (`core/exits.py`).  Used by programs.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from types import FunctionType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    overload,
)

from .core.binding import NoAction, become_method, getter
from .core.declaring import checked_options, definition_with
from .core.definition import Definition, function_in
from .core.exits import EXITS
from .core.handler import in_line
from .core.options import check_seconds, known_options
from .core.signature import text_attribute
from .hooks import held
from .retry import Policy, check_policy, refuse_on_result

if TYPE_CHECKING:

    class _Proxy:  # what the type checkers may know of it; an `__init__` here would hide `__new__` from mypy
        __name__: str
        __qualname__: str
        __wrapped__: Any
        _self_definition: Definition

else:
    from wrapt import CallableObjectProxy as _Proxy

__all__ = ["Action", "action"]

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
P2 = ParamSpec("P2")
R2 = TypeVar("R2")
T = TypeVar("T")
H = TypeVar("H", bound=Callable[..., object])
A = TypeVar("A", bound=Callable[..., Coroutine[Any, Any, object]])


class Action:
    """A step as an object, for the explicit `ActionQueue`.

    Any object with these two methods will do; the base class is a convenience.  State that `rollback` needs is kept on
    the object.
    """

    __module__ = "actionqueues"

    def execute(self) -> None:
        """Do it; raise `ActionRetryException` to be called again, and any other exception to stop the queue."""

    def rollback(self) -> None:
        """Undo it, when a later action fails, or `execute` itself has raised: then find out how far that came."""


_Action = Action
_proxy: Any = _Proxy.__new__
_wrap: Any = _Proxy.__init__
_MISSING: Any = object()


class _Options(TypedDict, total=False):
    retry: Policy | None
    irreversible: bool
    read_only: bool
    transaction_required: bool
    name: str | None
    aliases: tuple[str, ...]
    undo: Callable[..., object] | None


class _Anything:
    """Private, so that only a parameter that takes any object takes it."""


class action(_Proxy, Generic[P, R]):  # noqa: N801 - a decorator, like `property`
    """Make a step of a function: inside a block, calling it is recorded, and undone if the block fails.

    The decorated function runs at once and returns what it returns.  Outside any block it is the plain function::

        @action
        def create_user(db, email): ...

        @create_user.rollback
        def delete_user(db, result): ...

    What exists already becomes one in line: ``action(os.mkdir, undo=os.rmdir)(path)``.  That undo is called like any
    other when the step has failed, so if the directory was there before, it is removed; one that asks for the `result`
    is not: ``undo=lambda path, result: os.rmdir(path)``.

    It works on functions and methods, on class methods and static methods in either order of decorators, and on any
    other callable that is no class.

    Args:
        retry: a `Retry`, or any ``(attempt, error) -> seconds | None``, that says when a failed step is made again;
            outside any block, where there are no steps, it is not asked.
        irreversible: it cannot be undone; a rollback that has to leave it says so, and lists it in ``q.report.left``.
        read_only: it changes nothing, so there is nothing to undo.
        when: ``"commit"``, of an irreversible one: a call in a block returns None, and its body runs as a commit hook
            does, or not at all if the block, or what makes the call, is undone.  A journal records it as it does a
            `durable` hook.  Outside any block it runs at once.
        transaction_required: raise `NoTransaction` when it is called outside any block; for all actions of a program
            there is `require_transactions`.
        timeout: seconds after which an attempt of an async action is given up with `TimeoutError`.  What it has done by
            then is unknown, so its handler is called.
        name: what it is called in messages and in a journal, where it is ``module:qualname`` otherwise.
        aliases: the names under which it was recorded in a journal before it was renamed.
        undo: its rollback handler, as `rollback` takes it.

    Raises:
        TypeError: for a function or options that cannot work, when it is decorated.
    """

    __module__ = "actionqueues"
    Action: TypeAlias = _Action

    @overload
    def __new__(cls, fn: Callable[P, R], /, *, timeout: None = ..., **options: Unpack[_Options]) -> action[P, R]: ...
    @overload
    def __new__(
        cls,
        /,
        *,
        irreversible: Literal[True],
        when: Literal["commit"],
        transaction_required: bool = ...,
        name: str | None = ...,
        aliases: tuple[str, ...] = ...,
    ) -> _HeldDecorator: ...
    @overload
    def __new__(cls, /, *, timeout: None = ..., **options: Unpack[_Options]) -> _Decorator: ...
    @overload
    def __new__(cls, /, *, timeout: float, **options: Unpack[_Options]) -> _AsyncDecorator: ...
    def __new__(cls, fn: Any = _MISSING, /, **options: Any) -> Any:
        options = checked_options(options)
        if fn is _MISSING:
            return partial(cls, **options)
        undo = options.pop("undo")
        definition = definition_with(
            function_in(fn, "@action takes", "; options go by keyword: @action(retry=...)"), held, **options
        )
        function = definition.function
        if type(function) is FunctionType and isinstance(vars(function).get("rollback", NoAction("")), NoAction):
            function.__dict__["rollback"] = NoAction(definition.name)  # whatever copies its attributes is no action
        definition.generate(EXITS)
        made = _showing(fn, cls, definition)
        if undo is not None:
            made.rollback(in_line(undo, definition.parameters))
        return made

    if TYPE_CHECKING:

        def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R: ...

    else:  # see `_Proxy`

        def __init__(self, /, *_args, **_options):
            """Nothing: `__new__` has done it."""

        def __init_subclass__(cls, **options):
            if "__actionqueues__" not in vars(cls):
                raise TypeError(
                    f"class {cls.__name__}(action): action is a decorator; the base class of the classic API is "
                    "action.Action, or actionqueues.Action"
                )
            super().__init_subclass__(**options)

        @property
        def __annotations__(self):  # those of this class would be found first
            return self._self_definition.function.__annotations__

        def __setattr__(self, name, value):
            if name.startswith("_self_"):
                super().__setattr__(name, value)
                return
            if name == "rollback":
                advice = f"{self.__name__}.rollback(handler)"
                raise AttributeError(f"{self!r} takes its rollback handler by a call: {advice}")
            self._self_definition.show(name, value)
            if self.__wrapped__ is not self._self_definition.function:  # a class method, or a static one
                setattr(self.__wrapped__, name, value)

        def __delattr__(self, name):
            self._self_definition.hide(name)
            if self.__wrapped__ is not self._self_definition.function:
                delattr(self.__wrapped__, name)

        def __set_name__(self, owner, name):
            definition = self._self_definition
            function = definition.function
            if self.__wrapped__ is function:
                become_method(definition, owner, name)
            base = next((vars(cls)[name] for cls in owner.__mro__[1:] if name in vars(cls)), None)
            if isinstance(function, FunctionType) and function.__doc__ is None and isinstance(base, action):
                definition.show("__doc__", base._self_definition.function.__doc__)  # or help() finds how that is undone

        def _ipython_display_(self):  # whose printer would take it for a function
            print(repr(self))  # noqa: T201 - what IPython asks for

        def __dir__(self):
            return [*dir(self._self_definition.function), "describe", "landed", "rollback"]

    # `self` is a Callable here and not action[Concatenate[...], R2], since mypy solves T from the former only.  The
    # order matters.  First, a static method whose first parameter takes anything.
    @overload
    def __get__(  # type: ignore[misc] # mypy wants `self` to be an action
        self: Callable[Concatenate[_Anything, ...], object], instance: object, owner: type[Any], /
    ) -> action[P, R]: ...
    # A class method, through the class or an instance.
    @overload
    def __get__(  # type: ignore[misc] # mypy wants `self` to be an action here too
        self: Callable[Concatenate[type[T], P2], R2], instance: object, owner: type[T], /
    ) -> Callable[P2, R2]: ...
    # Anything through the class: the action itself.
    @overload
    def __get__(self, instance: None, owner: type[Any], /) -> action[P, R]: ...
    # A method.
    @overload
    def __get__(self: Callable[Concatenate[T, P2], R2], instance: T, owner: type[Any], /) -> Callable[P2, R2]: ...
    # A static method through an instance: the action itself.
    @overload
    def __get__(self, instance: object, owner: type[Any], /) -> action[P, R]: ...
    def __get__(self, instance: Any, owner: Any = None, /) -> Any:
        raise AssertionError  # pragma: no cover - for type checkers: each action has its own, from `getter`

    @overload
    def rollback(self, handler: H, /) -> H: ...
    @overload
    def rollback(self, /, *, retry: Policy | None, undo_timeout: None = ...) -> Callable[[H], H]: ...
    @overload
    def rollback(self, /, *, retry: Policy | None = ..., undo_timeout: float) -> Callable[[A], A]: ...
    @known_options("rollback()")
    def rollback(self, handler: Any = _MISSING, /, *, retry: Any = _MISSING, undo_timeout: Any = _MISSING) -> Any:
        """Make a function the rollback handler of this action, and return it unchanged.

        The names of its parameters say what it is given: any parameter of the action, ``result``, ``error``, ``step``,
        ``cause`` (why the rollback runs), or the rest of the call's own arguments as ``*args`` and ``**kwargs``.  One
        that needs ``result``, and gives it no default, is not called for a step that has none because it failed.

        A handler that is a method of the same class can be overridden in a subclass like any method.

        Args:
            handler: the function.
            retry: when a failed undo is tried again.
            undo_timeout: seconds after which an attempt of an async handler is given up: it has failed then, with
                `TimeoutError`, and is tried again if `retry` wants it; it is cancelled, and if it returns nevertheless,
                it has undone the step.  What overrides it in a subclass has the same, if that is async.

        Raises:
            TypeError: if it asks for something that cannot be supplied, is async while the action is not, or is the
                second one of this action; if it has a time-out and is not async; or if none is given.
            ValueError: if the time-out is no number of seconds above 0.
        """
        definition = self._self_definition
        if handler is _MISSING:
            if retry is not _MISSING or undo_timeout is not _MISSING:
                return partial(self.rollback, retry=retry, undo_timeout=undo_timeout)
            raise TypeError(
                f"{definition.name}.rollback() was given no function: it declares how to undo, as "
                f"@{definition.name}.rollback over that; what undoes is a block that fails, or q.rollback()"
            )
        if definition.irreversible or definition.read_only:
            option = "irreversible" if definition.irreversible else "read_only"
            raise TypeError(f"{definition.name} is declared {option}=True, so it can have no rollback handler")
        retry = None if retry is _MISSING else retry
        if retry is not None:
            where = f"{definition.name}.rollback(retry=...)"
            refuse_on_result(check_policy(retry, where), where, "what undoes tells by an exception that it has not")
        timeout = None if undo_timeout is _MISSING else undo_timeout
        check_seconds(timeout, f"{definition.name}.rollback(undo_timeout=...)")
        made = definition.bound(handler, "rollback", retry, timeout)
        if timeout is not None and not made.is_async:
            raise TypeError(
                f"{definition.name}.rollback(undo_timeout=...) needs an `async def`: nothing can stop the sync handler "
                f"{made.name}; give a time-out to what it calls"
            )
        definition.undo_with(made)
        return handler

    def landed(self, probe: H, /) -> H:
        """Make a function the probe of this action, and return it unchanged.

        A rollback asks it "did it happen?" about a step whose outcome is unknown, because the process died in it or
        it was given up after its time-out.  It is given what a rollback handler can ask for, except `result`; it
        returns what the step would have returned, or raises `NotLanded`.

        Raises:
            TypeError: as for `rollback`.
        """
        definition = self._self_definition
        made = definition.bound(probe, "landed")
        if made.needs_result:
            raise TypeError(f"the probe {made.name} asks for 'result', which is what it is asked to find out")
        definition.probe = made
        return probe

    def describe(self, description: H, /) -> H:
        """Make a function say in words what a call of this action would do, for ``q.plan()``; return it unchanged.

        It is given the arguments of the call by the names of its parameters, as a rollback handler is, and returns a
        text.  Where an argument is a step that has not run, or is kept out of the journal, it is given a stand-in that
        is shown as such, in f-strings too.  What it raises is told in the plan, and harms nothing.

        Raises:
            TypeError: if it asks for something that cannot be supplied, is async, or is the second one of this action.

        ```python
        from actionqueues import action

        @action
        def grow(volume, gigabytes): ...

        @grow.describe
        def what_grows(volume, gigabytes):
            return f"add {gigabytes} GB to {volume}"
        ```
        """
        self._self_definition.describe_by(description)
        return description

    def __deepcopy__(self, memo: object = None) -> action[P, R]:
        return self

    __copy__ = __deepcopy__

    def __reduce_ex__(self, protocol: object) -> str:
        name = text_attribute(self._self_definition.function, "__qualname__", None)
        if name is None:
            raise TypeError(f"cannot pickle {self!r}: only a function is pickled, by its qualified name")
        return name

    def __repr__(self) -> str:
        definition = self._self_definition
        undo = "no rollback handler" if definition.handler is None else f"undone by {definition.handler.name}"
        if definition.irreversible or definition.read_only:
            undo = "irreversible" if definition.irreversible else "read-only"
        return f"<{'async ' * definition.is_async}action {definition.name}({definition.parameters}), {undo}>"

    __str__ = __repr__


if TYPE_CHECKING:

    class _Decorator(action[..., Any]):  # a subclass, so that mypy takes it for what `__new__` may return
        def __call__(self, fn: Callable[P2, R2], /) -> action[P2, R2]: ...

    class _HeldDecorator(action[..., Any]):  # there is no result before the commit
        @overload
        def __call__(
            self, fn: Callable[P2, Coroutine[Any, Any, R2]], /
        ) -> action[P2, Coroutine[Any, Any, R2 | None]]: ...
        @overload
        def __call__(self, fn: Callable[P2, R2], /) -> action[P2, R2 | None]: ...
        def __call__(self, fn: Any, /) -> Any: ...

    class _AsyncDecorator(action[..., Any]):  # a sync function cannot have a time-out
        def __call__(self, fn: Callable[P2, Coroutine[Any, Any, R2]], /) -> action[P2, Coroutine[Any, Any, R2]]: ...


def _showing(shown: object, cls: type, definition: Definition) -> Any:
    """The action of a definition, which shows itself as a function, or as a class method or static method of it."""
    # The proxy shows what was decorated; calling it calls the generated frame.  A class for each action, since
    # `__get__` is on the way of each call of a method, and attributes of a proxy cost more than all the rest of it.
    frame: Any = definition.frame
    namespace: dict[str, Any] = {"__slots__": (), "__module__": cls.__module__, "__actionqueues__": definition}
    namespace["__doc__"] = property(lambda _self: definition.doc)
    namespace["__call__"] = staticmethod(frame)
    kind: type[object] = type(shown)
    # What a static method gives is a function, as the action of that is.
    inner = _showing(definition.function, cls, definition) if isinstance(shown, staticmethod) else None
    namespace["__get__"] = getter(definition, kind, inner)
    made = _proxy(type("action", (cls,), namespace))
    made._self_definition = definition
    _wrap(made, shown)
    return made
