"""A durable log in a file, the smallest that recovery can work from: what was started, and what has been undone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from actionqueues.core.requests import Call, Request
from actionqueues.core.watch import Watch


class FileLog(Watch):
    """Writes a line, and syncs it, before each body, after each undo, and at the end; keeps hooks by name."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, *words: object) -> Request:
        def append() -> None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(words) + "\n")
                file.flush()
                os.fsync(file.fileno())

        return Call(append)

    def attempting(self, step: Any) -> Request | None:
        return self.write("start", step.name, step.args)

    def undone(self, step: Any, error: BaseException | None) -> Request | None:
        return self.write("undone", step.name, step.args) if error is None else None

    def committing(self, block: Any, hooks: Any) -> Request:
        return self.write("commit", [hook.name for hook in hooks])

    def called_hook(self, hook: Any, error: BaseException | None) -> Request:
        return self.write("hook", hook.name)

    def read(self) -> list[list[Any]]:
        lines = self.path.read_text("utf-8").splitlines() if self.path.exists() else []
        return [json.loads(line) for line in lines]

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)

    def left(self) -> tuple[list[tuple[str, list[Any]]], list[str]]:
        """The steps that are still to be undone, last first, and the hooks that are still to be called."""
        started: list[tuple[str, list[Any]]] = []
        hooks: list[str] = []
        for word, *rest in self.read():
            if word == "start":
                started.append((rest[0], rest[1]))
            elif word == "undone" and (rest[0], rest[1]) in started:
                started.remove((rest[0], rest[1]))
            elif word == "commit":
                started, hooks = [], rest[0]
            elif word == "hook":
                hooks.remove(rest[0])
        return started[::-1], hooks
