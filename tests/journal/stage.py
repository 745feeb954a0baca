"""Runs the scene in processes of its own, and says what is wrong afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from actionqueues.journal import Journal

ROOT = Path(__file__).parent.parent.parent


def start(folder: Path, command: str, at: int = 0) -> subprocess.Popen[str]:
    import actionqueues

    package = str(Path(actionqueues.__file__).parent.parent)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.journal.scene", command, str(folder), str(at)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([package, str(ROOT)])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Ended(NamedTuple):
    killed: bool
    output: list[str]


def run(folder: Path, command: str, at: int = 0) -> Ended:
    process = start(folder, command, at)
    output, errors = process.communicate(timeout=60)
    killed = process.returncode == -signal.SIGKILL
    assert killed or process.returncode == 0, errors
    assert killed or errors == ""
    return Ended(killed, output.split())


def calls(folder: Path) -> list[list[str]]:
    path = folder / "calls"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def present(folder: Path) -> set[str]:
    world = folder / "world"
    return {path.name for path in world.iterdir()} if world.exists() else set()


def differences(folder: Path, *, kills: int) -> list[str]:
    """What is wrong after everything has been recovered."""
    wrong: list[str] = []
    journal = Journal(folder / "actions.db")
    entries = journal.transactions()
    journal.close()
    done = [name for what, name, *_ in calls(folder) if what == "do"]
    undone = [name for what, name, *_ in calls(folder) if what == "undo"]
    hooks = [words[1:] for words in calls(folder) if words[0] == "hook"]
    if any(entry.ended is None for entry in entries):
        wrong.append(f"not ended: {entries}")
    if entries and entries[-1].state == "committed":
        if present(folder) != {"a", "b", "e", "f", "by-hand"}:
            wrong.append(f"committed, but there is {sorted(present(folder))}")
        if {name for name, _ in hooks} != {"first", "second"}:
            wrong.append(f"committed, but the hooks {hooks} were called")
        if len({tuple(hook) for hook in hooks}) != 2:
            wrong.append(f"a hook had two keys: {hooks}")
        return wrong
    by_hand = {"by-hand"} if "by-hand" not in undone else set[str]()  # before it was registered, nobody knows of it
    if present(folder) - by_hand:
        wrong.append(f"not committed, but there is {sorted(present(folder))}")
    if hooks:
        wrong.append(f"not committed, but the hooks {hooks} were called")
    for name in set(undone):
        extra = undone.count(name) - 1
        if extra > kills:
            wrong.append(f"{name} was undone {undone.count(name)} times, with {kills} kills")
    last = [name for place, name in enumerate(undone) if name not in undone[place + 1 :]]
    order = [name for name in dict.fromkeys(done) if name in last and name not in ("c", "d")]
    if [name for name in last if name in order] != order[::-1]:
        wrong.append(f"undone in the order {undone}")
    return wrong


def sample(count: int, wanted: int, seed: int) -> Sequence[int]:
    """All places of a sweep, if that is asked for; otherwise some, the first and the last included."""
    import random

    if os.environ.get("ACTIONQUEUES_SWEEP") == "full" or count <= wanted:
        return range(1, count + 1)
    return sorted({1, count, *random.Random(seed).sample(range(1, count + 1), wanted)})
