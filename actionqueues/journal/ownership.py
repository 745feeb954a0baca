"""Who is alive: locks on the bytes of a file, which the operating system drops when a process dies.

The n-th owner holds the n-th byte.  A process number would not do: it is used again.  Where the system has locks that
belong to the open file (Linux), nothing but the end of the process lets go of them; a forked child closes its copy.
"""

from __future__ import annotations

import os
import struct
import sys
from threading import Lock

__all__ = ["SUPPORTED", "OwnerLocks", "of_open_file"]


def of_open_file(platform: str) -> bool:
    """Whether locks of an open file are used.  Elsewhere, if they exist at all, their layout is another one."""
    return platform == "linux"


if sys.platform == "win32":  # pragma: no cover - another platform
    import msvcrt

    SUPPORTED = True

    def _lock(fd: int, byte: int) -> bool:
        os.lseek(fd, byte, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)  # one behind the end of the file is a lock as well
        except PermissionError:
            return False
        return True

    def _unlock(fd: int, byte: int) -> None:
        os.lseek(fd, byte, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    try:
        import fcntl
    except ImportError:  # pragma: no cover - another platform, such as WebAssembly, which has no processes either
        SUPPORTED = False
    else:
        SUPPORTED = True

    def _set(fd: int, kind: int, byte: int) -> None:
        if of_open_file(sys.platform):
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi0q", kind, os.SEEK_SET, byte, 1, 0))
        else:  # those of the process, which it would lose by closing another copy of the file: there is none
            fcntl.lockf(fd, fcntl.LOCK_UN if kind == fcntl.F_UNLCK else fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)

    def _lock(fd: int, byte: int) -> bool:
        try:
            _set(fd, fcntl.F_WRLCK, byte)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _unlock(fd: int, byte: int) -> None:
        _set(fd, fcntl.F_UNLCK, byte)


class OwnerLocks:
    """The locks of this process in one file; the file is made if it is not there.

    Raises:
        OSError: if the file cannot be made.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        self._file = os.fstat(self._fd)[1:3]
        self._held: set[int] = set()
        self._mutex = Lock()

    def hold(self, owner: int) -> bool:
        """Take the lock of an owner, if nobody has it: not this process either."""
        with self._mutex:
            if owner in self._held or not _lock(self._fd, owner):
                return False
            self._held.add(owner)
            return True

    def release(self, owner: int) -> None:
        """Let go of it."""
        with self._mutex:
            self._held.discard(owner)
            _unlock(self._fd, owner)

    def in_place(self) -> bool:
        """Whether the file is still there: who makes another one would not see our locks."""
        try:
            there = os.stat(self.path)
        except OSError:
            return False
        return there[1:3] == self._file  # its numbers, and those of its device

    def close(self) -> None:
        """Let go of everything."""
        os.close(self._fd)
