"""The types that a user sees: mypy and pyright agree with every line of `tests/typing`, planted mistakes included."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SETTINGS = ROOT / "pyproject.toml"
ENGINES = ROOT / "tests" / "typing" / "api_engines.py"
MISSING = [] if find_spec("dbos") and find_spec("temporalio") else [ENGINES]  # they are in the extra 'dev'
FILES = sorted(path for path in (ROOT / "tests" / "typing").glob("api_*.py") if path not in MISSING)
IGNORE = {
    "mypy": re.compile(r"  # type: ignore\[[\w, -]+\]"),
    "pyright": re.compile(r"  # pyright: ignore\[[\w, ]+\]"),
}


def check(tool: str, folder: Path) -> tuple[int, str]:
    """The exit status and the output of a type checker on a folder, with the project's settings."""
    if find_spec(tool) is None:
        pytest.skip(f"{tool} is not installed; it is in the extra 'dev'")
    if tool == "mypy":
        arguments = ["--strict", f"--config-file={SETTINGS}", f"--cache-dir={folder / 'cache'}", str(folder)]
    else:
        settings = tomllib.loads(SETTINGS.read_text())["tool"]["pyright"] | {
            "include": ["."],
            "extraPaths": [str(ROOT)],
        }
        (folder / "pyrightconfig.json").write_text(json.dumps(settings))
        arguments = ["--pythonpath", sys.executable, "--project", str(folder)]
    environment = {**os.environ, "MYPYPATH": str(ROOT), "NO_COLOR": "1"}
    command = [sys.executable, "-m", tool, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def error_lines(output: str, name: str) -> set[int]:
    """The lines of a file that errors are reported for, by either tool."""
    return {int(line) for line in re.findall(rf"\b{re.escape(name)}:(\d+):(?:\d+ -)? error", output)}


@pytest.mark.parametrize("tool", ["mypy", "pyright"])
def test_every_public_spelling_has_the_declared_type(tool: str, tmp_path: Path) -> None:
    for path in FILES:
        (tmp_path / path.name).write_text(path.read_text())
    status, output = check(tool, tmp_path)
    assert status == 0, output


@pytest.mark.parametrize("tool", ["mypy", "pyright"])
def test_every_planted_mistake_is_found_in_its_line_and_nothing_else_is(tool: str, tmp_path: Path) -> None:
    planted: dict[str, set[int]] = {}
    for path in FILES:
        lines = path.read_text().splitlines()
        planted[path.name] = {number for number, line in enumerate(lines, 1) if IGNORE[tool].search(line)}
        (tmp_path / path.name).write_text("".join(IGNORE[tool].sub("", line) + "\n" for line in lines))
    _, output = check(tool, tmp_path)
    assert {path.name: error_lines(output, path.name) for path in FILES} == planted, output
    assert sum(map(len, planted.values())) > 80
