"""`Place`: the working directory that a transaction was begun in, seen from the one that recovery runs in.

A relative path means another thing in another directory.  Where the two are not the same, an undo is not called with:

- a `Path` that is relative;
- a text, or bytes, that names something that is there, with or without its ending, or has a folder in it that is there,
  seen from either directory;
- if the directory of then cannot be looked at: a text with a separator, or an ending such as ``.csv``, in it.

That goes for what the undo is given: arguments, result, what was saved, and what these contain.  No other text counts
as a path.

Stands on the errors.  Used by the recording, and by what reads values.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

__all__ = ["Place", "back_again", "working_directory"]

#: What has no paths in it, whatever it looks like.
_SCALARS: Final = frozenset(
    f"${name}" for name in ("int", "float", "bytearray", "datetime", "date", "time", "timedelta", "timezone", "decimal")
) | {"$fraction", "$complex", "$uuid", "$class", "$enum"}

#: What looks like a path where nobody can look whether it is one.
_LOOKS: Final = re.compile(r"[^\s:@]*(/[^\s:@]*|\.[A-Za-z]\w{0,4})")


def working_directory() -> str | None:
    """The working directory, as text that a file can hold; None if it has been removed, or has no such name."""
    try:
        directory = os.getcwd()
        directory.encode()
    except (OSError, UnicodeEncodeError):
        return None
    return directory


@contextmanager
def back_again() -> Generator[None, None, None]:
    """Be at the end in the directory of the beginning."""
    here = working_directory()
    try:
        yield
    finally:
        if here is not None and here != working_directory():
            os.chdir(here)


class Place:
    """The directory that a transaction, a step or a hook was begun in, seen from the present one.

    Args:
        directory: the directory; None if it is not known.
        chdir: whether to change to it.

    Attributes:
        elsewhere: whether relative paths of then do not hold now.
    """

    def __init__(self, directory: str | None, *, chdir: bool = False) -> None:
        here = working_directory()
        self.directory = directory
        there = directory is not None and os.path.isdir(directory) and os.access(directory, os.X_OK)
        differs = directory is not None and directory != here
        self._changes = differs and chdir and there
        self.elsewhere = differs and not self._changes
        self._gone = not there
        self._here = here
        self._listed: dict[str, frozenset[str]] = {}
        self._seen_from = [each for each in (directory, here) if each is not None]

    def enter(self) -> None:
        """Change to it, if that is wanted."""
        if self._changes and self.directory is not None:
            os.chdir(self.directory)

    def refusal(self, data: Any) -> str | None:
        """Why recorded data mean another thing here than they did there; None if they do not."""
        found = next(self._relative(data), None)
        if found is None:
            return None
        then = f"{found!r} is relative to {self.directory!r}, where it was recorded"
        if self._gone:
            return f"{then}, and which is not there any more; make that folder again, and use --chdir"
        this = "this one has been removed" if self._here is None else f"this is {self._here!r}"
        return f"{then}, and {this}; use --chdir, in a program chdir=True, or do it from there"

    def _relative(self, data: Any) -> Iterator[str]:
        """The relative paths in recorded data."""
        if isinstance(data, str):
            if self._is_path(data):
                yield data
        elif isinstance(data, list):
            for item in data:
                yield from self._relative(item)
        elif isinstance(data, dict):
            tag = next(iter(data), "")
            if tag == "$path" and isinstance(data[tag], str):
                if not os.path.isabs(data[tag]):
                    yield data[tag]
            elif tag == "$dataclass":
                yield from self._relative(list(data[tag][1].values()))
            elif tag == "$bytes" and isinstance(data[tag], str):
                with suppress(ValueError):  # somebody has written into the file
                    yield from self._relative(os.fsdecode(base64.b64decode(data[tag])))
            elif tag not in _SCALARS:
                keys = () if tag.startswith("$") else data
                yield from self._relative([*keys, *data.values()])

    def _stems(self, directory: str) -> frozenset[str]:
        """The names of what is in a directory, without their endings, which an undo may add."""
        if directory not in self._listed:
            try:
                names = os.listdir(directory)
            except OSError:
                names = []
            found = (name[: dot.start()] for name in names for dot in re.finditer(r"\.", name))
            self._listed[directory] = frozenset(found)
        return self._listed[directory]

    def _is_path(self, text: str) -> bool:
        if not 0 < len(text) < 4096 or os.path.isabs(text):
            return False
        folder = os.path.dirname(text)
        for directory in self._seen_from:
            if os.path.lexists(os.path.join(directory, text)):
                return True
            if os.path.isdir(os.path.join(directory, folder)) if folder else text in self._stems(directory):
                return True
        return self._gone and _LOOKS.fullmatch(text) is not None
