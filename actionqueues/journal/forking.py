"""What a fork does to connections: a child has those of its parent in memory, and none of the locks that go with them.

SQLite lets all connections of a process to a file share their locks.  A child that kept those of its parent would make
it believe that a new connection had the parent's locks.  As soon as the parent was gone, another process would take the
child for dead, and delete the log that it was writing to.  So a child closes what it has inherited.  For that, nothing
may be half done in it: a fork waits for what is being written and read.

Stands on locks.  Used by the store.
"""

from __future__ import annotations

import os
import sqlite3
from _thread import get_ident
from typing import Final, Protocol
from weakref import WeakSet

from .locks import Lock

__all__ = ["Forked", "close_inherited", "waited_for"]


class Forked(Protocol):
    """Something that has connections, each of them with a lock that is held while it is in use."""

    @property
    def in_use(self) -> tuple[Lock, ...]:
        """The locks, in the order in which they are to be taken."""
        ...

    def forked(self) -> None:
        """Called in a child process."""


_all: Final[WeakSet[Forked]] = WeakSet()

#: Held by the thread that forks, one at a time; and the locks that each thread has taken.
_forks = Lock()
_taken: Final[dict[int, list[Lock]]] = {}

#: Connections that a child must not even close.
_inherited: Final[list[sqlite3.Connection]] = []


def waited_for(thing: Forked) -> None:
    """Let forks wait for its connections, and tell it of them."""
    _all.add(thing)


def close_inherited(lock: Lock, db: sqlite3.Connection | None) -> None:  # pragma: no cover - in a child process
    """In a child process: close a connection of the parent.

    Its log stays: it is deleted only by who can lock the file, and whoever else has it open has a lock on it.
    """
    if db is None:
        return
    if lock.taken_at_once() and not db.in_transaction:
        db.close()
    else:  # forked by a signal handler in the middle of a commit, or by something that does not tell Python before
        _inherited.append(db)


def _before() -> None:
    taken = _taken[get_ident()] = [_forks]
    _forks.__enter__()
    for lock in [lock for thing in list(_all) for lock in thing.in_use]:
        taken.append(lock)  # first: an interrupt leaves none held
        lock.__enter__()


def _in_parent() -> None:
    for lock in reversed(_taken.pop(get_ident(), [])):
        lock.give_back()


def _in_child() -> None:  # pragma: no cover - in a child process
    global _forks  # noqa: PLW0603 - another thread of the parent may be counted as waiting for it
    for thing in list(_all):
        thing.forked()
    _taken.clear()
    _forks = Lock()


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
