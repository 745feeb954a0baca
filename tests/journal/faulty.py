"""An action for journals that are about to fail, and what it has done in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actionqueues import action, transaction
from actionqueues.journal import Journal

trail: list[str] = []


@action
def put(name: Any) -> Any:
    trail.append(f"+{str(name)[:9]}")
    return name


@put.rollback
def take(name: Any, result: Any) -> None:
    trail.append(f"-{str(name)[:9]}")


def steps(path: Path, *names: Any) -> Any:
    with transaction("faulty", journal=Journal(path, busy_timeout=0.05)) as q:
        for name in names:
            put(name)
    return q
