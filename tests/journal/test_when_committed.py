"""What waits for the commit is recorded with it: recovery calls it, and never before the transaction has committed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actionqueues import CommitHookFailed, action, transaction
from actionqueues.journal import Journal, current_hook_key

from . import actions
from .actions import failing, trail
from .leaving import die, died, recovered

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")


@action(irreversible=True, when="commit")
def mail(to: str) -> None:
    if to in failing:
        raise failing[to]
    trail.append(f"mail to {to} {current_hook_key() is not None}")


def left(path: Path, *, commits: bool) -> None:
    """Let a process die right before what waits would run, or right before it commits."""
    pid = os.fork()
    if pid == 0:
        try:
            with transaction("left", journal=path) as q:
                actions.put("a")
                q.on_commit(die)
                mail("ada")
                if not commits:
                    die()
        finally:
            os._exit(1)
    died(pid)


def test_recovery_runs_it_if_the_process_has_died_after_the_commit(path: Path) -> None:
    left(path, commits=True)
    assert recovered(path).state == "committed"
    assert trail == ["mail to ada True"]
    assert Journal(path).recover() == []


def test_recovery_drops_it_if_the_process_has_died_before(path: Path) -> None:
    left(path, commits=False)
    assert recovered(path).state == "rolled back"
    assert trail == ["-a"]


def test_one_that_fails_is_run_again(path: Path) -> None:
    failing["ada"] = ConnectionError("no")
    with pytest.raises(CommitHookFailed), transaction(journal=path):
        mail("ada")
    failing.clear()
    assert recovered(path).state == "committed"
    assert trail == ["mail to ada True"]


def test_outside_a_block_it_has_no_key() -> None:
    mail("ada")
    assert trail == ["mail to ada False"]
