"""`give_up`: a block that goes on elsewhere, so that nothing of it is undone here.

That is the block of a process that has forked this one, and one whose engine has interrupted it by control flow of its
own, such as an eviction: the engine goes on with it wherever it runs it next.

Stands on logs and states.  Used by steps that fail, and by blocks that end.
"""

from __future__ import annotations

from typing import Any

from .log import Owner
from .states import TransactionState

_FORKED = "belongs to the process that this one was forked from"
_INTERRUPTED = "was interrupted by its engine, which goes on with it elsewhere"


def disown(block: Any, how: str = _FORKED) -> None:
    """Leave a block to whoever goes on with it."""
    block.state, block.plain = TransactionState.RELEASED, False
    block.ending = True
    block.disowned = how
    block.undo_at_once = False
    if block.rollback is not None:
        block.rollback.guard.disowned = True


def given_up(owner: Owner, error: BaseException) -> bool:
    """Whether an error is the control flow of the engine, or comes after that; then the block is given up."""
    root = owner.real.root
    if root.watch is None or not (root.gone is not None or root.watch.is_control_flow(error)):
        return False
    give_up(owner, error)
    return True


def give_up(owner: Owner, error: BaseException) -> None:
    """Leave a block, and those around it up to the outermost one, to its engine."""
    block: Any = owner.real
    if block.root.gone is None:
        block.root.gone = error
    while block is not None and not block.disowned:
        disown(block, _INTERRUPTED)
        block = block.parent
