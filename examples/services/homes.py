"""Home directories on disk, and the skeleton files that a new one gets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from string import Template

SKELETON = Path(__file__).resolve().parent.parent / "data" / "skeleton"


def skeleton(name: str) -> Iterator[tuple[str, bytes]]:
    """The files of a new home, one after the other, made out to `name`.

    The finger daemon that reads plan.txt is older than UTF-8: a name that Latin-1 cannot write is a
    `UnicodeEncodeError`, after some files and before others.
    """
    for file in sorted(SKELETON.iterdir()):
        text = Template(file.read_text(encoding="utf-8")).substitute(name=name)
        yield file.name, text.encode("latin-1" if file.name == "plan.txt" else "utf-8")


def contents(homes: Path) -> dict[str, dict[str, bytes]]:
    """What is in each home: its files and all that is in them."""
    return {
        home.name: {file.name: file.read_bytes() for file in sorted(home.iterdir())}
        for home in sorted(homes.iterdir())
    }
