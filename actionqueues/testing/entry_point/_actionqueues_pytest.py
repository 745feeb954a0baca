"""What pytest finds: the options and the fixture of `actionqueues.pytest_plugin`, which is imported when one is used.

A module of its own beside the package, since importing one in the package would import all of that, in each run of
pytest of everybody who has it installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from actionqueues.pytest_plugin import RollbackSweep

__all__ = ["pytest_addoption", "pytest_configure", "pytest_testnodedown", "rollback_sweep"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("actionqueues", "proving rollbacks (actionqueues)")
    group.addoption(
        "--rollback-only",
        action="append",
        metavar="ID",
        help="inject only this fault into sweeps, such as after@charge; may be given more than once",
    )
    group.addoption("--rollback-report", metavar="FILE", help="write the matrices of all sweeps to this HTML page")
    group.addoption(
        "--rollback-cov",
        action="append",
        metavar="PACKAGE",
        help="list for each action of this package whether its rollback handler has run in the tests, and how",
    )
    group.addoption(
        "--rollback-fail-under",
        type=float,
        metavar="PERCENT",
        help="fail if fewer of the actions of --rollback-cov have had their handlers run",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Load the rest, if an option wants it.

    Raises:
        pytest.UsageError: for a limit that would limit nothing.
    """
    limit = config.getoption("rollback_fail_under")
    if limit is not None and not config.getoption("rollback_cov"):
        raise pytest.UsageError("--rollback-fail-under needs --rollback-cov=PACKAGE, whose actions it is about")
    if limit is not None and not 0 <= limit <= 100:
        raise pytest.UsageError(f"--rollback-fail-under is a percentage, from 0 to 100, not {limit:g}")
    if config.getoption("collectonly"):
        return
    if config.getoption("rollback_report") or config.getoption("rollback_cov"):
        from actionqueues import pytest_plugin

        pytest_plugin.session_of(config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # pragma: no cover - runs where there are workers
    """A worker of pytest-xdist has ended: take over what it has seen of sweeps and handlers."""
    told = getattr(node, "workeroutput", {}).get("actionqueues-session")
    if told is not None:
        from actionqueues import pytest_plugin

        pytest_plugin.session_of(node.config).take_over(told)


@pytest.fixture
def rollback_sweep(request: pytest.FixtureRequest) -> RollbackSweep:
    """Run a scenario under every fault at every step: ``rollback_sweep(scenario, state=...)``."""
    from actionqueues import pytest_plugin

    return pytest_plugin.RollbackSweep(request)
