"""`action`: the decorator that makes a step of a function, and `Action`, the base class of the classic API.

Stands on definitions and on what generated frames call (`core/drivers.py`).  Used by programs.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import WRAPPER_ASSIGNMENTS, partial, update_wrapper
from types import FunctionType, MethodType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    NoReturn,
    ParamSpec,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    overload,
)

from .core.definition import Definition, definition_behind, function_of
from .core.drivers import EXITS
from .core.handler import Handler
from .core.options import checked, define
from .errors import NoTransaction
from .retry import Policy, check_policy, is_made_policy

if TYPE_CHECKING:

    class _Proxy:  # what the type checkers may know of it; an `__init__` here would hide `__new__` from mypy
        __name__: str
        __qualname__: str
        __wrapped__: Any
        _self_definition: Definition

    def _initialize(proxy: object, wrapped: object) -> None: ...

else:
    from wrapt import CallableObjectProxy as _Proxy

    _initialize = _Proxy.__init__

# Without its extension module, `wrapt` calls what `__wrapped__` says, which is the undecorated function.
_PURE = isinstance(vars(_Proxy).get("__call__"), FunctionType)

__all__ = ["Action", "action"]

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
P2 = ParamSpec("P2")
R2 = TypeVar("R2")
T = TypeVar("T")
H = TypeVar("H", bound=Callable[..., object])


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


_Action: TypeAlias = Action
_MISSING: Any = object()


class _Options(TypedDict, total=False):
    retry: Policy | None
    irreversible: bool
    read_only: bool
    transaction_required: bool
    name: str | None
    aliases: tuple[str, ...]


class _Anything:
    """Private, so that only a parameter that takes any object takes it."""


class action(_Proxy, Generic[P, R]):  # noqa: N801 - a decorator, like `property`
    """Make a step of a function: inside a block, calling it is recorded, and undone if the block fails.

    The decorated function runs at once and returns what it returns.  Outside any block it is the plain function::

        @action
        def create_user(db, email): ...

        @create_user.rollback
        def delete_user(db, result): ...

    It works on functions and methods, on class methods and static methods in either order of decorators, and on any
    other callable.

    Args:
        retry: a `Retry`, or any ``(attempt, error) -> seconds | None``, that says when a failed step is made again;
            outside any block, where there are no steps, it is not asked.
        irreversible: it cannot be undone; a rollback that has to leave it says so, and lists it in ``q.report.left``.
        read_only: it changes nothing, so there is nothing to undo.
        transaction_required: raise `NoTransaction` when it is called outside any block.
        timeout: seconds after which an attempt of an async action is given up with `TimeoutError`.  What it has done by
            then is unknown, so its handler is called.
        name: what it is called in messages and in a journal, where it is ``module:qualname`` otherwise.
        aliases: the names under which it was recorded in a journal before it was renamed.

    Raises:
        TypeError: for a function or options that cannot work, when it is decorated.
    """

    __module__ = "actionqueues"
    Action: TypeAlias = _Action
    _ready = False  # until the proxy has been set up

    @overload
    def __new__(cls, fn: Callable[P, R], /) -> action[P, R]: ...
    @overload
    def __new__(cls, /, *, timeout: None = ..., **options: Unpack[_Options]) -> _Decorator: ...
    @overload
    def __new__(cls, /, *, timeout: float, **options: Unpack[_Options]) -> _AsyncDecorator: ...
    def __new__(cls, fn: Any = _MISSING, /, **options: Any) -> Any:
        if fn is _MISSING:
            return partial(cls, **checked(**options))
        options = checked(**options)
        required = options.pop("transaction_required")
        kind = next((kind for kind in (classmethod, staticmethod) if isinstance(fn, kind)), None)
        definition = define(function_of(fn), **options)
        outside = partial(_refuse, definition.name) if required else definition.function
        call: Any = definition.generate(outside, EXITS)
        update_wrapper(call, definition.function)
        call.__actionqueues__ = definition
        # A class for each action, since `__get__` is on the way of each call of a method, and reading attributes of a
        # proxy costs more than all the rest of it.
        namespace: dict[str, Any] = {"__slots__": (), "__module__": cls.__module__, "__actionqueues__": definition}
        namespace["__doc__"] = property(lambda _self: definition.function.__doc__)
        namespace["__get__"] = _getter(call, kind, definition.is_async)
        if _PURE:
            namespace["__call__"] = _caller(call)
        own: Any = type("action", (cls,), namespace)
        made: Any = super().__new__(own)
        made._self_definition = definition
        _initialize(made, call)
        own._ready = True
        return made

    if not TYPE_CHECKING:  # see `_Proxy`

        def __init__(self, fn, /, **options):
            pass  # `__new__` has done it

        def __init_subclass__(cls, **options):
            if "__actionqueues__" not in vars(cls):
                raise TypeError(
                    f"class {cls.__name__}(action): action is a decorator; the base class of the classic API is "
                    "action.Action, or actionqueues.Action"
                )
            super().__init_subclass__(**options)

    if TYPE_CHECKING:

        def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R: ...

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
        raise AssertionError  # pragma: no cover - `_getter` makes one for each action

    @overload
    def rollback(self, handler: H, /) -> H: ...
    @overload
    def rollback(self, /, *, retry: Policy | None) -> Callable[[H], H]: ...
    def rollback(self, handler: Any = _MISSING, /, *, retry: Any = _MISSING) -> Any:
        """Make a function the rollback handler of this action, and return it unchanged.

        The names of its parameters say what it is given: any parameter of the action, ``result``, ``error``, ``step``,
        ``cause`` (why the rollback runs), or the rest of the call's own arguments as ``*args`` and ``**kwargs``.  One
        that needs ``result``, and gives it no default, is not called for a step that has none because it failed.

        A handler that is a method of the same class can be overridden in a subclass like any method.

        Args:
            handler: the function.
            retry: when a failed undo is tried again.

        Raises:
            TypeError: if it asks for something that cannot be supplied, is async while the action is not, or is the
                second one of this action; or if none is given.
        """
        definition = self._self_definition
        if handler is _MISSING and retry is _MISSING:
            raise TypeError(
                f"{definition.name}.rollback() was given no function: it declares how to undo, as "
                f"@{definition.name}.rollback over that; what undoes is a block that fails, or q.rollback()"
            )
        retry = None if retry is _MISSING else retry
        if handler is _MISSING:
            return partial(self.rollback, retry=retry)
        function = function_of(handler)
        if not callable(function) or is_made_policy(function):
            hint = "; a policy goes by keyword, retry=" if callable(function) else ""
            raise TypeError(f"{definition.name}.rollback takes a function, not {function!r}{hint}")
        definition.refuse_name(function, "rollback handler")
        if definition.handler is not None:
            raise TypeError(
                f"{definition.name} already has a rollback handler, {definition.handler.name}; an action has one: call "
                "several functions from it, or, in a subclass, override the method "
                f"{getattr(definition.handler.function, '__name__', definition.handler.name)!r}"
            )
        if definition.irreversible:
            raise TypeError(f"{definition.name} is declared irreversible=True, so it can have no rollback handler")
        if definition.read_only:
            raise TypeError(f"{definition.name} is declared read_only=True, so it has nothing to undo")
        policy = None if retry is None else check_policy(retry, f"{definition.name}.rollback(retry=...)")
        definition.undo_with(Handler.bound(function, definition.parameters, definition.name, retry=policy))
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
        function = function_of(probe)
        if not callable(function):
            raise TypeError(f"{definition.name}.landed takes a function, not {probe!r}")
        definition.refuse_name(function, "probe")
        if definition.probe is not None:
            raise TypeError(f"{definition.name} already has a probe, {definition.probe.name}")
        made = Handler.bound(function, definition.parameters, definition.name)
        if made.needs_result:
            raise TypeError(f"the probe {made.name} asks for 'result', which is what it is asked to find out")
        definition.check_async(made)
        definition.probe = made
        return probe

    if not TYPE_CHECKING:  # pragma: no branch - always so when it runs
        # What the proxy shows is the user's function; what it calls is the generated frame.

        @property
        def __wrapped__(self):
            return self._self_definition.function

        @__wrapped__.setter
        def __wrapped__(self, value):
            if type(self)._ready:
                raise AttributeError(f"cannot change what {self!r} wraps; decorate the other function")

        @property
        def __class__(self):
            return type(self._self_definition.function)

        @property
        def __dict__(self):
            return self._self_definition.function.__dict__

        @property
        def __annotations__(self):
            return self._self_definition.function.__annotations__

        def __getattr__(self, name):
            return getattr(self._self_definition.function, name)

        def __setattr__(self, name, value):
            if name.startswith("_self_"):
                super().__setattr__(name, value)
                return
            if name == "rollback":
                advice = f"{self.__name__}.rollback(handler)"
                raise AttributeError(f"{self!r} takes its rollback handler by a call: {advice}")
            setattr(self._self_definition.function, name, value)
            if name in WRAPPER_ASSIGNMENTS:  # the proxy shows those of what it calls
                setattr(self._self_definition.frame, name, value)

        def __delattr__(self, name):
            delattr(self._self_definition.function, name)

        def __dir__(self):
            return [*dir(self._self_definition.function), "landed", "rollback"]

    def __eq__(self, other: object) -> bool:
        mine = self._self_definition
        theirs = definition_behind(other)
        return bool(mine.function == (other if theirs is None else theirs.function))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self._self_definition.function)

    def __copy__(self) -> action[P, R]:
        return self

    def __deepcopy__(self, memo: object) -> action[P, R]:
        return self

    def __reduce_ex__(self, protocol: object) -> str:
        name = getattr(self._self_definition.function, "__qualname__", None)
        if name is None:
            raise TypeError(f"cannot pickle {self!r}: only a function is pickled, by its qualified name")
        return str(name)

    def __repr__(self) -> str:
        definition = self._self_definition
        kind = "async action" if definition.is_async else "action"
        return f"<{kind} {definition.name}({definition.parameters}), {definition.undo}>"

    __str__ = __repr__


if TYPE_CHECKING:

    class _Decorator(action[..., Any]):  # a subclass, so that mypy takes it for what `__new__` may return
        def __call__(self, fn: Callable[P2, R2], /) -> action[P2, R2]: ...

    class _AsyncDecorator(action[..., Any]):  # a sync function cannot have a time-out
        def __call__(self, fn: Callable[P2, Coroutine[Any, Any, R2]], /) -> action[P2, Coroutine[Any, Any, R2]]: ...


def _caller(call: Callable[..., Any]) -> Callable[..., Any]:
    """The `__call__` of an action where the proxy's own would call the wrong function."""

    def __call__(_self: object, /, *args: Any, **kwargs: Any) -> Any:  # noqa: N807 - it becomes a method
        return call(*args, **kwargs)

    return __call__


def _getter(call: Callable[..., Any], kind: type | None, is_async: bool) -> Callable[..., Any]:
    """The `__get__` of an action: bound methods are those of its generated frame.

    Those of an async one are bound to the action itself, which `inspect.iscoroutinefunction` knows to be async.
    """

    def get(self: object, instance: object, _owner: object = None) -> object:
        return self if instance is None else MethodType(call, instance)

    def get_async(self: Any, instance: object, _owner: object = None) -> object:
        return self if instance is None else MethodType(self, instance)

    def get_class(_self: object, instance: object, owner: object = None) -> object:
        return MethodType(call, type(instance) if owner is None else owner)

    def get_static(self: object, _instance: object, _owner: object = None) -> object:
        return self

    if kind is not None:
        return get_static if kind is staticmethod else get_class
    return get_async if is_async else get


def _refuse(name: str, *_args: object, **_kwargs: object) -> NoReturn:
    raise NoTransaction(name)
