"""Whether SQLite's write-ahead log is whole: SQLite itself reads it up to the first damaged frame, and drops the rest.

What it drops is, as a rule, the torn end of a commit that was never completed.  But if complete commits follow a
damaged frame, they were there once.  Each frame has a checksum that goes on from the one before it, so those behind the
damage can be recognised by going on from what is written.  The format is documented by SQLite ("WAL-mode file format").

Stands on nothing.  Used by what opens a file.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TypeAlias

__all__ = ["lost_commits"]

_Sum: TypeAlias = tuple[int, int]

_HEADER, _FRAME = 32, 24


def lost_commits(path: str) -> int:
    """How many complete commits stand behind a damaged frame of a log; 0 if there is no such frame, or no log."""
    try:
        log = Path(path).read_bytes()
    except FileNotFoundError:
        return 0
    if len(log) < _HEADER:
        return 0
    magic, _, size, _, *salts, first, second = struct.unpack(">8I", log[:_HEADER])
    order = ">" if magic & 1 else "<"
    broken = magic & ~1 != 0x377F0682 or _checksum(log[:24], (0, 0), order) != (first, second)
    if not 512 <= size <= 65536:
        return 0  # nothing in it can be read
    before: _Sum = first, second
    lost = 0
    for place in range(_HEADER, len(log) - _FRAME - size + 1, _FRAME + size):
        frame = log[place : place + _FRAME]
        _, pages, salt, other, first, second = struct.unpack(">6I", frame)
        if [salt, other] != salts:
            break  # left over from before the log was begun anew
        found = _checksum(frame[:8] + log[place + _FRAME : place + _FRAME + size], before, order)
        whole = found == (first, second)
        broken = broken or not whole
        lost += broken and whole and pages > 0
        before = first, second
    return lost


def _checksum(data: bytes, start: _Sum, order: str) -> _Sum:
    first, second = start
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
