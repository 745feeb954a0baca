"""Durable commit hooks are called at least once, by recovery if need be, and by nobody else's name."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import actionqueues
from actionqueues import IllegalOperation, on_commit, transaction
from actionqueues.journal import Journal, durable

from . import actions
from .actions import failing, trail
from .leaving import die, died, edit, recovered

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")


def committed(path: Path, *hooks: Callable[..., object]) -> None:
    """Let a process commit, and die before the first hook."""
    pid = os.fork()
    if pid == 0:
        try:
            with transaction("left", journal=path) as q:
                actions.put("a")
                q.on_commit(die)
                for hook in hooks:
                    q.on_commit(hook, "x")
        finally:
            os._exit(1)
    died(pid)


def test_durable_hooks_are_called_by_recovery(path: Path) -> None:
    committed(path, actions.tell, durable(actions.put))
    one = recovered(path)
    assert (one.state, trail) == ("committed", ["!x True", "+x"])
    assert Journal(path).recover() == []


def test_a_durable_hook_that_fails_is_called_again(path: Path) -> None:
    failing["!x True"] = OSError("not now")
    with pytest.raises(actionqueues.CommitHookFailed), transaction(journal=path) as q:
        q.on_commit(actions.tell, "x")
        q.on_commit(actions.tell, "y")
    assert trail == ["!x True", "!y True"]
    one = recovered(path)
    assert (one.state, one.reason) == ("stuck", "commit hook tests.journal.actions:tell: OSError('not now')")
    failing.clear()
    assert recovered(path).state == "committed"
    assert trail == ["!x True", "!y True", "!x True", "!x True"]


def test_a_hook_that_need_not_be_called_any_more(path: Path) -> None:
    committed(path, actions.tell)
    failing["!x True"] = OSError("not now")
    recovered(path)
    journal = Journal(path)
    with pytest.raises(LookupError):
        journal.resolve_hook(1, 9)
    (hook,) = journal.show(1).hooks
    assert journal.resolve_hook(1, hook.number).ended is not None
    with pytest.raises(IllegalOperation):
        journal.resolve_hook(1, hook.number)


def test_an_async_hook_waits_for_an_event_loop(path: Path) -> None:
    async def main() -> None:
        async with transaction("left", journal=path) as q:
            q.on_commit(die)
            q.on_commit(actions.tell_async, "x")

    pid = os.fork()
    if pid == 0:
        asyncio.run(main())
    died(pid)
    assert recovered(path).state == "waiting"
    (done,) = asyncio.run(Journal(path).recover_async())
    assert (done.state, trail) == ("committed", ["!x"])


def test_a_hook_of_something_else_is_not_called(path: Path) -> None:
    committed(path, actions.tell)
    edit(path, "UPDATE hooks SET name = 'os:system'")
    assert "no action" in (recovered(path).reason or "")


@pytest.mark.parametrize("text", ["", "[1]", '[["x"], {"name"', "[[], {}, 3]"])
def test_a_hook_whose_arguments_somebody_has_spoilt_waits_for_a_person(path: Path, text: str) -> None:
    committed(path, actions.tell)
    edit(path, "UPDATE hooks SET arguments = ?", text)
    one = recovered(path)
    assert (one.state, trail) == ("stuck", [])
    assert "the hook tests.journal.actions:tell cannot be read" in (one.reason or "")


def rows(path: Path) -> list[tuple[str, bool]]:
    return [(hook.name.partition(":")[2], hook.ended is not None) for hook in Journal(path).show(1).hooks]


def tells_later() -> None:
    on_commit(actions.tell, "later")


def test_a_durable_hook_that_a_hook_registers_is_recorded_and_has_a_key(path: Path) -> None:
    with transaction(journal=path) as q:
        q.on_commit(tells_later)
        q.on_commit(actions.tell, "x")
    assert trail == ["!x True", "!later True"]
    assert rows(path) == [("tell", True), ("tell", True)]
    assert Journal(path).show(1).ended is not None


def test_even_if_nothing_else_was_recorded(path: Path) -> None:
    with transaction(journal=path) as q:
        q.on_commit(tells_later)
    assert (trail, rows(path)) == (["!later True"], [("tell", True)])
    assert [each.state for each in Journal(path).transactions()] == ["committed"]
    assert Journal(path).transactions()[0].ended is not None


def test_one_that_fails_is_called_again_by_recovery(path: Path) -> None:
    failing["!later True"] = OSError("not now")
    with pytest.raises(actionqueues.CommitHookFailed), transaction(journal=path) as q:
        actions.put("a")
        q.on_commit(tells_later)
    failing.clear()
    assert recovered(path).state == "committed"
    assert trail == ["+a", "!later True", "!later True"]


@pytest.mark.parametrize("with_another", [False, True])
def test_it_is_called_by_recovery_if_the_process_dies_before_it(path: Path, with_another: bool) -> None:
    def hook() -> None:
        tells_later()
        die()

    pid = os.fork()
    if pid == 0:
        try:
            with transaction("left", journal=path) as q:
                if with_another:
                    q.on_commit(actions.tell, "x")
                q.on_commit(hook)
        finally:
            os._exit(1)
    died(pid)
    assert recovered(path).state == "committed"
    assert trail == ["!later True"]
