"""The example that is a test passes, and our other examples stand a sweep with their own scenarios and systems."""

from __future__ import annotations

import importlib
import random
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from actionqueues import ActionQueue
from actionqueues.testing import Sweep, database, directory, memory, sweep

from .test_plugin import run

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def test_the_test_that_newcomers_copy_passes(tmp_path: Path) -> None:
    done = run(tmp_path, str(EXAMPLES / "test_signup_rollback.py"), "-v", "--color=no")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    assert "charge       ok" in done.stdout


@pytest.fixture
def examples(capsys: Any) -> Iterator[Any]:
    """Imports an example by its name; what it prints is kept off the screen."""
    sys.path.insert(0, str(EXAMPLES))
    yield importlib.import_module
    sys.path.remove(str(EXAMPLES))


def tried(made: Sweep) -> dict[str, set[str]]:
    """The faults that were tried, by the name of their step; nothing was found."""
    made.check()
    assert made.stopped is None
    found: dict[str, set[str]] = {}
    for outcome in made.outcomes:
        found.setdefault(outcome.place.partition("#")[0].partition(".")[0], set()).add(outcome.fault)
    return found


BODY = {"before", "after", "interrupt"}
UNDO = {"undo", "twice"}
RETRIED = {"before-twice", "before-always", "after-twice", "after-always"}


@pytest.mark.slow
def test_the_agent_of_the_examples_takes_everything_back(examples: Any) -> None:
    tools = examples("agent_tools")
    with tools.workspace() as belt:
        state = {"calendar": database(belt.calendar), "files": directory(belt.folder)}
        made = sweep(lambda: tools.work(belt), state=state, ignore=[".git*"])
        made.check()
        assert tools.leftovers(belt) == []
    assert {"after@ToolBelt.add_event", "twice@ToolBelt.commit"} <= {outcome.id for outcome in made.outcomes}


@pytest.mark.slow
def test_the_sign_up_of_the_examples_leaves_nothing_in_five_systems(examples: Any, tmp_path: Path) -> None:
    signup, services, audit = (examples(name) for name in ("signup", "services", "signup_audit"))
    row = audit.Row("ada@example.com", "ada", "Ada", "gb", "founder", "tok_flaky_503")
    with services.running(tmp_path) as systems, closing(sqlite3.connect(tmp_path / "payments.db")) as ledger:

        def reset() -> None:
            """As if nobody had signed up: rows, files and entries removed, the charges given back."""
            for (user,) in systems.db.execute("SELECT id FROM users").fetchall():
                systems.search.delete(row.country, str(user))
            systems.db.executescript("UPDATE founder_seats SET user = NULL; DELETE FROM users;")
            shutil.rmtree(systems.homes / row.username)
            shutil.rmtree(tmp_path / "mail" / row.email, ignore_errors=True)  # the hook that failed sends none
            for (key,) in ledger.execute("SELECT key FROM charges").fetchall():
                systems.payments.refund_by_key(key, idempotency_key=f"reset {key}")

        made = sweep(
            lambda: signup.sign_up(systems, row),
            state={
                "database": database(systems.db, keys={"users": "email"}),
                "homes": directory(systems.homes),
                "held": lambda: audit.holdings(systems),
            },
            # Ids are never given again, and `held` shows which seats are taken.
            ignore=["sqlite_sequence", "users.*.id", "founder_seats.*.user"],
            reset=reset,
        )
        found = tried(made)
    assert found["index_user"] == found["take_seat"] == BODY | UNDO  # of a user whom nobody else has
    assert found["create_user"] == found["make_home"] == BODY | UNDO | {"taken"}
    assert found["charge"] == BODY | UNDO | RETRIED | {"undo-once", "taken"}
    assert found["activate"] == found["welcome"] == {"hook"}


@pytest.mark.slow
def test_a_deploy_of_the_examples_is_undone_and_recovered_wherever_it_is_killed(examples: Any, tmp_path: Path) -> None:
    deploy = examples("deploy")
    releases = {**deploy.RELEASES, "shop-3": {**deploy.RELEASES["shop-2"], "query.sql": "SELECT currency FROM orders"}}
    archives = {name: deploy.build(name, files, tmp_path) for name, files in releases.items()}
    site = deploy.Site(tmp_path / "site")
    (site.root / "releases").mkdir(parents=True)

    def disturb(step: Any) -> Any:
        """Somebody else deploys at the same time, and points the link to that."""
        if step.name != "switch_current":
            return None
        ours = site.current.readlink()
        deploy.point(site.current, "somewhere else")
        return lambda: deploy.point(site.current, str(ours))

    try:
        deploy.deploy(site, archives["shop-1"])
        made = sweep(
            lambda: deploy.deploy(site, archives["shop-3"]),
            state=lambda: deploy.world(site),
            disturb=disturb,
            recover=lambda: list(deploy.journal_of(site).recover()),
        )
        found = tried(made)
    finally:
        deploy.journal_of(site).close()
        for process in deploy.processes.values():
            deploy.stop(process)
    steps = ["unpack", "migrate", "switch_current", "start_server"]
    assert [outcome.id for outcome in made.outcomes if outcome.fault == "taken"] == [
        "taken@unpack",
        "taken@start_server",
    ]
    assert "taken@unpack>crash@unpack.attempting+" in [outcome.id for outcome in made.outcomes]
    assert [made.steps, *(found[name] - {"stale", "taken"} for name in steps)] == [
        [*steps, "check_health"],
        *[BODY | UNDO | {"crash"}] * 4,
    ]
    assert [outcome.id for outcome in made.outcomes if outcome.fault == "stale"] == ["stale@switch_current"]


def test_an_import_of_the_examples_with_tasks_and_threads_leaves_nothing(examples: Any, tmp_path: Path) -> None:
    fan_out = examples("fan_out")
    folder = tmp_path / "archive"
    folder.mkdir()
    with closing(sqlite3.connect(tmp_path / "books.db")) as db:
        db.execute("CREATE TABLE invoices (number INTEGER PRIMARY KEY, cents INTEGER NOT NULL)")
        books, sources = fan_out.Books(db, folder), fan_out.write_invoices(tmp_path / "inbox")[:4]
        state = {"books": database(db), "archive": directory(folder)}
        made = sweep(lambda: fan_out.import_all(sources, books), state=state)
        found = tried(made)
        assert books.count() == (4, 4)
    assert len(made.steps) == 8
    # These are tried if the failure of one has not kept all others from starting; and `taken`, if none runs beside it.
    others = {"before-always", "after-always", "taken"}
    assert found["enter"] - others == BODY | UNDO | {"cancel-after"}
    assert found["archive"] - others == {"before", "after"} | UNDO  # no Ctrl-C in a thread


class Loaded(random.Random):
    """Dice that fall as they should."""

    def __init__(self, *falls: str) -> None:
        super().__init__()
        self.falls = falls

    def choice(self, seq: Any) -> Any:
        """What the next one shows."""
        self.falls = (*self.falls[1:], self.falls[0])
        return self.falls[-1]


def test_the_classic_queue_of_the_examples_is_all_done_or_all_undone(examples: Any) -> None:
    classic = examples("classic_queue")
    dice = Loaded("retry", "succeed")
    items = [classic.SetValue(name, dice) for name in ("first", "second", "third")]

    def scenario() -> None:
        dice.falls = ("retry", "succeed")
        queue = ActionQueue()
        for item in items:
            queue.add(item)
        try:
            queue.execute()
        except BaseException:
            queue.rollback()
            raise

    found = tried(sweep(scenario, state=memory(**{item.name: item for item in items})))
    assert found["SetValue"] >= BODY | UNDO
    assert [item.value for item in items] == [1, 1, 1]
