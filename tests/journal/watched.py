"""Watching a journal in this process, on a terminal of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from actionqueues import cli

from .terminal import Terminal

Script = Callable[[Terminal], object]


def watched(
    monkeypatch: pytest.MonkeyPatch,
    path: Path,
    script: Script,
    *,
    size: tuple[int, int] = (80, 24),
    expected: int = 0,
    **options: str,
) -> Terminal:
    """Watch in this process, on a terminal of its own, while a script looks at it and presses keys, at last `q`."""
    failures: list[BaseException] = []
    encoding = options.pop("encoding", "utf-8")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in options.items():
        monkeypatch.setenv(name, value)
    with Terminal(*size) as terminal:

        def run() -> None:
            try:
                script(terminal)
            except BaseException as error:
                failures.append(error)
                terminal.press("qqq")

        with (
            open(terminal.slave, closefd=False) as keys,
            open(terminal.slave, "w", encoding=encoding, closefd=False) as out,
            monkeypatch.context() as patched,
        ):
            patched.setattr(sys, "stdin", keys)
            patched.setattr(sys, "stdout", out)
            patched.setattr(sys, "path", [*sys.path])
            thread = Thread(target=run)
            thread.start()
            try:
                status = cli.main(["watch", str(path)])
            finally:
                thread.join()
        if failures:
            raise failures[0]
        assert status == expected
        terminal.read(lambda: terminal.restored)
    return terminal
