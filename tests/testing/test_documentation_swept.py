"""What the documentation shows stands every fault: each example asks whether it was *this* step that has made it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import io
import os
import sqlite3
import sys
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from actionqueues import ActionQueue, transaction
from actionqueues.testing import Sweep, database, directory, memory, sweep
from tests.documents import EXAMPLES, README, ran, sections

BODY = {"before", "after", "interrupt", "commit", "undo", "twice"}
RETRIED = {"before-twice", "before-always", "after-twice", "after-always"}


@contextmanager
def shown(document: Path, section: str) -> Generator[dict[str, Any], None, None]:
    """What the programs of a section have defined; what they print meanwhile is kept off the screen."""
    with ran(document, section) as names, contextlib.redirect_stdout(io.StringIO()):
        yield names


def tried(made: Sweep) -> set[str]:
    """The kinds of fault that were tried; nothing was found."""
    made.check()
    assert made.stopped is None
    return {str(outcome.fault) for outcome in made.outcomes}


def test_the_first_program() -> None:
    with shown(README, "actionqueues") as names:

        def order() -> None:
            with transaction():
                names["reserve"]("tea")
                names["charge"]("card-1", 900)

        assert tried(sweep(order, state=memory(names["shop"]))) == BODY | {"taken"}


@contextmanager
def part(heading: str) -> Generator[dict[str, Any], None, None]:
    """What one part of the guide has defined: its programs run alone."""
    text = README.read_text("utf-8").partition(f"### {heading}\n")[2].partition("\n### ")[0].partition("\n## ")[0]
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for program in text.split("```python\n")[1:]:
            exec(program.partition("```")[0], names)
        yield names
    for value in names.values():
        if isinstance(value, sqlite3.Connection):
            value.close()


def test_rows_and_folders() -> None:
    with part("Undo in order") as names:

        def sign_up() -> None:
            with transaction():
                names["create_user"](names["db"], "bob@example.com")
                names["make_home"]("bob")

        state = {"rows": database(names["db"]), "homes": directory(names["homes"])}
        assert tried(sweep(sign_up, state=state)) == BODY | {"taken"}


def test_notes_in_savepoints() -> None:
    with part("Nest") as names:

        def plan() -> None:
            with transaction() as q:
                names["note"]("one")
                with q.savepoint():
                    names["note"]("two")

        assert tried(sweep(plan, state=lambda: list(names["notes"]))) == BODY | {"taken"}


def test_uploads_in_tasks() -> None:
    with part("Async") as names:

        async def upload_all() -> None:
            async with transaction():
                await names["upload"]("a")
                await asyncio.gather(names["upload"]("b"), names["upload"]("c"))

        assert tried(sweep(upload_all, state=lambda: {name: 1 for name, _ in names["store"]})) >= BODY | {"taken"}


def test_work_in_threads() -> None:
    with part("Threads") as names:

        def work() -> None:
            with ThreadPoolExecutor() as pool, transaction() as q:
                pool.submit(q.run, names["work"], 1).result()

        state = lambda: sorted(number for number, _ in names["done"])  # noqa: E731 - short, and used once
        assert tried(sweep(work, state=state)) == BODY - {"interrupt"} | {"taken"}


def test_files_that_are_written_over() -> None:
    with part("Test it") as names:

        def write() -> None:
            with transaction():
                names["write"]("a", "1")

        def disturb(step: Any) -> Callable[[], object]:
            ours, names["files"]["a"] = names["files"]["a"], "somebody else's"
            return lambda: names["files"].update(a=ours)

        kinds = BODY | {"taken"}
        assert tried(sweep(write, state=memory(names["files"]), faults=kinds, disturb=disturb)) == kinds


def test_rooms_that_an_agent_books() -> None:
    with part("Agents") as names:

        def book() -> None:
            with transaction():
                names["book"]("Ritz")

        assert tried(sweep(book, state=lambda: sorted(names["rooms"].values()))) == BODY | {"taken"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")
def test_orders_of_processes_that_die(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [block, *_] = sections(README)["When the process dies"]
    program = block.text.partition('textwrap.dedent("""\n')[2].partition('""")')[0]
    (tmp_path / "orders_of_the_readme.py").write_text("if True:\n" + program, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    orders: Any = importlib.import_module("orders_of_the_readme")
    orders.shop.close()  # each run has its own
    try:

        def order() -> None:
            orders.shop = orders.sqlite3.connect("shop.db", isolation_level=None)  # not that of the parent of a process
            with closing(orders.shop), transaction("order", journal=orders.journal):
                orders.reserve("apple")
                orders.reserve("pear")

        def recover() -> None:
            orders.shop = orders.sqlite3.connect("shop.db", isolation_level=None)
            with closing(orders.shop):
                list(orders.journal.recover())

        state = database(tmp_path / "shop.db", keys={"reserved": "item"})
        with contextlib.redirect_stdout(io.StringIO()):
            made = sweep(order, state=state, recover=recover, ignore=["key"])
            assert tried(made) == BODY | {"taken", "crash"}
        assert "taken@reserve>crash@reserve.attempting+" in {outcome.id for outcome in made.outcomes}
    finally:
        orders.shop.close()
        orders.journal.close()
        del sys.modules["orders_of_the_readme"]


def test_jobs_that_are_delivered_again() -> None:
    with shown(README, "When the process dies") as names:

        def work() -> None:
            with transaction():
                names["export"]("tuesday", "1,2,3")

        assert tried(sweep(work, state=directory(names["folder"]))) == BODY | {"taken"}


def test_action_objects() -> None:
    with shown(README, "The classic queue") as names:
        items: list[str] = []

        def scenario() -> None:
            q = ActionQueue()
            q.add(names["Append"](items, "a"))
            q.add(names["Append"](items, "b"))
            try:
                q.execute()
            except BaseException:
                q.rollback()
                raise

        assert tried(sweep(scenario, state=lambda: list(items))) == BODY


def test_a_database_inside_a_step() -> None:
    with shown(EXAMPLES, "A database inside a step") as names:

        def order() -> None:
            with transaction():
                names["order"](3, ["milk", "tea", "sugar"])

        state = database(names["db"])
        assert tried(sweep(order, state=state, ignore=["orders.*.key"])) == BODY | {"taken"}


def test_the_old_content_of_a_page() -> None:
    with shown(EXAMPLES, "Keep the old content") as names:

        def publish() -> None:
            names["answers"][:] = [None] * 9
            with transaction():
                names["publish"]("home", "newer")

        def disturb(step: Any) -> Callable[[], object]:
            ours, names["pages"]["home"] = names["pages"]["home"], "somebody else's"
            return lambda: names["pages"].update(home=ours)

        kinds = BODY | RETRIED | {"taken"}
        assert tried(sweep(publish, state=memory(names["pages"]), faults=kinds, disturb=disturb)) == kinds


def test_a_file_that_this_step_has_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with shown(EXAMPLES, "Made by this step") as names:

        def claim() -> None:
            with transaction():
                names["claim"]("c")

        assert tried(sweep(claim, state=lambda: sorted(os.listdir()))) == BODY | {"taken"}


@pytest.mark.parametrize(
    ("section", "step", "state"), [("Generators", "enter", "rows"), ("Threads in async code", "copy", "files")]
)
def test_steps_that_are_found_by_their_key(section: str, step: str, state: str) -> None:
    with shown(EXAMPLES, section) as names:

        def scenario() -> None:
            with transaction():
                names[step]("a")

        assert tried(sweep(scenario, state=memory(names[state]))) == BODY | {"taken"}
