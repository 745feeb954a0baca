"""Rollback coverage: which rollback handlers have run in the tests, in which states of their steps."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

from actionqueues.definition import Definition
from actionqueues.interceptor import Interceptor
from actionqueues.requests import Request
from actionqueues.step import Step

from .chaining import Passing, then
from .waiting import watching

__all__ = ["HandlerCoverage", "actions_of", "coverage_lines", "identity"]


def identity(definition: Definition) -> str:
    """What an action is called in coverage: its module and its qualified name."""
    function = definition.function
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', definition.name)}"


class _Noting(Passing):
    def __init__(self, coverage: HandlerCoverage, inner: Interceptor | None) -> None:
        super().__init__(inner)
        self._coverage = coverage

    def undoing(self, step: Step[Any]) -> Request | None:
        return then(self._inner.undoing(step), lambda: self._coverage.ran(step))


class HandlerCoverage:
    """Which handlers have run: by action, the states of their steps, each with ``" in a sweep"`` or without."""

    def __init__(self) -> None:
        self.states: dict[str, set[str]] = {}
        self._sweeping = False

    @contextmanager
    def watching(self) -> Generator[None, None, None]:
        """Note the handlers that run meanwhile."""
        with watching(lambda inner: _Noting(self, inner)):
            yield

    @contextmanager
    def under_sweep(self) -> Generator[None, None, None]:
        """Note that a sweep is on."""
        self._sweeping = True
        try:
            yield
        finally:
            self._sweeping = False

    def ran(self, step: Step[Any]) -> None:
        """The handler of a step is about to run."""
        state = f"{step.state} in a sweep" if self._sweeping else str(step.state)
        self.states.setdefault(identity(step.definition), set()).add(state)

    def include(self, data: Mapping[str, Iterable[str]]) -> None:
        """Take over what another process has seen."""
        for name, states in data.items():
            self.states.setdefault(name, set()).update(states)

    def as_data(self) -> dict[str, list[str]]:
        """The same as plain data."""
        return {name: sorted(states) for name, states in self.states.items()}

    def percent(self, packages: Iterable[str]) -> float:
        """How many of the actions that should have an undo have had it run, in percent."""
        due = [each for package in packages for each in actions_of(package).values() if not each.irreversible]
        ran = [each for each in due if identity(each) in self.states]
        return 100 * len(ran) / len(due) if due else 100.0


def actions_of(package: str) -> dict[str, Definition]:
    """All actions that the modules of a package define, at their top level or in classes, by module and name.

    Raises:
        ImportError: if the package, or a module in it, cannot be imported.
    """
    root = importlib.import_module(package)
    for found in pkgutil.walk_packages(getattr(root, "__path__", []), f"{package}."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    actions: dict[str, Definition] = {}
    for name, module in sorted(sys.modules.items()):
        if name == package or name.startswith(f"{package}."):
            holders: list[Any] = [module, *(each for each in vars(module).values() if isinstance(each, type))]
            for holder in holders:
                attributes: dict[str, Any] = {**holder.__dict__}
                for thing in attributes.values():
                    definition = _definition_in(thing)
                    if definition is not None and identity(definition).startswith(f"{package}."):
                        actions[identity(definition)] = definition
    return dict(sorted(actions.items()))


def _definition_in(thing: object) -> Definition | None:
    """The definition of what is an action, or a static or class method of one."""
    function: object = getattr(thing, "__func__", thing)
    found = getattr(type(function), "__actionqueues__", None)
    return found if isinstance(found, Definition) else None


def coverage_lines(coverage: HandlerCoverage, packages: Iterable[str], limit: float | None) -> list[tuple[str, bool]]:
    """The lines of a report, and whether each is good."""
    lines: list[tuple[str, bool]] = []
    packages = list(packages)
    for package in packages:
        for name, definition in actions_of(package).items():
            states = coverage.states.get(name)
            if definition.irreversible:
                lines.append((f"{name}: irreversible", True))
            elif states:
                lines.append((f"{name}: {', '.join(sorted(states))}", True))
            elif definition.handler is None:
                lines.append((f"{name}: no rollback handler, and not irreversible=True", False))
            else:
                lines.append((f"{name}: {definition.handler.name} has not run", False))
    percent = coverage.percent(packages)
    good = limit is None or percent >= limit
    wanted = "" if limit is None else f", {limit:g} % wanted"
    lines.append((f"total: {percent:.0f} %{wanted}", good))
    return lines
