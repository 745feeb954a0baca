"""The only places where tests that are not of one core module look inside the package: change them here."""

from __future__ import annotations

from contextvars import ContextVar, copy_context
from typing import Any

import pytest

#: What waits, and what tells the time, by the names under which `monkeypatch.setattr` finds them.
SLEEP = "actionqueues.core.drivers.sleep"
CLOCKS = tuple(f"actionqueues.core.{name}.monotonic" for name in ("attempts", "definition", "queue"))
SET_HANDLER = "actionqueues.core.interrupts.set_handler"


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let who waits look again, and log what is waited for, after milliseconds and not after seconds."""
    monkeypatch.setattr("actionqueues.core.drivers._LONG", 0.03)
    monkeypatch.setattr("actionqueues.core.drivers._LOOK", 0.01)


def _ours() -> list[tuple[ContextVar[Any], Any]]:
    return [(variable, value) for variable, value in copy_context().items() if variable.name.startswith("actionqueues")]


def left_in_context() -> dict[str, object]:
    """What the package keeps in this context, by the names of its variables: nothing, outside all blocks."""
    return {variable.name: value for variable, value in _ours() if value is not None}


def as_if_forked() -> None:
    """Do what `os.fork` has done in the child."""
    from actionqueues.core.ending import forked

    forked()


def forget_context() -> dict[str, object]:
    """Let this context know of no block any more, for the next test; what it knew."""
    left = left_in_context()
    for variable, _ in _ours():
        variable.set(None)
    return left
