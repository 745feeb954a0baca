"""Transactions that an interceptor stands beside: one that is given its own, and all while something observes them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from .block import Block
from .interceptor import Interceptor
from .shells import Transaction

__all__ = ["Intercepted", "observed"]


class Intercepted(Transaction):
    """A transaction that has an interceptor from the start."""

    __enter__ = Transaction._enter_slowly


@contextmanager
def observed(factory: Callable[[Block, Interceptor | None], Interceptor | None]) -> Generator[None, None, None]:
    """Let `factory` make the interceptor of every transaction that is entered meanwhile, in whatever thread.

    It is given the transaction, and the interceptor that it has already.
    """
    before = Block.observe, Transaction.__enter__
    Block.observe = factory
    Transaction.__enter__ = Transaction._enter_slowly  # type: ignore[method-assign] # the short way has no interceptor
    try:
        yield
    finally:
        Block.observe, Transaction.__enter__ = before  # type: ignore[method-assign] # likewise
