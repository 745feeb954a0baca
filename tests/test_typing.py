"""The types that a user sees: mypy and pyright agree with every line of `tests/typing`, its planted mistakes included."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "tests" / "typing"
FILES = sorted(FOLDER.glob("api_*.py"))
IGNORE = {
    "mypy": re.compile(r"  # type: ignore\[[\w, -]+\]"),
    "pyright": re.compile(r"  # pyright: ignore\[[\w, ]+\]"),
}


def check(tool: str, paths: Sequence[Path], cache: Path) -> tuple[int, str]:
    """The exit status and the output of a type checker on these paths, with the project's settings."""
    if find_spec(tool) is None:
        pytest.skip(f"{tool} is not installed; it is in the extra 'dev'")
    arguments = {
        "mypy": ["--strict", "--no-pretty", "--no-error-summary", f"--cache-dir={cache}"],
        "pyright": ["--pythonpath", sys.executable],
    }
    command = [sys.executable, "-m", tool, *arguments[tool], *map(str, paths)]
    environment = {**os.environ, "MYPYPATH": str(ROOT), "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def error_lines(output: str, name: str) -> set[int]:
    """The lines of a file that errors are reported for."""
    return {int(line) for line in re.findall(rf"{re.escape(name)}:(\d+):(?:\d+)?[ -]*\s*error", output)}


@pytest.mark.parametrize("tool", ["mypy", "pyright"])
def test_every_public_spelling_has_the_declared_type(tool: str, tmp_path: Path) -> None:
    status, output = check(tool, [FOLDER], tmp_path)
    assert status == 0, output


@pytest.mark.parametrize("tool", ["mypy", "pyright"])
def test_every_planted_mistake_is_found_in_its_line_and_nothing_else_is(tool: str, tmp_path: Path) -> None:
    folder = ROOT / f".planted-{tool}-{os.getpid()}"  # in the project, whose settings apply to what is in it
    folder.mkdir()
    try:
        planted = {path.name: _without_ignores(path, folder, tool) for path in FILES}
        _, output = check(tool, sorted(folder.iterdir()), tmp_path)
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    found = {name: error_lines(output, name) for name in planted}
    assert found == planted, output
    assert sum(map(len, planted.values())) > 80


def _without_ignores(path: Path, folder: Path, tool: str) -> set[int]:
    lines = path.read_text().splitlines()
    (folder / path.name).write_text("".join(IGNORE[tool].sub("", line) + "\n" for line in lines))
    return {number for number, line in enumerate(lines, 1) if IGNORE[tool].search(line)}
