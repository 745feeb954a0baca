"""One sign-up on four engines: the programs run, tell the same, and differ in one line of the block."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import actionqueues

from .servers import Server

FOLDER = Path(__file__).parent.parent.parent / "examples" / "engines"
PACKAGE = str(Path(actionqueues.__file__).parent.parent)
PROGRAMS = ["in_process.py", "in_journal.py", "on_dbos.py", "on_temporal.py"]
TOLD = [
    "ada is user 1",
    "bob is none: card declined (HTTP 402)",
    "users ['ada@example.com'], homes ['ada'], paid ['ada@example.com'], welcomed ['ada@example.com']",
]


def run(program: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", str(FOLDER / program), *arguments],
        env={**os.environ, "PYTHONPATH": PACKAGE, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("program", PROGRAMS[:2])
def test_the_sign_up_runs_on_one_machine(program: str) -> None:
    assert run(program) == TOLD


def test_the_sign_up_runs_on_dbos(database: str) -> None:
    pytest.importorskip("dbos", reason="dbos is not installed; it is in the extra 'dbos'")
    recorded = "create_user, make_home, charge, undo charge, rolling back, undo make_home, undo create_user"
    assert run("on_dbos.py", database) == [*TOLD, f"recorded of bob: {recorded}"]


def test_the_sign_up_runs_on_temporal(temporal_server: Server) -> None:
    pytest.importorskip("temporalio", reason="temporalio is not installed; it is in the extra 'temporal'")
    assert run("on_temporal.py", temporal_server.target) == TOLD


def block(program: str) -> list[str]:
    """The lines of its block."""
    tree = ast.parse((FOLDER / program).read_text("utf-8"))
    (found,) = [node for node in ast.walk(tree) if isinstance(node, ast.AsyncWith) and "sign-up" in ast.unparse(node)][
        -1:
    ]
    return ast.unparse(found).splitlines()


def test_the_blocks_differ_in_the_line_that_says_where_they_run() -> None:
    first, *others = [block(program) for program in PROGRAMS]
    for other in others:
        assert [re.sub(r", (journal|engine)=[^,]*\)", ")", line) for line in other] == first
        assert sum(one != another for one, another in zip(first, other, strict=True)) == 1
