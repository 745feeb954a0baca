"""What a transaction is until it has ended: of a class that warns of a block that was forgotten.

One that has ended is of the class without a finalizer, since Python drops an interrupt that arrives in one.
"""

from __future__ import annotations

from .asyncshell import AsyncTransaction
from .shells import Transaction
from .states import TransactionState

__all__ = ["OpenAsyncTransaction", "OpenIntercepted", "OpenTransaction"]


class OpenTransaction(Transaction):
    """A transaction that has not ended."""

    __slots__ = ()
    _when_ended = Transaction

    def __del__(self) -> None:
        try:
            forgotten = self._token is not None and self._state is TransactionState.OPEN
        except AttributeError:  # interrupted before it had even a state
            return
        if forgotten:
            self._warn_left_open()


class OpenIntercepted(OpenTransaction):
    """A transaction that has an interceptor from the start, and so does not take the short way in."""

    __slots__ = ()
    __enter__ = Transaction._enter_slowly


class OpenAsyncTransaction(AsyncTransaction):
    """An async transaction that has not ended."""

    __slots__ = ()
    _when_ended = AsyncTransaction

    def __del__(self) -> None:
        if self._token is not None and self._state is TransactionState.OPEN:
            self._warn_left_open()


# Messages of the interpreter, such as that one has no attribute, say what it is to its user.
for _cls in (OpenTransaction, OpenIntercepted, OpenAsyncTransaction):
    _ended = AsyncTransaction if _cls is OpenAsyncTransaction else Transaction
    _cls.__name__, _cls.__qualname__, _cls.__module__ = _ended.__name__, _ended.__qualname__, _ended.__module__

Transaction._use(OpenTransaction, OpenIntercepted, OpenAsyncTransaction)
