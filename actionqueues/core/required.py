"""`require_transactions`: no action runs outside a block, in the whole program.

Stands on definitions.  Used by programs.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager

from .definition import refuse_outside


@contextmanager
def _restoring(before: bool) -> Generator[None, None, None]:
    try:
        yield
    finally:
        refuse_outside(before)


def require_transactions(required: bool = True) -> AbstractContextManager[None]:
    """Let every action of the program refuse to be called outside any block, as if it said ``transaction_required``.

    An action outside any block is the plain function, which nothing undoes.  Mostly that is meant, but it also is what
    becomes of a step in a thread that was not brought in by ``q.run``, silently.  With this it raises `NoTransaction`
    before anything has happened.  It costs nothing in a block, and holds for all threads, and for actions that are
    defined later.  The environment variable ``ACTIONQUEUES_REQUIRE_TRANSACTIONS=1`` does the same from the start (but
    for ``0``, ``false``, ``no`` and ``off``, anything does).

    A rollback handler may still call an action as a plain function: what undoes needs no undo.  A commit hook runs
    outside the block, so it is refused there; let it open a block of its own.  ``fn.__wrapped__`` is the plain function
    as ever.

    Args:
        required: False for no more of that, whoever has asked for it.

    Returns:
        Something that restores what was before, for tests: ``with require_transactions(False): ...``.  Whoever wants it
        for good ignores that.
    """
    return _restoring(refuse_outside(required))


refuse_outside(os.environ.get("ACTIONQUEUES_REQUIRE_TRANSACTIONS", "").lower() not in ("", "0", "false", "no", "off"))
