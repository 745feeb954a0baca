"""A program that changes its directory on the way: each step, and each hook, is recovered where it was begun."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from actionqueues import transaction
from actionqueues.journal import Journal, durable

from .actions import trail
from .leaving import edit, leave, leave_async, recovered
from .test_relative_paths import make, make_async, now, then

__all__ = ["now", "then"]  # the fixtures

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")


@durable
def tell_where(name: str) -> None:
    trail.append(f"{name} in {os.getcwd()}")


def in_both(q: Any) -> None:
    for folder in ("then", "now", "then", "now"):
        os.chdir(f"../{folder}")
        make(f"{len(list(Path().iterdir()))}.txt")


def left_in(*folders: Path) -> list[list[str]]:
    return [sorted(each.name for each in folder.glob("*.txt")) for folder in folders]


def test_each_step_goes_by_the_directory_that_it_began_in(path: Path, then: Path, now: Path) -> None:
    leave(path, in_both)
    assert left_in(then, now) == [["1.txt", "2.txt"], ["1.txt", "2.txt"]]
    assert recovered(path).state == "stuck"
    assert left_in(then, now) == [[], ["1.txt", "2.txt"]]
    assert trail == ["-2.txt", "-1.txt"]
    os.chdir(path.parent)
    (one,) = Journal(path).recover(chdir=True)
    assert (one.state, left_in(then, now), os.getcwd()) == ("rolled back", [[], []], str(path.parent))


def test_they_are_undone_in_their_directories_in_reverse_order(path: Path, then: Path, now: Path) -> None:
    leave(path, in_both)
    os.chdir(path.parent)
    assert recovered(path).state == "stuck"
    (one,) = Journal(path).recover(chdir=True)
    assert (one.state, left_in(then, now), os.getcwd()) == ("rolled back", [[], []], str(path.parent))
    assert trail == ["-2.txt", "-2.txt", "-1.txt", "-1.txt"]


async def in_both_async(q: Any) -> None:
    await make_async("1.txt")
    os.chdir("../now")
    await make_async("2.txt")


def test_an_event_loop_goes_by_them_too(path: Path, then: Path, now: Path) -> None:
    leave_async(path, in_both_async)
    os.chdir(path.parent)
    (one,) = asyncio.run(Journal(path).recover_async(chdir=True))
    assert (one.state, trail, os.getcwd()) == ("rolled back", ["-2.txt", "-1.txt"], str(path.parent))


def test_a_durable_hook_goes_by_the_directory_of_the_commit(path: Path, then: Path, now: Path) -> None:
    (now / "1.txt").touch()
    with transaction(journal=path) as q:
        make("1.txt")
        q.on_commit(tell_where, "1.txt")
        os.chdir(now)
    edit(path, "UPDATE transactions SET ended = NULL")
    edit(path, "UPDATE hooks SET ended = NULL")
    os.chdir(path.parent)
    trail.clear()
    assert (recovered(path).state, trail) == ("stuck", [])
    (one,) = Journal(path).recover(chdir=True)
    assert (one.state, trail, os.getcwd()) == ("committed", [f"1.txt in {now}"], str(path.parent))
