"""The code blocks of a document: found, run, and compared with the output that it shows."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sqlite3
import sys
import textwrap
from collections.abc import Generator
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from unittest import mock

import actionqueues

__all__ = [
    "ENGINES",
    "EXAMPLES",
    "JOURNALS",
    "README",
    "ROOT",
    "VIEWS",
    "Block",
    "blocks",
    "programs",
    "ran",
    "sections",
]

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
EXAMPLES = ROOT / "examples" / "README.md"
VIEWS = ROOT / "actionqueues" / "views" / "README.md"
ENGINES = ROOT / "actionqueues" / "engines" / "README.md"
JOURNALS = ROOT / "actionqueues" / "journal" / "README.md"


class Block(NamedTuple):
    """A fenced block: its language, its text, the section it is in, and the line it starts at."""

    language: str
    text: str
    section: str
    line: int


def blocks(document: Path) -> list[Block]:
    found: list[Block] = []
    section, language, lines, start = "", None, [""], 0
    for number, line in enumerate(document.read_text("utf-8").splitlines(), 1):
        if language is None and re.match(r"##? ", line):
            section = line.strip("# ")
        if not line.startswith("```"):
            lines.append(line)
        elif language is None:
            language, lines, start = line[3:], [], number
        else:
            found.append(Block(language, "\n".join(lines) + "\n", section, start))
            language = None
    return found


def sections(document: Path) -> dict[str, list[Block]]:
    found: dict[str, list[Block]] = {}
    for block in blocks(document):
        found.setdefault(block.section, []).append(block)
    return found


def programs(document: Path) -> list[str]:
    """The sections that have programs."""
    return [name for name, found in sections(document).items() if found[0].language == "python"]


@contextlib.contextmanager
def ran(document: Path, section: str) -> Generator[dict[str, Any], None, None]:
    """Run the programs of a section, which print what is shown below them; gives what they have defined."""
    module = ModuleType("readme")
    module.__spec__ = ModuleSpec("readme", SourceFileLoader("readme", str(document)))  # where tracebacks find lines
    package = str(Path(actionqueues.__file__).parent.parent)  # for programs that start others
    back = contextlib.chdir(os.getcwd())  # wherever the programs go
    with back, mock.patch.dict(sys.modules, readme=module), mock.patch.dict(os.environ, PYTHONPATH=package):
        try:
            _run(document, sections(document)[section], vars(module))
            yield vars(module)
        finally:
            for value in vars(module).values():
                if isinstance(value, sqlite3.Connection):
                    value.close()  # from Python 3.13 on, one that is left open warns


def _run(document: Path, found: list[Block], namespace: dict[str, Any]) -> None:
    printed = ""
    for block in found:
        if block.language == "python":
            assert printed == "", f"line {block.line}: the output of the block before it is not shown"
            output = io.StringIO()
            code = compile(textwrap.dedent("\n" * block.line + block.text), str(document), "exec")
            with contextlib.redirect_stdout(output):
                exec(code, namespace)
            printed = output.getvalue()
        elif block.language == "text":
            assert printed == block.text, f"line {block.line}"
            printed = ""
    assert printed == ""
