"""Where a block is current: in the context that it was entered in, until it is left, wherever that is.

Stands on logs.  Used by blocks, whose base this is.
"""

from __future__ import annotations

from contextvars import Token
from typing import Any

from .log import Log, current, get_current, set_current
from .states import TransactionState
from .text import log_warning

__all__ = ["Current"]

_NEW, _OPEN = TransactionState.NEW, TransactionState.OPEN


class Current:
    """What makes a block the current one, and no longer."""

    state: TransactionState
    token: Token[Log | None] | None
    face: Any
    surrounding: Log | None = None  # what was current when it was entered
    lost: Token[Log | None] | None = None  # what makes it current no longer in the context that it was entered in
    used = False  # whether anything was done in it

    @property
    def label(self) -> str:
        """What messages call it."""
        raise AssertionError  # pragma: no cover - abstract

    @property
    def left(self) -> bool:
        """Whether it has ended, and its block has been left."""
        return self.token is None and self.state is not _NEW and self.state is not _OPEN

    def detach(self) -> None:
        """Make what surrounds it the current one again."""
        token, self.token, self.face = self.token, None, None
        if token is None:
            log = get_current()
            if log is not None and log.block is self:  # interrupted while it was entered or left
                set_current(self.surrounding)
            return
        try:
            current.reset(token)
        except (ValueError, RuntimeError):  # left in another context than it was entered in
            self.lost = token
            log = get_current()
            if log is not None and log.block is self:
                set_current(self.surrounding)
            if not self.used:
                log_warning(
                    f"{self.label} was left in another context than it was entered in, and no step was made in it: "
                    "what was called meanwhile ran outside it; enter and leave it in one place, or bring calls in "
                    "by q.run(...)"
                )
        if self.surrounding is not None:
            self._skip_left()

    def forget(self) -> bool:
        """Be current here no longer, if it has been left in another context than it was entered in, this one.

        So are the blocks in async generators that are never finished: they are closed in a task of their own.
        """
        if self.lost is None:
            return False
        try:
            current.reset(self.lost)
        except (ValueError, RuntimeError):  # a third context, of a task or thread that has outlived it
            return False
        self.lost = None
        self._skip_left()
        return True

    def _skip_left(self) -> None:
        """If blocks around this one have been left before it, make the innermost that has not the current one."""
        log = around = get_current()
        while log is not None and isinstance(log.block, Current) and log.block.left:
            log = log.block.surrounding
        if log is not around:
            set_current(log)
