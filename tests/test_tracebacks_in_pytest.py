"""What pytest shows of a test that fails in an action: the user's lines, and none of this package."""

from __future__ import annotations

import pytest

from tests.marks import slow_but

pytest_plugins = ["pytester"]

#: What pytest prints depends on these, so they do not reach the runs within a test.
HOST = ["PYTEST_ADDOPTS", "CI", "BUILD_NUMBER", "GITHUB_ACTIONS", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "COLUMNS"]

STEPS = """
import asyncio
from actionqueues import ActionQueue, Retry, action, transaction
from actionqueues.core.watch import Watch, observed
SOON = Retry(attempts=2, wait_initial=0, wait_jitter=0)

class Declined(Exception): ...

@action(read_only=True)
def charge():
    raise Declined  # in charge

@action(read_only=True, retry=SOON)
def charge_twice():
    raise Declined  # in charge

@action(read_only=True)
async def charge_later():
    raise Declined  # in charge

@transaction(retry=SOON)
def order():
    charge()

@action
def reserve(): ...

@reserve.rollback
def release():
    raise Declined  # in release
"""

#: Bodies of tests that fail, each with the line of its own that pytest has to show.
FAILING = {
    "in_a_block": ("with transaction():\n        charge()", "        charge()"),
    "outside": ("charge()", "    charge()"),
    "tried_again": ("with transaction():\n        charge_twice()", "        charge_twice()"),
    "watched": (
        "with observed(lambda *_: Watch()), transaction():\n        charge()",
        "        charge()",
    ),
    "queued": ("with transaction() as q:\n        q.add(charge)\n        q.execute()", "        q.execute()"),
    "queued_to_the_end": ("with transaction() as q:\n        q.add(charge)", "    with transaction() as q:"),
    "run": ("with transaction() as q:\n        q.run(charge)", "        q.run(charge)"),
    "decorated": ("order()", "    order()"),
    "classic": ("queue = ActionQueue()\n    queue.add(charge)\n    queue.execute()", "    queue.execute()"),
    "later": (
        "async def main():\n        async with transaction(): await charge_later()\n    asyncio.run(main())",
        "        async with transaction(): await charge_later()",
    ),
}
#: Those that are wrong in what they ask of this package.
WRONG = {
    "too_late": ("with transaction() as q: ...\n    q.add(charge)", "    q.add(charge)"),
    "twice": ("made = transaction()\n    with made: ...\n    with made: ...", "    with made: ..."),
    "async_in_sync": ("with transaction():\n        charge_later()", "        charge_later()"),
    "arguments": ("with transaction() as q:\n        q.add(charge, 1)", "        q.add(charge, 1)"),
    "option": ("action(retri=SOON)(print)", "    action(retri=SOON)(print)"),
    "rollback": ("with transaction() as q:\n        reserve()\n        q.rollback()", "        q.rollback()"),
}
OURS = ["*actionqueues/*", "*actionqueues\\*", "*<actionqueues: *"]


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder with tests that all fail."""
    for name in HOST:
        monkeypatch.delenv(name, raising=False)
    tests = "".join(f"\ndef test_{name}():\n    {body}\n" for name, (body, _) in {**FAILING, **WRONG}.items())
    pytester.makepyfile(steps=STEPS, test_order=f"from steps import *\n{tests}")
    return pytester


def run(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    result = project.runpytest_subprocess("-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:anyio", *options)
    result.assert_outcomes(failed=len(FAILING) + len(WRONG))
    return result


@pytest.mark.parametrize("style", slow_but(["auto", "long", "short"], "auto"))
def test_no_frame_of_ours_is_shown(project: pytest.Pytester, style: str) -> None:
    result = run(project, f"--tb={style}")
    for pattern in OURS:
        result.stdout.no_fnmatch_line(pattern)
    shown = "\n".join(result.outlines)
    told = {part.split()[0]: part for part in shown.split("_ test_")[1:]}
    assert told.keys() == {**FAILING, **WRONG}.keys()
    for name, (_, line) in {**FAILING, **WRONG}.items():
        assert line.strip() in told[name], name
        assert ("raise Declined  # in charge" in told[name]) == (name in FAILING), name


def test_each_error_is_counted_at_a_line_of_the_user(project: pytest.Pytester) -> None:
    result = run(project, "--tb=line")
    for pattern in OURS:
        result.stdout.no_fnmatch_line(pattern)


@pytest.mark.parametrize("option", slow_but(["--full-trace", "--tb=native"], "--full-trace"))
def test_all_frames_are_shown_where_that_is_asked_for(project: pytest.Pytester, option: str) -> None:
    result = run(project, option)
    result.stdout.fnmatch_lines(["*<actionqueues: *"])
