"""`@transaction` over a function: a fresh block for each call, and another call if the policy wants it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import wrapt

from .attempts import Attempts
from .definition import function_of
from .drivers import pause, pause_async
from .errors import TransactionDoomed
from .retry import Policy, is_made_policy
from .signature import display_name, is_async, lazy_kind
from .states import TransactionState
from .telling import add_note

if TYPE_CHECKING:
    from .shells import Transaction

__all__ = ["in_transaction"]

F = TypeVar("F", bound=Callable[..., object])


def in_transaction(function: F, fresh: Callable[[], Transaction], policy: Policy | None) -> F:
    """`function` with a block of its own around each call.

    Raises:
        TypeError: if `function` is none, or a generator function, or a context manager, whose bodies would run after
            the block.
    """
    plain = function_of(function)
    if not callable(plain) or is_made_policy(plain):
        hint = "; a policy goes by keyword, retry=" if callable(plain) else ""
        raise TypeError(f"transaction() takes a name, or a function to decorate, not {function!r}{hint}")
    lazy = lazy_kind(plain)
    if lazy is not None:
        raise TypeError(
            f"@transaction cannot decorate the {lazy} {display_name(plain)}: its body would run after the block has "
            "ended; open the block inside it"
        )

    def named() -> Transaction:
        block = fresh()
        if "name" not in vars(block):
            block.name = display_name(plain)
        return block

    if is_async(plain):
        return _decorate_async(function, named, policy)

    def wrapper(wrapped: Callable[..., Any], _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        attempts = None if policy is None else Attempts(policy)
        while True:
            block = named()
            try:
                with block:
                    return wrapped(*args, **kwargs)
            except BaseException as error:
                block._recover(error)  # if an interrupt has come between here and there
                if attempts is None or not _undone(block, error) or not attempts.another(error):
                    raise
            pause(attempts.wait)

    return cast("F", _Decorated(function, wrapper))


if TYPE_CHECKING:
    _FunctionWrapper = wrapt.FunctionWrapper[..., Any]
else:
    _FunctionWrapper = wrapt.FunctionWrapper  # subscriptable only in later versions


class _Decorated(_FunctionWrapper):
    """Pickled and copied like the function: by its qualified name."""

    def __reduce_ex__(self, protocol: object) -> str:
        return str(self.__qualname__)

    def __copy__(self) -> _Decorated:
        return self

    def __deepcopy__(self, memo: object) -> _Decorated:
        return self


def _decorate_async(function: F, fresh: Callable[[], Transaction], policy: Policy | None) -> F:
    async def call(wrapped: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        attempts = None if policy is None else Attempts(policy)
        while True:
            block = fresh()
            try:
                async with block:
                    return await wrapped(*args, **kwargs)
            except BaseException as error:
                opened: Any = block  # an async one, since it has been entered
                if block.state is not TransactionState.NEW:
                    await opened._recover(error)  # if an interrupt has come between here and there
                if attempts is None or not _undone(block, error) or not attempts.another(error):
                    raise
            await pause_async(attempts.wait)

    def wrapper(wrapped: Callable[..., Any], _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return call(wrapped, args, kwargs)

    return cast("F", _Decorated(function, wrapper))


def _undone(block: Transaction, error: BaseException) -> bool:
    """Whether it has been undone completely: only then may it be done again."""
    if block.state is not TransactionState.ROLLED_BACK or isinstance(error, TransactionDoomed):
        return False
    left = [step.name for step in block.report.not_undone if step.definition.irreversible]
    if left:
        add_note(error, f"not called again, because {', '.join(left)} is irreversible and has been done")
    return not left
