"""`on_commit`: a commit hook of code that has no ``q``.

Stands on blocks and their shells.  Used by programs.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutine
from typing import Any, ParamSpec, TypeVar

from .core.block import Block
from .core.definition import Definition
from .core.hooks import Held, calling
from .core.log import surrounding_log
from .core.queue import check_arguments
from .core.signature import display_name, is_async
from .errors import NoTransaction
from .transaction import Transaction

__all__ = ["held", "on_commit"]

P = ParamSpec("P")
R = TypeVar("R")


def on_commit(fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Callable[P, R]:
    """Call `fn` once the transaction around has committed: ``q.on_commit`` for code that has no ``q``; return `fn`.

    It is registered with the innermost open block, and called at once where there is none, as an action is.  In a
    commit hook it comes behind the others::

        def place(order):
            save(order)
            on_commit(send_mail, order)  # not if what this is a part of fails later

    Raises:
        TypeError: if the arguments do not fit, or it is async and the block is not.
        NoTransaction: if it is async, and there is no block: nothing would await it.
        TransactionClosed: if the transaction has ended.
        BaseException: where it is called at once, whatever it raises.
    """
    log = surrounding_log()
    while log is not None and not isinstance(log.block.real, Block):
        log.block.refuse_inside(f"register the commit hook {display_name(fn)}", "do it in the block")
        log = log.block.surrounding  # of a queue, which has no hooks
    block: Block | None = calling.get() if log is None else log.block.real
    if block is not None and (log is not None or block.hook_run is not None):
        face = object.__new__(Transaction)
        face._block = block
        return face.on_commit(fn, *args, **kwargs)
    check_arguments(fn, args, kwargs)
    value = None if is_async(fn) else fn(*args, **kwargs)
    if iscoroutine(value):
        value.close()
    if is_async(fn) or iscoroutine(value):
        advice = "it is async, so await it yourself, or register it inside `async with transaction():`"
        raise NoTransaction(f"on_commit({display_name(fn)})", advice)
    return fn


def held(definition: Definition, body: Callable[..., object]) -> Callable[..., Any]:
    """What stands in a block for the body of an action that waits for the commit: it makes a hook of that.

    The hook belongs to the step, so it is dropped with it.
    """
    waiting = Held(body)
    waiting.definition = definition

    def hold(*args: Any, **kwargs: Any) -> None:
        on_commit(waiting, *args, **kwargs)

    async def hold_async(*args: Any, **kwargs: Any) -> None:
        hold(*args, **kwargs)

    return hold_async if definition.is_async else hold
