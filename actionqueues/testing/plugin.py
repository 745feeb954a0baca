"""The face of `actionqueues.testing` for pytest: the fixture, the matrices, the page, and rollback coverage.

Stands on sweeps and coverage.  Used by pytest, through `testing/entry_point`, once an option or a test wants it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from operator import itemgetter
from pathlib import Path
from shlex import quote
from typing import Any, TypedDict, Unpack

import pytest

from .entry import SweepOptions, sweep
from .handlers import CoverageData, HandlerCoverage, coverage_lines
from .matrix import Swept, as_data, matrix_lines, page
from .outcomes import NotReached, Outcome, SweepError, SweepFailed
from .sweeping import Sweep

__all__ = ["RollbackSweep", "Session", "session_of"]

_NAME = "actionqueues-session"


class RollbackSweep:
    """The fixture `rollback_sweep`: `actionqueues.testing.sweep`, each fault a subtest where pytest has them."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request
        self._session = session_of(request.config)
        self._only: list[str] = request.config.getoption("rollback_only") or []
        self._reached: set[str] = set()
        self._missed: list[NotReached] = []
        request.addfinalizer(self._check_reached)

    def __call__(self, scenario: Callable[[], object], /, **options: Unpack[SweepOptions]) -> None:
        """Sweep; takes what `actionqueues.testing.sweep` takes.

        Raises:
            SweepFailed: if something was found, and this pytest has no subtests.
            SweepError: if the sweep cannot be done.
            TypeError, ValueError: for arguments that make no sense.
        """
        __tracebackhide__ = True  # and no frames of the sweep either: what is wrong is in the scenario, or in this call
        if self._only:
            options["only"] = self._only
        try:
            made = sweep(scenario, **options)
        except (TypeError, ValueError) as error:
            error.__traceback__ = None
            raise
        try:
            self._try_all(made)
            self._reached.update(self._only)
        except NotReached as error:
            if not self._only:
                error.__traceback__ = None
                raise
            self._reached.update({*self._only} - {*error.ids})
            self._missed.append(error)
        except (SweepError, SweepFailed) as error:
            error.__traceback__ = None
            raise

    def _check_reached(self) -> None:
        """What was to be run alone is one of a test's sweeps, and need not be one of each."""
        missed = [error for error in self._missed if {*error.ids} - self._reached]
        if missed:
            pytest.fail("\n".join(map(str, missed)), pytrace=False)

    def _try_all(self, made: Sweep) -> None:
        try:
            subtests: Any = self._request.getfixturevalue("subtests")
        except pytest.FixtureLookupError:
            subtests = None
        node: str = self._request.node.nodeid
        shown = _as_typed(node, self._request.config)
        try:
            with self._session.sweeping():
                for outcome in made:
                    if subtests is not None:
                        with subtests.test(msg=outcome.id):
                            if not outcome.ok:
                                pytest.fail(_told(outcome, shown), pytrace=False)
        finally:
            self._session.sweeps.append(as_data(node, made.outcomes, made.stopped, made.untried))
        if subtests is None and made.failures:
            raise SweepFailed(made.failures)
        if not made.outcomes:
            raise SweepError("no fault was injected: faults= leaves none that fits this scenario")


def _as_typed(node: str, config: pytest.Config) -> str:
    """The id of a test as it is typed where pytest was started, which need not be its root directory."""
    file, colons, rest = node.partition("::")
    path, here = config.rootpath / file, config.invocation_params.dir
    if here == config.rootpath or path.drive != here.drive:
        return node
    return Path(os.path.relpath(path, here)).as_posix() + colons + rest


def _told(outcome: Outcome, node: str) -> str:
    return f"{outcome.message}\nagain, alone: pytest {quote(node)} {quote(f'--rollback-only={outcome.id}')}"


class _Seen(TypedDict):
    sweeps: list[Swept]
    handlers: CoverageData | None


def session_of(config: pytest.Config) -> Session:
    """What is kept for the whole run of pytest; made at the first use."""
    found = config.pluginmanager.get_plugin(_NAME)
    if isinstance(found, Session):
        return found
    session = Session(config)
    config.pluginmanager.register(session, _NAME)
    return session


class Session:
    """What all sweeps of a run of pytest have shown, and which handlers have run.

    Attributes:
        sweeps: the sweeps, as data.
        handlers: which handlers have run; None without ``--rollback-cov``.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.sweeps: list[Swept] = []
        packages: list[str] = config.getoption("rollback_cov") or []
        self._packages = packages
        self._report: str | None = config.getoption("rollback_report")
        self._limit: float | None = config.getoption("rollback_fail_under")
        self._told = ""  # why the page was not written
        self._config = config
        self._open = ExitStack()
        self.handlers = HandlerCoverage() if packages else None
        if self.handlers is not None:
            self._open.enter_context(self.handlers.watching())

    def sweeping(self) -> ExitStack:
        """While a sweep is on: handlers that run count as run under one."""
        stack = ExitStack()
        if self.handlers is not None:
            stack.enter_context(self.handlers.under_sweep())
        return stack

    def take_over(self, told: str) -> None:  # pragma: no cover - called in a process that has workers
        """Take over what a worker of pytest-xdist has seen."""
        seen: _Seen = json.loads(told)
        self.sweeps += seen["sweeps"]
        if self.handlers is not None and seen["handlers"] is not None:
            self.handlers.include(seen["handlers"])

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Pass on what was seen, write the page, and fail where too little has run."""
        if self.handlers is not None and not self.handlers.actions:  # or the workers have told, who can import them
            self.handlers.look(self._packages)
        output: Any = getattr(self._config, "workeroutput", None)
        if output is not None:  # pragma: no cover - runs in a worker process
            seen: _Seen = {
                "sweeps": self.sweeps,
                "handlers": None if self.handlers is None else self.handlers.as_data(),
            }
            output[_NAME] = json.dumps(seen)
            return
        if self._report is not None and not self._write(Path(self._report)) and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self.handlers is not None and not self.handlers.suffices(self._limit) and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _write(self, path: Path) -> bool:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(page(self.sweeps), encoding="utf-8")
        except OSError as error:
            self._told = f"rollback report: not written: {error}"
        return not self._told

    def pytest_unconfigure(self) -> None:
        """Watch no more."""
        self._open.close()

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Draw the matrices, and list the handlers."""
        terminalreporter.ensure_newline()
        for swept in filter(itemgetter("trials"), self.sweeps):
            terminalreporter.section(f"rollback sweep of {swept['test']}", sep="-")
            for line in matrix_lines(swept, self._config.get_terminal_writer().fullwidth):
                for text, kind in line:
                    terminalreporter.write(text, green=kind == "ok", red=kind == "failed")
                terminalreporter.line("")
        if self.handlers is not None:
            terminalreporter.section("rollback coverage", sep="-")
            for text, good in coverage_lines(self.handlers, self._limit):
                terminalreporter.write_line(text, red=not good)
        if self._report is not None:
            terminalreporter.write_line(self._told or f"rollback report: {self._report}", red=bool(self._told))
