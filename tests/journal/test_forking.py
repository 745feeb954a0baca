"""A forked child has a journal of its own: whatever becomes of its parent, what it writes is found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .families import start

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def shown(path: Path) -> list[str]:
    output, _ = start("show", path).communicate(timeout=60)
    return output.splitlines()


@pytest.mark.parametrize("how", ["ended", "killed"])
def test_what_a_child_writes_is_found_once_its_parent_has_gone(how: str, path: Path) -> None:
    family = start(how, path)
    assert family.stdin is not None
    assert family.stdout is not None
    try:
        family.wait(60)  # only the parent is waited for; who opens the file next finds nobody but the child
        assert shown(path) == ["parent committed 1", "child open 1"]
        for place, name in enumerate(["second", "third"], 2):
            family.stdin.write("go on\n")
            family.stdin.flush()
            assert family.stdout.readline() == f"{name}\n"
            assert shown(path) == ["parent committed 1", f"child open {place}"]
    finally:
        family.communicate("die\n", timeout=60)
    assert shown(path) == [
        "undone third",
        "undone second",
        "undone first",
        "2 child: rolled back, 3 undone",
        "parent committed 1",
        "child rolled back 3",
    ]


def test_a_fork_waits_for_what_other_threads_write_and_read(path: Path) -> None:
    output, _ = start("crowd", path).communicate(timeout=60)
    assert output == "{0}\n"
    children = {line for line in shown(path) if line.startswith("child")}
    assert children == {f"child {number} committed 1" for number in range(30)}


def test_a_child_that_is_forked_in_the_middle_of_a_commit_leaves_it_to_its_parent(path: Path) -> None:
    family = start("during", path)
    output, _ = family.communicate(timeout=60)
    assert (family.returncode, output) == (0, "6000\n")
    assert shown(path) == []
