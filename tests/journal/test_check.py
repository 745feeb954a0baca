"""``actionqueues check``: exit status 0 if nothing is left, 1 with what is; nothing is written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest

from actionqueues import transaction
from actionqueues.journal import Journal
from actionqueues.journal.checking import left_in, source_of

from . import actions
from .actions import failing
from .leaving import edit, leave
from .rounds import began, go, held
from .test_cli import run
from .test_older_files import write_old_file

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked to be left behind")


def begun(path: Path, ago: timedelta, number: int = 1) -> None:
    started = (datetime.now(UTC) - ago).isoformat(" ", "milliseconds")[:23]
    edit(path, "UPDATE transactions SET started = ? WHERE id = ?", started, number)


@pytest.fixture
def stuck(path: Path) -> Path:
    leave(path, lambda q: actions.put("a"))
    failing["-a"] = OSError("not\nnow")
    Journal(path).recover()
    begun(path, timedelta(hours=3))
    return path


def test_a_journal_in_which_nothing_is_left_is_healthy_and_nothing_is_printed(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with transaction("done", journal=path):
        actions.put("a")
    with pytest.raises(LookupError), transaction("undone", journal=path):
        actions.put("b")
        raise LookupError
    assert run(capsys, "check", str(path), "--older-than", "0s") == (0, [])
    assert run(capsys, "check", str(path), "--json") == (0, ["[]"])


def test_live_work_is_healthy_however_long_it_takes(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with transaction("long", journal=path) as q:
        actions.put("a")
        Journal(path).store.write(lambda db: db.execute("UPDATE transactions SET started = '2001-01-01'"), sync=True)
        assert run(capsys, "check", str(path), "--older-than", "0s") == (0, [])
        q.rollback()


def test_each_thing_that_is_left_is_a_line(stuck: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave(stuck, lambda q: actions.put("b"))
    begun(stuck, timedelta(days=2, hours=1), 2)
    failing["!x True"] = OSError("not now")
    with pytest.raises(ExceptionGroup), transaction("hooked\x1b[2J", journal=stuck) as q:
        q.on_commit(actions.tell, "x")
    begun(stuck, timedelta(minutes=11), 3)
    status, lines = run(capsys, "check", str(stuck))
    assert status == 1
    assert lines == [
        "1 left: stuck, began 3 h ago: tests.journal.actions:put: OSError('not\\nnow')",
        "2 left: open, began 2 d ago: its process has died",
        "3 hooked\\x1b[2J: committed, began 11 min ago: commit hook tests.journal.actions:tell: OSError('not now')",
    ]
    status, lines = run(capsys, "check", str(stuck), "--json", "--older-than", "2d")
    (told,) = json.loads("\n".join(lines))
    age = told.pop("age")
    why = "its process has died"
    assert (status, told) == (1, {"id": 2, "name": "left", "state": "open", "why": why, "repeated_by": None})
    assert 2 * 86400 + 3600 <= age < 2 * 86400 + 3700


def test_what_is_not_old_enough_is_healthy_and_ten_minutes_are_unless_it_is_said(
    stuck: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "check", str(stuck), "--older-than", "4h") == (0, [])
    assert run(capsys, "check", str(stuck), "--older-than", "2h")[0] == 1
    begun(stuck, timedelta(minutes=9))
    assert run(capsys, "check", str(stuck)) == (0, [])
    begun(stuck, timedelta(minutes=11))
    assert run(capsys, "check", str(stuck))[0] == 1
    begun(stuck, timedelta(hours=-1))  # the clock was set back
    assert run(capsys, "check", str(stuck)) == (0, [])
    assert run(capsys, "check", str(stuck), "--older-than", "0s")[0] == 1


def test_what_nobody_can_tell_the_age_of_is_old_enough(stuck: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(stuck, "UPDATE transactions SET started = 'long ago'")
    edit(stuck, "UPDATE steps SET name = X'00'")
    status, (line,) = run(capsys, "check", str(stuck), "--older-than", "900d")
    assert status == 1
    assert line.startswith("1 left: stuck, began at an unknown time: damaged: step 1: name is X'00'")


def test_what_is_just_being_tried_again_is_no_more_healthy_than_before(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began.clear()
    go.clear()
    leave(path, lambda q: (held("a"), actions.put("b")))
    failing["-b"] = OSError("not now")
    failing["-a"] = OSError("nor this")
    go.set()
    Journal(path).recover()
    began.clear()
    go.clear()
    again = Thread(target=Journal(path).recover)
    again.start()
    assert began.wait(30)
    assert Journal(path).show(1).live
    status, (line,) = run(capsys, "check", str(path), "--older-than", "0s")
    go.set()
    again.join()
    assert (status, "not now" in line) == (1, True)


WRONG = [
    (("nowhere.db",), "there is no journal 'nowhere.db': it is not there"),
    ((".",), "there is no journal '.': it is a folder"),
    (("empty.db",), "'empty.db' is empty"),
    (("text.db",), "text.db': is no SQLite file"),
    (("actions.db", "--older-than", "0"), "'0' is no age; write 30d, 12h, 10m or 5s"),
    (("actions.db", "--older-than", "-5m"), "expected one argument"),
    (("actions.db", "--older-than", "1w"), "'1w' is no age"),
    (("actions.db", "--older-than", "1.5h"), "'1.5h' is no age"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_what_cannot_be_checked_is_neither_healthy_nor_left(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("text.db").write_text("hello\n" * 1000)
    Path("empty.db").touch()
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    status, lines = run(capsys, "check", *arguments)
    assert (status, len(lines), message in lines[0]) == (2, 1, True), lines
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


# -- nothing is written


def files(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir() if not each.name.endswith("-shm")}


def test_no_file_is_made_and_none_is_changed(stuck: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Journal(stuck).close()
    Path(f"{stuck}-owners").unlink()
    before = files(stuck.parent)
    assert run(capsys, "check", str(stuck))[0] == 1
    assert files(stuck.parent) == before
    assert list(before) == ["actions.db"]


def test_a_file_of_an_older_version_is_checked_and_stays_one(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_old_file(path)
    before = files(path.parent)
    assert run(capsys, "check", str(path), "--older-than", "0s")[0] in (0, 1)
    assert files(path.parent) == before


def test_a_damaged_file_is_told(stuck: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Journal(stuck).close()
    data = stuck.read_bytes()
    stuck.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    status, lines = run(capsys, "check", str(stuck))
    assert (status, len(lines), "is damaged" in lines[0]) == (2, 1, True), lines


PROGRAM = """
import os, sys
import actionqueues.cli, asyncio, sqlite3, shutil, tempfile, unicodedata, urllib.parse
from actionqueues.journal import Journal, checking
os.setegid(65534)
os.seteuid(65534)  # after the imports, which are the owner's alone
print(actionqueues.cli.main(["check", sys.argv[1], "--older-than", "0s"]), flush=True)
"""


@pytest.mark.parametrize("live", [True, False])
def test_who_may_only_read_the_file_may_check_it(live: bool, shared: Path) -> None:
    leave(shared, lambda q: actions.put("a"))
    with transaction("works", journal=shared):
        actions.put("b")
        if live:
            Journal(shared).recover()
        for each in shared.parent.iterdir():
            each.chmod(0o644)
        shared.parent.chmod(0o755)
        root = Path(__file__).parent.parent.parent
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(shared)],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.stderr == ""
    told = [] if live else ["1 left: open, began some s ago: its process has died"]
    assert re.sub(r"began \d+ s", "began some s", done.stdout).splitlines() == [*told, str(len(told))]


def test_elsewhere_who_lives_is_known_to_who_may_write(stuck: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Journal(stuck).store

    def elsewhere(platform: str) -> bool:
        return False

    monkeypatch.setattr("actionqueues.journal.checking.of_open_file", elsewhere)
    assert source_of(store) is store
    assert [each.entry.id for each in left_in(store)] == [1]


def test_where_nobody_can_tell_who_lives_that_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction("works", journal=path):
        actions.put("a")

        def nobody_can_tell(path: str, owners: Iterable[int]) -> dict[int, bool | None]:
            return dict.fromkeys(owners)

        monkeypatch.setattr("actionqueues.journal.inspecting.lives", nobody_can_tell)
        (left,) = left_in(source_of(Journal(path).store))
    assert left.why == "its process may live: nobody can tell from here"


def test_the_ids_are_at_the_beginning_of_the_lines(stuck: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, lines = run(capsys, "check", str(stuck))
    assert [line.split()[0] for line in lines] == ["1"]
