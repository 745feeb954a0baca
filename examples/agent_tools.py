"""A tool belt for an LLM agent: whatever the model does can be taken back.

The tools write and edit files, commit with git and put appointments into a calendar. A (scripted)
model tries a plan inside a savepoint; its tests fail, the savepoint undoes the plan in all three
systems, and the model is told why and tries otherwise. The appointment that was made before the
savepoint stays.

    python examples/agent_tools.py

The exit status is 0 if the second plan is all there, and nothing is left of the first.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from actionqueues import RollbackConflict, Step, action, current_step, transaction

Plan = list[tuple[str, dict[str, str]]]

FILES = {
    "prices.py": "def discounted(cents, percent):\n    return cents - cents * percent // 100\n",
    "test_prices.py": (
        "import unittest\n"
        "from prices import discounted\n\n\n"
        "class Discounts(unittest.TestCase):\n"
        "    def test_a_tenth_off(self):\n"
        "        self.assertEqual(discounted(1000, 10), 900)\n\n"
        "    def test_never_more_than_half_off(self):\n"
        "        self.assertEqual(discounted(1000, 80), 500)\n"
    ),
}

# What the model answers. A real one would be asked; these are two of its plans, as tool calls.
PLAN_A: Plan = [
    ("write_file", {"path": "NOTES.md", "text": "Discounts are now capped.\n"}),
    ("edit_file", {"path": "prices.py", "old": "percent // 100", "new": "max(percent, 50) // 100"}),
    ("commit", {"message": "Cap discounts with max()"}),
    ("add_event", {"day": "2025-03-03", "title": "Release capped discounts"}),
    ("run_tests", {}),
]
PLAN_B: Plan = [
    ("edit_file", {"path": "prices.py", "old": "percent // 100", "new": "min(percent, 50) // 100"}),
    ("run_tests", {}),
    ("commit", {"message": "Cap discounts at half the price"}),
    ("add_event", {"day": "2025-03-05", "title": "Release capped discounts"}),
]


class ToolFailed(Exception):
    """What a tool tells the model when it could not do what it was asked for."""


class ToolBelt:
    """The tools. Those that change something are actions; one that only looks is a method."""

    names = ("write_file", "edit_file", "commit", "add_event", "run_tests")

    def __init__(self, folder: Path, calendar: sqlite3.Connection) -> None:
        self.folder = folder
        self.calendar = calendar

    def call(self, name: str, arguments: dict[str, str]) -> Any:
        """Run one tool call of the model."""
        if name not in self.names:
            raise ToolFailed(f"there is no tool {name!r}; there are {', '.join(self.names)}")
        return getattr(self, name)(**arguments)

    @action
    def write_file(self, path: str, text: str) -> None:
        file = self.folder / path
        current_step().save(before=file.read_text() if file.exists() else None)
        file.write_text(text)

    @write_file.rollback
    def unwrite_file(self, path: str, text: str, step: Step[None]) -> None:
        if "before" not in step.saved:
            return  # it failed before it had done anything
        file = self.folder / path
        if file.exists() and file.read_text() not in (text, step.saved["before"]):
            raise RollbackConflict(f"{path} was changed by somebody else since")
        if step.saved["before"] is None:
            file.unlink(missing_ok=True)
        else:
            file.write_text(step.saved["before"])

    def edit_file(self, path: str, old: str, new: str) -> None:
        """No undo of its own: what it does is done by `write_file`, and undone with that."""
        text = (self.folder / path).read_text()
        if text.count(old) != 1:
            raise ToolFailed(f"{old!r} is {text.count(old)} times in {path}, not once")
        self.write_file(path, text.replace(old, new))

    @action
    def commit(self, message: str) -> str:
        current_step().save(before=self.git("rev-parse", "HEAD"))
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        current_step().save(after=self.git("rev-parse", "HEAD"))
        return str(current_step().saved["after"])

    @commit.rollback
    def uncommit(self, step: Step[str]) -> None:
        """Move the branch and the index back; the files are undone by the steps that wrote them."""
        if "before" not in step.saved:
            return
        # Not the result: there is none if the reply is lost.
        ours = (step.saved.get("after"), step.saved["before"])
        if self.git("rev-parse", "HEAD") not in ours:
            raise RollbackConflict("somebody else has committed since")
        self.git("reset", "--quiet", step.saved["before"])

    @action
    def add_event(self, day: str, title: str) -> None:
        event = (day, title)
        row = self.calendar.execute("INSERT INTO events VALUES (?, ?)", event).lastrowid
        current_step().save(row=row)

    @add_event.rollback
    def remove_event(self, step: Step[None]) -> None:
        if "row" in step.saved:  # not the result: there is none if the reply is lost
            self.calendar.execute("DELETE FROM events WHERE rowid = ?", (step.saved["row"],))

    def run_tests(self) -> None:
        command = [sys.executable, "-B", "-m", "unittest", "--quiet"]
        tests = subprocess.run(
            command, cwd=self.folder, check=False, capture_output=True, text=True
        )
        if tests.returncode:
            reason = [line for line in tests.stderr.splitlines() if "Error:" in line]
            raise ToolFailed(f"tests failed: {'; '.join(reason)}")

    def git(self, *arguments: str) -> str:
        who = ("-c", "user.name=Agent", "-c", "user.email=agent@example.com")
        # None of the user's own settings, nor a GIT_DIR that points to another repository.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        return subprocess.run(
            ["git", *who, *arguments],
            cwd=self.folder,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()


# ---------------------------------------------------------------- the agent


def work(belt: ToolBelt) -> None:
    """Try one plan after the other; each in a savepoint, all of it in one transaction."""
    with transaction("agent") as q:
        print("before any plan")
        review = {"day": "2025-03-01", "title": "Review of the price rules"}
        say("add_event", review)
        belt.call("add_event", review)
        for name, plan in (("A", PLAN_A), ("B", PLAN_B)):
            print(f"plan {name}")
            attempt = q.savepoint()
            try:
                with attempt:
                    for tool, arguments in plan:
                        say(tool, arguments)
                        belt.call(tool, arguments)
            except ToolFailed as error:
                print(f"  ! {error}")
                print(f"  < undone: {', '.join(attempt.report.undone)}")
            else:
                break
        else:
            raise ToolFailed("no plan worked")


def say(tool: str, arguments: dict[str, str]) -> None:
    shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    print(f"  > {tool}({shown})")


@contextmanager
def workspace() -> Generator[ToolBelt, None, None]:
    """A repository with one commit, and an empty calendar."""
    with (
        tempfile.TemporaryDirectory(prefix="agent-") as folder,
        closing(sqlite3.connect(":memory:", isolation_level=None)) as calendar,
    ):
        calendar.execute("CREATE TABLE events (day TEXT, title TEXT)")
        belt = ToolBelt(Path(folder), calendar)
        belt.git("init", "--quiet", "--initial-branch=main")
        for path, text in FILES.items():
            (belt.folder / path).write_text(text)
        belt.git("add", "--all")
        belt.git("commit", "--quiet", "--message", "Start")
        yield belt


def leftovers(belt: ToolBelt) -> list[str]:
    """What is there that should not be there, or is not there and should."""
    history = belt.git("log", "--all", "--format=%s").splitlines()
    events = belt.calendar.execute("SELECT day, title FROM events ORDER BY day").fetchall()
    wrong: list[str] = []
    if history != ["Cap discounts at half the price", "Start"]:
        wrong.append(f"history: {history}")
    if belt.git("status", "--porcelain"):
        wrong.append(f"work tree: {belt.git('status', '--porcelain')}")
    if (belt.folder / "NOTES.md").exists() or "min(" not in (belt.folder / "prices.py").read_text():
        wrong.append("files: not those of plan B")
    if [day for day, _ in events] != ["2025-03-01", "2025-03-05"]:
        wrong.append(f"calendar: {events}")
    return wrong


def main() -> int:
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    with workspace() as belt:
        start = belt.git("rev-parse", "HEAD")
        work(belt)

        print("\nall that has changed since the start")
        print(belt.git("diff", "--unified=0", start, "HEAD"))
        for day, title in belt.calendar.execute("SELECT day, title FROM events ORDER BY day"):
            print(f"+{day} {title}")

        wrong = leftovers(belt)
    print()
    for line in wrong:
        print(f"FAILED: {line}")
    if not wrong:
        print("OK: plan B is all there, and nothing is left of plan A")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
