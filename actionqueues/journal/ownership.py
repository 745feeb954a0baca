"""Who is alive: locks on the bytes of a file, which the operating system drops when a process dies.

The n-th owner holds the n-th byte.  A process number would not do: it is used again.  Where the system has locks that
belong to the open file (Linux), nothing but the end of the process lets go of them; a forked child closes its copy.

Stands on locks, and on what is known of files.  Used by the store, and by what takes over from the dead.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Final

from .errors import JournalError
from .files import refuse_strange
from .locks import Lock

__all__ = ["SUPPORTED", "OwnerLocks", "lives", "of_open_file"]


#: Whether there are any such locks: not on WebAssembly, for one, which has no processes either.
SUPPORTED: Final = sys.platform == "win32" or find_spec("fcntl") is not None


def of_open_file(platform: str) -> bool:
    """Whether locks of an open file are used.  Elsewhere, if they exist at all, their layout is another one."""
    return platform == "linux"


if sys.platform == "win32":  # pragma: no cover - another platform
    import msvcrt

    def _lock(fd: int, byte: int) -> bool:
        os.lseek(fd, byte, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)  # one behind the end of the file is a lock as well
        except PermissionError:
            return False
        return True

    def _is_locked(fd: int, byte: int) -> bool:
        if not _lock(fd, byte):
            return True
        _unlock(fd, byte)
        return False

    def _unlock(fd: int, byte: int) -> None:
        os.lseek(fd, byte, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    # `fcntl` is imported in functions, so that a system without it is refused with a message.

    def _lock(fd: int, byte: int) -> bool:
        import fcntl

        try:
            if of_open_file(sys.platform):
                fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, byte))
            else:  # those of the process, which it would lose by closing another copy of the file: there is none
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _is_locked(fd: int, byte: int) -> bool:
        import fcntl

        if of_open_file(sys.platform):  # without taking it, which a recovery would take for a process that lives
            answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK, byte))
            return bool(struct.unpack_from("h", answer)[0] != fcntl.F_UNLCK)
        if not _lock(fd, byte):
            return True
        _unlock(fd, byte)
        return False

    def _unlock(fd: int, byte: int) -> None:
        import fcntl

        if of_open_file(sys.platform):
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, byte))
        else:
            fcntl.lockf(fd, fcntl.LOCK_UN, 1, byte)

    def _flock(kind: int, byte: int) -> bytes:
        """Linux's ``struct flock`` for one byte."""
        return struct.pack("hhqqi0q", kind, os.SEEK_SET, byte, 1, 0)


def lives(path: str, owners: Iterable[int]) -> dict[int, bool | None]:
    """Which owners live, for who may not write to the file of the locks: None where nobody can tell."""
    if not of_open_file(sys.platform) or not os.path.isfile(path):  # elsewhere closing it would drop our own locks
        return dict.fromkeys(owners)
    try:
        with open(path, "rb") as file:
            return {owner: _is_locked(file.fileno(), owner) for owner in owners}
    except OSError:  # pragma: no cover - root, who runs the tests, may read any
        return dict.fromkeys(owners)


class OwnerLocks:
    """The locks of this process in one file; the file is made if it is not there.

    Attributes:
        file: which file it is: if another one comes to be at that path, who opens it does not see our locks.

    Raises:
        OSError: if the file cannot be made.
        JournalError: if it is something else.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        refuse_strange(path.removesuffix("-owners"), path)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        self.file = os.fstat(self._fd)[1:3]  # its numbers, and those of its device
        self._held: set[int] = set()
        self._mutex = Lock()

    def hold(self, owner: int, held: list[int] | None = None) -> bool:
        """Take the lock of an owner, if nobody has it: not this process either.

        `held` then has its number, even if a signal handler raises before the caller knows; it may have that, too, if
        the lock is not held after all.
        """
        with self._mutex:
            self._refuse_closed()
            if owner in self._held:
                return False
            try:
                if _lock(self._fd, owner):
                    self._held.add(owner)
                    if held is not None:
                        held.append(owner)
                    return True
            except BaseException:
                self.release(owner)
                raise
            return False

    def is_held(self, owner: int) -> bool:
        """Whether anybody has the lock of an owner, and so lives: another process, or this one."""
        with self._mutex:
            self._refuse_closed()
            return owner in self._held or _is_locked(self._fd, owner)

    def release(self, owner: int) -> None:
        """Let go of it."""
        with self._mutex:
            self._held.discard(owner)
            if self._fd >= 0:  # otherwise closing it has let go of all of them
                _unlock(self._fd, owner)

    def _refuse_closed(self) -> None:
        if self._fd < 0:
            raise JournalError(self.path.removesuffix("-owners"), "another thread has closed it at this moment")

    def close(self) -> None:
        """Let go of everything."""
        with self._mutex:
            self.close_inherited()

    def close_inherited(self) -> None:
        """The same in a child process, where nobody is left to let go of the mutex."""
        os.close(self._fd)
        self._fd = -1  # whatever has that number next is not to be locked
