"""`@transaction` over a function: a fresh block for each call, and another call if the policy wants it.

Stands on drivers and policies.  Used by `transaction()`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import wrapt

from actionqueues.errors import TransactionDoomed
from actionqueues.retry import Policy, is_made_policy

from .attempts import Attempts
from .definition import function_of
from .drivers import pause, pause_async
from .signature import display_name, is_async, lazy_kind
from .states import TransactionState
from .text import add_note

__all__ = ["in_transaction"]

F = TypeVar("F", bound=Callable[..., object])


def in_transaction(function: F, fresh: Callable[[], Any], policy: Policy | None) -> F:
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

    def named() -> Any:
        made = fresh()
        if "name" not in vars(made._block):
            made._block.name = display_name(plain)
        return made

    def call(wrapped: Callable[..., Any], _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        attempts = None if policy is None else Attempts(policy)
        while True:
            block = named()
            try:
                with block:
                    return wrapped(*args, **kwargs)
            except BaseException as error:
                if attempts is None or not _undone(block, error) or not attempts.another(error):
                    raise
            pause(attempts.wait)

    async def call_async(
        wrapped: Callable[..., Any], _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        attempts = None if policy is None else Attempts(policy)
        while True:
            block = named()
            try:
                async with block:
                    return await wrapped(*args, **kwargs)
            except BaseException as error:
                if attempts is None or not _undone(block, error) or not attempts.another(error):
                    raise
            await pause_async(attempts.wait)

    return cast("F", _Decorated(function, call_async if is_async(plain) else call))


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


def _undone(block: Any, error: BaseException) -> bool:
    """Whether it has been undone completely: only then may it be done again."""
    left = [step.name for step in block.report.left]
    if left:
        add_note(error, f"not called again, because something was left behind: {', '.join(left)}")
    return block.state is TransactionState.ROLLED_BACK and not left and not isinstance(error, TransactionDoomed)
