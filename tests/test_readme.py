"""Every code block of the README is run, and what it prints is what the README says."""

from __future__ import annotations

import contextlib
import io
import re
import sqlite3
import sys
import textwrap
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

import actionqueues

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


class Block(NamedTuple):
    """A fenced block: its language, its text, the section it is in, and the line it starts at."""

    language: str
    text: str
    section: str
    line: int


def blocks() -> list[Block]:
    found: list[Block] = []
    section, language, lines, start = "", None, [""], 0
    for number, line in enumerate(README.read_text("utf-8").splitlines(), 1):
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


def sections() -> dict[str, list[Block]]:
    found: dict[str, list[Block]] = {}
    for block in blocks():
        found.setdefault(block.section, []).append(block)
    return found


@pytest.mark.parametrize("section", [name for name, found in sections().items() if found[0].language == "python"])
def test_the_programs_of_a_section_run_and_print_what_is_shown(section: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(actionqueues.__file__).parent.parent))  # for programs that start others
    module = ModuleType("readme")
    module.__spec__ = ModuleSpec("readme", SourceFileLoader("readme", str(README)))  # where tracebacks find lines
    monkeypatch.setitem(sys.modules, "readme", module)
    namespace = vars(module)
    printed = ""
    for block in sections()[section]:
        if block.language == "python":
            assert printed == "", f"line {block.line}: the output of the block before it is not shown"
            output = io.StringIO()
            code = compile(textwrap.dedent("\n" * block.line + block.text), str(README), "exec")
            with contextlib.redirect_stdout(output):
                exec(code, namespace)
            printed = output.getvalue()
        elif block.language == "text":
            assert printed == block.text, f"line {block.line}"
            printed = ""
    for value in namespace.values():
        if isinstance(value, sqlite3.Connection):
            value.close()  # from Python 3.13 on, one that is left open warns
    assert printed == ""


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert {block.language for block in blocks()} == {"console", "python", "text", "sh"}


def test_the_commands_are_the_ones_that_ci_runs() -> None:
    commands = [block.text.strip() for block in blocks() if block.language == "sh" and "\n" not in block.text.strip()]
    assert commands[:3] == [
        "pip install actionqueues",
        "python -m pip install . && python examples/signup.py",
        "python -m pip install '.[test]' && python -m pytest",
    ]
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "readme_command 'pytest'" in script
    assert "readme_command 'examples/signup.py'" in script
