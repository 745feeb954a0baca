"""`@transaction` over a function: a fresh block for each call, and another call if the policy wants it.

Stands on drivers and policies.  Used by `transaction()`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

import wrapt

from .core.attempts import Attempts
from .core.definition import function_in
from .core.drivers import pause, pause_async
from .core.signature import display_name, is_async, refuse_lazy, unawaited
from .core.states import TransactionState
from .core.telling import NOT_AGAIN, left_something
from .errors import TransactionDoomed
from .retry import Policy

if TYPE_CHECKING:
    _Static = staticmethod[..., Any]
else:
    _Static = staticmethod

__all__ = ["NotCalled", "in_transaction", "refuse_in_a_block"]

F = TypeVar("F", bound=Callable[..., object])
_Arguments = tuple[Any, ...]
_NOTHING_OVERLAPS = "transaction(undo_concurrently=True) needs {}: nothing overlaps in {}; {}, or leave the option out"
_ROLLED_BACK = (TransactionState.ROLLED_BACK, TransactionState.ROLLED_BACK_WITH_FAILURES)


def refuse_in_a_block(block: Any, *, awaits: bool) -> None:
    """Refuse options of a transaction that cannot be kept where it is entered."""
    if block.retry is not None:
        raise TypeError(
            "transaction(retry=...) is for decorating a function, which can be called again; a block cannot: put "
            "its lines into a function, or give the policy to the actions"
        )
    if block.clock is not None and not awaits:
        raise TypeError(_NOTHING_OVERLAPS.format("`async with`", "a `with` block", "enter it by that"))


def in_transaction(function: F, fresh: Callable[[], Any], policy: Policy | None, *, concurrently: bool = False) -> F:
    """`function` with a block of its own around each call.

    Raises:
        TypeError: if `function` is none, or its body would run after the block, as that of a generator function; or if
            undos are to run `concurrently`, and it is not async.
    """
    plain = function_in(function, "transaction() takes a name, or")
    name = display_name(plain)
    refuse_lazy(plain, name, "open the block inside it")
    if concurrently and not is_async(plain):
        raise TypeError(_NOTHING_OVERLAPS.format("an `async def`", f"the sync function {name}", "make it one"))

    def named() -> Any:
        made = fresh()
        if "name" not in vars(made._block):
            made._block.name = name
        return made

    def call(wrapped: Callable[..., Any], _instance: Any, args: _Arguments, kwargs: dict[str, Any]) -> Any:
        attempts = None if policy is None else Attempts(policy)
        while True:
            block = named()
            try:
                with block:
                    result: Any = wrapped(*args, **kwargs)
                    if type(result) is CoroutineType:
                        raise unawaited(result, plain, name)
                    return result
            except BaseException as error:
                if attempts is None:
                    raise
                if not _again(block, error, attempts):
                    attempts.raise_instead()
                    raise
            pause(attempts.wait)

    async def call_async(wrapped: Callable[..., Any], _instance: Any, args: _Arguments, kwargs: dict[str, Any]) -> Any:
        attempts = None if policy is None else Attempts(policy)
        while True:
            block = named()
            try:
                async with block:
                    result = await wrapped(*args, **kwargs)
                    if type(result) is CoroutineType:
                        raise unawaited(result, plain, name)
                    return result
            except BaseException as error:
                if attempts is None:
                    raise
                if not _again(block, error, attempts):
                    attempts.raise_instead()
                    raise
            await pause_async(attempts.wait)

    return cast("F", _Decorated(function, call_async if is_async(plain) else call))


class _Decorated(wrapt.FunctionWrapper):  # type: ignore[type-arg] # pyright: ignore[reportMissingTypeArgument] - it has none when it runs
    """Pickled and copied like the function: by its qualified name."""

    def __reduce_ex__(self, protocol: object) -> str:
        return str(self.__qualname__)

    def __deepcopy__(self, memo: object = None) -> _Decorated:
        return self

    __copy__ = __deepcopy__


class NotCalled(_Static):
    """The function `transaction`, which is no block, and says so where it is entered as one.

    A static method, since a call of one goes through C alone: a `__call__` in Python would cost another frame.
    """

    def __enter__(self) -> NoReturn:
        raise TypeError("`with transaction` enters no block: call it, `with transaction() as q:`")

    def __exit__(self, *_: object) -> NoReturn:
        raise AssertionError  # pragma: no cover - it has never been entered

    def __aenter__(self) -> NoReturn:
        raise TypeError("`async with transaction` enters no block: call it, `async with transaction() as q:`")

    __aexit__ = __exit__

    def __reduce__(self) -> str:
        return self.__func__.__name__

    def __repr__(self) -> str:
        return repr(self.__func__)


def _again(block: Any, error: BaseException, attempts: Attempts) -> bool:
    """Whether the call is to be made again: the policy wants it, and everything that the last one did is undone."""
    if block.state not in _ROLLED_BACK or not attempts.another(error):
        return False
    if left_something(block.report, block._block.rollback):
        attempts.give_up(error, NOT_AGAIN)
        return False
    return block.state is TransactionState.ROLLED_BACK and not isinstance(error, TransactionDoomed)
