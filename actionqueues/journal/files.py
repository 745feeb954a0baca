"""The files of a journal: what they have to be, and whether they still are the ones that this process has opened.

SQLite takes what it finds: it makes what a link points to, waits for a FIFO, and what is left of a log that somebody
has cut off is all that there is.  So that is looked at here, before SQLite opens a file, and before each commit.

Stands on the errors.  Used by what opens a file, and by the connections.
"""

from __future__ import annotations

import os
import stat
import struct
import time
from pathlib import Path
from typing import Final, NamedTuple

from actionqueues.core.text import log_warning

from .errors import JournalCorrupt, JournalError

__all__ = ["Files", "may", "real_path", "refuse_cut_off", "refuse_strange", "warn_of_readers"]

_KINDS: Final = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

_warned: Final[set[str]] = set()


def real_path(name: str) -> str:
    """The path of a file without links.

    Raises:
        JournalError: if it is a link to nothing: who has set it up wants a file that is not where he thinks.
    """
    real = os.path.realpath(name)
    if os.path.islink(name) and not os.path.exists(name):
        advice = "mount or make what is missing, remove the link, or give the journal that path itself"
        raise JournalError(name, f"is a link to {real!r}, which is not there: {advice}")
    return real


def refuse_strange(path: str, *files: str) -> None:
    """Refuse what is no file, of these that belong to the journal of that path.

    Raises:
        JournalError: if one is a link to nothing, a folder, a FIFO, or the like.
    """
    for file in files:
        which = "" if file == path else f"its file {file!r} "
        try:
            mode = os.stat(file).st_mode
        except FileNotFoundError:
            if not os.path.islink(file):
                continue
            target = os.path.realpath(file)
            raise JournalError(path, f"{which}is a link to {target!r}, which is not there; remove the link") from None
        if not stat.S_ISREG(mode):
            kind = _KINDS.get(stat.S_IFMT(mode), "something else")
            raise JournalError(path, f"{which}is {kind}; a journal takes the name of a file, and has others beside it")


def may(path: str, what: int) -> bool:
    """Whether this process may do that: `os.R_OK`, `os.W_OK`."""
    return os.access(path, what, effective_ids=os.access in os.supports_effective_ids)


def warn_of_readers(path: str, mode: int) -> None:
    """Log it, once, if others than its owner can read a file that was there before."""
    if os.name == "posix" and mode & 0o066 and path not in _warned:
        _warned.add(path)
        log_warning(
            f"journal {path!r}: others than its owner can use it (its mode is {mode & 0o777:o}), and the arguments and "
            f"results of steps are in it: chmod 600 {path}*"
        )


class _Index(NamedTuple):
    """What SQLite's index of the log says: how long the log is, and the whole database with it."""

    frames: int
    pages: int
    page_size: int

    @property
    def log_size(self) -> int:
        return 32 + self.frames * (24 + self.page_size) if self.frames else 0


def _index(path: str) -> _Index | None:
    """The index in shared memory, if there is one that this machine has left since it was started.

    It outlives a killed process, but goes by what was not on disk yet in a power cut.  It is not looked at while this
    process has it open: closing a file drops all locks that SQLite has on it here.
    """
    try:
        written = os.stat(path).st_mtime
        if not hasattr(time, "CLOCK_BOOTTIME") or written < time.time() - time.clock_gettime(time.CLOCK_BOOTTIME):
            return None
        if path in Path("/proc/self/maps").read_text(errors="replace"):
            return None
        with open(path, "rb") as file:
            header = file.read(96)
    except OSError:
        return None
    if len(header) < 96 or header[:48] != header[48:]:
        return None  # pragma: no cover - it is just being written
    begun, size, frames, pages = struct.unpack_from("=12xBxHII", header)
    return _Index(frames, pages, (size & 0xFE00) + ((size & 1) << 16)) if begun else None


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def refuse_cut_off(path: str) -> None:
    """Refuse a file, or a log, that somebody has cut off: SQLite takes the rest for all that there is, and goes on.

    Raises:
        JournalCorrupt: if it is.
    """
    log = f"{path}-wal"
    while True:
        index = _index(f"{path}-shm")
        size = _size(log)  # before the file, which is made before its log is
        empty = _size(path) == 0
        if empty and (size or (index is not None and index.pages)):
            what = f"is empty, though its log, {log!r}, is not" if size else "is empty, and was not"
            break
        if index is None or size >= index.log_size:
            return
        if _index(f"{path}-shm") == index:  # pragma: no branch - or a live process is just beginning it anew
            what = f"its log, {log!r}, was cut off: it has {size} bytes, and there were {index.log_size}"
            break
    raise JournalCorrupt(
        path,
        f"{what}; what was recorded is lost, and nothing was changed: restore a copy; or put what is left aside, "
        f"delete {path}*, and look by hand what has been done by transactions that were under way",
    )


class Files:
    """Those that this process has open: they must stay where they are, and do not get shorter.

    Args:
        path: the journal, whose log is there.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._log = f"{path}-wal"
        self._known: dict[str, tuple[int, ...]] = {each: os.stat(each)[1:3] for each in (path, self._log)}
        self._size = _size(path)
        self._fd: int | None = os.open(self._log, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        self._log_size = 0
        self.written()

    def add(self, path: str, file: tuple[int, ...]) -> None:
        """Look after another one, which it is by its numbers."""
        self._known = {**self._known, path: file}

    def check(self, *, where: bool) -> str | None:
        """The path of one that has become shorter, or None.

        Args:
            where: whether to look if they are still where they were, which takes longer.

        Raises:
            JournalError: if one was removed or replaced, so that nobody else will find what is written to it.
        """
        if where:
            for path, known in self._known.items():
                try:
                    found = os.stat(path)
                except FileNotFoundError:
                    reason = "has been removed while it was in use; nothing is recorded until the program starts again"
                    raise JournalError(self.path, f"{self._called(path)}{reason}") from None
                if found[1:3] != known:
                    reason = "has been replaced while it was in use; nothing is recorded until the program starts again"
                    raise JournalError(self.path, f"{self._called(path)}{reason}")
                if path == self.path:
                    if found.st_size < self._size:
                        return path
                    self._size = found.st_size
        return self._log if self._fd is not None and os.lseek(self._fd, 0, os.SEEK_END) < self._log_size else None

    def written(self) -> None:
        """Something was committed, so that the log may be longer, or has begun anew."""
        if self._fd is not None:  # pragma: no branch - it is closed with the connections
            self._log_size = os.lseek(self._fd, 0, os.SEEK_END)

    def accept(self) -> None:
        """Whoever made them shorter has lost nothing by it: a `VACUUM`, or a checkpoint."""
        self._size = _size(self.path)
        self.written()

    def cut_off(self, path: str) -> JournalError:
        """What is raised for one that somebody has cut off."""
        return JournalError(
            self.path,
            f"{self._called(path)}has been cut off while it was in use; what was recorded is lost, and nothing more is "
            "recorded until the program starts again with a new file: look by hand what its transactions have done",
        )

    def _called(self, path: str) -> str:
        which = {self._log: "its log", f"{self.path}-owners": "its file of locks"}
        return f"{which[path]}, {path!r}, " if path in which else ""

    def close(self) -> None:
        """Let go of them."""
        fd, self._fd = self._fd, None
        if fd is not None:  # pragma: no branch - it may be closed twice
            os.close(fd)
