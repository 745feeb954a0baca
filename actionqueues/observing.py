"""What gives an interceptor to every transaction: a default journal, or what observes them for a while."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from .block import Block
from .interceptor import Interceptor
from .shells import Transaction

__all__ = ["intercept_all", "observed"]


_quickly = Transaction.__enter__


def intercept_all(factory: Callable[[Block], Interceptor | None] | None) -> None:
    """Let `factory` make the interceptor of every transaction that is given none itself; None for no more of that."""
    Block._intercept = None if factory is None else staticmethod(factory)
    enter: Any = _quickly if factory is None else Transaction._enter_slowly  # the short way has no interceptor
    Transaction.__enter__ = enter  # type: ignore[method-assign] # likewise


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
