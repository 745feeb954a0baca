"""How an action is bound: as what it decorates would be, a method to its object, and a callable object to none.

Stands on definitions.  Used by `@action`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any, NoReturn

from .definition import Definition


def getter(definition: Definition, kind: type, inner: object) -> Callable[..., object]:
    """The `__get__` of an action of a `kind` of thing: bound methods are those of its generated frame.

    A static method gives what is `inner` to it.

    Those of an async one are bound to the action itself, which `inspect.iscoroutinefunction` knows to be async.
    """
    call: Any = definition.frame
    function: Any = definition.function
    is_async = definition.is_async

    def get(self: object, instance: object, _owner: object = None) -> object:
        return self if instance is None else MethodType(call, instance)

    def get_async(self: Any, instance: object, _owner: object = None) -> object:
        return self if instance is None else MethodType(self, instance)

    def get_class(_self: object, instance: object, owner: object = None) -> object:
        return MethodType(call, type(instance) if owner is None else owner)

    def get_unbound(self: object, _instance: object, _owner: object = None) -> object:
        return self

    def get_other(self: Any, instance: object, owner: object = None) -> object:
        if instance is None or function.__get__(instance, owner) is function:  # as of a method that is bound already
            return self
        return MethodType(self if is_async else call, instance)

    def get_static(_self: object, _instance: object, _owner: object = None) -> object:
        return inner

    if issubclass(kind, classmethod | staticmethod):
        return get_class if issubclass(kind, classmethod) else get_static
    if type(function) is FunctionType:
        return get_async if is_async else get
    return get_other if hasattr(type(function), "__get__") else get_unbound


def become_method(definition: Definition, owner: type, name: str) -> None:
    """It stands in the body of a class: what binds in a way of its own, such as a decorator of wrapt's, is to do so."""
    function: Any = definition.function
    cls: type = type(function)
    if hasattr(cls, "__set_name__"):
        function.__set_name__(owner, name)
    if cls is FunctionType or not hasattr(cls, "__get__"):
        return

    definition.owners = (owner, *definition.owners)

    def body(*args: Any, **kwargs: Any) -> Any:
        if not (args and isinstance(args[0], definition.owners)):
            return function.__get__(None, owner)(*args, **kwargs)
        bound = function.__get__(args[0], next(each for each in definition.owners if isinstance(args[0], each)))
        return function(*args, **kwargs) if bound is function else bound(*args[1:], **kwargs)

    async def body_async(*args: Any, **kwargs: Any) -> Any:
        return await body(*args, **kwargs)

    definition.run_in_frames(body_async if definition.is_async else body)


@dataclass(frozen=True)
class NoAction:
    """Stands as ``rollback`` in the attributes of a function that an action is made of, which its wrappers copy."""

    name: str

    def __call__(self, *_args: object, **_options: object) -> NoReturn:
        raise TypeError(
            f"this is not the action {self.name}, but what another decorator has made of it, a bound method, or the "
            "plain function under it; put @action above that decorator, or say which action: "
            f"@{self.name}.__wrapped__.rollback"
        )
