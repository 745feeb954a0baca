"""Rollback coverage: which rollback handlers have run in the tests, in which states of their steps.

Stands on the seam of the core, and on the definitions of all actions.  Used by the plugin for pytest, and by children.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, TypedDict

from actionqueues.core.definition import Definition, all_definitions
from actionqueues.core.requests import Request
from actionqueues.core.step import Step
from actionqueues.core.watch import Passing, Watch

from .calling import definition_of_step
from .chaining import then, watching

__all__ = ["WATCHING", "CoverageData", "HandlerCoverage", "Listed", "actions_of", "coverage_lines", "identity"]


def identity(definition: Definition) -> str:
    """What an action is called in coverage: its module and its qualified name."""
    function = definition.function
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', definition.name)}"


class _Noting(Passing):
    def __init__(self, coverage: HandlerCoverage, inner: Watch | None) -> None:
        super().__init__(inner)
        self._coverage = coverage

    def undoing(self, step: Step[Any]) -> Request | None:
        return then(self.inner.undoing(step), lambda: self._coverage.ran(step))


class Listed(TypedDict):
    """What is known of an action, fit for JSON."""

    irreversible: bool  #: whether it is declared so
    handler: str  #: the name of its rollback handler, or empty


class CoverageData(TypedDict):
    """What one process has seen, fit for JSON."""

    states: dict[str, list[str]]
    actions: dict[str, Listed]
    problems: list[str]


#: Those that are noting.
WATCHING: list[HandlerCoverage] = []


class HandlerCoverage:
    """Which handlers have run.

    Attributes:
        states: by action, the states of their steps, each with ``" in a sweep"`` or without.
        actions: the actions of the packages that were looked at.
        problems: why packages could not be looked at.
    """

    def __init__(self) -> None:
        self.states: dict[str, set[str]] = {}
        self.actions: dict[str, Listed] = {}
        self.problems: list[str] = []
        self._sweeping = False

    @contextmanager
    def watching(self) -> Generator[None, None, None]:
        """Note the handlers that run meanwhile, in recoveries and in forked children of a sweep as well."""
        with watching(lambda inner: _Noting(self, inner)):
            WATCHING.append(self)
            try:
                yield
            finally:
                WATCHING.remove(self)

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
        self.states.setdefault(identity(definition_of_step(step)), set()).add(state)

    def look(self, packages: Iterable[str]) -> None:
        """Find the actions of these packages."""
        for package in packages:
            try:
                found = actions_of(package)
            except (Exception, SystemExit) as error:  # what a module raises when it is imported
                self.problems.append(f"{package} cannot be looked at: {error!r}")
                continue
            if not found:
                self.problems.append(f"{package} defines no action; name the package whose modules do")
            for name, definition in found.items():
                handler = "" if definition.handler is None else definition.handler.name
                self.actions[name] = {"irreversible": definition.irreversible, "handler": handler}

    def include(self, data: CoverageData) -> None:
        """Take over what another process has seen."""
        self.include_states(data["states"])
        self.actions.update(data["actions"])
        self.problems += [problem for problem in data["problems"] if problem not in self.problems]

    def include_states(self, found: Mapping[str, Iterable[str]]) -> None:
        """Take over which handlers have run in another process."""
        for name, states in found.items():
            self.states.setdefault(name, set()).update(states)

    def states_as_data(self) -> dict[str, list[str]]:
        """Which handlers have run, fit for JSON."""
        return {name: sorted(states) for name, states in self.states.items()}

    def as_data(self) -> CoverageData:
        """The same as plain data."""
        return {"states": self.states_as_data(), "actions": self.actions, "problems": self.problems}

    def percent(self) -> float:
        """How many of the actions that should have an undo have had it run, in percent."""
        due = [name for name, action in self.actions.items() if not action["irreversible"]]
        return 100 * sum(name in self.states for name in due) / len(due) if due else 100.0

    def suffices(self, limit: float | None) -> bool:
        """Whether all packages could be looked at, and so many percent have run."""
        return not self.problems and (limit is None or self.percent() >= limit)


def actions_of(package: str) -> dict[str, Definition]:
    """All actions that the modules of a package define, but for those that its functions make, by module and name.

    Raises:
        ImportError: if the package, or a module in it, cannot be imported.
    """
    root = importlib.import_module(package)
    for found in pkgutil.walk_packages(getattr(root, "__path__", []), f"{package}."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    named = {identity(definition): definition for definition in all_definitions()}
    return {name: named[name] for name in sorted(named) if name.startswith(f"{package}.") and "<locals>" not in name}


def coverage_lines(coverage: HandlerCoverage, limit: float | None) -> list[tuple[str, bool]]:
    """The lines of a report, and whether each is good."""
    lines: list[tuple[str, bool]] = []
    for name, action in sorted(coverage.actions.items()):
        states = coverage.states.get(name)
        if action["irreversible"]:
            lines.append((f"{name}: irreversible", True))
        elif states:
            lines.append((f"{name}: {', '.join(sorted(states))}", True))
        elif not action["handler"]:
            lines.append((f"{name}: no rollback handler, and not irreversible=True", False))
        else:
            lines.append((f"{name}: {action['handler']} has not run", False))
    lines += [(problem, False) for problem in coverage.problems]
    wanted = "" if limit is None else f", {limit:g} % wanted"
    lines.append((f"total: {coverage.percent():.0f} %{wanted}", coverage.suffices(limit)))
    return lines
