"""`@transaction` over a function: a fresh block for each call, and another call if the policy wants it.

Stands on drivers and policies.  Used by `transaction()`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import wrapt

from .core.attempts import Attempts
from .core.definition import function_in
from .core.drivers import pause, pause_async
from .core.signature import display_name, is_async, refuse_lazy
from .core.states import TransactionState
from .core.text import add_note
from .errors import TransactionDoomed
from .retry import Policy

__all__ = ["in_transaction"]

F = TypeVar("F", bound=Callable[..., object])
_Arguments = tuple[Any, ...]


def in_transaction(function: F, fresh: Callable[[], Any], policy: Policy | None) -> F:
    """`function` with a block of its own around each call.

    Raises:
        TypeError: if `function` is none, or its body would run after the block, as that of a generator function.
    """
    plain = function_in(function, "transaction() takes a name, or")
    name = display_name(plain)
    refuse_lazy(plain, name, "open the block inside it")

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
                    return wrapped(*args, **kwargs)
            except BaseException as error:
                if attempts is None or not _undone(block, error) or not attempts.another(error):
                    raise
            pause(attempts.wait)

    async def call_async(wrapped: Callable[..., Any], _instance: Any, args: _Arguments, kwargs: dict[str, Any]) -> Any:
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


class _Decorated(wrapt.FunctionWrapper):  # type: ignore[type-arg]  # pyright: ignore[reportMissingTypeArgument]
    """Pickled and copied like the function: by its qualified name."""

    def __reduce_ex__(self, protocol: object) -> str:
        return str(self.__qualname__)

    def __deepcopy__(self, memo: object = None) -> _Decorated:
        return self

    __copy__ = __deepcopy__


def _undone(block: Any, error: BaseException) -> bool:
    """Whether it has been undone completely: only then may it be done again."""
    left = [step.name for step in block.report.left]
    if left:
        add_note(error, f"not called again, because something was left behind: {', '.join(left)}")
    return block.state is TransactionState.ROLLED_BACK and not left and not isinstance(error, TransactionDoomed)
